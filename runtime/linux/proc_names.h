// Names below /proc that speak of a process of ours: this one or another guest's. And how the kernel is made to say of this process what is the guest's.
// Threads: any.
#pragma once
#include <sys/types.h>

#include <optional>
#include <string>

#include "runtime/linux/process.h"

namespace lyre::linux_user {

struct ProcName {
  pid_t pid = 0;
  bool own = false;   // of this process
  std::string entry;  // "maps"; of a thread's folder too
};
// "/proc/self/maps", "/proc/12/maps", "/proc/thread-self/maps", "/proc/self/task/13/maps".
std::optional<ProcName> proc_name(const std::string& path);
// The name in full where it is relative to a folder of /proc and ends in a file that proc_files.cpp knows; otherwise as it is.
std::string full_proc_name(int directory, const std::string& path);

// The program that /proc/PID/exe is, if that is one of our processes.
std::optional<std::string> program_of(Process& process, const ProcName& name);

// /proc/PID/cmdline, environ, comm and the stack and argument fields of stat: the kernel's own files say what the guest's are from here on, so that ps and
// pidof see the guest's program. A kernel that refuses goes on showing the emulator's.
void name_in_kernel(const std::string& program, const StackPlace& stack);

}  // namespace lyre::linux_user
