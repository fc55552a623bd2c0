// New threads and processes of the guest, as clone, clone3, fork and vfork ask for them.
#pragma once
#include <cstdint>

#include "runtime/linux/syscall.h"

namespace lyre::linux_user {

struct CloneRequest {
  uint64_t flags = 0;  // without the exit signal
  int exit_signal = 0;
  uint64_t stack = 0;  // the child's stack pointer; 0: the parent's
  uint64_t tls = 0, parent_tid = 0, child_tid = 0, pidfd = 0, cgroup = 0;
};
int64_t do_clone(SyscallCall& call, const CloneRequest& request);

// exit of one thread: the last one ends the process.
int64_t do_exit(SyscallCall& call);

}  // namespace lyre::linux_user
