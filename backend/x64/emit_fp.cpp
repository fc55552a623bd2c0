// Floating-point arithmetic, signs and comparisons: one host instruction each, under the guest's rounding mode and sticky flags in MXCSR. Three-operand
// AVX forms where the host has them.
#include <algorithm>

#include "backend/x64/compiler.h"
#include "backend/x64/soft_float.h"
#include "runtime/base/check.h"

namespace lyre::backend::x64 {

using ir::FloatCond;
using ir::Op;
using ir::Type;

namespace {
constexpr unsigned scalar_prefix(bool is_double) { return is_double ? 0xf2 : 0xf3; }
constexpr unsigned scalar_pp(bool is_double) { return is_double ? 3 : 2; }
}  // namespace

void X64Compiler::emit_fp(ValueId id, const Inst& inst) {
  switch (inst.op) {
    case Op::fadd: return emit_fp_binary(id, inst, 0x58, true);
    case Op::fmul: return emit_fp_binary(id, inst, 0x59, true);
    case Op::fsub: return emit_fp_binary(id, inst, 0x5c, false);
    case Op::fdiv: return emit_fp_binary(id, inst, 0x5e, false);
    case Op::fsqrt: return emit_fsqrt(id, inst);
    case Op::fma: return emit_fma(id, inst);
    case Op::fneg:
    case Op::fabs: return emit_fp_sign(id, inst);
    case Op::fcopysign: return emit_fcopysign(id, inst);
    case Op::fcmp: return emit_fcmp(id, inst);
    case Op::fcvt: return emit_fcvt(id, inst);
    case Op::fround: return emit_fround(id, inst);
    case Op::ftoi_s:
    case Op::ftoi_u: return emit_ftoi(id, inst);
    case Op::itof_s:
    case Op::itof_u: return emit_itof(id, inst);
    default: LYRE_CHECK(false, "not a floating-point operation");
  }
}

void X64Compiler::literal(Reg dst, uint64_t bits, bool is_double) {
  if (bits == 0) {
    as_.sse(0, 0x57, dst, dst);  // xorps
  } else {
    literals_.push_back({as_.sse_literal(scalar_prefix(is_double), 0x10, dst), bits});
  }
}

void X64Compiler::literal_operand(unsigned prefix, unsigned opcode, Reg reg, uint64_t bits) {
  literals_.push_back({as_.sse_literal(prefix, opcode, reg), bits});
}

void X64Compiler::emit_fp_binary(ValueId id, const Inst& inst, unsigned opcode, bool commutes) {
  const bool is_double = inst.type == Type::kF64;
  ValueId a = inst.args[0], b = inst.args[1];
  Place place;
  if (commutes && (ra_.memory_of(a, inst.type, place) || (ra_.dies(b) && !ra_.dies(a)))) std::swap(a, b);
  if (ra_.memory_of(b, inst.type, place)) {
    const Mem mem = mem_of(place);
    if (has_.avx) {
      Reg left = ra_.use(a);
      as_.vex_m(scalar_pp(is_double), opcode, ra_.define(id), left, mem);
    } else {
      as_.sse_m(scalar_prefix(is_double), opcode, ra_.redefine(id, a), mem);
    }
    return;
  }
  Reg right = ra_.use(b);
  if (has_.avx) {
    Reg left = ra_.use(a);
    ra_.release();
    as_.vex(scalar_pp(is_double), opcode, ra_.define(id), left, right);
    return;
  }
  Reg dst = ra_.redefine(id, a);
  as_.sse(scalar_prefix(is_double), opcode, dst, right);
}

void X64Compiler::emit_fsqrt(ValueId id, const Inst& inst) {
  const bool is_double = inst.type == Type::kF64;
  Reg source = ra_.use(inst.args[0]);
  if (has_.avx) {
    ra_.release();
    as_.vex(scalar_pp(is_double), 0x51, ra_.define(id), source, source);
    return;
  }
  Reg dst = ra_.define(id);
  as_.sse(0, 0x57, dst, dst);
  as_.sse(scalar_prefix(is_double), 0x51, dst, source);
}

void X64Compiler::emit_fma(ValueId id, const Inst& inst) {
  const bool is_double = inst.type == Type::kF64;
  if (!has_.fma) return call_soft(id, inst, is_double ? soft_fma64 : soft_fma32);
  ValueId a = inst.args[0], b = inst.args[1], c = inst.args[2];
  Reg ra = ra_.use(a), rb = ra_.use(b), rc = ra_.use(c);
  if (!ra_.dies(c) && (ra_.dies(a) || ra_.dies(b))) {
    if (!ra_.dies(a)) std::swap(a, b), std::swap(ra, rb);
    Reg dst = ra_.redefine(id, a);
    is_double ? as_.vfmadd213sd(as_.x(dst), as_.x(rb), as_.x(rc)) : as_.vfmadd213ss(as_.x(dst), as_.x(rb), as_.x(rc));
    return;
  }
  Reg dst = ra_.redefine(id, c);
  is_double ? as_.vfmadd231sd(as_.x(dst), as_.x(ra), as_.x(rb)) : as_.vfmadd231ss(as_.x(dst), as_.x(ra), as_.x(rb));
}

// Only the sign bit set, or all others.
void X64Compiler::sign_mask(Reg dst, bool is_double, bool inverted) {
  as_.pcmpeqd(as_.x(dst), as_.x(dst));
  if (inverted) {
    is_double ? as_.psrlq(as_.x(dst), 1) : as_.psrld(as_.x(dst), 1);
  } else {
    is_double ? as_.psllq(as_.x(dst), 63) : as_.pslld(as_.x(dst), 31);
  }
}

void X64Compiler::emit_fp_sign(ValueId id, const Inst& inst) {
  const bool is_double = inst.type == Type::kF64;
  Reg mask = ra_.temp_vector();
  Reg dst = ra_.redefine(id, inst.args[0]);
  sign_mask(mask, is_double, inst.op == Op::fabs);
  as_.sse(0, inst.op == Op::fabs ? 0x54 : 0x57, dst, mask);  // andps, xorps
}

void X64Compiler::emit_fcopysign(ValueId id, const Inst& inst) {
  const bool is_double = inst.type == Type::kF64;
  Reg mask = ra_.temp_vector(), sign = ra_.temp_vector();
  Reg from = ra_.use(inst.args[1]);
  Reg dst = ra_.redefine(id, inst.args[0]);
  // If both are one value the sign is its own.
  sign_mask(mask, is_double, false);
  as_.movaps(as_.x(sign), as_.x(mask));
  as_.sse(0, 0x54, sign, from);   // andps
  as_.sse(0, 0x55, mask, dst);    // andnps: ~mask & dst
  as_.sse(0, 0x56, mask, sign);   // orps
  as_.movaps(as_.x(dst), as_.x(mask));
}

// A NaN check that only the cold call behind it looks at: the call compares for itself and takes the parity flag.
bool X64Compiler::fuses_with_call(ValueId id) const {
  const Inst& inst = (*region_)[id];
  if (inst.op != Op::fcmp || static_cast<FloatCond>(inst.aux & ~ir::kFlagsDead) != FloatCond::kUnordered || inst.args[0] != inst.args[1]) return false;
  if (id + 1 >= region_->insts.size()) return false;
  const Inst& next = region_->insts[id + 1];
  if (next.op != Op::call_if || next.args[1] < 2) return false;
  const ValueId* pool = region_->pool.data() + next.args[0];
  return pool[0] == id && pool[1] == inst.args[0] && std::find(pool + 1, pool + next.args[1], id) == pool + next.args[1] &&
         live_.next_after_pool(next.args[0]) == kNever;
}

void X64Compiler::emit_fcmp(ValueId id, const Inst& inst) {
  if (fuses_with_call(id)) return;
  const auto cond = static_cast<FloatCond>(inst.aux & ~ir::kFlagsDead);
  const bool is_double = type_of(inst.args[0]) == Type::kF64;
  const unsigned packed = is_double ? 0x66 : 0;
  Reg a = ra_.use(inst.args[0]), b = ra_.use(inst.args[1]);
  if (cond == FloatCond::kEqQuiet) {
    // The compare's mask: parity needs no looking at.
    Reg mask = ra_.temp_vector();
    Reg dst = ra_.define(id);
    if (has_.avx) {
      as_.vex(scalar_pp(is_double), 0xc2, mask, a, b);
    } else {
      as_.movaps(as_.x(mask), as_.x(a));
      as_.sse(scalar_prefix(is_double), 0xc2, mask, b);
    }
    as_.byte(0);  // predicate: equal, quiet
    as_.movd(as_.r32(dst), as_.x(mask));
    as_.alu_ri(kAnd, false, dst, 1);
    return;
  }
  Reg dst = ra_.define(id);
  as_.zero(dst);
  const bool signaling = cond == FloatCond::kLtSignaling || cond == FloatCond::kLeSignaling;
  // Unordered sets carry: "above" with swapped operands is a true less-than.
  if (cond == FloatCond::kUnordered) {
    as_.sse(packed, 0x2e, a, b);
    as_.setcc_r(kCcP, dst);
  } else {
    as_.sse(packed, signaling ? 0x2f : 0x2e, b, a);
    as_.setcc_r(cond == FloatCond::kLtQuiet || cond == FloatCond::kLtSignaling ? kCcA : kCcAe, dst);
  }
}

}  // namespace lyre::backend::x64
