// Address translation of a RISC-V hart: Bare, Sv32, Sv39, Sv48, Sv57 with Svadu, Svpbmt, Svnapot; RISC-V Privileged 12.3 to 12.6. Hot: a walk runs at
// every miss of the runtime's TLB.
//
// mmu_index: the effective privilege of accesses and what loosens its rights. kMmuMachine does not translate. SUM and MXR are part of the index, so
// that a change of either selects another TLB array instead of flushing.
#pragma once
#include <cstdint>

namespace lyre::riscv {

enum MmuIndex : unsigned {
  kMmuUser = 0,
  kMmuSupervisor = 1,
  kMmuSupervisorSum = 2,
  kMmuMachine = 3,
  kMmuMxr = 4,  // added to the first three
  kMmuIndexEnd = 7,
};

}  // namespace lyre::riscv
