// Parts of constant folding, one file each. A rule looks at an instruction whose arguments are final; it answers with an existing
// value, says that it changed the instruction (then the rules are tried again), or that it has nothing to say.
#pragma once
#include "ir/pass/local.h"

namespace lyre::ir {

struct Folded {
  enum Kind : uint8_t { kNothing, kChanged, kValue } kind = kNothing;
  ValueId value = kNoId;
  static Folded same(ValueId value) { return {kValue, value}; }
  static Folded changed() { return {kChanged, kNoId}; }
};

Folded fold_arithmetic(Emitter& out, Inst& inst);  // fold_arithmetic.cpp: add ... rem_u
Folded fold_bitwise(Emitter& out, Inst& inst);     // fold_bitwise.cpp: and ... neg, shifts
Folded fold_width(Emitter& out, Inst& inst);       // fold_width.cpp: zext, sext, trunc, bitcast
Folded fold_choice(Emitter& out, Inst& inst);      // fold_choice.cpp: cmp, select, exits

// Bits of an integer value of at most 64 bits that are the same in every execution. Looks a few operations back.
struct KnownBits {
  uint64_t zeros = 0;  // bits that are 0; all bits above the type's width
  uint64_t ones = 0;
  bool all() const { return (zeros | ones) == ~uint64_t{0}; }
};
// Whether it is worth asking about a value made by this operation.
constexpr bool may_know_bits(Op op) {
  return op == Op::zext || op == Op::trunc || op == Op::or_ || op == Op::and_ || op == Op::shl || op == Op::shr || op == Op::load || op == Op::select ||
         op == Op::constant;
}
KnownBits known_bits(const Emitter& out, ValueId value, unsigned depth = 3);
KnownBits known_bits(const Emitter& out, const Inst& inst, unsigned depth = 3);
// How many top bits equal the sign bit, at least 1.
unsigned sign_bits(const Emitter& out, ValueId value);

inline uint64_t int_mask(Type type) { return type_bits(type) >= 64 ? ~uint64_t{0} : (uint64_t{1} << type_bits(type)) - 1; }

// inst becomes `op` of the given arguments, type kept.
inline Folded becomes(Inst& inst, Op op, ValueId a, ValueId b = kNoId, ValueId c = kNoId) {
  inst.op = op, inst.aux = 0, inst.imm = 0;
  inst.args[0] = a, inst.args[1] = b, inst.args[2] = c, inst.args[3] = kNoId;
  return Folded::changed();
}
inline Folded becomes_constant(Inst& inst, uint64_t bits) {
  uint64_t mask = int_mask(inst.type);
  becomes(inst, Op::constant, kNoId);
  inst.imm = bits & mask;
  return Folded::changed();
}

}  // namespace lyre::ir
