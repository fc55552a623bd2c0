// Where RISC-V floating-point control meets the host's: fcsr is split between State (fflags, frm) and MXCSR, which is live while translated code
// and helpers without kHostFp run. Rounding sits in MXCSR.RC, flags raised by inline operations in its sticky bits; flags that slow paths raise go to
// State::fflags. The union of both is what the guest reads. RISC-V Unprivileged, "F": Floating-Point Control and Status Register.
#pragma once
#include <cstdint>

#include "frontend/riscv/state.h"
#include "ir/abi.h"

namespace lyre::riscv {

// fflags.
inline constexpr uint32_t kFlagNX = 1, kFlagUF = 2, kFlagOF = 4, kFlagDZ = 8, kFlagNV = 16;
// frm and the rm field.
enum RoundingMode : uint8_t { kRne = 0, kRtz = 1, kRdn = 2, kRup = 3, kRmm = 4, kDyn = 7 };

inline constexpr uint32_t kMxcsrNearest = 0x1f80;  // all exceptions masked, no flags, round to nearest
inline constexpr uint32_t kMxcsrFlags = 0x3f, kMxcsrRounding = 0x6000;

constexpr uint32_t mxcsr_rounding(uint32_t frm) {
  switch (frm) {
    case kRtz: return 0x6000;
    case kRdn: return 0x2000;
    case kRup: return 0x4000;
    default: return 0;  // RMM and reserved modes never reach an inline operation
  }
}
constexpr uint32_t flags_from_mxcsr(uint32_t mxcsr) {
  return (mxcsr & 1 ? kFlagNV : 0) | (mxcsr & 4 ? kFlagDZ : 0) | (mxcsr & 8 ? kFlagOF : 0) | (mxcsr & 16 ? kFlagUF : 0) | (mxcsr & 32 ? kFlagNX : 0);
}

// Helper numbers of insn_f*.cpp.
enum FloatHelper : unsigned {
  kHelperFloatDirty = 48,  // kFloatHelpers: mstatus.FS := Dirty
  kHelperUnbox32, kHelperUnbox16,
  kHelperFloatFirst,
};

}  // namespace lyre::riscv
