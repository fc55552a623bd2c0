// Executing programs: a guest program, or a script for one, is executed by the emulator's own executable, so that no
// registration with the host's kernel is needed. Anything else goes to the host as it is.
#pragma once
#include <cstdint>
#include <string>

#include "runtime/linux/syscall.h"

namespace lyre::linux_user {

int64_t do_exec(SyscallCall& call, int directory, const std::string& path, uint64_t arguments, uint64_t environment,
                int flags);

}  // namespace lyre::linux_user
