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

// Helper numbers of insn_f*.cpp (fp_helpers.cpp). Operands and results called "register" are whole f registers, NaN-boxed as their format asks; the helper
// checks the boxing. `what`: bits 7:0 the operation, 15:8 the format, 23:16 the rounding mode.
enum FloatHelper : unsigned {
  kHelperFloatDirty = 48,  // kFloatHelpers: mstatus.FS := Dirty
  kHelperNan32,            // canonical NaN, for results that came out as some NaN
  kHelperNan64,
  kHelperUnbox32,          // (a) register that is not boxed: canonical NaN
  kHelperFmaNan32,         // (a, b, c): canonical NaN; invalid for infinity times zero
  kHelperFmaNan64,
  kHelperArithmetic,       // (what, a, b, c) registers: ArithmeticOp
  kHelperCompare,          // (what, a, b) registers: CompareOp; 0 or 1
  kHelperMinMax,           // (what, a, b) registers: MinMaxOp
  kHelperClassify,         // (what, a) register
  kHelperToInteger,        // (what, a) register: IntegerKind; x register value
  kHelperFromInteger,      // (what, value): IntegerKind; register
  kHelperConvert,          // (what, a) register: bits 7:0 the format converted from
  kHelperToModular,        // (a) register: fcvtmod.w.d
};
enum FloatFormat : unsigned { kFormatS = 0, kFormatD = 1, kFormatH = 2 };  // as the fmt field has them
enum ArithmeticOp : unsigned { kOpAdd, kOpSub, kOpMul, kOpDiv, kOpSqrt, kOpMadd, kOpMsub, kOpNmsub, kOpNmadd, kOpRound, kOpRoundNx };
enum CompareOp : unsigned { kOpEq, kOpLt, kOpLe, kOpLtq, kOpLeq };
enum MinMaxOp : unsigned { kOpMin, kOpMax, kOpMinm, kOpMaxm };
enum IntegerKind : unsigned { kIntW = 0, kIntWu = 1, kIntL = 2, kIntLu = 3 };  // as the rs2 field has them
constexpr uint64_t float_what(unsigned op, unsigned format, unsigned rounding = 0) { return op | format << 8 | rounding << 16; }

}  // namespace lyre::riscv
