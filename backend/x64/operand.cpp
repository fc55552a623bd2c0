// Operand forms: immediates where they fit, memory operands for values that are only in memory and used once, registers otherwise.
#include "backend/x64/compiler.h"
#include "runtime/base/bits.h"

namespace lyre::backend::x64 {

// The constant as a sign-extended 32-bit immediate of an operation of `type`.
bool X64Compiler::small_constant(ValueId id, Type type, int32_t& imm) const {
  if (!ra_.is_constant(id)) return false;
  uint64_t bits = ra_.constant(id);
  if (type != Type::kI64) bits = static_cast<uint64_t>(sign_extend(bits, type == Type::kI1 ? 8 : ir::type_bits(type)));
  if (!fits32(bits)) return false;
  imm = static_cast<int32_t>(bits);
  return true;
}

X64Compiler::Operand X64Compiler::operand(ValueId id, Type type) {
  Operand result;
  Place place;
  if (small_constant(id, type, result.imm)) {
    result.kind = Operand::kImm;
  } else if (ra_.memory_of(id, type, place)) {
    result.kind = Operand::kMem;
    result.mem = mem_of(place);
  } else {
    result.reg = ra_.use(id);
  }
  return result;
}

Reg X64Compiler::extended(ValueId id, Type type, bool is_signed) {
  Reg source = ra_.use(id);
  if (!narrow(type) || (type == Type::kI1 && !is_signed)) return source;
  Reg result = ra_.temp_gpr();
  if (type == Type::kI1) {
    as_.mov_rr(false, result, source);
    as_.unary(3, false, result);
  } else if (is_signed) {
    as_.movsx(ir::type_bytes(type), false, result, source);
  } else {
    as_.movzx(ir::type_bytes(type), result, source);
  }
  return result;
}

void X64Compiler::alu(Alu op, bool w, Reg dst, const Operand& src) {
  if (src.kind == Operand::kImm) {
    as_.alu_ri(op, w, dst, src.imm);
  } else if (src.kind == Operand::kMem) {
    as_.alu_rm(op, w, dst, src.mem);
  } else {
    as_.alu_rr(op, w, dst, src.reg);
  }
}

// Takes the operands of the comparison inst.args[first], [first + 1]; nothing may be loaded between emit_compare and the use of the flags.
X64Compiler::Compare X64Compiler::prepare_compare(const Inst& inst, unsigned first) {
  ValueId a = inst.args[first], b = inst.args[first + 1];
  auto cond = static_cast<ir::Cond>(inst.aux);
  const Type type = type_of(a);
  Compare compare;
  compare.wide = wide(type);
  if (ra_.is_constant(a) && !ra_.is_constant(b)) {
    std::swap(a, b);
    cond = ir::swap_operands(cond);
  }
  compare.cc = cc_of(cond);
  if (narrow(type)) {
    const bool is_signed = cond == ir::Cond::kLtS || cond == ir::Cond::kGeS || cond == ir::Cond::kLeS || cond == ir::Cond::kGtS;
    compare.a.reg = extended(a, type, is_signed);
    compare.b.reg = extended(b, type, is_signed);
    return compare;
  }
  Place place;
  if (small_constant(b, type, compare.b.imm)) {
    compare.b.kind = Operand::kImm;
    if (ra_.memory_of(a, type, place)) {
      compare.a.kind = Operand::kMem;
      compare.a.mem = mem_of(place);
      return compare;
    }
  }
  compare.a.reg = ra_.use(a);
  if (compare.b.kind != Operand::kImm) compare.b = operand(b, type);
  return compare;
}

void X64Compiler::emit_compare(const Compare& compare) {
  if (compare.a.kind == Operand::kMem) {
    as_.alu_mi(kCmp, compare.wide, compare.a.mem, compare.b.imm);
  } else if (compare.b.kind == Operand::kImm && compare.b.imm == 0) {
    as_.test_rr(compare.wide, compare.a.reg, compare.a.reg);
  } else {
    alu(kCmp, compare.wide, compare.a.reg, compare.b);
  }
}

}  // namespace lyre::backend::x64
