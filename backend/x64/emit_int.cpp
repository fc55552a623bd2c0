// Integer addition, logic, shifts, width changes, comparisons and selects.
// Three-operand forms (lea, andn, shlx) are taken when an operand lives on; two-operand ones when it ends here.
#include "backend/x64/compiler.h"
#include "runtime/base/bits.h"
#include "runtime/base/check.h"

namespace lyre::backend::x64 {

using ir::Op;
using ir::Type;

void X64Compiler::emit_add(ValueId id, const Inst& inst) {
  const bool w = wide(inst.type);
  ValueId a = inst.args[0], b = inst.args[1];
  if (ra_.is_constant(a) && !ra_.is_constant(b)) std::swap(a, b);
  int32_t imm;
  Place place;
  if (small_constant(b, inst.type, imm)) {
    if (ra_.dies(a) || ra_.is_constant(a)) {
      Reg dst = ra_.redefine(id, a);
      if (imm || !w) as_.alu_ri(kAdd, w, dst, imm);  // 32-bit results clear the upper half, come what may
      return;
    }
    Reg base = ra_.use(a);
    Reg dst = ra_.define(id);
    as_.lea_rm(w, dst, {base, kNoReg, 0, imm});
    return;
  }
  if (ra_.memory_of(a, inst.type, place)) std::swap(a, b);
  if (ra_.memory_of(b, inst.type, place)) {
    Mem mem = mem_of(place);
    Reg dst = ra_.redefine(id, a);
    as_.alu_rm(kAdd, w, dst, mem);
    return;
  }
  Reg ra = ra_.use(a), rb = ra_.use(b);
  if (ra_.dies(b) && !ra_.dies(a)) std::swap(a, b), std::swap(ra, rb);
  if (ra_.dies(a)) {
    Reg dst = ra_.redefine(id, a);
    as_.alu_rr(kAdd, w, dst, rb);
  } else {
    Reg dst = ra_.define(id);
    as_.lea_rm(w, dst, {ra, rb, 0, 0});
  }
}

void X64Compiler::emit_sub(ValueId id, const Inst& inst) {
  const bool w = wide(inst.type);
  int32_t imm;
  if (small_constant(inst.args[1], inst.type, imm) && imm != INT32_MIN) {
    if (ra_.dies(inst.args[0])) {
      as_.alu_ri(kSub, w, ra_.redefine(id, inst.args[0]), imm);
    } else {
      Reg base = ra_.use(inst.args[0]);
      as_.lea_rm(w, ra_.define(id), {base, kNoReg, 0, -imm});
    }
    return;
  }
  if (ra_.is_constant(inst.args[0]) && ra_.constant(inst.args[0]) == 0) {
    as_.unary(3, w, ra_.redefine(id, inst.args[1]));
    return;
  }
  Operand b = operand(inst.args[1], inst.type);
  Reg dst = ra_.redefine(id, inst.args[0]);
  alu(kSub, w, dst, b);
}

void X64Compiler::emit_logic(ValueId id, const Inst& inst, Alu op) {
  const bool w = wide(inst.type);
  ValueId a = inst.args[0], b = inst.args[1];
  if (ra_.is_constant(a) && !ra_.is_constant(b)) std::swap(a, b);
  if (op == kAnd && ra_.is_constant(b)) {
    const uint64_t mask = ra_.constant(b);
    if (mask == 0xff || mask == 0xffff || mask == 0xffffffff) {
      Reg source = ra_.use(a);
      ra_.release();
      Reg dst = ra_.define(id);
      if (mask == 0xffffffff) {
        as_.mov_rr(false, dst, source);
      } else {
        as_.movzx(mask == 0xff ? 1 : 2, dst, source);
      }
      return;
    }
    // A mask without upper bits: the 32-bit form is shorter and its immediate is not sign-extended.
    if (mask < 0x100000000) {
      Reg dst = ra_.redefine(id, a);
      as_.alu_ri(kAnd, false, dst, static_cast<int32_t>(mask));
      return;
    }
  }
  Place place;
  if (ra_.memory_of(a, inst.type, place) || (!ra_.is_constant(b) && ra_.dies(b) && !ra_.dies(a))) std::swap(a, b);
  Operand right = operand(b, inst.type);
  Reg dst = ra_.redefine(id, a);
  if (op == kXor && right.kind == Operand::kImm && right.imm == -1 && inst.type != Type::kI1) {
    as_.unary(2, w, dst);
  } else {
    alu(op, w, dst, right);
  }
}

void X64Compiler::emit_andn(ValueId id, const Inst& inst) {
  const bool w = wide(inst.type);
  if (has_.bmi1) {
    Reg keep = ra_.use(inst.args[0]), clear = ra_.use(inst.args[1]);
    ra_.release();
    Reg dst = ra_.define(id);
    if (w) {
      as_.andn(as_.r64(dst), as_.r64(clear), as_.r64(keep));
    } else {
      as_.andn(as_.r32(dst), as_.r32(clear), as_.r32(keep));
    }
  } else {
    Reg mask = ra_.use_scratch(inst.args[1]);
    as_.unary(2, w, mask);
    Reg dst = ra_.redefine(id, inst.args[0]);
    as_.alu_rr(kAnd, w, dst, mask);
  }
}

void X64Compiler::emit_not_neg(ValueId id, const Inst& inst) {
  Reg dst = ra_.redefine(id, inst.args[0]);
  if (inst.type == Type::kI1) {
    // -a of one bit is a.
    if (inst.op == Op::not_) as_.alu_ri(kXor, false, dst, 1);
  } else {
    as_.unary(inst.op == Op::not_ ? 2 : 3, wide(inst.type), dst);
  }
}

void X64Compiler::emit_shift_constant(ValueId id, const Inst& inst, unsigned count) {
  const bool w = wide(inst.type);
  const bool in_place = ra_.dies(inst.args[0]);
  if (!in_place && inst.op == Op::shl && count >= 1 && count <= 3) {
    Reg source = ra_.use(inst.args[0]);
    Reg dst = ra_.define(id);
    if (count == 1) {
      as_.lea_rm(w, dst, {source, source, 0, 0});
    } else {
      // Without a base register: SIB with base 5, mod 0.
      as_.lea(w ? static_cast<Xbyak::Reg>(as_.r64(dst)) : static_cast<Xbyak::Reg>(as_.r32(dst)), Xbyak::AddressFrame(0)[as_.r64(source) * (1 << count)]);
    }
    return;
  }
  if (!in_place && has_.bmi2 && (inst.op == Op::rotl || inst.op == Op::rotr)) {
    const unsigned width = ir::type_bits(inst.type);
    const auto right = static_cast<uint8_t>((inst.op == Op::rotr ? count : width - count) & (width - 1));
    Reg source = ra_.use(inst.args[0]);
    Reg dst = ra_.define(id);
    if (w) {
      as_.rorx(as_.r64(dst), as_.r64(source), right);
    } else {
      as_.rorx(as_.r32(dst), as_.r32(source), right);
    }
    return;
  }
  Reg dst = ra_.redefine(id, inst.args[0]);
  if (count == 0) {
    if (!w) as_.mov_rr(false, dst, dst);
    return;
  }
  constexpr Shift kOps[] = {kShl, kShr, kSar, kRol, kRor};
  as_.shift_ri(kOps[static_cast<unsigned>(inst.op) - static_cast<unsigned>(Op::shl)], w, dst, count);
}

// 8- and 16-bit shifts: in 32 bits on widened values. Rotates have forms of their own.
void X64Compiler::emit_narrow_shift(ValueId id, const Inst& inst) {
  LYRE_CHECK(inst.type != Type::kI1, "a shift of one bit");
  Reg count = ra_.use_fixed(inst.args[1], kRcx);
  if (inst.op == Op::rotl || inst.op == Op::rotr) {
    Reg dst = ra_.redefine(id, inst.args[0]);
    // The count is taken modulo 32, then modulo the width: the same, both being powers of two.
    if (inst.type == Type::kI8) {
      Xbyak::Reg8 low(static_cast<int>(dst), dst >= 4);
      inst.op == Op::rotl ? as_.rol(low, as_.cl) : as_.ror(low, as_.cl);
    } else {
      Xbyak::Reg16 low(static_cast<int>(dst));
      inst.op == Op::rotl ? as_.rol(low, as_.cl) : as_.ror(low, as_.cl);
    }
    return;
  }
  as_.alu_ri(kAnd, false, count, static_cast<int32_t>(ir::type_bits(inst.type) - 1));
  Reg source = ra_.use(inst.args[0]);
  Reg dst = ra_.define(id);
  const unsigned bytes = ir::type_bytes(inst.type);
  if (inst.op == Op::sar) {
    as_.movsx(bytes, false, dst, source);
  } else {
    as_.movzx(bytes, dst, source);
  }
  as_.shift_cl(inst.op == Op::shl ? kShl : inst.op == Op::shr ? kShr : kSar, false, dst);
}

void X64Compiler::emit_shift(ValueId id, const Inst& inst) {
  if (narrow(inst.type)) return emit_narrow_shift(id, inst);
  const bool w = wide(inst.type);
  if (ra_.is_constant(inst.args[1])) {
    return emit_shift_constant(id, inst, static_cast<unsigned>(ra_.constant(inst.args[1]) & (ir::type_bits(inst.type) - 1)));
  }
  const bool rotate = inst.op == Op::rotl || inst.op == Op::rotr;
  if (has_.bmi2 && !rotate) {
    Reg source = ra_.use(inst.args[0]), count = ra_.use(inst.args[1]);
    ra_.release();
    Reg dst = ra_.define(id);
    auto shift = [&](auto d, auto s, auto c) {
      if (inst.op == Op::shl) {
        as_.shlx(d, s, c);
      } else if (inst.op == Op::shr) {
        as_.shrx(d, s, c);
      } else {
        as_.sarx(d, s, c);
      }
    };
    if (w) {
      shift(as_.r64(dst), as_.r64(source), as_.r64(count));
    } else {
      shift(as_.r32(dst), as_.r32(source), as_.r32(count));
    }
    return;
  }
  ra_.use_fixed(inst.args[1], kRcx);
  Reg dst = ra_.redefine(id, inst.args[0]);
  constexpr Shift kOps[] = {kShl, kShr, kSar, kRol, kRor};
  as_.shift_cl(kOps[static_cast<unsigned>(inst.op) - static_cast<unsigned>(Op::shl)], w, dst);
}

void X64Compiler::emit_extend(ValueId id, const Inst& inst) {
  const Type from = type_of(inst.args[0]);
  const unsigned bytes = ir::type_bytes(from);
  const bool w = wide(inst.type);
  if (from == Type::kI1) {
    // zext of one bit is an alias unless the source is no canonical bit; sext: 0 or all ones.
    Reg dst = ra_.redefine(id, inst.args[0]);
    if (inst.op == Op::sext) as_.unary(3, w, dst);
    return;
  }
  Place place;
  if (bytes == 4 && ra_.memory_of(inst.args[0], Type::kI32, place)) {
    Reg dst = ra_.define(id);
    if (inst.op == Op::sext) {
      as_.rm(true, 0x63, dst, mem_of(place));
    } else {
      as_.load(false, dst, mem_of(place));
    }
    return;
  }
  Reg source = ra_.use(inst.args[0]);
  ra_.release();
  Reg dst = ra_.define(id);
  if (inst.op == Op::sext) {
    as_.movsx(bytes, w, dst, source);
  } else if (bytes == 4) {
    as_.mov_rr(false, dst, source);
  } else {
    as_.movzx(bytes, dst, source);
  }
}

void X64Compiler::emit_cmp(ValueId id, const Inst& inst) {
  Compare compare = prepare_compare(inst, 0);
  // Zeroed before the comparison, so not one of its registers.
  Reg dst = ra_.define(id);
  as_.zero(dst);
  emit_compare(compare);
  as_.setcc_r(compare.cc, dst);
}

void X64Compiler::finish_select(ValueId id, Cc cc, ValueId if_true, ValueId if_false, const Compare* compare, Reg test) {
  const bool w = wide(type_of(if_true));
  auto set_flags = [&] {
    if (compare) {
      emit_compare(*compare);
    } else {
      as_.test_rr(false, test, test);
    }
  };
  if (!in_vector(ra_.type_of(id)) && ra_.dies(if_true) && ra_.in_reg(if_true) && !(ra_.in_reg(if_false) && ra_.dies(if_false))) {
    std::swap(if_true, if_false);
    cc = invert(cc);
  }
  Reg chosen = ra_.use(if_true);
  Reg dst = ra_.redefine(id, if_false);
  set_flags();
  if (is_vector(dst)) {
    uint32_t skip = as_.jcc_near(invert(cc));
    as_.movaps(as_.x(dst), as_.x(chosen));
    as_.bind_near(skip);
  } else {
    as_.cmov(cc, w, dst, chosen);
  }
}

void X64Compiler::emit_select(ValueId id, const Inst& inst) {
  Reg test = ra_.use(inst.args[0]);
  finish_select(id, kCcNe, inst.args[1], inst.args[2], nullptr, test);
}

void X64Compiler::emit_select_cmp(ValueId id, const Inst& inst) {
  Compare compare = prepare_compare(inst, 0);
  finish_select(id, compare.cc, inst.args[2], inst.args[3], &compare, kNoReg);
}

void X64Compiler::emit_min_max(ValueId id, const Inst& inst) {
  const bool is_signed = inst.op == Op::min_s || inst.op == Op::max_s;
  const bool is_min = inst.op == Op::min_s || inst.op == Op::min_u;
  const Cc replace = is_min ? (is_signed ? kCcG : kCcA) : (is_signed ? kCcL : kCcB);  // the left one is replaced
  const bool w = wide(inst.type);
  if (narrow(inst.type)) {
    Reg a = extended(inst.args[0], inst.type, is_signed), b = extended(inst.args[1], inst.type, is_signed);
    Reg dst = ra_.define(id);
    as_.mov_rr(false, dst, a);
    as_.alu_rr(kCmp, false, a, b);
    as_.cmov(replace, false, dst, b);
    if (inst.type == Type::kI1) as_.alu_ri(kAnd, false, dst, 1);
    return;
  }
  ValueId a = inst.args[0], b = inst.args[1];
  if (ra_.dies(b) && !ra_.dies(a)) std::swap(a, b);
  Reg other = ra_.use(b);
  Reg dst = ra_.redefine(id, a);
  as_.alu_rr(kCmp, w, dst, other);
  as_.cmov(replace, w, dst, other);
}

}  // namespace lyre::backend::x64
