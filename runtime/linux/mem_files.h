// /proc/PID/mem open for writing: what a debugger writes there passes the rights of pages, so that no fault says that
// translated code is stale. Writes to such a file are followed by a note to the process that it belongs to. Threads:
// any.
#pragma once
#include <string>

#include "runtime/linux/syscall.h"

namespace lyre::linux_user {

// `fd` has been opened by that name (absolute) with these flags.
void opened_proc_file(int fd, const std::string& path, int flags);

// write and its kin: passed on, then noted if such a file is open at all.
int64_t sys_write(SyscallCall& call);
int64_t sys_pwrite64(SyscallCall& call);
int64_t sys_writev(SyscallCall& call);
int64_t sys_pwritev(SyscallCall& call);

}  // namespace lyre::linux_user
