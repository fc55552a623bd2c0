// What a RISC-V hart executes first: a few instructions in mask ROM that pass the boot registers on, and the block
// through which OpenSBI's fw_dynamic learns what comes after it (OpenSBI docs/firmware/fw_dynamic.md).
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "runtime/base/types.h"

namespace lyre::machine {

struct FwDynamicInfo {  // little-endian, as OpenSBI reads it on a 64-bit hart; a 32-bit one has words of 32 bits
  uint64_t magic = 0x4942534f;  // "OSBI"
  uint64_t version = 2;
  uint64_t next_address = 0;
  uint64_t next_mode = 1;  // S
  uint64_t options = 0;
  uint64_t boot_hart = 0;  // since version 2: the preferred one
};
static_assert(sizeof(FwDynamicInfo) == 48);

// ROM contents: a0 = hart id, a1 = device tree, a2 = FwDynamicInfo, then a jump to start. Position-independent.
std::vector<std::byte> riscv_reset_rom(Gpa start, Gpa device_tree, const FwDynamicInfo& info, unsigned xlen = 64);

}  // namespace lyre::machine
