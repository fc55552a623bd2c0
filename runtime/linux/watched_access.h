// The slow paths of loads and stores under watchpoints: a block under the key for them (kWatchedKey) makes every access
// here.
#pragma once
#include "ir/abi.h"

namespace lyre::linux_user {

// On the thread that owns the block. Accesses that must be aligned and are not come here without watchpoints too.
void install_watched_access(ir::VcpuBlock& block);

}  // namespace lyre::linux_user
