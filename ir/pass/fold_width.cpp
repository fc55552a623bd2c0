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

// Whether the low bits of a value are there, or are made by bitwise operations of such values alone.
bool has_narrow_form(const Emitter& out, ValueId value, Type narrow, unsigned depth) {
  const Inst& inst = out[value];
  switch (inst.op) {
    case Op::sext: case Op::zext: return out[inst.args[0]].type == narrow;
    case Op::and_: case Op::or_: case Op::xor_: case Op::andn:
      return depth && has_narrow_form(out, inst.args[0], narrow, depth - 1) && has_narrow_form(out, inst.args[1], narrow, depth - 1);
    case Op::not_: return depth && has_narrow_form(out, inst.args[0], narrow, depth - 1);
    default: return false;
  }
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
      break;
    case Op::and_:
      if (out.is_constant(from.args[1]) && !(~out[from.args[1]].imm & int_mask(inst.type))) return becomes(inst, Op::trunc, from.args[0]);
      break;
    default: break;
  }
  // Guests keep 32-bit values widened: bitwise operations between two such operations need no widening.
  if (inst.type != Type::kI32 || from.op == Op::sext || !has_narrow_form(out, inst.args[0], inst.type, 3)) return {};
  const ValueId a = out.emit(Op::trunc, inst.type, from.args[0]);
  return becomes(inst, from.op, a, from.op == Op::not_ ? kNoId : out.emit(Op::trunc, inst.type, from.args[1]));
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
