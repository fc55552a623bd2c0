#include "ir/pass/fold.h"

namespace lyre::ir {
namespace {

Folded fold_zext(Emitter& out, Inst& inst) {
  const Inst from = out[inst.args[0]];
  if (from.op == Op::zext) return becomes(inst, Op::zext, from.args[0]);
  if (from.op == Op::trunc && out[from.args[0]].type == inst.type && type_bits(inst.type) <= 64) {
    uint64_t dropped = ~int_mask(from.type);
    if ((known_bits(out, from.args[0]).zeros & dropped) == dropped) return Folded::same(from.args[0]);
  }
  return {};
}

Folded fold_sext(Emitter& out, Inst& inst) {
  const Inst from = out[inst.args[0]];
  if (from.op == Op::sext || from.op == Op::zext) return becomes(inst, from.op, from.args[0]);
  if (from.op == Op::trunc && out[from.args[0]].type == inst.type) {
    unsigned dropped = type_bits(inst.type) - type_bits(from.type);
    if (sign_bits(out, from.args[0]) > dropped) return Folded::same(from.args[0]);
  }
  return {};
}

Folded fold_trunc(Emitter& out, Inst& inst) {
  const Inst from = out[inst.args[0]];
  switch (from.op) {
    case Op::trunc: return becomes(inst, Op::trunc, from.args[0]);
    case Op::zext: case Op::sext: {
      Type narrow = out[from.args[0]].type;
      if (narrow == inst.type) return Folded::same(from.args[0]);
      return becomes(inst, type_bits(narrow) > type_bits(inst.type) ? Op::trunc : from.op, from.args[0]);
    }
    // The constant does not reach the bits that are kept.
    case Op::or_: case Op::xor_: case Op::add:
      if (out.is_constant(from.args[1]) && !(out[from.args[1]].imm & int_mask(inst.type))) return becomes(inst, Op::trunc, from.args[0]);
      return {};
    case Op::and_:
      if (out.is_constant(from.args[1]) && !(~out[from.args[1]].imm & int_mask(inst.type))) return becomes(inst, Op::trunc, from.args[0]);
      return {};
    default: return {};
  }
}

Folded fold_bitcast(Emitter& out, Inst& inst) {
  const Inst from = out[inst.args[0]];
  if (from.op != Op::bitcast) return {};
  if (out[from.args[0]].type == inst.type) return Folded::same(from.args[0]);
  return becomes(inst, Op::bitcast, from.args[0]);
}

}  // namespace

Folded fold_width(Emitter& out, Inst& inst) {
  switch (inst.op) {
    case Op::zext: return fold_zext(out, inst);
    case Op::sext: return fold_sext(out, inst);
    case Op::trunc: return fold_trunc(out, inst);
    default: return fold_bitcast(out, inst);
  }
}

}  // namespace lyre::ir
