// Multiplication and division.
#include "backend/x64/compiler.h"
#include "runtime/base/bits.h"

namespace lyre::backend::x64 {

using ir::Op;
using ir::Type;

void X64Compiler::emit_mul(ValueId id, const Inst& inst) {
  const bool w = wide(inst.type);
  ValueId a = inst.args[0], b = inst.args[1];
  if (ra_.is_constant(a)) std::swap(a, b);
  int32_t imm;
  if (small_constant(b, inst.type, imm)) {
    Reg source = ra_.use(a);
    ra_.release();
    as_.imul_rri(w, ra_.define(id), source, imm);
    return;
  }
  if (ra_.dies(b) && !ra_.dies(a)) std::swap(a, b);
  Reg other = ra_.use(b);
  Reg dst = ra_.redefine(id, a);
  if (inst.type == Type::kI1) {
    as_.alu_rr(kAnd, false, dst, other);
  } else {
    as_.imul_rr(w, dst, other);
  }
}

// Up to 32 bits: the whole product in a 64-bit register.
void X64Compiler::emit_narrow_mulh(ValueId id, const Inst& inst) {
  const unsigned width = ir::type_bits(inst.type);
  auto widen = [&](ValueId arg, bool is_signed) {
    Reg source = ra_.use(arg);
    Reg result = ra_.temp_gpr();
    if (is_signed) {
      as_.movsx(width / 8, true, result, source);
    } else if (width == 32) {
      as_.mov_rr(false, result, source);
    } else {
      as_.movzx(width / 8, result, source);
    }
    return result;
  };
  Reg a = widen(inst.args[0], inst.op != Op::mulh_u);
  Reg b = widen(inst.args[1], inst.op == Op::mulh_s);
  as_.imul_rr(true, a, b);
  as_.shift_ri(kShr, true, a, width);
  if (width == 32) as_.mov_rr(false, a, a);
  ra_.define_as(id, a);
}

void X64Compiler::emit_mulh(ValueId id, const Inst& inst) {
  if (inst.type != Type::kI64) return emit_narrow_mulh(id, inst);
  if (inst.op == Op::mulh_u && has_.bmi2) {
    ra_.use_fixed(inst.args[0], kRdx);
    Reg other = ra_.use(inst.args[1]);
    ra_.release();
    Reg dst = ra_.define(id);
    as_.mulx(as_.r64(dst), as_.r64(dst), as_.r64(other));
    return;
  }
  const RegMask others = shared_.regs.gprs & ~mask_of(kRax) & ~mask_of(kRdx);
  ra_.use_fixed(inst.args[0], kRax);
  ra_.claim(kRdx);
  Reg other = ra_.use(inst.args[1], others);
  if (inst.op == Op::mulh_s) {
    as_.unary(5, true, other);
  } else {
    // Signed a: the unsigned product counts a too high by 2^64 if a is negative.
    Reg correction = kNoReg;
    if (inst.op == Op::mulh_su) {
      correction = ra_.temp(others);
      as_.mov_rr(true, correction, kRax);
      as_.shift_ri(kSar, true, correction, 63);
      as_.alu_rr(kAnd, true, correction, other);
    }
    as_.unary(4, true, other);
    if (inst.op == Op::mulh_su) as_.alu_rr(kSub, true, kRdx, correction);
  }
  ra_.define_as(id, kRdx);
}

// x86 faults on division by zero and on the most negative value / -1; both are told apart first. 64-bit division is several times slower than 32-bit
// on many hosts, and most operands are small.
void X64Compiler::emit_div(ValueId id, const Inst& inst) {
  const bool w = wide(inst.type);
  const bool is_signed = inst.op == Op::div_s || inst.op == Op::rem_s;
  const bool remainder = inst.op == Op::rem_s || inst.op == Op::rem_u;
  const RegMask others = shared_.regs.gprs & ~mask_of(kRax) & ~mask_of(kRdx);
  ra_.use_fixed(inst.args[0], kRax);
  ra_.claim(kRdx);
  Reg divisor = ra_.use(inst.args[1], others);
  if (narrow(inst.type)) {
    const unsigned bytes = ir::type_bytes(inst.type);
    Reg extended = ra_.temp(others);
    is_signed ? as_.movsx(bytes, false, extended, divisor) : as_.movzx(bytes, extended, divisor);
    is_signed ? as_.movsx(bytes, false, kRax, kRax) : as_.movzx(bytes, kRax, kRax);
    divisor = extended;
  }
  bool may_be_zero = true, may_be_minus_one = is_signed && !narrow(inst.type);
  if (ra_.is_constant(inst.args[1])) {
    int64_t value = sign_extend(ra_.constant(inst.args[1]), ir::type_bits(inst.type));
    may_be_zero = value == 0;
    may_be_minus_one = may_be_minus_one && value == -1;
  }
  uint32_t zero = 0, minus_one = 0, small = 0, done[3];
  unsigned done_count = 0;
  if (may_be_zero) {
    as_.test_rr(w, divisor, divisor);
    zero = as_.jcc_near(kCcE);
  }
  if (may_be_minus_one) {
    as_.alu_ri(kCmp, w, divisor, -1);
    minus_one = as_.jcc_near(kCcE);
  }
  if (w) {
    as_.mov_rr(true, kRdx, kRax);
    as_.alu_rr(kOr, true, kRdx, divisor);
    as_.shift_ri(kShr, true, kRdx, 32);
    small = as_.jcc_near(kCcE);
  }
  if (!is_signed) {
    as_.zero(kRdx);
  } else if (w) {
    as_.cqo();
  } else {
    as_.cdq();
  }
  as_.unary(is_signed ? 7 : 6, w, divisor);
  if (w) {
    done[done_count++] = as_.jmp_near();
    as_.bind_near(small);
    as_.zero(kRdx);
    as_.unary(6, false, divisor);
  }
  if (may_be_minus_one) {
    done[done_count++] = as_.jmp_near();
    as_.bind_near(minus_one);
    remainder ? as_.zero(kRdx) : as_.unary(3, w, kRax);
  }
  if (may_be_zero) {
    done[done_count++] = as_.jmp_near();
    as_.bind_near(zero);
    remainder ? as_.mov_rr(w, kRdx, kRax) : as_.zero(kRax);
  }
  for (unsigned k = 0; k < done_count; k++) as_.bind_near(done[k]);
  ra_.define_as(id, remainder ? kRdx : kRax);
}

}  // namespace lyre::backend::x64
