#include <bit>

#include "ir/pass/fold.h"

namespace lyre::ir {
namespace {

KnownBits shifted(const Emitter& out, const Inst& inst, KnownBits from) {
  unsigned width = type_bits(inst.type);
  unsigned count = static_cast<unsigned>(out[inst.args[1]].imm % width);
  KnownBits known;
  if (inst.op == Op::shl) {
    known.zeros = from.zeros << count | ((uint64_t{1} << count) - 1);
    known.ones = from.ones << count;
  } else {
    uint64_t mask = int_mask(inst.type);
    known.zeros = (from.zeros & mask) >> count | (mask & ~(mask >> count));
    known.ones = from.ones >> count;
  }
  return known;
}

KnownBits known_unmasked(const Emitter& out, const Inst& inst, unsigned depth) {
  KnownBits known;
  auto argument = [&](unsigned i) { return known_bits(out, inst.args[i], depth - 1); };
  switch (inst.op) {
    case Op::constant: return {~inst.imm, inst.imm};
    case Op::load:
      if (!inst.mem().sign_extend && inst.mem().size() < 8) known.zeros = ~uint64_t{0} << 8 * inst.mem().size();
      return known;
    default: break;
  }
  if (depth == 0) return known;
  switch (inst.op) {
    case Op::zext: case Op::trunc: return argument(0);
    case Op::and_: {
      KnownBits a = argument(0), b = argument(1);
      return {a.zeros | b.zeros, a.ones & b.ones};
    }
    case Op::or_: {
      KnownBits a = argument(0), b = argument(1);
      return {a.zeros & b.zeros, a.ones | b.ones};
    }
    case Op::shl: case Op::shr:
      if (out.is_constant(inst.args[1])) return shifted(out, inst, argument(0));
      return known;
    case Op::select: {
      KnownBits a = argument(1), b = argument(2);
      return {a.zeros & b.zeros, a.ones & b.ones};
    }
    default: return known;
  }
}

}  // namespace

KnownBits known_bits(const Emitter& out, const Inst& inst, unsigned depth) {
  if (!is_int(inst.type) || type_bits(inst.type) > 64) return {};
  KnownBits known = known_unmasked(out, inst, depth);
  uint64_t mask = int_mask(inst.type);
  return {known.zeros | ~mask, known.ones & mask};
}

KnownBits known_bits(const Emitter& out, ValueId value, unsigned depth) { return known_bits(out, out[value], depth); }

unsigned sign_bits(const Emitter& out, ValueId value) {
  const Inst& inst = out[value];
  unsigned width = type_bits(inst.type);
  switch (inst.op) {
    case Op::sext: return width - type_bits(out[inst.args[0]].type) + 1;
    case Op::load: {
      unsigned loaded = 8 * inst.mem().size();
      if (inst.mem().sign_extend) return width - loaded + 1;
      break;
    }
    case Op::sar:
      if (out.is_constant(inst.args[1])) return static_cast<unsigned>(out[inst.args[1]].imm % width) + 1;
      break;
    default: break;
  }
  if (width > 64) return 1;
  uint64_t zeros = known_bits(out, value).zeros;
  unsigned leading = static_cast<unsigned>(std::countl_one(zeros << (64 - width)));
  return leading > width ? width : leading ? leading : 1;
}

}  // namespace lyre::ir
