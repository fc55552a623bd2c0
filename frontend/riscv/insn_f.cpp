// F and D: single and double precision, one body for both formats where they agree. Unprivileged ISA, chapters "F" and "D".
#include <limits>

#include "frontend/riscv/float_body.h"

namespace lyre::riscv {
namespace {

constexpr uint64_t kBox32 = 0xffffffff00000000;
constexpr ir::MemOp access(unsigned size_log2) {
  ir::MemOp op;
  op.size_log2 = static_cast<uint8_t>(size_log2);
  return op;
}

template <typename F, unsigned kOp>
Next arithmetic(Insn& i) {
  unsigned rounding = rounding_of(i);
  if (Next next; !ready(i, rounding, next)) return next;
  if (!host_rounds(i, rounding)) return exact_arithmetic(i, kOp, F::kFormat, rounding);
  typename F::V a = F::read(i, i.rs1());
  if constexpr (kOp == kOpSqrt) {
    write_canonical<F>(i, i.rd(), i.b.fsqrt(a));
  } else {
    typename F::V b = F::read(i, i.rs2());
    constexpr Op kOps[] = {Op::fadd, Op::fsub, Op::fmul, Op::fdiv};
    write_canonical<F>(i, i.rd(), i.b.binary(kOps[kOp], a, b));
  }
  return Next::kContinue;
}

// fmadd, fmsub, fnmsub, fnmadd. RISC-V raises invalid for infinity times zero even when the addend is a quiet NaN; hosts may not: the NaN path looks.
template <typename F, unsigned kOp>
Next multiply_add(Insn& i) {
  unsigned rounding = rounding_of(i);
  if (Next next; !ready(i, rounding, next)) return next;
  if (!host_rounds(i, rounding)) return exact_arithmetic(i, kOp, F::kFormat, rounding);
  typename F::V a = F::read(i, i.rs1()), b = F::read(i, i.rs2()), c = F::read(i, i.rs3());
  if constexpr (kOp == kOpNmsub || kOp == kOpNmadd) a = i.b.fneg(a);
  if constexpr (kOp == kOpMsub || kOp == kOpNmadd) c = i.b.fneg(c);
  typename F::V result = i.b.fma(a, b, c);
  I1 nan = i.b.fcmp(FloatCond::kUnordered, result, result);
  F::write(i, i.rd(), i.b.template call_if<F::kType>(nan, result, F::kFmaNan, {a.id, b.id, c.id}));
  return Next::kContinue;
}

// The compares raise invalid for signalling NaNs; what is neither less nor greater (equal, zeros of two signs, NaN) goes to the helper.
template <typename F, unsigned kOp>
Next min_max(Insn& i) {
  if (Next next; !float_state_ready(i, next)) return next;
  typename F::V a = F::read(i, i.rs1()), b = F::read(i, i.rs2());
  I1 less = i.b.fcmp(FloatCond::kLtQuiet, a, b), greater = i.b.fcmp(FloatCond::kLtQuiet, b, a);
  typename F::V result = kOp == kOpMin ? i.b.select(less, a, b) : i.b.select(less, b, a);
  I1 neither = i.b.cmp(ir::Cond::kEq, i.b.or_(i.b.template zext<Type::kI32>(less), i.b.template zext<Type::kI32>(greater)), i.b.i32(0));
  I64 what = i.b.i64(float_what(kOp, F::kFormat)), bits_a = f_bits(i, i.rs1()), bits_b = f_bits(i, i.rs2());
  F::write(i, i.rd(), i.b.template call_if<F::kType>(neither, result, kHelperMinMax, {what.id, bits_a.id, bits_b.id}));
  return Next::kContinue;
}

template <typename F, FloatCond kCond>
Next compare(Insn& i) {
  if (Next next; !float_state_ready(i, next)) return next;
  typename F::V a = F::read(i, i.rs1()), b = F::read(i, i.rs2());
  i.set_x(i.rd(), i.b.zext<Type::kI64>(i.b.fcmp(kCond, a, b)));
  return Next::kContinue;
}

template <unsigned kKind>
Next sign_inject_single(Insn& i) {
  if (Next next; !float_state_ready(i, next)) return next;
  return sign_inject_boxed(i, kKind, 32);
}
template <unsigned kKind>
Next sign_inject_double(Insn& i) {
  if (Next next; !float_state_ready(i, next)) return next;
  F64 a = Double::read(i, i.rs1());
  if (i.rs1() == i.rs2()) {  // fmv.d, fneg.d, fabs.d
    Double::write(i, i.rd(), kKind == 0 ? a : kKind == 1 ? i.b.fneg(a) : i.b.fabs(a));
    return Next::kContinue;
  }
  F64 b = Double::read(i, i.rs2());
  if constexpr (kKind == 2) {
    I64 bits_a = f_bits(i, i.rs1()), bits_b = f_bits(i, i.rs2());
    set_f_bits(i, i.rd(), i.b.xor_(bits_a, i.b.and_(bits_b, i.b.i64(uint64_t{1} << 63))));
  } else {
    Double::write(i, i.rd(), i.b.fcopysign(a, kKind == 1 ? i.b.fneg(b) : b));
  }
  return Next::kContinue;
}

// The largest value of a float format that is at most the largest integer of a kind, and the smallest likewise, as doubles: between them a rounded
// value is in range, whatever the mode.
struct Range {
  double low, high;
};
template <typename F>
constexpr Range range_of(unsigned kind) {
  constexpr bool kIsSingle = std::is_same_v<F, Single>;
  switch (kind) {
    case kIntW: return {-2147483648.0, kIsSingle ? 2147483520.0 : 2147483647.0};
    case kIntWu: return {0.0, kIsSingle ? 4294967040.0 : 4294967295.0};
    case kIntL: return {-9223372036854775808.0, kIsSingle ? 9223371487098961920.0 : 9223372036854774784.0};
    default: return {0.0, kIsSingle ? 18446742974197923840.0 : 18446744073709549568.0};
  }
}

constexpr ir::Rounding ir_rounding(unsigned rounding) {
  constexpr ir::Rounding kModes[] = {ir::Rounding::kNearestEven, ir::Rounding::kTowardZero, ir::Rounding::kDown, ir::Rounding::kUp};
  return kModes[rounding];
}

// Float to integer. Toward zero the host's truncation is used as it is, and its "out of range" answer leads to the exact helper. Other modes round in the
// float format first; values near or beyond the range, and NaN, take the helper before anything is raised for them.
template <typename F, unsigned kKind>
Next to_integer(Insn& i) {
  unsigned rounding = rounding_of(i);
  if (Next next; !ready(i, rounding, next)) return next;
  if (rounding == kRmm) return exact_to_integer(i, kKind, F::kFormat, rounding);
  constexpr Type kResult = kKind & kIntL ? Type::kI64 : Type::kI32;
  constexpr Op kOp = kKind & 1 ? Op::ftoi_u : Op::ftoi_s;
  typename F::V a = F::read(i, i.rs1());
  I64 what = i.b.i64(float_what(kKind, F::kFormat, rounding));
  I64 bits = f_bits(i, i.rs1());
  I1 special;
  typename F::V input = a;
  if (rounding == kRtz) {
    ir::Value<kResult> converted = i.b.template convert<kResult>(kOp, a);
    uint64_t answer = kKind & 1 ? ~uint64_t{0} : kResult == Type::kI64 ? uint64_t{1} << 63 : uint64_t{0x80000000};
    special = i.b.cmp(ir::Cond::kEq, converted, i.b.template constant<kResult>(kResult == Type::kI64 ? answer : answer & 0xffffffff));
    I64 wide;
    if constexpr (kResult == Type::kI64) wide = converted;
    else wide = i.b.template sext<Type::kI64>(converted);
    i.set_x(i.rd(), i.b.call_if<Type::kI64>(special, wide, kHelperToInteger, {what.id, bits.id}));
    return Next::kContinue;
  }
  constexpr Range kRange = range_of<F>(kKind);
  typename F::V low, high;
  if constexpr (std::is_same_v<F, Single>) {
    low = F::constant(i, static_cast<float>(kRange.low)), high = F::constant(i, static_cast<float>(kRange.high));
  } else {
    low = F::constant(i, kRange.low), high = F::constant(i, kRange.high);
  }
  I1 inside = i.b.fcmp(FloatCond::kLeQuiet, a, high), above = i.b.fcmp(FloatCond::kLeQuiet, low, a);
  special = i.b.cmp(ir::Cond::kEq, i.b.and_(i.b.template zext<Type::kI32>(inside), i.b.template zext<Type::kI32>(above)), i.b.i32(0));
  input = i.b.select(special, F::constant(i, 0), a);
  ir::Value<kResult> converted = i.b.template convert<kResult>(kOp, i.b.fround(ir_rounding(rounding), input));
  I64 wide;
  if constexpr (kResult == Type::kI64) wide = converted;
  else wide = i.b.template sext<Type::kI64>(converted);
  i.set_x(i.rd(), i.b.call_if<Type::kI64>(special, wide, kHelperToInteger, {what.id, bits.id}));
  return Next::kContinue;
}

template <typename F, unsigned kKind>
Next from_integer(Insn& i) {
  unsigned rounding = rounding_of(i);
  if (Next next; !ready(i, rounding, next)) return next;
  constexpr bool kExact = std::is_same_v<F, Double> && !(kKind & kIntL);  // a word always fits a double
  if (!kExact && !host_rounds(i, rounding)) return exact_from_integer(i, kKind, F::kFormat, rounding);
  constexpr Op kOp = kKind & 1 ? Op::itof_u : Op::itof_s;
  if constexpr (kKind & kIntL) F::write(i, i.rd(), i.b.template convert<F::kType>(kOp, i.x(i.rs1())));
  else F::write(i, i.rd(), i.b.template convert<F::kType>(kOp, i.w(i.rs1())));
  return Next::kContinue;
}

Next fcvt_s_d(Insn& i) {
  unsigned rounding = rounding_of(i);
  if (Next next; !ready(i, rounding, next)) return next;
  if (!host_rounds(i, rounding)) return exact_convert(i, kFormatD, kFormatS, rounding);
  write_canonical<Single>(i, i.rd(), i.b.convert<Type::kF32>(Op::fcvt, Double::read(i, i.rs1())));
  return Next::kContinue;
}
Next fcvt_d_s(Insn& i) {  // exact: any rounding mode will do
  unsigned rounding = rounding_of(i);
  if (Next next; !ready(i, rounding, next)) return next;
  write_canonical<Double>(i, i.rd(), i.b.convert<Type::kF64>(Op::fcvt, Single::read(i, i.rs1())));
  return Next::kContinue;
}

template <unsigned kFormat>
Next fclass(Insn& i) {
  return classify(i, kFormat);
}

// Moves between register files copy bits, boxed or not.
Next fmv_x_w(Insn& i) {
  if (i.key() & kKeyFloatOff) return i.illegal();
  i.set_x(i.rd(), i.b.sext<Type::kI64>(i.b.trunc<Type::kI32>(f_bits(i, i.rs1()))));
  return Next::kContinue;
}
Next fmv_w_x(Insn& i) {
  if (Next next; !float_state_ready(i, next)) return next;
  set_f_bits(i, i.rd(), i.b.or_(i.x(i.rs1()), i.b.i64(kBox32)));
  return Next::kContinue;
}
Next fmv_x_d(Insn& i) {
  if (i.key() & kKeyFloatOff) return i.illegal();
  i.set_x(i.rd(), f_bits(i, i.rs1()));
  return Next::kContinue;
}
Next fmv_d_x(Insn& i) {
  if (Next next; !float_state_ready(i, next)) return next;
  set_f_bits(i, i.rd(), i.x(i.rs1()));
  return Next::kContinue;
}

Next flw(Insn& i) {
  if (Next next; !float_state_ready(i, next)) return next;
  write_f32(i, i.rd(), i.b.load<Type::kF32>(i.x(i.rs1()), access(2), i.imm_i()));
  return Next::kContinue;
}
Next fsw(Insn& i) {
  if (i.key() & kKeyFloatOff) return i.illegal();
  i.b.store(i.x(i.rs1()), f_bits(i, i.rs2()), access(2), i.imm_s());
  return Next::kContinue;
}
Next fld(Insn& i) {
  if (Next next; !float_state_ready(i, next)) return next;
  Double::write(i, i.rd(), i.b.load<Type::kF64>(i.x(i.rs1()), access(3), i.imm_i()));
  return Next::kContinue;
}
Next fsd(Insn& i) {
  if (i.key() & kKeyFloatOff) return i.illegal();
  i.b.store(i.x(i.rs1()), Double::read(i, i.rs2()), access(3), i.imm_s());
  return Next::kContinue;
}

// Zcd and Zcf: the base word of a compressed load or store (Unprivileged ISA, "C": Load and Store Instructions).
uint32_t field(uint32_t word, unsigned from, unsigned count, unsigned to) { return (word >> from & ((1u << count) - 1)) << to; }
Next expand(Insn& i, Body body, uint32_t word) {
  Insn base(i, word);
  return body(base);
}
uint32_t load_word(uint32_t rd, uint32_t rs1, uint32_t offset) { return rd << 7 | rs1 << 15 | offset << 20; }
uint32_t store_word(uint32_t rs2, uint32_t rs1, uint32_t offset) { return rs2 << 20 | rs1 << 15 | field(offset, 0, 5, 7) | field(offset, 5, 7, 25); }
uint32_t short_offset(uint32_t w) { return field(w, 10, 3, 3) | field(w, 5, 2, 6); }
uint32_t short_word_offset(uint32_t w) { return field(w, 10, 3, 3) | field(w, 6, 1, 2) | field(w, 5, 1, 6); }
Next c_fld(Insn& i) { return expand(i, fld, load_word(8 + (i.word >> 2 & 7), 8 + (i.word >> 7 & 7), short_offset(i.word))); }
Next c_fsd(Insn& i) { return expand(i, fsd, store_word(8 + (i.word >> 2 & 7), 8 + (i.word >> 7 & 7), short_offset(i.word))); }
Next c_fldsp(Insn& i) { return expand(i, fld, load_word(i.word >> 7 & 31, 2, field(i.word, 12, 1, 5) | field(i.word, 5, 2, 3) | field(i.word, 2, 3, 6))); }
Next c_fsdsp(Insn& i) { return expand(i, fsd, store_word(i.word >> 2 & 31, 2, field(i.word, 10, 3, 3) | field(i.word, 7, 3, 6))); }
Next c_flw(Insn& i) { return expand(i, flw, load_word(8 + (i.word >> 2 & 7), 8 + (i.word >> 7 & 7), short_word_offset(i.word))); }
Next c_fsw(Insn& i) { return expand(i, fsw, store_word(8 + (i.word >> 2 & 7), 8 + (i.word >> 7 & 7), short_word_offset(i.word))); }
Next c_flwsp(Insn& i) { return expand(i, flw, load_word(i.word >> 7 & 31, 2, field(i.word, 12, 1, 5) | field(i.word, 4, 3, 2) | field(i.word, 2, 2, 6))); }
Next c_fswsp(Insn& i) { return expand(i, fsw, store_word(i.word >> 2 & 31, 2, field(i.word, 9, 4, 2) | field(i.word, 7, 2, 6))); }

constexpr Row kRows[] = {
    {flw, "flw", "iiiiiiiiiiii aaaaa 010 ddddd 0000111", "frd,off12(rs1)", Ext::f},
    {fsw, "fsw", "iiiiiii bbbbb aaaaa 010 iiiii 0100111", "frs2,soff12(rs1)", Ext::f},
    {multiply_add<Single, kOpMadd>, "fmadd.s", "ccccc 00 bbbbb aaaaa mmm ddddd 1000011", "frd,frs1,frs2,frs3,rm", Ext::f},
    {multiply_add<Single, kOpMsub>, "fmsub.s", "ccccc 00 bbbbb aaaaa mmm ddddd 1000111", "frd,frs1,frs2,frs3,rm", Ext::f},
    {multiply_add<Single, kOpNmsub>, "fnmsub.s", "ccccc 00 bbbbb aaaaa mmm ddddd 1001011", "frd,frs1,frs2,frs3,rm", Ext::f},
    {multiply_add<Single, kOpNmadd>, "fnmadd.s", "ccccc 00 bbbbb aaaaa mmm ddddd 1001111", "frd,frs1,frs2,frs3,rm", Ext::f},
    {arithmetic<Single, kOpAdd>, "fadd.s", "0000000 bbbbb aaaaa mmm ddddd 1010011", "frd,frs1,frs2,rm", Ext::f},
    {arithmetic<Single, kOpSub>, "fsub.s", "0000100 bbbbb aaaaa mmm ddddd 1010011", "frd,frs1,frs2,rm", Ext::f},
    {arithmetic<Single, kOpMul>, "fmul.s", "0001000 bbbbb aaaaa mmm ddddd 1010011", "frd,frs1,frs2,rm", Ext::f},
    {arithmetic<Single, kOpDiv>, "fdiv.s", "0001100 bbbbb aaaaa mmm ddddd 1010011", "frd,frs1,frs2,rm", Ext::f},
    {arithmetic<Single, kOpSqrt>, "fsqrt.s", "0101100 00000 aaaaa mmm ddddd 1010011", "frd,frs1,rm", Ext::f},
    {sign_inject_single<0>, "fsgnj.s", "0010000 bbbbb aaaaa 000 ddddd 1010011", "frd,frs1,frs2", Ext::f},
    {sign_inject_single<1>, "fsgnjn.s", "0010000 bbbbb aaaaa 001 ddddd 1010011", "frd,frs1,frs2", Ext::f},
    {sign_inject_single<2>, "fsgnjx.s", "0010000 bbbbb aaaaa 010 ddddd 1010011", "frd,frs1,frs2", Ext::f},
    {min_max<Single, kOpMin>, "fmin.s", "0010100 bbbbb aaaaa 000 ddddd 1010011", "frd,frs1,frs2", Ext::f},
    {min_max<Single, kOpMax>, "fmax.s", "0010100 bbbbb aaaaa 001 ddddd 1010011", "frd,frs1,frs2", Ext::f},
    {compare<Single, FloatCond::kEqQuiet>, "feq.s", "1010000 bbbbb aaaaa 010 ddddd 1010011", "rd,frs1,frs2", Ext::f},
    {compare<Single, FloatCond::kLtSignaling>, "flt.s", "1010000 bbbbb aaaaa 001 ddddd 1010011", "rd,frs1,frs2", Ext::f},
    {compare<Single, FloatCond::kLeSignaling>, "fle.s", "1010000 bbbbb aaaaa 000 ddddd 1010011", "rd,frs1,frs2", Ext::f},
    {fclass<kFormatS>, "fclass.s", "1110000 00000 aaaaa 001 ddddd 1010011", "rd,frs1", Ext::f},
    {to_integer<Single, kIntW>, "fcvt.w.s", "1100000 00000 aaaaa mmm ddddd 1010011", "rd,frs1,rm", Ext::f},
    {to_integer<Single, kIntWu>, "fcvt.wu.s", "1100000 00001 aaaaa mmm ddddd 1010011", "rd,frs1,rm", Ext::f},
    {to_integer<Single, kIntL>, "fcvt.l.s", "1100000 00010 aaaaa mmm ddddd 1010011", "rd,frs1,rm", Ext::f && Ext::rv64},
    {to_integer<Single, kIntLu>, "fcvt.lu.s", "1100000 00011 aaaaa mmm ddddd 1010011", "rd,frs1,rm", Ext::f && Ext::rv64},
    {from_integer<Single, kIntW>, "fcvt.s.w", "1101000 00000 aaaaa mmm ddddd 1010011", "frd,rs1,rm", Ext::f},
    {from_integer<Single, kIntWu>, "fcvt.s.wu", "1101000 00001 aaaaa mmm ddddd 1010011", "frd,rs1,rm", Ext::f},
    {from_integer<Single, kIntL>, "fcvt.s.l", "1101000 00010 aaaaa mmm ddddd 1010011", "frd,rs1,rm", Ext::f && Ext::rv64},
    {from_integer<Single, kIntLu>, "fcvt.s.lu", "1101000 00011 aaaaa mmm ddddd 1010011", "frd,rs1,rm", Ext::f && Ext::rv64},
    {fmv_x_w, "fmv.x.w", "1110000 00000 aaaaa 000 ddddd 1010011", "rd,frs1", Ext::f},
    {fmv_w_x, "fmv.w.x", "1111000 00000 aaaaa 000 ddddd 1010011", "frd,rs1", Ext::f},

    {fld, "fld", "iiiiiiiiiiii aaaaa 011 ddddd 0000111", "frd,off12(rs1)", Ext::d},
    {fsd, "fsd", "iiiiiii bbbbb aaaaa 011 iiiii 0100111", "frs2,soff12(rs1)", Ext::d},
    {multiply_add<Double, kOpMadd>, "fmadd.d", "ccccc 01 bbbbb aaaaa mmm ddddd 1000011", "frd,frs1,frs2,frs3,rm", Ext::d},
    {multiply_add<Double, kOpMsub>, "fmsub.d", "ccccc 01 bbbbb aaaaa mmm ddddd 1000111", "frd,frs1,frs2,frs3,rm", Ext::d},
    {multiply_add<Double, kOpNmsub>, "fnmsub.d", "ccccc 01 bbbbb aaaaa mmm ddddd 1001011", "frd,frs1,frs2,frs3,rm", Ext::d},
    {multiply_add<Double, kOpNmadd>, "fnmadd.d", "ccccc 01 bbbbb aaaaa mmm ddddd 1001111", "frd,frs1,frs2,frs3,rm", Ext::d},
    {arithmetic<Double, kOpAdd>, "fadd.d", "0000001 bbbbb aaaaa mmm ddddd 1010011", "frd,frs1,frs2,rm", Ext::d},
    {arithmetic<Double, kOpSub>, "fsub.d", "0000101 bbbbb aaaaa mmm ddddd 1010011", "frd,frs1,frs2,rm", Ext::d},
    {arithmetic<Double, kOpMul>, "fmul.d", "0001001 bbbbb aaaaa mmm ddddd 1010011", "frd,frs1,frs2,rm", Ext::d},
    {arithmetic<Double, kOpDiv>, "fdiv.d", "0001101 bbbbb aaaaa mmm ddddd 1010011", "frd,frs1,frs2,rm", Ext::d},
    {arithmetic<Double, kOpSqrt>, "fsqrt.d", "0101101 00000 aaaaa mmm ddddd 1010011", "frd,frs1,rm", Ext::d},
    {sign_inject_double<0>, "fsgnj.d", "0010001 bbbbb aaaaa 000 ddddd 1010011", "frd,frs1,frs2", Ext::d},
    {sign_inject_double<1>, "fsgnjn.d", "0010001 bbbbb aaaaa 001 ddddd 1010011", "frd,frs1,frs2", Ext::d},
    {sign_inject_double<2>, "fsgnjx.d", "0010001 bbbbb aaaaa 010 ddddd 1010011", "frd,frs1,frs2", Ext::d},
    {min_max<Double, kOpMin>, "fmin.d", "0010101 bbbbb aaaaa 000 ddddd 1010011", "frd,frs1,frs2", Ext::d},
    {min_max<Double, kOpMax>, "fmax.d", "0010101 bbbbb aaaaa 001 ddddd 1010011", "frd,frs1,frs2", Ext::d},
    {compare<Double, FloatCond::kEqQuiet>, "feq.d", "1010001 bbbbb aaaaa 010 ddddd 1010011", "rd,frs1,frs2", Ext::d},
    {compare<Double, FloatCond::kLtSignaling>, "flt.d", "1010001 bbbbb aaaaa 001 ddddd 1010011", "rd,frs1,frs2", Ext::d},
    {compare<Double, FloatCond::kLeSignaling>, "fle.d", "1010001 bbbbb aaaaa 000 ddddd 1010011", "rd,frs1,frs2", Ext::d},
    {fclass<kFormatD>, "fclass.d", "1110001 00000 aaaaa 001 ddddd 1010011", "rd,frs1", Ext::d},
    {to_integer<Double, kIntW>, "fcvt.w.d", "1100001 00000 aaaaa mmm ddddd 1010011", "rd,frs1,rm", Ext::d},
    {to_integer<Double, kIntWu>, "fcvt.wu.d", "1100001 00001 aaaaa mmm ddddd 1010011", "rd,frs1,rm", Ext::d},
    {to_integer<Double, kIntL>, "fcvt.l.d", "1100001 00010 aaaaa mmm ddddd 1010011", "rd,frs1,rm", Ext::d && Ext::rv64},
    {to_integer<Double, kIntLu>, "fcvt.lu.d", "1100001 00011 aaaaa mmm ddddd 1010011", "rd,frs1,rm", Ext::d && Ext::rv64},
    {from_integer<Double, kIntW>, "fcvt.d.w", "1101001 00000 aaaaa mmm ddddd 1010011", "frd,rs1,rm", Ext::d},
    {from_integer<Double, kIntWu>, "fcvt.d.wu", "1101001 00001 aaaaa mmm ddddd 1010011", "frd,rs1,rm", Ext::d},
    {from_integer<Double, kIntL>, "fcvt.d.l", "1101001 00010 aaaaa mmm ddddd 1010011", "frd,rs1,rm", Ext::d && Ext::rv64},
    {from_integer<Double, kIntLu>, "fcvt.d.lu", "1101001 00011 aaaaa mmm ddddd 1010011", "frd,rs1,rm", Ext::d && Ext::rv64},
    {fcvt_s_d, "fcvt.s.d", "0100000 00001 aaaaa mmm ddddd 1010011", "frd,frs1,rm", Ext::d},
    {fcvt_d_s, "fcvt.d.s", "0100001 00000 aaaaa mmm ddddd 1010011", "frd,frs1,rm", Ext::d},
    {fmv_x_d, "fmv.x.d", "1110001 00000 aaaaa 000 ddddd 1010011", "rd,frs1", Ext::d && Ext::rv64},
    {fmv_d_x, "fmv.d.x", "1111001 00000 aaaaa 000 ddddd 1010011", "frd,rs1", Ext::d && Ext::rv64},
};

constexpr Row kCompressedRows[] = {
    {c_fld, "c.fld", "001 iii aaa ii ddd 00", "cfrd_l,cd_off(crs1)", Ext::zcd},
    {c_fsd, "c.fsd", "101 iii aaa ii bbb 00", "cfrd_l,cd_off(crs1)", Ext::zcd},
    {c_fldsp, "c.fldsp", "001 i ddddd iiiii 10", "frd,cldsp(sp)", Ext::zcd},
    {c_fsdsp, "c.fsdsp", "101 iiiiii bbbbb 10", "cfrs2,csdsp(sp)", Ext::zcd},
    {c_flw, "c.flw", "011 iii aaa ii ddd 00", "cfrd_l,cw_off(crs1)", Ext::zcf && Ext::rv32},
    {c_fsw, "c.fsw", "111 iii aaa ii bbb 00", "cfrd_l,cw_off(crs1)", Ext::zcf && Ext::rv32},
    {c_flwsp, "c.flwsp", "011 i ddddd iiiii 10", "frd,clwsp(sp)", Ext::zcf && Ext::rv32},
    {c_fswsp, "c.fswsp", "111 iiiiii bbbbb 10", "cfrs2,cswsp(sp)", Ext::zcf && Ext::rv32},
};

// How far back a region is searched for an earlier write of a register: bounds translation time.
constexpr unsigned kLookBack = 64;

bool is_constant(const ir::Region& region, ir::ValueId id, uint64_t value) {
  return region[id].op == Op::constant && region[id].imm == value;
}

// The f32 value that register `reg` holds, if this region wrote it boxed or checked it; else kNoId.
ir::ValueId known_f32(const ir::Region& region, unsigned reg) {
  size_t count = region.insts.size();
  for (size_t back = 1; back <= kLookBack && back <= count; ++back) {
    auto id = static_cast<ir::ValueId>(count - back);
    const ir::Inst& inst = region[id];
    if (inst.op == Op::set && inst.imm == f_slot(reg)) {
      const ir::Inst& value = region[inst.args[0]];
      if (value.op != Op::or_ || !is_constant(region, value.args[1], kBox32)) return ir::kNoId;
      const ir::Inst& low = region[value.args[0]];
      if (low.op != Op::zext || region[low.args[0]].op != Op::bitcast) return ir::kNoId;
      ir::ValueId source = region[low.args[0]].args[0];
      return region[source].type == Type::kF32 ? source : ir::kNoId;
    }
    if (inst.op == Op::call_if && inst.imm == kHelperUnbox32) {
      const ir::Inst& source = region[region.pool[inst.args[0] + 2]];  // the register as it was read
      if (source.op == Op::get && source.imm == f_slot(reg)) return id;
    }
  }
  return ir::kNoId;
}

}  // namespace

F32 read_f32(Insn& i, unsigned reg) {
  if (ir::ValueId known = known_f32(i.b.region(), reg); known != ir::kNoId) return {known};
  I64 bits = f_bits(i, reg);
  F32 value = i.b.bitcast<Type::kF32>(i.b.trunc<Type::kI32>(bits));
  return i.b.call_if<Type::kF32>(i.b.cmp(ir::Cond::kLtU, bits, i.b.i64(kBox32)), value, kHelperUnbox32, {bits.id});
}

void write_f32(Insn& i, unsigned reg, F32 value) {
  set_f_bits(i, reg, i.b.or_(i.b.zext<Type::kI64>(i.b.bitcast<Type::kI32>(value)), i.b.i64(kBox32)));
}

I64 unboxed_bits(Insn& i, unsigned reg, unsigned width) {
  I64 bits = f_bits(i, reg);
  uint64_t box = ~uint64_t{0} << width;
  uint64_t nan = width == 32 ? 0x7fc00000 : 0x7e00;
  return i.b.select(i.b.cmp(ir::Cond::kLtU, bits, i.b.i64(box)), i.b.i64(nan), bits);
}

I64 boxed(Insn& i, I64 low, unsigned width) { return i.b.or_(low, i.b.i64(~uint64_t{0} << width)); }

Next sign_inject_boxed(Insn& i, unsigned kind, unsigned width) {
  uint64_t sign = uint64_t{1} << (width - 1);
  I64 a = unboxed_bits(i, i.rs1(), width);
  if (i.rs1() == i.rs2()) {  // fmv, fneg, fabs
    if (kind == 1) a = i.b.xor_(a, i.b.i64(sign));
    if (kind == 2) a = i.b.and_(a, i.b.i64(~sign));
  } else {
    I64 b = i.b.and_(unboxed_bits(i, i.rs2(), width), i.b.i64(sign));
    if (kind == 1) b = i.b.xor_(b, i.b.i64(sign));
    a = kind == 2 ? i.b.xor_(a, b) : i.b.or_(i.b.and_(a, i.b.i64(~sign)), b);
  }
  set_f_bits(i, i.rd(), boxed(i, a, width));
  return Next::kContinue;
}

std::span<const Row> rows_float() { return kRows; }
std::span<const Row> rows_float_c() { return kCompressedRows; }

}  // namespace lyre::riscv
