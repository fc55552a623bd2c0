#include "ir/pass/fold.h"

#include <utility>

namespace lyre::ir {
namespace {

// op(op(x, c1), c2) -> op(x, c1 op c2); `combined` is that constant.
Folded combine(Emitter& out, Inst& inst, uint64_t (*join)(uint64_t, uint64_t)) {
  const Inst left = out[inst.args[0]];
  if (left.op != inst.op || !out.is_constant(left.args[1])) return {};
  return becomes(inst, inst.op, left.args[0], out.constant(inst.type, join(out[left.args[1]].imm, out[inst.args[1]].imm)));
}

// Results of which every bit is known, for instance the upper half of a value that was boxed a moment ago.
Folded fold_known(Emitter& out, Inst& inst) {
  if (!may_know_bits(out[inst.args[0]].op)) return {};
  KnownBits known = known_bits(out, inst, 4);
  return known.all() ? becomes_constant(inst, known.ones) : Folded{};
}

Folded fold_and(Emitter& out, Inst& inst) {
  ValueId a = inst.args[0], b = inst.args[1];
  if (a == b) return Folded::same(a);
  if (!out.is_constant(b)) return {};
  uint64_t c = out[b].imm;
  if (c == 0) return Folded::same(b);
  if (c == int_mask(inst.type)) return Folded::same(a);
  if (may_know_bits(out[a].op) && (known_bits(out, a).zeros | c) == ~uint64_t{0}) return Folded::same(a);
  Folded folded = combine(out, inst, [](uint64_t x, uint64_t y) { return x & y; });
  return folded.kind ? folded : fold_known(out, inst);
}

// The value that a widened operation was made from; itself where nothing was widened.
ValueId unwidened(const Emitter& out, ValueId value) {
  const Inst& inst = out[value];
  return inst.op == Op::sext || inst.op == Op::zext ? inst.args[0] : value;
}

// Both halves of a rotation, as guests without such an instruction write it: x << c | x >> (width - c), each perhaps widened from i32. The right half's
// top bit is 0, so that the result is widened as the left half was.
Folded fold_rotation(Emitter& out, Inst& inst) {
  ValueId left = inst.args[0], right = inst.args[1];
  if (out[unwidened(out, left)].op == Op::shr) std::swap(left, right);
  const Inst shl = out[unwidened(out, left)], shr = out[unwidened(out, right)];
  if (shl.op != Op::shl || shr.op != Op::shr || shl.type != shr.type || shl.args[0] != shr.args[0]) return {};
  if (!out.is_constant(shl.args[1]) || !out.is_constant(shr.args[1])) return {};
  const uint64_t width = type_bits(shl.type), first = out[shl.args[1]].imm, second = out[shr.args[1]].imm;
  if (width < 32 || !first || !second || first + second != width) return {};
  if (shl.type == inst.type) return becomes(inst, Op::rotl, shl.args[0], shl.args[1]);
  const Op widen = out[left].op;
  return becomes(inst, widen, out.emit(Op::rotl, shl.type, shl.args[0], shl.args[1]));
}

Folded fold_or(Emitter& out, Inst& inst) {
  ValueId a = inst.args[0], b = inst.args[1];
  if (a == b) return Folded::same(a);
  if (!out.is_constant(b)) return fold_rotation(out, inst);
  uint64_t c = out[b].imm;
  if (c == 0) return Folded::same(a);
  if (c == int_mask(inst.type)) return Folded::same(b);
  return combine(out, inst, [](uint64_t x, uint64_t y) { return x | y; });
}

Folded fold_xor(Emitter& out, Inst& inst) {
  ValueId a = inst.args[0], b = inst.args[1];
  if (a == b) return becomes_constant(inst, 0);
  if (!out.is_constant(b)) return {};
  uint64_t c = out[b].imm;
  if (c == 0) return Folded::same(a);
  if (c == int_mask(inst.type)) return becomes(inst, Op::not_, a);
  return combine(out, inst, [](uint64_t x, uint64_t y) { return x ^ y; });
}

Folded fold_not(Emitter& out, Inst& inst) {
  const Inst from = out[inst.args[0]];
  if (from.op == Op::not_) return Folded::same(from.args[0]);
  if (from.op != Op::cmp) return {};
  becomes(inst, Op::cmp, from.args[0], from.args[1]);
  inst.aux = static_cast<uint8_t>(invert(static_cast<Cond>(from.aux)));
  return Folded::changed();
}

Folded fold_neg(Emitter& out, Inst& inst) {
  const Inst from = out[inst.args[0]];
  if (from.op == Op::neg) return Folded::same(from.args[0]);
  if (from.op == Op::sub) return becomes(inst, Op::sub, from.args[1], from.args[0]);
  return {};
}

Folded fold_andn(Emitter& out, Inst& inst) {
  if (inst.args[0] == inst.args[1]) return becomes_constant(inst, 0);
  if (out.is_constant(inst.args[1]))
    return becomes(inst, Op::and_, inst.args[0], out.constant(inst.type, ~out[inst.args[1]].imm & int_mask(inst.type)));
  return {};
}

// shr or sar of shl by the same count: the low bits of the value, widened.
Folded fold_shift_pair(Emitter& out, Inst& inst, const Inst& left, unsigned count) {
  unsigned kept = type_bits(inst.type) - count;
  if (kept == 8 || kept == 16 || kept == 32) {
    Type narrow = kept == 8 ? Type::kI8 : kept == 16 ? Type::kI16 : Type::kI32;
    ValueId low = out.emit(Op::trunc, narrow, left.args[0]);
    return becomes(inst, inst.op == Op::sar ? Op::sext : Op::zext, low);
  }
  if (inst.op == Op::sar || kept >= 32) return {};
  return becomes(inst, Op::and_, left.args[0], out.constant(inst.type, (uint64_t{1} << kept) - 1));
}

// A shift of a shift in the same direction.
Folded fold_shift_sum(Emitter& out, Inst& inst, const Inst& left, unsigned first, unsigned second) {
  unsigned width = type_bits(inst.type), sum = first + second;
  if (sum >= width) {
    if (inst.op != Op::sar) return becomes_constant(inst, 0);
    sum = width - 1;
  }
  return becomes(inst, inst.op, left.args[0], out.constant(inst.type, sum));
}

Folded fold_shift(Emitter& out, Inst& inst) {
  ValueId a = inst.args[0], b = inst.args[1];
  uint64_t width = type_bits(inst.type);
  if (width > 64) return {};
  if (!out.is_constant(b)) {
    // The count is taken modulo the width anyway.
    const Inst& count = out[b];
    if (count.op != Op::and_ || !out.is_constant(count.args[1]) || ~out[count.args[1]].imm & (width - 1)) return {};
    inst.args[1] = count.args[0];
    return Folded::changed();
  }
  unsigned count = static_cast<unsigned>(out[b].imm % width);
  if (count == 0) return Folded::same(a);
  if (out.is_constant(a, 0)) return Folded::same(a);
  if (inst.op == Op::rotl || inst.op == Op::rotr) return {};
  const Inst left = out[a];
  if ((left.op == Op::shl || left.op == Op::shr || left.op == Op::sar) && out.is_constant(left.args[1])) {
    unsigned first = static_cast<unsigned>(out[left.args[1]].imm % width);
    if (left.op == inst.op) return fold_shift_sum(out, inst, left, first, count);
    if (left.op == Op::shl && first == count) {
      Folded folded = fold_shift_pair(out, inst, left, count);
      if (folded.kind) return folded;
    }
  }
  return inst.op == Op::sar ? Folded{} : fold_known(out, inst);
}

}  // namespace

Folded fold_bitwise(Emitter& out, Inst& inst) {
  switch (inst.op) {
    case Op::and_: return fold_and(out, inst);
    case Op::or_: return fold_or(out, inst);
    case Op::xor_: return fold_xor(out, inst);
    case Op::andn: return fold_andn(out, inst);
    case Op::not_: return fold_not(out, inst);
    case Op::neg: return fold_neg(out, inst);
    case Op::shl: case Op::shr: case Op::sar: case Op::rotl: case Op::rotr: return fold_shift(out, inst);
    default: return {};
  }
}

}  // namespace lyre::ir
