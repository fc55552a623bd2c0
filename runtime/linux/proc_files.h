// Files of /proc that would show the emulator instead of the guest: /proc/self/{exe,maps,auxv,cmdline,stat} and the
// same by the process's own number, /proc/cpuinfo. They are made as they are opened.
#pragma once
#include <string>

#include "runtime/linux/process.h"

namespace lyre::linux_user {

// A descriptor with the file's content, -errno, or -ENOENT: the host's own file will do.
int64_t open_proc_file(Process& process, const std::string& path, int flags);
// /proc/self/exe in any of its spellings.
bool names_own_program(const std::string& path);

}  // namespace lyre::linux_user
