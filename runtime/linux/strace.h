// -strace: a line per system call: `PID name(arguments) = result`, with errno and its text on failure.
#pragma once
#include "runtime/linux/syscall.h"

namespace lyre::linux_user {

void strace_begin(const SyscallCall& call);
void strace_end(const SyscallCall& call, int64_t result);

}  // namespace lyre::linux_user
