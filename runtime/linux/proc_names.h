// Names below /proc that speak of a process of ours: this one or another guest's. And how the kernel is made to say of
// this process what is the guest's. Threads: any.
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
// The name in full where it is relative to a folder of /proc and ends in a file that proc_files.cpp knows; otherwise as
// it is.
std::string full_proc_name(int directory, const std::string& path);

// What getdents64 has read of an open folder (`bytes` at `entries`): the emulator's own descriptors are taken out of
// /proc/PID/fd and fdinfo. Returns the bytes that are left.
int64_t hide_own_descriptors(Process& process, int folder, uint64_t entries, int64_t bytes);

// What /proc/PID/status shows of a guest's thread; nullopt: none of ours.
struct ShownThread {
  uint64_t blocked = 0, ignored = 0, caught = 0;  // bit 0: signal 1
  uint32_t seccomp_mode = 0, seccomp_filters = 0;
};
std::optional<ShownThread> shown_thread(const ProcName& name, pid_t tid);

// The program that /proc/PID/exe is, if that is one of our processes.
std::optional<std::string> program_of(Process& process, const ProcName& name);

// /proc/PID/cmdline, environ, comm and the stack and argument fields of stat: the kernel's own files say what the
// guest's are from here on, so that ps and pidof see the guest's program. A kernel that refuses goes on showing the
// emulator's.
void name_in_kernel(const std::string& program, const StackPlace& stack);

}  // namespace lyre::linux_user
