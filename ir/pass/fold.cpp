// Constant folding, identities and strength reduction: the dispatcher and what is the same for all pure operations. The meaning of an
// operation comes from ir/eval.
#include "ir/pass/fold.h"

#include <utility>

#include "ir/eval.h"

namespace lyre::ir {
namespace {

// All arguments are constants of at most 64 bits.
bool evaluate(const Emitter& out, Inst& inst) {
  if (!can_eval_pure(inst.op) || type_bits(inst.type) > 64) return false;
  unsigned count = op_info(inst.op).args;
  for (unsigned i = 0; i < count; i++)
    if (!out.is_constant(inst.args[i]) || type_bits(out[inst.args[i]].type) > 64) return false;
  EvalInput in;
  in.op = inst.op, in.type = inst.type, in.aux = inst.aux;
  in.arg_type = out[inst.args[0]].type;
  in.a = out[inst.args[0]].imm;
  if (count > 1) in.b = out[inst.args[1]].imm;
  if (count > 2) in.c = out[inst.args[2]].imm;
  if (count > 3) in.d = out[inst.args[3]].imm;
  becomes_constant(inst, static_cast<uint64_t>(eval_pure(in)));
  return true;
}

Folded fold_sign(Emitter& out, Inst& inst) {
  const Inst& from = out[inst.args[0]];
  if (inst.op == Op::fcopysign) return inst.args[0] == inst.args[1] ? Folded::same(inst.args[0]) : Folded{};
  if (inst.op == Op::fneg) return from.op == Op::fneg ? Folded::same(from.args[0]) : Folded{};
  if (from.op == Op::fabs) return Folded::same(inst.args[0]);
  return from.op == Op::fneg ? becomes(inst, Op::fabs, from.args[0]) : Folded{};
}

Folded fold_once(Emitter& out, Inst& inst) {
  uint16_t properties = op_info(inst.op).properties;
  if (properties & kPure) {
    if (inst.op == Op::constant || inst.op == Op::guest_pc) return {};
    if (out.is_constant(inst.args[0])) {
      if (evaluate(out, inst)) return Folded::changed();
      if ((properties & kCommutes) && !out.is_constant(inst.args[1])) std::swap(inst.args[0], inst.args[1]);
    }
    if (type_bits(inst.type) > 64) return {};
  }
  switch (inst.op) {
    case Op::add: case Op::sub: case Op::mul: case Op::div_s: case Op::div_u: case Op::rem_s: case Op::rem_u:
    case Op::min_s: case Op::max_s: case Op::min_u: case Op::max_u:
      return fold_arithmetic(out, inst);
    case Op::and_: case Op::or_: case Op::xor_: case Op::andn: case Op::not_: case Op::neg:
    case Op::shl: case Op::shr: case Op::sar: case Op::rotl: case Op::rotr:
      return fold_bitwise(out, inst);
    case Op::zext: case Op::sext: case Op::trunc: case Op::bitcast: return fold_width(out, inst);
    case Op::cmp: case Op::select: case Op::select_cmp: case Op::exit_if: case Op::exit_if_cmp: return fold_choice(out, inst);
    case Op::fneg: case Op::fabs: case Op::fcopysign: return fold_sign(out, inst);
    default: return {};
  }
}

}  // namespace

ValueId fold(Emitter& out, Inst& inst) {
  // Every change makes the instruction simpler; the bound is a seat belt.
  for (unsigned round = 0; round < 8; round++) {
    Folded folded = fold_once(out, inst);
    if (folded.kind == Folded::kValue) return folded.value;
    if (folded.kind == Folded::kNothing) return kNoId;
  }
  return kNoId;
}

}  // namespace lyre::ir
