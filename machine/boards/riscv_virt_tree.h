// The device tree of the RISC-V `virt` board.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "runtime/vcpu/vcpu_set.h"

namespace lyre::machine::riscv_virt {

struct TreeInput {
  const runtime::VcpuSet& vcpus;
  unsigned sockets = 1;  // clusters of the CPU map; divides the number of vCPUs
  uint64_t ram_bytes = 0;
  unsigned xlen = 64;
  bool aclint = false;
};
std::vector<std::byte> make_tree(const TreeInput& input);

}  // namespace lyre::machine::riscv_virt
