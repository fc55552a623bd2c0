// M and Zmmul: multiplication and division. Division never traps: by zero gives all ones, the remainder the dividend; most negative / -1 wraps
// (Unprivileged ISA, table "Semantics for division by zero and division overflow"). The IR's own rule differs for the quotient by zero only.
#include "frontend/riscv/insn_base.h"
#include "runtime/base/bits.h"

namespace lyre::riscv {

using ir::Cond;
using ir::Op;
using ir::Type;

namespace {

Next binary_w(Insn& i, Op op) {
  if (i.rd()) i.set_w(i.rd(), i.b.binary(op, i.w(i.rs1()), i.w(i.rs2())));
  return Next::kContinue;
}

Next binary(Insn& i, Op op) {
  if (i.narrow()) return binary_w(i, op);
  if (i.rd()) i.set_x(i.rd(), i.b.binary(op, i.x(i.rs1()), i.x(i.rs2())));
  return Next::kContinue;
}

// RV32: the upper half of a product of 64 bits.
Next upper_product(Insn& i, Op op) {
  if (!i.narrow()) return binary(i, op);
  I64 a = op == Op::mulh_u ? i.low_half(i.rs1()) : i.x(i.rs1());
  I64 c = op == Op::mulh_s ? i.x(i.rs2()) : i.low_half(i.rs2());
  if (i.rd()) i.set_x(i.rd(), i.b.sar(i.b.mul(a, c), i.imm(32)));
  return Next::kContinue;
}

template <Type T>
ir::Value<T> quotient(Insn& i, Op op, ir::Value<T> a, ir::Value<T> divisor) {
  I1 by_zero = i.b.cmp(Cond::kEq, divisor, i.b.constant<T>(0));
  return i.b.select(by_zero, i.b.constant<T>(low_mask(ir::type_bits(T))), i.b.binary(op, a, divisor));
}

Next divide_w(Insn& i, Op op) {
  if (i.rd()) i.set_w(i.rd(), quotient(i, op, i.w(i.rs1()), i.w(i.rs2())));
  return Next::kContinue;
}

Next divide(Insn& i, Op op) {
  if (i.narrow()) return divide_w(i, op);
  if (i.rd()) i.set_x(i.rd(), quotient(i, op, i.x(i.rs1()), i.x(i.rs2())));
  return Next::kContinue;
}

}  // namespace

Next mul(Insn& i) { return binary(i, Op::mul); }
static Next mulh(Insn& i) { return upper_product(i, Op::mulh_s); }
static Next mulhsu(Insn& i) { return upper_product(i, Op::mulh_su); }
static Next mulhu(Insn& i) { return upper_product(i, Op::mulh_u); }
static Next div(Insn& i) { return divide(i, Op::div_s); }
static Next divu(Insn& i) { return divide(i, Op::div_u); }
static Next rem(Insn& i) { return binary(i, Op::rem_s); }
static Next remu(Insn& i) { return binary(i, Op::rem_u); }
static Next mulw(Insn& i) { return binary_w(i, Op::mul); }
static Next divw(Insn& i) { return divide_w(i, Op::div_s); }
static Next divuw(Insn& i) { return divide_w(i, Op::div_u); }
static Next remw(Insn& i) { return binary_w(i, Op::rem_s); }
static Next remuw(Insn& i) { return binary_w(i, Op::rem_u); }

static constexpr Row kRows[] = {
    {mul, "mul", "0000001 bbbbb aaaaa 000 ddddd 0110011", "rd,rs1,rs2", Ext::zmmul},
    {mulh, "mulh", "0000001 bbbbb aaaaa 001 ddddd 0110011", "rd,rs1,rs2", Ext::zmmul},
    {mulhsu, "mulhsu", "0000001 bbbbb aaaaa 010 ddddd 0110011", "rd,rs1,rs2", Ext::zmmul},
    {mulhu, "mulhu", "0000001 bbbbb aaaaa 011 ddddd 0110011", "rd,rs1,rs2", Ext::zmmul},
    {div, "div", "0000001 bbbbb aaaaa 100 ddddd 0110011", "rd,rs1,rs2", Ext::m},
    {divu, "divu", "0000001 bbbbb aaaaa 101 ddddd 0110011", "rd,rs1,rs2", Ext::m},
    {rem, "rem", "0000001 bbbbb aaaaa 110 ddddd 0110011", "rd,rs1,rs2", Ext::m},
    {remu, "remu", "0000001 bbbbb aaaaa 111 ddddd 0110011", "rd,rs1,rs2", Ext::m},
    {mulw, "mulw", "0000001 bbbbb aaaaa 000 ddddd 0111011", "rd,rs1,rs2", Ext::zmmul && Ext::rv64},
    {divw, "divw", "0000001 bbbbb aaaaa 100 ddddd 0111011", "rd,rs1,rs2", Ext::m && Ext::rv64},
    {divuw, "divuw", "0000001 bbbbb aaaaa 101 ddddd 0111011", "rd,rs1,rs2", Ext::m && Ext::rv64},
    {remw, "remw", "0000001 bbbbb aaaaa 110 ddddd 0111011", "rd,rs1,rs2", Ext::m && Ext::rv64},
    {remuw, "remuw", "0000001 bbbbb aaaaa 111 ddddd 0111011", "rd,rs1,rs2", Ext::m && Ext::rv64},
};
std::span<const Row> rows_m() { return kRows; }

}  // namespace lyre::riscv
