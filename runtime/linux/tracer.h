// The tracing side of ptrace, and waiting, which is where stops are told apart; trace_area.h has the whole picture.
#pragma once
#include "runtime/linux/syscall.h"

namespace lyre::linux_user {

int64_t sys_ptrace(SyscallCall& call);
int64_t sys_wait4(SyscallCall& call);
int64_t sys_waitid(SyscallCall& call);

// fork(): the list of tracees is nobody's in the child.
void lock_tracees();
void unlock_tracees(bool child);

}  // namespace lyre::linux_user
