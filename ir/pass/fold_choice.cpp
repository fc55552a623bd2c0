// Comparisons, selects and conditional exits.
#include "ir/eval.h"
#include "ir/pass/fold.h"

namespace lyre::ir {
namespace {

Folded with_cond(Inst& inst, Cond cond) {
  inst.aux = static_cast<uint8_t>(cond);
  return Folded::changed();
}

bool cond_of_equal(Cond cond) {
  return cond == Cond::kEq || cond == Cond::kGeS || cond == Cond::kGeU || cond == Cond::kLeS || cond == Cond::kLeU;
}

// Unsigned order and equality by the bits that are known: 0 false, 1 true, -1 not known.
int decide(Cond cond, KnownBits known, uint64_t c) {
  uint64_t least = known.ones, most = ~known.zeros;
  switch (cond) {
    case Cond::kLtU: return most < c ? 1 : least >= c ? 0 : -1;
    case Cond::kGeU: return least >= c ? 1 : most < c ? 0 : -1;
    case Cond::kLeU: return most <= c ? 1 : least > c ? 0 : -1;
    case Cond::kGtU: return least > c ? 1 : most <= c ? 0 : -1;
    case Cond::kEq: case Cond::kNe: {
      bool differ = (known.ones & ~c) | (known.zeros & c);
      if (differ) return cond == Cond::kNe;
      return known.all() ? cond == Cond::kEq : -1;
    }
    default: return -1;
  }
}

Folded fold_cmp_with_zero(Emitter& out, Inst& inst, Cond cond) {
  if (cond == Cond::kLeU || cond == Cond::kGtU) return with_cond(inst, cond == Cond::kLeU ? Cond::kEq : Cond::kNe);
  if (cond != Cond::kEq && cond != Cond::kNe) return {};
  const Inst from = out[inst.args[0]];
  if (from.op == Op::zext && out[from.args[0]].type == Type::kI1) {
    if (cond == Cond::kNe) return Folded::same(from.args[0]);
    return becomes(inst, Op::not_, from.args[0]);
  }
  if (from.op == Op::sub || from.op == Op::xor_) {
    inst.args[0] = from.args[0], inst.args[1] = from.args[1];
    return Folded::changed();
  }
  return {};
}

Folded fold_cmp(Emitter& out, Inst& inst) {
  Cond cond = static_cast<Cond>(inst.aux);
  ValueId a = inst.args[0], b = inst.args[1];
  if (a == b) return becomes_constant(inst, cond_of_equal(cond));
  if (type_bits(out[a].type) > 64) return {};
  if (out.is_constant(a) && !out.is_constant(b)) {
    std::swap(inst.args[0], inst.args[1]);
    return with_cond(inst, swap_operands(cond));
  }
  if (!out.is_constant(b)) return {};
  uint64_t c = out[b].imm;
  // Even of a value about which nothing is known: the bits above its width are zero.
  int known = decide(cond, known_bits(out, a, may_know_bits(out[a].op) ? 3 : 0), c);
  if (known >= 0) return becomes_constant(inst, static_cast<uint64_t>(known));
  if (c == 0) return fold_cmp_with_zero(out, inst, cond);
  if (c == 1 && (cond == Cond::kLtU || cond == Cond::kGeU)) {
    inst.args[1] = out.constant(out[a].type, 0);
    return with_cond(inst, cond == Cond::kLtU ? Cond::kEq : Cond::kNe);
  }
  return {};
}

Folded fold_select(Emitter& out, Inst& inst) {
  ValueId test = inst.args[0], a = inst.args[1], b = inst.args[2];
  if (a == b) return Folded::same(a);
  if (out.is_constant(test)) return Folded::same(out[test].imm ? a : b);
  if (out[test].op == Op::not_) return becomes(inst, Op::select, out[test].args[0], b, a);
  if (!is_int(inst.type) || !out.is_constant(b, 0) || !out.is_constant(a, 1)) return {};
  if (inst.type == Type::kI1) return Folded::same(test);
  return becomes(inst, Op::zext, test);
}

Folded fold_select_cmp(Emitter& out, Inst& inst) {
  ValueId a = inst.args[2], b = inst.args[3];
  if (a == b) return Folded::same(a);
  if (!out.is_constant(inst.args[0]) || !out.is_constant(inst.args[1])) return {};
  bool first = eval_cond(static_cast<Cond>(inst.aux), out[inst.args[0]].imm, out[inst.args[1]].imm, out[inst.args[0]].type);
  return Folded::same(first ? a : b);
}

// Never taken: gone. Always taken: the region ends here.
Folded decided_exit(Inst& inst, bool taken) {
  if (!taken) return Folded::same(kDropped);
  inst.op = Op::exit_direct, inst.aux = kHintNone;
  inst.args[0] = inst.args[1] = kNoId;
  return Folded::changed();
}

Folded fold_exit(Emitter& out, Inst& inst) {
  if (!out.is_constant(inst.args[0])) return {};
  if (inst.op == Op::exit_if) return decided_exit(inst, out[inst.args[0]].imm);
  if (!out.is_constant(inst.args[1])) return {};
  return decided_exit(inst, eval_cond(static_cast<Cond>(inst.aux), out[inst.args[0]].imm, out[inst.args[1]].imm, out[inst.args[0]].type));
}

}  // namespace

Folded fold_choice(Emitter& out, Inst& inst) {
  switch (inst.op) {
    case Op::cmp: return fold_cmp(out, inst);
    case Op::select: return fold_select(out, inst);
    case Op::select_cmp: return fold_select_cmp(out, inst);
    default: return fold_exit(out, inst);
  }
}

}  // namespace lyre::ir
