// Core files of the guest: what the guest's kernel would write when a signal ends a program: an ELF file with its
// threads' registers and its memory, for its own debugger. core(5).
#pragma once
#include "runtime/linux/thread.h"

namespace lyre::linux_user {

// On the dying thread. Holds the others at a block's end or in their system calls for good. Nothing is written where
// the guest's RLIMIT_CORE or PR_SET_DUMPABLE say so, or where the file can not be made.
void dump_core(Thread& thread, const SigInfo& info);

}  // namespace lyre::linux_user
