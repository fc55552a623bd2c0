// What every floating-point body starts with: mstatus.FS. Off makes the instruction illegal; the first instruction of a block that changes floating-point
// state while FS is not yet Dirty marks it and starts over under the new state key, so that hot code carries no check (Privileged 3.1.6.6).
#pragma once
#include "frontend/riscv/fp_helpers.h"
#include "frontend/riscv/isa.h"

namespace lyre::riscv {

// For instructions that change f registers, fcsr or flags. False: the instruction has been dealt with, return `next`.
inline bool float_state_ready(Insn& i, Next& next) {
  if (i.key() & kKeyFloatOff) {
    next = i.illegal();
    return false;
  }
  if (i.key() & kKeyFloatDirty) return true;
  i.b.call<ir::Type::kVoid>(kHelperFloatDirty, {});
  i.b.exit_indirect(i.pc());
  next = Next::kEnded;
  return false;
}

}  // namespace lyre::riscv
