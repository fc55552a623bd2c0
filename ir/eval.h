// The meaning of every operation without effects, once: constant folding and the interpreter use it, hosts are tested against it.
// Values are bit patterns, zero-extended to 128 bits ("canonical"); every function takes and gives canonical ones.
// Integer and bit operations are constexpr. Floating-point operations run on the host's own instructions under the current
// control/status register (rounding in, sticky flags out), so their caller loads the guest's one first; they are for the
// interpreter only and never folded.
#pragma once
#include <cstdint>

#include "ir/region.h"

namespace lyre::ir {

using Bits = unsigned __int128;
using SignedBits = __int128;

constexpr Bits type_mask(Type type) {
  unsigned bits = type_bits(type);
  return bits >= 128 ? ~Bits{0} : (Bits{1} << bits) - 1;
}
constexpr Bits truncate(Bits value, Type type) { return value & type_mask(type); }
constexpr SignedBits as_signed(Bits value, Type type) {
  unsigned shift = 128 - type_bits(type);
  return static_cast<SignedBits>(value << shift) >> shift;
}

namespace eval_detail {

constexpr Bits mul_high_unsigned_128(Bits a, Bits b) {
  constexpr Bits kLow = ~uint64_t{0};
  Bits a0 = a & kLow, a1 = a >> 64, b0 = b & kLow, b1 = b >> 64;
  Bits middle = a1 * b0 + ((a0 * b0) >> 64);
  Bits cross = a0 * b1 + (middle & kLow);
  return a1 * b1 + (middle >> 64) + (cross >> 64);
}

// High half of a * b where each factor is signed or not.
constexpr Bits mul_high(Bits a, bool a_signed, Bits b, bool b_signed, Type type) {
  unsigned bits = type_bits(type);
  if (bits == 128) {
    Bits high = mul_high_unsigned_128(a, b);
    if (a_signed && a >> 127) high -= b;
    if (b_signed && b >> 127) high -= a;
    return high;
  }
  SignedBits product;  // at most 64 x 64 bits: the wrapped 128-bit product holds all bits that are asked for
  Bits wide_a = a_signed ? static_cast<Bits>(as_signed(a, type)) : a;
  Bits wide_b = b_signed ? static_cast<Bits>(as_signed(b, type)) : b;
  product = static_cast<SignedBits>(wide_a * wide_b);
  return truncate(static_cast<Bits>(product) >> bits, type);
}

constexpr Bits count_leading_zeros(Bits value, unsigned width) {
  unsigned count = 0;
  while (count < width && !(value >> (width - 1 - count) & 1)) count++;
  return count;
}
constexpr Bits count_trailing_zeros(Bits value, unsigned width) {
  unsigned count = 0;
  while (count < width && !(value >> count & 1)) count++;
  return count;
}
constexpr Bits count_ones(Bits value) {
  unsigned count = 0;
  for (; value; value &= value - 1) count++;
  return count;
}
constexpr Bits swap_bytes(Bits value, unsigned width) {
  Bits result = 0;
  for (unsigned i = 0; i < width; i += 8) result |= (value >> i & 0xff) << (width - 8 - i);
  return result;
}
constexpr Bits reverse_in_bytes(Bits value, unsigned width) {
  Bits result = 0;
  for (unsigned i = 0; i < width; i++) result |= (value >> i & 1) << (i ^ 7);
  return result;
}
constexpr Bits or_combine(Bits value, unsigned width) {
  Bits result = 0;
  for (unsigned i = 0; i < width; i += 8) result |= (value >> i & 0xff) ? Bits{0xff} << i : 0;
  return result;
}
// Low and high half of the carry-less product of two width-bit values.
constexpr Bits carryless_low(Bits a, Bits b, unsigned width) {
  Bits result = 0;
  for (unsigned i = 0; i < width; i++)
    if (b >> i & 1) result ^= a << i;
  return result;
}
constexpr Bits carryless_high(Bits a, Bits b, unsigned width) {
  Bits result = 0;
  for (unsigned i = 1; i < width; i++)
    if (b >> i & 1) result ^= a >> (width - i);
  return result;
}
constexpr Bits rotate_left(Bits value, unsigned count, unsigned width) {
  return count ? value << count | value >> (width - count) : value;
}

}  // namespace eval_detail

constexpr bool eval_cond(Cond cond, Bits a, Bits b, Type type) {
  switch (cond) {
    case Cond::kEq: return a == b;
    case Cond::kNe: return a != b;
    case Cond::kLtS: return as_signed(a, type) < as_signed(b, type);
    case Cond::kGeS: return as_signed(a, type) >= as_signed(b, type);
    case Cond::kLtU: return a < b;
    case Cond::kGeU: return a >= b;
    case Cond::kLeS: return as_signed(a, type) <= as_signed(b, type);
    case Cond::kGtS: return as_signed(a, type) > as_signed(b, type);
    case Cond::kLeU: return a <= b;
    case Cond::kGtU: return a > b;
  }
  return false;
}

// Operation with its argument values. arg_type: type of args[0] (for width changes and compares; else equal to type).
struct EvalInput {
  Op op = Op::nop;
  Type type = Type::kI64;
  Type arg_type = Type::kI64;
  uint8_t aux = 0;
  Bits a = 0, b = 0, c = 0, d = 0;
};

// Whether eval_pure knows the operation: every kPure one but guest_pc, which depends on where the code lies.
constexpr bool can_eval_pure(Op op) { return has(op, kPure) && op != Op::guest_pc && op != Op::constant; }

namespace eval_detail {

constexpr Bits divide(const EvalInput& in) {
  Type type = in.type;
  Bits a = in.a, b = in.b;
  bool remainder = in.op == Op::rem_s || in.op == Op::rem_u;
  if (b == 0) return remainder ? a : 0;
  if (in.op == Op::div_u) return a / b;
  if (in.op == Op::rem_u) return a % b;
  // On magnitudes, so that the most negative value / -1 wraps instead of overflowing.
  bool a_negative = as_signed(a, type) < 0, b_negative = as_signed(b, type) < 0;
  Bits magnitude_a = a_negative ? truncate(-a, type) : a;
  Bits magnitude_b = b_negative ? truncate(-b, type) : b;
  Bits result = remainder ? magnitude_a % magnitude_b : magnitude_a / magnitude_b;
  bool negative = remainder ? a_negative : a_negative != b_negative;
  return truncate(negative ? -result : result, type);
}

constexpr Bits shift(const EvalInput& in) {
  unsigned width = type_bits(in.type);
  unsigned count = static_cast<unsigned>(in.b % width);
  switch (in.op) {
    case Op::shl: return truncate(in.a << count, in.type);
    case Op::shr: return in.a >> count;
    case Op::sar: return truncate(static_cast<Bits>(as_signed(in.a, in.type) >> count), in.type);
    case Op::rotl: return truncate(rotate_left(in.a, count, width), in.type);
    default: return truncate(rotate_left(in.a, count ? width - count : 0, width), in.type);
  }
}

constexpr Bits bit_operation(const EvalInput& in) {
  unsigned width = type_bits(in.type);
  switch (in.op) {
    case Op::clz: return count_leading_zeros(in.a, width);
    case Op::ctz: return count_trailing_zeros(in.a, width);
    case Op::popcnt: return count_ones(in.a);
    case Op::bswap: return swap_bytes(in.a, width);
    case Op::brev8: return reverse_in_bytes(in.a, width);
    case Op::orcb: return or_combine(in.a, width);
    case Op::clmul: return truncate(carryless_low(in.a, in.b, width), in.type);
    case Op::clmulh: return truncate(carryless_high(in.a, in.b, width), in.type);
    case Op::fneg: return in.a ^ Bits{1} << (width - 1);
    case Op::fabs: return in.a & ~(Bits{1} << (width - 1));
    default: {  // fcopysign
      Bits sign = Bits{1} << (width - 1);
      return (in.a & ~sign) | (in.b & sign);
    }
  }
}

}  // namespace eval_detail

// Pre: can_eval_pure(in.op).
constexpr Bits eval_pure(const EvalInput& in) {
  Type type = in.type;
  Bits a = in.a, b = in.b;
  switch (in.op) {
    case Op::add: return truncate(a + b, type);
    case Op::sub: return truncate(a - b, type);
    case Op::mul: return truncate(a * b, type);
    case Op::mulh_s: return eval_detail::mul_high(a, true, b, true, type);
    case Op::mulh_u: return eval_detail::mul_high(a, false, b, false, type);
    case Op::mulh_su: return eval_detail::mul_high(a, true, b, false, type);
    case Op::div_s: case Op::div_u: case Op::rem_s: case Op::rem_u: return eval_detail::divide(in);
    case Op::and_: return a & b;
    case Op::or_: return a | b;
    case Op::xor_: return a ^ b;
    case Op::andn: return a & ~b;
    case Op::not_: return truncate(~a, type);
    case Op::neg: return truncate(-a, type);
    case Op::shl: case Op::shr: case Op::sar: case Op::rotl: case Op::rotr: return eval_detail::shift(in);
    case Op::min_s: return as_signed(a, type) < as_signed(b, type) ? a : b;
    case Op::max_s: return as_signed(a, type) > as_signed(b, type) ? a : b;
    case Op::min_u: return a < b ? a : b;
    case Op::max_u: return a > b ? a : b;
    case Op::zext: case Op::bitcast: return a;
    case Op::sext: return truncate(static_cast<Bits>(as_signed(a, in.arg_type)), type);
    case Op::trunc: return truncate(a, type);
    case Op::cmp: return eval_cond(static_cast<Cond>(in.aux), a, b, in.arg_type);
    case Op::select: return a ? b : in.c;
    case Op::select_cmp: return eval_cond(static_cast<Cond>(in.aux), a, b, in.arg_type) ? in.c : in.d;
    default: return eval_detail::bit_operation(in);
  }
}

// Whether eval_float knows the operation and types: the non-pure floating-point ones on f32 and f64.
bool can_eval_float(Op op, Type type, Type arg_type);
// Pre: can_eval_float. Reads and updates the host's control/status register.
Bits eval_float(const EvalInput& in);

// The atomic operation on values of `size` bytes: what memory becomes.
constexpr uint64_t eval_rmw(RmwKind kind, uint64_t memory, uint64_t operand, unsigned size) {
  Type type = size == 1 ? Type::kI8 : size == 2 ? Type::kI16 : size == 4 ? Type::kI32 : Type::kI64;
  Bits a = truncate(memory, type), b = truncate(operand, type);
  constexpr Op kOps[] = {Op::nop, Op::add, Op::and_, Op::or_, Op::xor_, Op::min_s, Op::max_s, Op::min_u, Op::max_u};
  if (kind == RmwKind::kSwap) return static_cast<uint64_t>(b);
  return static_cast<uint64_t>(eval_pure({kOps[static_cast<unsigned>(kind)], type, type, 0, a, b, 0, 0}));
}

}  // namespace lyre::ir
