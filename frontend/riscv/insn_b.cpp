// Zba, Zbb, Zbc, Zbs, Zicond, and Zbkb, Zbkc, Zbkx, which share most of them: bit manipulation and conditional zero.
#include "frontend/riscv/insn_base.h"

namespace lyre::riscv {

using ir::Cond;
using ir::Op;
using ir::Type;

namespace {

Next write(Insn& i, I64 value) {
  i.set_x(i.rd(), value);
  return Next::kContinue;
}
Next write_w(Insn& i, I32 value) {
  i.set_w(i.rd(), value);
  return Next::kContinue;
}
Next write_wrapped(Insn& i, I64 value) {
  i.set_wrapped(i.rd(), value);
  return Next::kContinue;
}

// Zba
template <unsigned kShift>
Next shadd(Insn& i) { return write_wrapped(i, i.b.add(i.b.shl(i.x(i.rs1()), i.imm(kShift)), i.x(i.rs2()))); }
template <unsigned kShift>
Next shadd_uw(Insn& i) { return write(i, i.b.add(i.b.shl(i.low_half(i.rs1()), i.imm(kShift)), i.x(i.rs2()))); }
Next add_uw(Insn& i) {
  if (!i.rs2()) return write(i, i.low_half(i.rs1()));  // zext.w
  return write(i, i.b.add(i.low_half(i.rs1()), i.x(i.rs2())));
}
Next slli_uw(Insn& i) { return write(i, i.b.shl(i.low_half(i.rs1()), i.imm(i.shamt()))); }

// Zbb, Zbkb
template <Op kOp>
Next bitwise(Insn& i) { return write(i, i.b.binary(kOp, i.x(i.rs1()), i.x(i.rs2()))); }
template <Op kOp>
Next binary_w(Insn& i) { return write_w(i, i.b.binary(kOp, i.w(i.rs1()), i.w(i.rs2()))); }
template <Op kOp>
Next unary_w(Insn& i) { return write_w(i, i.b.unary(kOp, i.w(i.rs1()))); }
// What depends on the width: RV32 has RV64's word forms.
template <Op kOp>
Next binary(Insn& i) { return i.narrow() ? binary_w<kOp>(i) : bitwise<kOp>(i); }
template <Op kOp>
Next unary(Insn& i) { return i.narrow() ? unary_w<kOp>(i) : write(i, i.b.unary(kOp, i.x(i.rs1()))); }
Next orn(Insn& i) { return write(i, i.b.or_(i.x(i.rs1()), i.b.not_(i.x(i.rs2())))); }
Next xnor(Insn& i) { return write(i, i.b.not_(i.b.xor_(i.x(i.rs1()), i.x(i.rs2())))); }
Next roriw(Insn& i) { return write_w(i, i.b.rotr(i.w(i.rs1()), i.b.i32(i.rs2()))); }
Next rori(Insn& i) { return i.narrow() ? roriw(i) : write(i, i.b.rotr(i.x(i.rs1()), i.imm(i.shamt()))); }
template <Type kNarrow>
Next sext(Insn& i) { return write(i, i.b.sext<Type::kI64>(i.b.trunc<kNarrow>(i.x(i.rs1())))); }
Next zext_h(Insn& i) { return write(i, i.b.zext<Type::kI64>(i.b.trunc<Type::kI16>(i.x(i.rs1())))); }
Next pack(Insn& i) { return write(i, i.b.or_(i.low_half(i.rs1()), i.b.shl(i.x(i.rs2()), i.imm(32)))); }
Next packh(Insn& i) {
  I64 low = i.b.and_(i.x(i.rs1()), i.imm(255)), high = i.b.and_(i.x(i.rs2()), i.imm(255));
  return write(i, i.b.or_(low, i.b.shl(high, i.imm(8))));
}
Next packw(Insn& i) {
  I32 low = i.b.and_(i.w(i.rs1()), i.b.i32(0xffff));
  return write_w(i, i.b.or_(low, i.b.shl(i.w(i.rs2()), i.b.i32(16))));
}

// RV32 (Zbkb): zip puts the bits of the lower half to even places, those of the upper half to odd ones; unzip takes them back. Each step swaps the two
// middle quarters of ever smaller fields, which undoes itself.
template <bool kZip>
Next zip(Insn& i) {
  constexpr uint32_t kStay[] = {0xff0000ff, 0xf00ff00f, 0xc3c3c3c3, 0x99999999}, kDown[] = {0x0000ff00, 0x00f000f0, 0x0c0c0c0c, 0x22222222};
  I32 value = i.w(i.rs1());
  for (unsigned step = 0; step < 4; ++step) {
    unsigned at = kZip ? step : 3 - step;
    I32 distance = i.b.i32(8u >> at), down = i.b.i32(kDown[at]);
    I32 moved = i.b.or_(i.b.shl(i.b.and_(value, down), distance), i.b.and_(i.b.shr(value, distance), down));
    value = i.b.or_(i.b.and_(value, i.b.i32(kStay[at])), moved);
  }
  return write_w(i, value);
}

// Zbc, Zbkc. Of the product: clmul takes the low half, clmulh the high one, clmulr XLEN bits from XLEN - 1 on.
Next clmul(Insn& i) { return write_wrapped(i, i.b.clmul(i.x(i.rs1()), i.x(i.rs2()))); }
Next clmulh(Insn& i) {
  if (i.narrow()) return write(i, i.b.sar(i.b.clmul(i.low_half(i.rs1()), i.low_half(i.rs2())), i.imm(32)));
  return write(i, i.b.clmulh(i.x(i.rs1()), i.x(i.rs2())));
}
Next clmulr(Insn& i) {
  if (i.narrow()) return write_wrapped(i, i.b.shr(i.b.clmul(i.low_half(i.rs1()), i.low_half(i.rs2())), i.imm(31)));
  I64 a = i.x(i.rs1()), c = i.x(i.rs2());
  return write(i, i.b.or_(i.b.shl(i.b.clmulh(a, c), i.imm(1)), i.b.shr(i.b.clmul(a, c), i.imm(63))));
}

// Zbs; the index is taken modulo XLEN, as the IR's shifts do.
I64 one_bit(Insn& i) { return i.narrow() ? i.b.sext<Type::kI64>(i.b.shl(i.b.i32(1), i.w(i.rs2()))) : i.b.shl(i.imm(1), i.x(i.rs2())); }
I64 one_bit_imm(Insn& i) { return i.b.i64(i.cpu.register_form(uint64_t{1} << i.shamt())); }
Next bclr(Insn& i) { return write(i, i.b.andn(i.x(i.rs1()), one_bit(i))); }
Next bset(Insn& i) { return write(i, i.b.or_(i.x(i.rs1()), one_bit(i))); }
Next binv(Insn& i) { return write(i, i.b.xor_(i.x(i.rs1()), one_bit(i))); }
Next bext(Insn& i) {
  I64 index = i.narrow() ? i.b.and_(i.x(i.rs2()), i.imm(31)) : i.x(i.rs2());
  return write(i, i.b.and_(i.b.shr(i.x(i.rs1()), index), i.imm(1)));
}
Next bclri(Insn& i) { return write(i, i.b.andn(i.x(i.rs1()), one_bit_imm(i))); }
Next bseti(Insn& i) { return write(i, i.b.or_(i.x(i.rs1()), one_bit_imm(i))); }
Next binvi(Insn& i) { return write(i, i.b.xor_(i.x(i.rs1()), one_bit_imm(i))); }
Next bexti(Insn& i) { return write(i, i.b.and_(i.b.shr(i.x(i.rs1()), i.imm(i.shamt())), i.imm(1))); }

// Zicond
template <Cond kCond>
Next czero(Insn& i) { return write(i, i.b.select(i.b.cmp(kCond, i.x(i.rs2()), i.imm(0)), i.imm(0), i.x(i.rs1()))); }

// Zbkx: rs2 has indices of 4 or 8 bits into the elements of rs1; an index past the end gives zero.
uint64_t helper_xperm(ir::VcpuBlock*, uint64_t table, uint64_t indices, uint64_t bits) noexcept {
  uint64_t mask = (uint64_t{1} << bits) - 1, result = 0;
  for (unsigned at = 0; at < 64; at += static_cast<unsigned>(bits)) {
    uint64_t from = (indices >> at & mask) * bits;
    if (from < 64) result |= (table >> from & mask) << at;
  }
  return result;
}
template <unsigned kBits>
Next xperm(Insn& i) {
  I64 table = i.narrow() ? i.low_half(i.rs1()) : i.x(i.rs1());  // what is past the end of RV32's table is zero there
  return write_wrapped(i, i.b.call<Type::kI64>(kBitHelpers, {table.id, i.x(i.rs2()).id, i.imm(kBits).id}));
}

constexpr Needs kBoth = Ext::zbb || Ext::zbkb;
constexpr Needs kBoth64 = kBoth && Ext::rv64;
constexpr Needs kRv64Zba = Ext::zba && Ext::rv64;
constexpr Needs kRv64Zbb = Ext::zbb && Ext::rv64;
constexpr Needs kRv64Zbs = Ext::zbs && Ext::rv64;
constexpr Needs kBoth32 = kBoth && Ext::rv32;
constexpr Needs kRv32Zbkb = Ext::zbkb && Ext::rv32;
constexpr Needs kRv32Zbs = Ext::zbs && Ext::rv32;

constexpr Row kRows[] = {
    {add_uw, "add.uw", "0000100 bbbbb aaaaa 000 ddddd 0111011", "rd,rs1,rs2", kRv64Zba},
    {shadd<1>, "sh1add", "0010000 bbbbb aaaaa 010 ddddd 0110011", "rd,rs1,rs2", Ext::zba},
    {shadd<2>, "sh2add", "0010000 bbbbb aaaaa 100 ddddd 0110011", "rd,rs1,rs2", Ext::zba},
    {shadd<3>, "sh3add", "0010000 bbbbb aaaaa 110 ddddd 0110011", "rd,rs1,rs2", Ext::zba},
    {shadd_uw<1>, "sh1add.uw", "0010000 bbbbb aaaaa 010 ddddd 0111011", "rd,rs1,rs2", kRv64Zba},
    {shadd_uw<2>, "sh2add.uw", "0010000 bbbbb aaaaa 100 ddddd 0111011", "rd,rs1,rs2", kRv64Zba},
    {shadd_uw<3>, "sh3add.uw", "0010000 bbbbb aaaaa 110 ddddd 0111011", "rd,rs1,rs2", kRv64Zba},
    {slli_uw, "slli.uw", "000010 ssssss aaaaa 001 ddddd 0011011", "rd,rs1,shamt6", kRv64Zba},
    {bitwise<Op::andn>, "andn", "0100000 bbbbb aaaaa 111 ddddd 0110011", "rd,rs1,rs2", kBoth},
    {orn, "orn", "0100000 bbbbb aaaaa 110 ddddd 0110011", "rd,rs1,rs2", kBoth},
    {xnor, "xnor", "0100000 bbbbb aaaaa 100 ddddd 0110011", "rd,rs1,rs2", kBoth},
    {unary<Op::clz>, "clz", "0110000 00000 aaaaa 001 ddddd 0010011", "rd,rs1", Ext::zbb},
    {unary<Op::ctz>, "ctz", "0110000 00001 aaaaa 001 ddddd 0010011", "rd,rs1", Ext::zbb},
    {unary<Op::popcnt>, "cpop", "0110000 00010 aaaaa 001 ddddd 0010011", "rd,rs1", Ext::zbb},
    {sext<Type::kI8>, "sext.b", "0110000 00100 aaaaa 001 ddddd 0010011", "rd,rs1", Ext::zbb},
    {sext<Type::kI16>, "sext.h", "0110000 00101 aaaaa 001 ddddd 0010011", "rd,rs1", Ext::zbb},
    {unary_w<Op::clz>, "clzw", "0110000 00000 aaaaa 001 ddddd 0011011", "rd,rs1", kRv64Zbb},
    {unary_w<Op::ctz>, "ctzw", "0110000 00001 aaaaa 001 ddddd 0011011", "rd,rs1", kRv64Zbb},
    {unary_w<Op::popcnt>, "cpopw", "0110000 00010 aaaaa 001 ddddd 0011011", "rd,rs1", kRv64Zbb},
    {zext_h, "zext.h", "0000100 00000 aaaaa 100 ddddd 0111011", "rd,rs1", kRv64Zbb},
    {zext_h, "zext.h", "0000100 00000 aaaaa 100 ddddd 0110011", "rd,rs1", Ext::zbb && Ext::rv32},
    {bitwise<Op::min_s>, "min", "0000101 bbbbb aaaaa 100 ddddd 0110011", "rd,rs1,rs2", Ext::zbb},
    {bitwise<Op::min_u>, "minu", "0000101 bbbbb aaaaa 101 ddddd 0110011", "rd,rs1,rs2", Ext::zbb},
    {bitwise<Op::max_s>, "max", "0000101 bbbbb aaaaa 110 ddddd 0110011", "rd,rs1,rs2", Ext::zbb},
    {bitwise<Op::max_u>, "maxu", "0000101 bbbbb aaaaa 111 ddddd 0110011", "rd,rs1,rs2", Ext::zbb},
    {binary<Op::rotl>, "rol", "0110000 bbbbb aaaaa 001 ddddd 0110011", "rd,rs1,rs2", kBoth},
    {binary<Op::rotr>, "ror", "0110000 bbbbb aaaaa 101 ddddd 0110011", "rd,rs1,rs2", kBoth},
    {rori, "rori", "011000 ssssss aaaaa 101 ddddd 0010011", "rd,rs1,shamt6", kBoth64},
    {rori, "rori", "0110000 sssss aaaaa 101 ddddd 0010011", "rd,rs1,shamt5", kBoth32},
    {binary_w<Op::rotl>, "rolw", "0110000 bbbbb aaaaa 001 ddddd 0111011", "rd,rs1,rs2", kBoth64},
    {binary_w<Op::rotr>, "rorw", "0110000 bbbbb aaaaa 101 ddddd 0111011", "rd,rs1,rs2", kBoth64},
    {roriw, "roriw", "0110000 sssss aaaaa 101 ddddd 0011011", "rd,rs1,shamt5", kBoth64},
    {unary<Op::orcb>, "orc.b", "001010000111 aaaaa 101 ddddd 0010011", "rd,rs1", Ext::zbb},
    {unary<Op::bswap>, "rev8", "011010111000 aaaaa 101 ddddd 0010011", "rd,rs1", kBoth64},
    {unary<Op::bswap>, "rev8", "011010011000 aaaaa 101 ddddd 0010011", "rd,rs1", kBoth32},
    {zip<true>, "zip", "000010001111 aaaaa 001 ddddd 0010011", "rd,rs1", kRv32Zbkb},
    {zip<false>, "unzip", "000010001111 aaaaa 101 ddddd 0010011", "rd,rs1", kRv32Zbkb},
    {unary<Op::brev8>, "brev8", "011010000111 aaaaa 101 ddddd 0010011", "rd,rs1", Ext::zbkb},
    {pack, "pack", "0000100 bbbbb aaaaa 100 ddddd 0110011", "rd,rs1,rs2", Ext::zbkb && Ext::rv64},
    {packw, "pack", "0000100 bbbbb aaaaa 100 ddddd 0110011", "rd,rs1,rs2", kRv32Zbkb},
    {packh, "packh", "0000100 bbbbb aaaaa 111 ddddd 0110011", "rd,rs1,rs2", Ext::zbkb},
    {packw, "packw", "0000100 bbbbb aaaaa 100 ddddd 0111011", "rd,rs1,rs2", Ext::zbkb && Ext::rv64},
    {clmul, "clmul", "0000101 bbbbb aaaaa 001 ddddd 0110011", "rd,rs1,rs2", Ext::zbc || Ext::zbkc},
    {clmulr, "clmulr", "0000101 bbbbb aaaaa 010 ddddd 0110011", "rd,rs1,rs2", Ext::zbc},
    {clmulh, "clmulh", "0000101 bbbbb aaaaa 011 ddddd 0110011", "rd,rs1,rs2", Ext::zbc || Ext::zbkc},
    {bclr, "bclr", "0100100 bbbbb aaaaa 001 ddddd 0110011", "rd,rs1,rs2", Ext::zbs},
    {bext, "bext", "0100100 bbbbb aaaaa 101 ddddd 0110011", "rd,rs1,rs2", Ext::zbs},
    {binv, "binv", "0110100 bbbbb aaaaa 001 ddddd 0110011", "rd,rs1,rs2", Ext::zbs},
    {bset, "bset", "0010100 bbbbb aaaaa 001 ddddd 0110011", "rd,rs1,rs2", Ext::zbs},
    {bclri, "bclri", "010010 ssssss aaaaa 001 ddddd 0010011", "rd,rs1,shamt6", kRv64Zbs},
    {bexti, "bexti", "010010 ssssss aaaaa 101 ddddd 0010011", "rd,rs1,shamt6", kRv64Zbs},
    {binvi, "binvi", "011010 ssssss aaaaa 001 ddddd 0010011", "rd,rs1,shamt6", kRv64Zbs},
    {bseti, "bseti", "001010 ssssss aaaaa 001 ddddd 0010011", "rd,rs1,shamt6", kRv64Zbs},
    {bclri, "bclri", "0100100 sssss aaaaa 001 ddddd 0010011", "rd,rs1,shamt5", kRv32Zbs},
    {bexti, "bexti", "0100100 sssss aaaaa 101 ddddd 0010011", "rd,rs1,shamt5", kRv32Zbs},
    {binvi, "binvi", "0110100 sssss aaaaa 001 ddddd 0010011", "rd,rs1,shamt5", kRv32Zbs},
    {bseti, "bseti", "0010100 sssss aaaaa 001 ddddd 0010011", "rd,rs1,shamt5", kRv32Zbs},
    {czero<Cond::kEq>, "czero.eqz", "0000111 bbbbb aaaaa 101 ddddd 0110011", "rd,rs1,rs2", Ext::zicond},
    {czero<Cond::kNe>, "czero.nez", "0000111 bbbbb aaaaa 111 ddddd 0110011", "rd,rs1,rs2", Ext::zicond},
    {xperm<4>, "xperm4", "0010100 bbbbb aaaaa 010 ddddd 0110011", "rd,rs1,rs2", Ext::zbkx},
    {xperm<8>, "xperm8", "0010100 bbbbb aaaaa 100 ddddd 0110011", "rd,rs1,rs2", Ext::zbkx},
};

}  // namespace

std::span<const Row> rows_b() { return kRows; }

HelperTable bit_helpers() {
  static const ir::HelperInfo kHelpers[] = {{"xperm", ir::helper_function(helper_xperm), ir::kPureHelper, 3}};
  return {kBitHelpers, kHelpers};
}

}  // namespace lyre::riscv
