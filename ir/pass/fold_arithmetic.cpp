#include <bit>

#include "ir/pass/fold.h"

namespace lyre::ir {
namespace {

Folded fold_add(Emitter& out, Inst& inst) {
  ValueId a = inst.args[0], b = inst.args[1];
  if (!out.is_constant(b)) {
    const Inst& right = out[b];
    if (right.op == Op::neg) return becomes(inst, Op::sub, a, right.args[0]);
    return {};
  }
  uint64_t c = out[b].imm;
  if (c == 0) return Folded::same(a);
  const Inst left = out[a];
  if (left.op == Op::add && out.is_constant(left.args[1]))
    return becomes(inst, Op::add, left.args[0], out.constant(inst.type, (out[left.args[1]].imm + c) & int_mask(inst.type)));
  if (left.op == Op::guest_pc) {
    becomes(inst, Op::guest_pc, kNoId);
    inst.imm = left.imm + c;
    return Folded::changed();
  }
  return {};
}

Folded fold_sub(Emitter& out, Inst& inst) {
  ValueId a = inst.args[0], b = inst.args[1];
  if (a == b) return becomes_constant(inst, 0);
  if (out.is_constant(b)) return becomes(inst, Op::add, a, out.constant(inst.type, -out[b].imm & int_mask(inst.type)));
  if (out.is_constant(a, 0)) return becomes(inst, Op::neg, b);
  if (out[b].op == Op::neg) return becomes(inst, Op::add, a, out[b].args[0]);
  return {};
}

Folded fold_mul(Emitter& out, Inst& inst) {
  ValueId a = inst.args[0], b = inst.args[1];
  if (!out.is_constant(b)) return {};
  uint64_t c = out[b].imm;
  if (c == 0) return Folded::same(b);
  if (c == 1) return Folded::same(a);
  if (c == int_mask(inst.type)) return becomes(inst, Op::neg, a);
  if (std::has_single_bit(c)) return becomes(inst, Op::shl, a, out.constant(inst.type, static_cast<unsigned>(std::countr_zero(c))));
  return {};
}

Folded fold_divide(Emitter& out, Inst& inst) {
  ValueId a = inst.args[0], b = inst.args[1];
  if (!out.is_constant(b)) return {};
  uint64_t c = out[b].imm;
  bool remainder = inst.op == Op::rem_s || inst.op == Op::rem_u;
  if (c == 0) return remainder ? Folded::same(a) : Folded::same(b);
  if (c == 1) return remainder ? becomes_constant(inst, 0) : Folded::same(a);
  if (!std::has_single_bit(c)) return {};
  if (inst.op == Op::div_u) return becomes(inst, Op::shr, a, out.constant(inst.type, static_cast<unsigned>(std::countr_zero(c))));
  if (inst.op == Op::rem_u) return becomes(inst, Op::and_, a, out.constant(inst.type, c - 1));
  return {};
}

}  // namespace

Folded fold_arithmetic(Emitter& out, Inst& inst) {
  switch (inst.op) {
    case Op::add: return fold_add(out, inst);
    case Op::sub: return fold_sub(out, inst);
    case Op::mul: return fold_mul(out, inst);
    case Op::div_s: case Op::div_u: case Op::rem_s: case Op::rem_u: return fold_divide(out, inst);
    case Op::min_s: case Op::max_s: case Op::min_u: case Op::max_u:
      return inst.args[0] == inst.args[1] ? Folded::same(inst.args[0]) : Folded{};
    default: return {};
  }
}

}  // namespace lyre::ir
