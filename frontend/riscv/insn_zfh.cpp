// Zfh and Zfhmin (half precision) and Zfa (additional instructions). Half precision has no host arithmetic: everything goes through the exact helpers.
// Unprivileged ISA, chapters "Zfh" and "Zfa".
#include <bit>

#include "frontend/riscv/exact_float.h"
#include "frontend/riscv/float_body.h"

namespace lyre::riscv {
namespace {

constexpr ir::MemOp half_access() {
  ir::MemOp op;
  op.size_log2 = 1;
  return op;
}

Next flh(Insn& i) {
  if (Next next; !float_state_ready(i, next)) return next;
  set_f_bits(i, i.rd(), boxed(i, i.b.load<Type::kI64>(i.x(i.rs1()), half_access(), i.imm_i()), 16));
  return Next::kContinue;
}
Next fsh(Insn& i) {
  if (i.key() & kKeyFloatOff) return i.illegal();
  i.b.store(i.x(i.rs1()), f_bits(i, i.rs2()), half_access(), i.imm_s());
  return Next::kContinue;
}
Next fmv_x_h(Insn& i) {
  if (i.key() & kKeyFloatOff) return i.illegal();
  i.set_x(i.rd(), i.b.sext<Type::kI64>(i.b.trunc<Type::kI16>(f_bits(i, i.rs1()))));
  return Next::kContinue;
}
Next fmv_h_x(Insn& i) {
  if (Next next; !float_state_ready(i, next)) return next;
  set_f_bits(i, i.rd(), boxed(i, i.x(i.rs1()), 16));
  return Next::kContinue;
}

// Rounding operations of one format, all exact.
template <unsigned kFormat, unsigned kOp>
Next arithmetic(Insn& i) {
  unsigned rounding = rounding_of(i);
  if (Next next; !ready(i, rounding, next)) return next;
  return exact_arithmetic(i, kOp, kFormat, rounding);
}
template <unsigned kKind>
Next sign_inject(Insn& i) {
  if (Next next; !float_state_ready(i, next)) return next;
  return sign_inject_boxed(i, kKind, 16);
}
template <unsigned kFormat, unsigned kOp>
Next min_max(Insn& i) {
  if (Next next; !float_state_ready(i, next)) return next;
  return exact_min_max(i, kOp, kFormat);
}
template <unsigned kFormat, unsigned kOp>
Next compare(Insn& i) {
  if (Next next; !float_state_ready(i, next)) return next;
  return exact_compare(i, kOp, kFormat);
}
template <unsigned kKind>
Next to_integer(Insn& i) {
  unsigned rounding = rounding_of(i);
  if (Next next; !ready(i, rounding, next)) return next;
  return exact_to_integer(i, kKind, kFormatH, rounding);
}
template <unsigned kKind>
Next from_integer(Insn& i) {
  unsigned rounding = rounding_of(i);
  if (Next next; !ready(i, rounding, next)) return next;
  return exact_from_integer(i, kKind, kFormatH, rounding);
}
template <unsigned kFrom, unsigned kTo>
Next convert(Insn& i) {
  unsigned rounding = rounding_of(i);
  if (Next next; !ready(i, rounding, next)) return next;
  return exact_convert(i, kFrom, kTo, rounding);
}
Next fclass_h(Insn& i) { return classify(i, kFormatH); }

// Zfa. fli loads one of 32 values: "Immediate values loaded by the FLI instructions".
constexpr double kLiteral[32] = {-1.0, 0.0,   0x1p-16, 0x1p-15, 0x1p-8, 0x1p-7, 0.0625, 0.125, 0.25, 0.3125, 0.375, 0.4375, 0.5, 0.625, 0.75, 0.875,
                                 1.0,  1.25,  1.5,     1.75,    2.0,    2.5,    3.0,    4.0,   8.0,  16.0,   128.0, 256.0,  0x1p15, 0x1p16, 0, 0};
template <unsigned kFormat>
Next fli(Insn& i) {
  if (Next next; !float_state_ready(i, next)) return next;
  const exact::Format& format = kFormat == kFormatD ? exact::kDouble : kFormat == kFormatS ? exact::kSingle : exact::kHalf;
  exact::Context exactly;
  uint64_t bits;
  switch (i.rs1()) {
    case 1: bits = uint64_t{1} << (format.precision - 1); break;  // the least normal number
    case 30: bits = format.infinity(); break;
    case 31: bits = format.canonical_nan(); break;
    default: bits = exact::convert(exact::kDouble, format, std::bit_cast<uint64_t>(kLiteral[i.rs1()]), exactly);
  }
  uint64_t box = format.width() == 64 ? 0 : ~uint64_t{0} << format.width();
  set_f_bits(i, i.rd(), i.b.i64(bits | box));
  return Next::kContinue;
}
Next fcvtmod_w_d(Insn& i) {
  if (Next next; !float_state_ready(i, next)) return next;
  I64 a = f_bits(i, i.rs1());
  i.set_x(i.rd(), i.b.call<Type::kI64>(kHelperToModular, {a.id}));
  return Next::kContinue;
}
// RV32: the halves of a double, one register each.
Next fmvh_x_d(Insn& i) {
  if (i.key() & kKeyFloatOff) return i.illegal();
  i.set_x(i.rd(), i.b.sar(f_bits(i, i.rs1()), i.imm(32)));
  return Next::kContinue;
}
Next fmvp_d_x(Insn& i) {
  if (Next next; !float_state_ready(i, next)) return next;
  set_f_bits(i, i.rd(), i.b.or_(i.low_half(i.rs1()), i.b.shl(i.x(i.rs2()), i.imm(32))));
  return Next::kContinue;
}

constexpr Row kRows[] = {
    {flh, "flh", "iiiiiiiiiiii aaaaa 001 ddddd 0000111", "frd,off12(rs1)", Ext::zfhmin},
    {fsh, "fsh", "iiiiiii bbbbb aaaaa 001 iiiii 0100111", "frs2,soff12(rs1)", Ext::zfhmin},
    {fmv_x_h, "fmv.x.h", "1110010 00000 aaaaa 000 ddddd 1010011", "rd,frs1", Ext::zfhmin},
    {fmv_h_x, "fmv.h.x", "1111010 00000 aaaaa 000 ddddd 1010011", "frd,rs1", Ext::zfhmin},
    {convert<kFormatS, kFormatH>, "fcvt.h.s", "0100010 00000 aaaaa mmm ddddd 1010011", "frd,frs1,rm", Ext::zfhmin},
    {convert<kFormatH, kFormatS>, "fcvt.s.h", "0100000 00010 aaaaa mmm ddddd 1010011", "frd,frs1,rm", Ext::zfhmin},
    {convert<kFormatD, kFormatH>, "fcvt.h.d", "0100010 00001 aaaaa mmm ddddd 1010011", "frd,frs1,rm", Ext::zfhmin && Ext::d},
    {convert<kFormatH, kFormatD>, "fcvt.d.h", "0100001 00010 aaaaa mmm ddddd 1010011", "frd,frs1,rm", Ext::zfhmin && Ext::d},

    {arithmetic<kFormatH, kOpMadd>, "fmadd.h", "ccccc 10 bbbbb aaaaa mmm ddddd 1000011", "frd,frs1,frs2,frs3,rm", Ext::zfh},
    {arithmetic<kFormatH, kOpMsub>, "fmsub.h", "ccccc 10 bbbbb aaaaa mmm ddddd 1000111", "frd,frs1,frs2,frs3,rm", Ext::zfh},
    {arithmetic<kFormatH, kOpNmsub>, "fnmsub.h", "ccccc 10 bbbbb aaaaa mmm ddddd 1001011", "frd,frs1,frs2,frs3,rm", Ext::zfh},
    {arithmetic<kFormatH, kOpNmadd>, "fnmadd.h", "ccccc 10 bbbbb aaaaa mmm ddddd 1001111", "frd,frs1,frs2,frs3,rm", Ext::zfh},
    {arithmetic<kFormatH, kOpAdd>, "fadd.h", "0000010 bbbbb aaaaa mmm ddddd 1010011", "frd,frs1,frs2,rm", Ext::zfh},
    {arithmetic<kFormatH, kOpSub>, "fsub.h", "0000110 bbbbb aaaaa mmm ddddd 1010011", "frd,frs1,frs2,rm", Ext::zfh},
    {arithmetic<kFormatH, kOpMul>, "fmul.h", "0001010 bbbbb aaaaa mmm ddddd 1010011", "frd,frs1,frs2,rm", Ext::zfh},
    {arithmetic<kFormatH, kOpDiv>, "fdiv.h", "0001110 bbbbb aaaaa mmm ddddd 1010011", "frd,frs1,frs2,rm", Ext::zfh},
    {arithmetic<kFormatH, kOpSqrt>, "fsqrt.h", "0101110 00000 aaaaa mmm ddddd 1010011", "frd,frs1,rm", Ext::zfh},
    {sign_inject<0>, "fsgnj.h", "0010010 bbbbb aaaaa 000 ddddd 1010011", "frd,frs1,frs2", Ext::zfh},
    {sign_inject<1>, "fsgnjn.h", "0010010 bbbbb aaaaa 001 ddddd 1010011", "frd,frs1,frs2", Ext::zfh},
    {sign_inject<2>, "fsgnjx.h", "0010010 bbbbb aaaaa 010 ddddd 1010011", "frd,frs1,frs2", Ext::zfh},
    {min_max<kFormatH, kOpMin>, "fmin.h", "0010110 bbbbb aaaaa 000 ddddd 1010011", "frd,frs1,frs2", Ext::zfh},
    {min_max<kFormatH, kOpMax>, "fmax.h", "0010110 bbbbb aaaaa 001 ddddd 1010011", "frd,frs1,frs2", Ext::zfh},
    {compare<kFormatH, kOpEq>, "feq.h", "1010010 bbbbb aaaaa 010 ddddd 1010011", "rd,frs1,frs2", Ext::zfh},
    {compare<kFormatH, kOpLt>, "flt.h", "1010010 bbbbb aaaaa 001 ddddd 1010011", "rd,frs1,frs2", Ext::zfh},
    {compare<kFormatH, kOpLe>, "fle.h", "1010010 bbbbb aaaaa 000 ddddd 1010011", "rd,frs1,frs2", Ext::zfh},
    {fclass_h, "fclass.h", "1110010 00000 aaaaa 001 ddddd 1010011", "rd,frs1", Ext::zfh},
    {to_integer<kIntW>, "fcvt.w.h", "1100010 00000 aaaaa mmm ddddd 1010011", "rd,frs1,rm", Ext::zfh},
    {to_integer<kIntWu>, "fcvt.wu.h", "1100010 00001 aaaaa mmm ddddd 1010011", "rd,frs1,rm", Ext::zfh},
    {to_integer<kIntL>, "fcvt.l.h", "1100010 00010 aaaaa mmm ddddd 1010011", "rd,frs1,rm", Ext::zfh && Ext::rv64},
    {to_integer<kIntLu>, "fcvt.lu.h", "1100010 00011 aaaaa mmm ddddd 1010011", "rd,frs1,rm", Ext::zfh && Ext::rv64},
    {from_integer<kIntW>, "fcvt.h.w", "1101010 00000 aaaaa mmm ddddd 1010011", "frd,rs1,rm", Ext::zfh},
    {from_integer<kIntWu>, "fcvt.h.wu", "1101010 00001 aaaaa mmm ddddd 1010011", "frd,rs1,rm", Ext::zfh},
    {from_integer<kIntL>, "fcvt.h.l", "1101010 00010 aaaaa mmm ddddd 1010011", "frd,rs1,rm", Ext::zfh && Ext::rv64},
    {from_integer<kIntLu>, "fcvt.h.lu", "1101010 00011 aaaaa mmm ddddd 1010011", "frd,rs1,rm", Ext::zfh && Ext::rv64},

    {fli<kFormatS>, "fli.s", "1111000 00001 aaaaa 000 ddddd 1010011", "frd,uimm5", Ext::zfa},
    {fli<kFormatD>, "fli.d", "1111001 00001 aaaaa 000 ddddd 1010011", "frd,uimm5", Ext::zfa && Ext::d},
    {fli<kFormatH>, "fli.h", "1111010 00001 aaaaa 000 ddddd 1010011", "frd,uimm5", Ext::zfa && Ext::zfh},
    {min_max<kFormatS, kOpMinm>, "fminm.s", "0010100 bbbbb aaaaa 010 ddddd 1010011", "frd,frs1,frs2", Ext::zfa},
    {min_max<kFormatS, kOpMaxm>, "fmaxm.s", "0010100 bbbbb aaaaa 011 ddddd 1010011", "frd,frs1,frs2", Ext::zfa},
    {min_max<kFormatD, kOpMinm>, "fminm.d", "0010101 bbbbb aaaaa 010 ddddd 1010011", "frd,frs1,frs2", Ext::zfa && Ext::d},
    {min_max<kFormatD, kOpMaxm>, "fmaxm.d", "0010101 bbbbb aaaaa 011 ddddd 1010011", "frd,frs1,frs2", Ext::zfa && Ext::d},
    {min_max<kFormatH, kOpMinm>, "fminm.h", "0010110 bbbbb aaaaa 010 ddddd 1010011", "frd,frs1,frs2", Ext::zfa && Ext::zfh},
    {min_max<kFormatH, kOpMaxm>, "fmaxm.h", "0010110 bbbbb aaaaa 011 ddddd 1010011", "frd,frs1,frs2", Ext::zfa && Ext::zfh},
    {arithmetic<kFormatS, kOpRound>, "fround.s", "0100000 00100 aaaaa mmm ddddd 1010011", "frd,frs1,rm", Ext::zfa},
    {arithmetic<kFormatS, kOpRoundNx>, "froundnx.s", "0100000 00101 aaaaa mmm ddddd 1010011", "frd,frs1,rm", Ext::zfa},
    {arithmetic<kFormatD, kOpRound>, "fround.d", "0100001 00100 aaaaa mmm ddddd 1010011", "frd,frs1,rm", Ext::zfa && Ext::d},
    {arithmetic<kFormatD, kOpRoundNx>, "froundnx.d", "0100001 00101 aaaaa mmm ddddd 1010011", "frd,frs1,rm", Ext::zfa && Ext::d},
    {arithmetic<kFormatH, kOpRound>, "fround.h", "0100010 00100 aaaaa mmm ddddd 1010011", "frd,frs1,rm", Ext::zfa && Ext::zfh},
    {arithmetic<kFormatH, kOpRoundNx>, "froundnx.h", "0100010 00101 aaaaa mmm ddddd 1010011", "frd,frs1,rm", Ext::zfa && Ext::zfh},
    {compare<kFormatS, kOpLtq>, "fltq.s", "1010000 bbbbb aaaaa 101 ddddd 1010011", "rd,frs1,frs2", Ext::zfa},
    {compare<kFormatS, kOpLeq>, "fleq.s", "1010000 bbbbb aaaaa 100 ddddd 1010011", "rd,frs1,frs2", Ext::zfa},
    {compare<kFormatD, kOpLtq>, "fltq.d", "1010001 bbbbb aaaaa 101 ddddd 1010011", "rd,frs1,frs2", Ext::zfa && Ext::d},
    {compare<kFormatD, kOpLeq>, "fleq.d", "1010001 bbbbb aaaaa 100 ddddd 1010011", "rd,frs1,frs2", Ext::zfa && Ext::d},
    {compare<kFormatH, kOpLtq>, "fltq.h", "1010010 bbbbb aaaaa 101 ddddd 1010011", "rd,frs1,frs2", Ext::zfa && Ext::zfh},
    {compare<kFormatH, kOpLeq>, "fleq.h", "1010010 bbbbb aaaaa 100 ddddd 1010011", "rd,frs1,frs2", Ext::zfa && Ext::zfh},
    {fcvtmod_w_d, "fcvtmod.w.d", "1100001 01000 aaaaa 001 ddddd 1010011", "rd,frs1", Ext::zfa && Ext::d},
    {fmvh_x_d, "fmvh.x.d", "1110001 00001 aaaaa 000 ddddd 1010011", "rd,frs1", Ext::zfa && Ext::d && Ext::rv32},
    {fmvp_d_x, "fmvp.d.x", "1011001 bbbbb aaaaa 000 ddddd 1010011", "frd,rs1,rs2", Ext::zfa && Ext::d && Ext::rv32},
};

}  // namespace

std::span<const Row> rows_float2() { return kRows; }

}  // namespace lyre::riscv
