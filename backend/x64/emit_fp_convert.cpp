// Conversions between floats and integers. x86's "integer indefinite" is what ftoi_s asks for; ftoi_u has its range checked first, since a conversion
// that fails must raise invalid and nothing else.
#include <bit>

#include "backend/x64/compiler.h"
#include "backend/x64/soft_float.h"

namespace lyre::backend::x64 {

using ir::Op;
using ir::Rounding;
using ir::Type;

namespace {
constexpr unsigned scalar_prefix(bool is_double) { return is_double ? 0xf2 : 0xf3; }
constexpr unsigned scalar_pp(bool is_double) { return is_double ? 3 : 2; }
uint64_t bits_of(double value, bool is_double) {
  return is_double ? std::bit_cast<uint64_t>(value) : std::bit_cast<uint32_t>(static_cast<float>(value));
}
}  // namespace

void X64Compiler::emit_fcvt(ValueId id, const Inst& inst) {
  const bool from_double = type_of(inst.args[0]) == Type::kF64;
  Reg source = ra_.use(inst.args[0]);
  if (has_.avx) {
    ra_.release();
    as_.vex(scalar_pp(from_double), 0x5a, ra_.define(id), source, source);
    return;
  }
  Reg dst = ra_.define(id);
  as_.sse(0, 0x57, dst, dst);  // no wait for the register's old content
  as_.sse(scalar_prefix(from_double), 0x5a, dst, source);
}

void X64Compiler::emit_fround(ValueId id, const Inst& inst) {
  const bool is_double = inst.type == Type::kF64;
  const auto mode = static_cast<Rounding>(inst.aux & ~ir::kFlagsDead);
  if (!has_.sse41) return call_soft(id, inst, soft_round(is_double, mode));
  constexpr uint8_t kModes[] = {0, 3, 1, 2, 4};
  const uint8_t imm = kModes[static_cast<unsigned>(mode)];
  Reg source = ra_.use(inst.args[0]);
  Reg dst = ra_.define(id);
  as_.sse(0, 0x57, dst, dst);
  is_double ? as_.roundsd(as_.x(dst), as_.x(source), imm) : as_.roundss(as_.x(dst), as_.x(source), imm);
}

void X64Compiler::emit_ftoi_u(ValueId id, const Inst& inst, Reg source, bool is_double) {
  const bool w = inst.type == Type::kI64;
  const unsigned packed = is_double ? 0x66 : 0, prefix = scalar_prefix(is_double);
  const double limit = w ? 18446744073709551616.0 : 4294967296.0, half = 9223372036854775808.0;
  auto convert = [&](Reg dst, Reg from) {
    is_double ? as_.cvttsd2si(as_.r64(dst), as_.x(from)) : as_.cvttss2si(as_.r64(dst), as_.x(from));
  };
  Reg work = ra_.temp_vector();
  Reg dst = ra_.define(id);
  // Unordered is not above.
  literal_operand(packed, 0x2e, source, bits_of(-1.0, is_double));
  const uint32_t too_low = as_.jcc_near(kCcBe);
  literal_operand(packed, 0x2e, source, bits_of(limit, is_double));
  const uint32_t too_high = as_.jcc_near(kCcAe);
  uint32_t big = 0;
  if (w) {
    literal_operand(packed, 0x2e, source, bits_of(half, is_double));
    big = as_.jcc_near(kCcAe);
  }
  convert(dst, source);
  const uint32_t done = as_.jmp_near();
  uint32_t done_big = 0;
  if (w) {
    as_.bind_near(big);
    as_.movaps(as_.x(work), as_.x(source));
    literal_operand(prefix, 0x5c, work, bits_of(half, is_double));
    convert(dst, work);
    as_.btc(as_.r64(dst), 63);
    done_big = as_.jmp_near();
  }
  as_.bind_near(too_low);
  as_.bind_near(too_high);
  as_.pcmpeqd(as_.x(work), as_.x(work));  // a quiet NaN
  convert(dst, work);
  as_.mov_ri(dst, w ? ~uint64_t{0} : 0xffffffff);
  as_.bind_near(done);
  if (w) as_.bind_near(done_big);
}

void X64Compiler::emit_ftoi(ValueId id, const Inst& inst) {
  const bool is_double = type_of(inst.args[0]) == Type::kF64;
  Reg source = ra_.use(inst.args[0]);
  if (inst.op == Op::ftoi_u) return emit_ftoi_u(id, inst, source, is_double);
  Reg dst = ra_.define(id);
  if (inst.type == Type::kI64) {
    is_double ? as_.cvttsd2si(as_.r64(dst), as_.x(source)) : as_.cvttss2si(as_.r64(dst), as_.x(source));
  } else {
    is_double ? as_.cvttsd2si(as_.r32(dst), as_.x(source)) : as_.cvttss2si(as_.r32(dst), as_.x(source));
  }
}

void X64Compiler::emit_itof(ValueId id, const Inst& inst) {
  const bool is_double = inst.type == Type::kF64;
  const Type from = type_of(inst.args[0]);
  const bool is_signed = inst.op == Op::itof_s;
  auto convert = [&](Reg dst, Reg source, bool w) {
    if (is_double) {
      w ? as_.cvtsi2sd(as_.x(dst), as_.r64(source)) : as_.cvtsi2sd(as_.x(dst), as_.r32(source));
    } else {
      w ? as_.cvtsi2ss(as_.x(dst), as_.r64(source)) : as_.cvtsi2ss(as_.x(dst), as_.r32(source));
    }
  };
  Reg source = extended(inst.args[0], from, is_signed);
  Reg work = is_signed || narrow(from) ? kNoReg : ra_.temp_gpr();
  Reg odd = from == Type::kI64 && !is_signed ? ra_.temp_gpr() : kNoReg;
  Reg dst = ra_.define(id);
  as_.sse(0, 0x57, dst, dst);
  if (is_signed || narrow(from)) return convert(dst, source, from == Type::kI64);
  if (from == Type::kI32) {
    as_.mov_rr(false, work, source);
    return convert(dst, work, true);
  }
  as_.test_rr(true, source, source);
  const uint32_t negative = as_.jcc_near(kCcS);
  convert(dst, source, true);
  const uint32_t done = as_.jmp_near();
  // Halved with a sticky low bit, so that the doubling is exact and the rounding is done once.
  as_.bind_near(negative);
  as_.mov_rr(true, work, source);
  as_.mov_rr(false, odd, source);
  as_.shift_ri(kShr, true, work, 1);
  as_.alu_ri(kAnd, false, odd, 1);
  as_.alu_rr(kOr, true, work, odd);
  convert(dst, work, true);
  as_.sse(scalar_prefix(is_double), 0x58, dst, dst);
  as_.bind_near(done);
}

}  // namespace lyre::backend::x64
