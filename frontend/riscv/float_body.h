// What bodies of floating-point instructions share: the FS check, reading and writing registers, choosing between inline host operations and exact helpers.
//
// An operation is done inline when the rounding mode it asks for is the one in the host's control register; else a helper does it exactly. Results that
// may be NaN are compared with themselves; the cold path gives the canonical NaN. f64 values are slots of type f64. f32 values are NaN-boxed in them: a read
// checks the box, unless the same region wrote or checked it before, which a bounded look back at the IR finds.
#pragma once
#include <type_traits>

#include "frontend/riscv/fp_helpers.h"
#include "frontend/riscv/isa.h"

namespace lyre::riscv {

using ir::FloatCond;
using ir::Op;
using ir::Type;

// For instructions that change f registers, fcsr or flags. mstatus.FS Off makes the instruction illegal; while FS is not yet Dirty, the first such instruction
// of a block marks it and starts over under the new state key, so that hot code carries no check (Privileged 3.1.6.6).
// False: the instruction has been dealt with, return `next`.
inline bool float_state_ready(Insn& i, Next& next) {
  if (i.key() & kKeyFloatOff) {
    next = i.illegal();
    return false;
  }
  if (i.key() & kKeyFloatDirty) return true;
  i.b.call<Type::kVoid>(kHelperFloatDirty, {});
  i.b.exit_indirect(i.pc());
  next = Next::kEnded;
  return false;
}

// The rounding mode in effect; reserved ones are at least 5.
inline unsigned rounding_of(const Insn& i) { return i.rm() == kDyn ? i.key() >> kKeyFrmShift & 7 : i.rm(); }
// Whether the host's control register rounds that way: it holds frm, except for round-to-max-magnitude.
inline bool host_rounds(const Insn& i, unsigned rounding) { return rounding != kRmm && rounding == (i.key() >> kKeyFrmShift & 7); }

// Checks what every rounding instruction needs. False: return `next`.
inline bool ready(Insn& i, unsigned rounding, Next& next) {
  if (!(i.key() & kKeyFloatOff) && rounding > kRmm) {
    next = i.illegal();
    return false;
  }
  return float_state_ready(i, next);
}

// A whole f register, as helpers take and give it.
inline I64 f_bits(Insn& i, unsigned reg) { return i.b.get<Type::kI64>(f_slot(reg)); }
inline void set_f_bits(Insn& i, unsigned reg, I64 value) { i.b.set(f_slot(reg), value); }

F32 read_f32(Insn& i, unsigned reg);
void write_f32(Insn& i, unsigned reg, F32 value);

// The two formats that hosts compute with.
struct Single {
  using V = F32;
  static constexpr Type kType = Type::kF32;
  static constexpr unsigned kFormat = kFormatS, kNan = kHelperNan32, kFmaNan = kHelperFmaNan32;
  static V read(Insn& i, unsigned reg) { return read_f32(i, reg); }
  static void write(Insn& i, unsigned reg, V value) { write_f32(i, reg, value); }
  static V constant(Insn& i, float value) { return i.b.constant<Type::kF32>(__builtin_bit_cast(uint32_t, value)); }
};
struct Double {
  using V = F64;
  static constexpr Type kType = Type::kF64;
  static constexpr unsigned kFormat = kFormatD, kNan = kHelperNan64, kFmaNan = kHelperFmaNan64;
  static V read(Insn& i, unsigned reg) { return i.b.get<Type::kF64>(f_slot(reg)); }
  static void write(Insn& i, unsigned reg, V value) { i.b.set(f_slot(reg), value); }
  static V constant(Insn& i, double value) { return i.b.constant<Type::kF64>(__builtin_bit_cast(uint64_t, value)); }
};

// Writes a result that may be NaN.
template <typename F>
void write_canonical(Insn& i, unsigned reg, typename F::V value) {
  I1 nan = i.b.fcmp(FloatCond::kUnordered, value, value);
  F::write(i, reg, i.b.template call_if<F::kType>(nan, value, F::kNan, {}));
}

// Exact forms, any format: registers in, register or x value out.
inline Next exact_arithmetic(Insn& i, unsigned op, unsigned format, unsigned rounding) {
  I64 what = i.b.i64(float_what(op, format, rounding));
  I64 a = f_bits(i, i.rs1()), b = f_bits(i, i.rs2()), c = f_bits(i, i.rs3());
  set_f_bits(i, i.rd(), i.b.call<Type::kI64>(kHelperArithmetic, {what.id, a.id, b.id, c.id}));
  return Next::kContinue;
}
inline Next exact_compare(Insn& i, unsigned op, unsigned format) {
  I64 what = i.b.i64(float_what(op, format));
  I64 a = f_bits(i, i.rs1()), b = f_bits(i, i.rs2());
  i.set_x(i.rd(), i.b.call<Type::kI64>(kHelperCompare, {what.id, a.id, b.id}));
  return Next::kContinue;
}
inline Next exact_min_max(Insn& i, unsigned op, unsigned format) {
  I64 what = i.b.i64(float_what(op, format));
  I64 a = f_bits(i, i.rs1()), b = f_bits(i, i.rs2());
  set_f_bits(i, i.rd(), i.b.call<Type::kI64>(kHelperMinMax, {what.id, a.id, b.id}));
  return Next::kContinue;
}
inline Next exact_to_integer(Insn& i, unsigned kind, unsigned format, unsigned rounding) {
  I64 what = i.b.i64(float_what(kind, format, rounding));
  I64 a = f_bits(i, i.rs1());
  i.set_x(i.rd(), i.b.call<Type::kI64>(kHelperToInteger, {what.id, a.id}));
  return Next::kContinue;
}
inline Next exact_from_integer(Insn& i, unsigned kind, unsigned format, unsigned rounding) {
  I64 what = i.b.i64(float_what(kind, format, rounding));
  I64 value = i.x(i.rs1());
  set_f_bits(i, i.rd(), i.b.call<Type::kI64>(kHelperFromInteger, {what.id, value.id}));
  return Next::kContinue;
}
inline Next exact_convert(Insn& i, unsigned from, unsigned to, unsigned rounding) {
  I64 what = i.b.i64(float_what(from, to, rounding));
  I64 a = f_bits(i, i.rs1());
  set_f_bits(i, i.rd(), i.b.call<Type::kI64>(kHelperConvert, {what.id, a.id}));
  return Next::kContinue;
}
// fclass, for any format: no flags, no state changed.
inline Next classify(Insn& i, unsigned format) {
  if (i.key() & kKeyFloatOff) return i.illegal();
  I64 what = i.b.i64(float_what(0, format));
  I64 a = f_bits(i, i.rs1());
  i.set_x(i.rd(), i.b.call<Type::kI64>(kHelperClassify, {what.id, a.id}));
  return Next::kContinue;
}

// fsgnj (0), fsgnjn (1), fsgnjx (2) on boxed formats of 32 and 16 bits, as integer work.
Next sign_inject_boxed(Insn& i, unsigned kind, unsigned width);
// The value of a register that is boxed in `width` bits, in the low bits of an i64 (upper ones unspecified): the canonical NaN if it is not boxed.
I64 unboxed_bits(Insn& i, unsigned reg, unsigned width);
I64 boxed(Insn& i, I64 low, unsigned width);

}  // namespace lyre::riscv
