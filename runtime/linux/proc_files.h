// Files of /proc that would show the emulator instead of the guest: /proc/self/{exe,maps,auxv,cmdline,environ,stat} and the
// same by the process's own number or below its threads; exe, auxv, cmdline and environ of other guest processes;
// /proc/cpuinfo. They are made as they are opened.
#pragma once
#include <optional>
#include <string>

#include "runtime/linux/process.h"

namespace lyre::linux_user {

// A descriptor with the file's content, -errno, or -ENOENT: the host's own file will do.
int64_t open_proc_file(Process& process, const std::string& path, int flags);
// The program that a name of /proc/PID/exe, in any spelling, leads to; nullopt: no such name, or not one of our processes.
std::optional<std::string> named_program(Process& process, int directory, const std::string& path);

}  // namespace lyre::linux_user
