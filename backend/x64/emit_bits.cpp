// Bit counting, reversal, carry-less products and casts between register classes.
#include "backend/x64/compiler.h"

namespace lyre::backend::x64 {

using ir::Op;
using ir::Type;

void X64Compiler::emit_count_zeros(ValueId id, const Inst& inst) {
  const unsigned width = ir::type_bits(inst.type);
  const bool w = wide(inst.type);
  const bool leading = inst.op == Op::clz;
  Reg source;
  if (!narrow(inst.type)) {
    source = ra_.use(inst.args[0]);
  } else if (leading) {
    source = extended(inst.args[0], inst.type, false);
  } else {
    // A bit above the value ends the count at the width.
    source = ra_.use_scratch(inst.args[0]);
    as_.alu_ri(kOr, false, source, 1 << width);
  }
  const bool native = leading ? has_.lzcnt : has_.bmi1;
  if (native) {
    ra_.release();
    Reg dst = ra_.define(id);
    as_.byte(0xf3);
    as_.rr0f(w, leading ? 0xbd : 0xbc, dst, source);
    if (leading && narrow(inst.type)) as_.alu_ri(kSub, false, dst, static_cast<int32_t>(32 - width));
    return;
  }
  // bsr and bsf leave their target alone for 0. A count of leading zeros is width - 1 - index; index -1 makes it the width.
  Reg none = ra_.temp_gpr();
  Reg dst = ra_.define(id);
  as_.mov_ri(none, leading ? 0xffffffff : width);
  as_.rr0f(w, leading ? 0xbd : 0xbc, dst, source);
  as_.cmov(kCcE, false, dst, none);
  if (!leading) return;
  as_.unary(3, false, dst);
  as_.alu_ri(kAdd, false, dst, static_cast<int32_t>(width - 1));
}

// Without popcnt: sums of bits in pairs, nibbles, bytes (Hacker's Delight 5-1).
void X64Compiler::emit_popcnt(ValueId id, const Inst& inst) {
  if (inst.type == Type::kI1) {
    ra_.redefine(id, inst.args[0]);
    return;
  }
  const bool w = wide(inst.type);
  Reg source = extended(inst.args[0], inst.type, false);
  if (has_.popcnt) {
    ra_.release();
    Reg dst = ra_.define(id);
    as_.byte(0xf3);
    as_.rr0f(w, 0xb8, dst, source);
    return;
  }
  Reg work = ra_.temp_gpr(), mask = ra_.temp_gpr();
  Reg dst = ra_.define(id);
  auto set_mask = [&](uint64_t bits) { as_.mov_ri(mask, w ? bits : bits & 0xffffffff); };
  as_.mov_rr(w, dst, source);
  as_.mov_rr(w, work, source);
  set_mask(0x5555555555555555);
  as_.shift_ri(kShr, w, work, 1);
  as_.alu_rr(kAnd, w, work, mask);
  as_.alu_rr(kSub, w, dst, work);
  set_mask(0x3333333333333333);
  as_.mov_rr(w, work, dst);
  as_.shift_ri(kShr, w, work, 2);
  as_.alu_rr(kAnd, w, work, mask);
  as_.alu_rr(kAnd, w, dst, mask);
  as_.alu_rr(kAdd, w, dst, work);
  set_mask(0x0f0f0f0f0f0f0f0f);
  as_.mov_rr(w, work, dst);
  as_.shift_ri(kShr, w, work, 4);
  as_.alu_rr(kAdd, w, dst, work);
  as_.alu_rr(kAnd, w, dst, mask);
  set_mask(0x0101010101010101);
  as_.imul_rr(w, dst, mask);
  as_.shift_ri(kShr, w, dst, w ? 56 : 24);
}

void X64Compiler::byte_swap(Reg reg, unsigned bytes) {
  if (bytes == 2) {
    as_.rol(Xbyak::Reg16(static_cast<int>(reg)), 8);
  } else if (bytes == 4) {
    as_.bswap(as_.r32(reg));
  } else if (bytes == 8) {
    as_.bswap(as_.r64(reg));
  }
}

void X64Compiler::emit_bswap(ValueId id, const Inst& inst) { byte_swap(ra_.redefine(id, inst.args[0]), ir::type_bytes(inst.type)); }

// Swaps neighbouring bits, pairs and nibbles.
void X64Compiler::emit_brev8(ValueId id, const Inst& inst) {
  const bool w = wide(inst.type);
  Reg work = ra_.temp_gpr(), mask = ra_.temp_gpr();
  Reg dst = ra_.redefine(id, inst.args[0]);
  constexpr uint64_t kMasks[] = {0x5555555555555555, 0x3333333333333333, 0x0f0f0f0f0f0f0f0f};
  for (unsigned step = 0; step < 3; step++) {
    as_.mov_ri(mask, w ? kMasks[step] : kMasks[step] & 0xffffffff);
    as_.mov_rr(w, work, dst);
    as_.shift_ri(kShr, w, work, 1u << step);
    as_.alu_rr(kAnd, w, work, mask);
    as_.alu_rr(kAnd, w, dst, mask);
    as_.shift_ri(kShl, w, dst, 1u << step);
    as_.alu_rr(kOr, w, dst, work);
  }
}

// Bytes compared with zero, all at once, then inverted.
void X64Compiler::emit_orcb(ValueId id, const Inst& inst) {
  const bool w = wide(inst.type);
  Reg source = ra_.use(inst.args[0]);
  Reg bytes = ra_.temp_vector(), zero = ra_.temp_vector();
  ra_.release();
  Reg dst = ra_.define(id);
  as_.xorps(as_.x(zero), as_.x(zero));
  if (w) {
    as_.movq(as_.x(bytes), as_.r64(source));
    as_.pcmpeqb(as_.x(bytes), as_.x(zero));
    as_.movq(as_.r64(dst), as_.x(bytes));
  } else {
    as_.movd(as_.x(bytes), as_.r32(source));
    as_.pcmpeqb(as_.x(bytes), as_.x(zero));
    as_.movd(as_.r32(dst), as_.x(bytes));
  }
  as_.unary(2, w, dst);
}

void X64Compiler::emit_clmul(ValueId id, const Inst& inst) {
  const bool high = inst.op == Op::clmulh;
  const unsigned width = ir::type_bits(inst.type);
  const bool w = wide(inst.type);
  auto widened = [&](ValueId arg) {
    Reg source = extended(arg, inst.type, false);
    if (width != 32) return source;
    Reg copy = ra_.temp_gpr();
    as_.mov_rr(false, copy, source);
    return copy;
  };
  if (has_.pclmul) {
    Reg a = widened(inst.args[0]), b = widened(inst.args[1]);
    Reg xa = ra_.temp_vector(), xb = ra_.temp_vector();
    ra_.release();
    Reg dst = ra_.define(id);
    as_.movq(as_.x(xa), as_.r64(a));
    as_.movq(as_.x(xb), as_.r64(b));
    as_.pclmulqdq(as_.x(xa), as_.x(xb), 0);
    if (high && w) as_.psrldq(as_.x(xa), 8);
    as_.movq(as_.r64(dst), as_.x(xa));
    if (high && !w) as_.shift_ri(kShr, true, dst, width);
    if (!w) as_.mov_rr(false, dst, dst);
    return;
  }
  // Bit by bit: from b's lowest bit on, the 128-bit sum high:low of shifted copies of a. `high` collects what leaves `a` at the top.
  Reg a = ra_.use_scratch(inst.args[0]), b = ra_.use_scratch(inst.args[1]);
  if (width == 32) as_.mov_rr(false, a, a), as_.mov_rr(false, b, b);
  if (width < 32) as_.movzx(width / 8, a, a), as_.movzx(width / 8, b, b);
  Reg a_high = ra_.temp_gpr(), sum_high = ra_.temp_gpr(), sum = ra_.temp_gpr();
  as_.zero(a_high), as_.zero(sum_high), as_.zero(sum);
  uint32_t again = as_.at();
  as_.shift_ri(kShr, true, b, 1);
  uint32_t skip = as_.jcc_near(kCcAe);
  as_.alu_rr(kXor, true, sum, a);
  as_.alu_rr(kXor, true, sum_high, a_high);
  as_.bind_near(skip);
  as_.alu_rr(kAdd, true, a, a);
  as_.alu_rr(kAdc, true, a_high, a_high);
  as_.test_rr(true, b, b);
  as_.jcc_back(kCcNe, again);
  if (high && !w) as_.shift_ri(kShr, true, sum, width);
  if (!w) as_.mov_rr(false, sum, sum);
  ra_.define_as(id, high && w ? sum_high : sum);
}

void X64Compiler::emit_bitcast(ValueId id, const Inst& inst) {
  const bool to_vector = in_vector(inst.type);
  const bool from_vector = in_vector(type_of(inst.args[0]));
  if (to_vector == from_vector) {
    ra_.redefine(id, inst.args[0]);
    return;
  }
  const bool w = ir::type_bits(inst.type) == 64;
  Place place;
  if (ra_.memory_of(inst.args[0], inst.type, place)) {
    place.type = inst.type;
    Reg dst = ra_.define(id);
    emit_load(dst, place);
    return;
  }
  Reg source = ra_.use(inst.args[0]);
  Reg dst = ra_.define(id);
  if (to_vector) {
    w ? as_.movq(as_.x(dst), as_.r64(source)) : as_.movd(as_.x(dst), as_.r32(source));
  } else {
    w ? as_.movq(as_.r64(dst), as_.x(source)) : as_.movd(as_.r32(dst), as_.x(source));
  }
}

}  // namespace lyre::backend::x64
