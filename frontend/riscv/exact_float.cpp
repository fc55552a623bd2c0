// See exact_float.h. Numbers are unpacked to a 64-bit significand with its top bit set; results pass through one rounding function.
#include "frontend/riscv/exact_float.h"

#include <bit>
#include <utility>

namespace lyre::riscv::exact {
namespace {

using Wide = unsigned __int128;

// value = significand * 2^exponent; the top bit of the significand is set.
struct Finite {
  bool sign;
  int exponent;
  uint64_t significand;
};

Finite unpack(const Format& format, uint64_t bits) {
  unsigned fraction_bits = format.precision - 1;
  int biased = static_cast<int>((bits & ~format.sign()) >> fraction_bits);
  uint64_t fraction = bits & format.fraction_mask();
  if (biased) fraction |= uint64_t{1} << fraction_bits;
  else biased = 1;
  int shift = std::countl_zero(fraction);
  return {(bits & format.sign()) != 0, biased - format.bias() - static_cast<int>(fraction_bits) - shift, fraction << shift};
}

uint64_t signed_zero(const Format& format, bool sign) { return sign ? format.sign() : 0; }
uint64_t signed_infinity(const Format& format, bool sign) { return format.infinity() | signed_zero(format, sign); }

uint64_t invalid(const Format& format, Context& context) {
  context.flags |= kFlagNV;
  return format.canonical_nan();
}
// The NaN result of an operation with NaN operands.
uint64_t nan_result(const Format& format, Context& context, uint64_t a, uint64_t b = 0, uint64_t c = 0) {
  if (format.is_signaling(a) || format.is_signaling(b) || format.is_signaling(c)) context.flags |= kFlagNV;
  return format.canonical_nan();
}

unsigned top_bit(Wide value) {
  auto high = static_cast<uint64_t>(value >> 64);
  return high ? 127 - static_cast<unsigned>(std::countl_zero(high)) : 63 - static_cast<unsigned>(std::countl_zero(static_cast<uint64_t>(value)));
}

// value >> shift with the lost bits or-ed into the lowest one.
Wide shift_right_sticky(Wide value, int shift) {
  if (shift <= 0) return value;
  if (shift > 127) return value != 0;
  return value >> shift | ((value & ((Wide{1} << shift) - 1)) != 0);
}

// Whether to add one unit to a truncated magnitude: `low` are the dropped bits, `half` the value of half a unit (0: nothing was dropped).
bool round_up(RoundingMode mode, bool sign, bool odd, Wide low, Wide half) {
  switch (mode) {
    case kRne: return low > half || (low == half && half && odd);
    case kRmm: return half && low >= half;
    case kRdn: return sign && low;
    case kRup: return !sign && low;
    default: return false;
  }
}

// significand >> shift, rounded.
Wide round_shift(Wide significand, int shift, RoundingMode mode, bool sign, bool& inexact) {
  if (shift <= 0) {
    inexact = false;
    return significand << -shift;
  }
  if (shift > 126) significand = shift_right_sticky(significand, shift - 126), shift = 126;
  Wide low = significand & ((Wide{1} << shift) - 1);
  inexact = low != 0;
  Wide kept = significand >> shift;
  return kept + round_up(mode, sign, kept & 1, low, Wide{1} << (shift - 1));
}

uint64_t overflow(const Format& format, bool sign, Context& context) {
  context.flags |= kFlagOF | kFlagNX;
  bool finite = context.rounding == kRtz || (context.rounding == kRdn && !sign) || (context.rounding == kRup && sign);
  return signed_zero(format, sign) | (finite ? format.largest() : format.infinity());
}

// The nonzero value significand * 2^exponent, rounded to the format. A sticky lowest bit may stand for lost ones if at least precision + 2 bits are above it.
uint64_t round_pack(const Format& format, bool sign, int exponent, Wide significand, Context& context) {
  int precision = static_cast<int>(format.precision);
  int top = exponent + static_cast<int>(top_bit(significand));
  int least_normal = 1 - format.bias();
  bool tiny = top < least_normal;
  int unit = (tiny ? least_normal : top) - (precision - 1);  // exponent of the last place
  bool inexact;
  Wide rounded = round_shift(significand, unit - exponent, context.rounding, sign, inexact);
  if (tiny && inexact) {
    // Tiny after rounding: would not reach the least normal number with an unbounded exponent either.
    bool ignored;
    Wide unbounded = round_shift(significand, top - (precision - 1) - exponent, context.rounding, sign, ignored);
    if (top + static_cast<int>(top_bit(unbounded)) - (precision - 1) < least_normal) context.flags |= kFlagUF;
  }
  if (inexact) context.flags |= kFlagNX;
  if (!rounded) return signed_zero(format, sign);
  if (rounded >> precision) rounded >>= 1, ++unit;
  uint64_t fraction = static_cast<uint64_t>(rounded) & format.fraction_mask();
  int biased = rounded >> (precision - 1) ? unit + (precision - 1) + format.bias() : 0;
  if (biased >= (1 << format.exponent_bits) - 1) return overflow(format, sign, context);
  return signed_zero(format, sign) | static_cast<uint64_t>(biased) << (precision - 1) | fraction;
}

// Sum of two nonzero terms given with their top bit at 125 or 124 and room below.
struct Term {
  bool sign;
  int exponent;
  Wide significand;
};
uint64_t sum(const Format& format, Term a, Term b, Context& context) {
  if (a.exponent + static_cast<int>(top_bit(a.significand)) < b.exponent + static_cast<int>(top_bit(b.significand))) std::swap(a, b);
  int distance = a.exponent - b.exponent;
  // Exponents may differ by one the other way round when the tops are at different bits.
  if (distance < 0) a.significand = shift_right_sticky(a.significand, -distance), a.exponent = b.exponent;
  else b.significand = shift_right_sticky(b.significand, distance);
  if (a.sign == b.sign) return round_pack(format, a.sign, a.exponent, a.significand + b.significand, context);
  if (a.significand == b.significand) return signed_zero(format, context.rounding == kRdn);
  bool swapped = a.significand < b.significand;
  Wide difference = swapped ? b.significand - a.significand : a.significand - b.significand;
  return round_pack(format, swapped ? b.sign : a.sign, a.exponent, difference, context);
}

Term term_of(const Finite& value) { return {value.sign, value.exponent - 62, Wide{value.significand} << 62}; }

}  // namespace

uint64_t add(const Format& format, uint64_t a, uint64_t b, Context& context) {
  if (format.is_nan(a) || format.is_nan(b)) return nan_result(format, context, a, b);
  if (format.is_infinite(a)) return format.is_infinite(b) && a != b ? invalid(format, context) : a;
  if (format.is_infinite(b)) return b;
  if (format.is_zero(a) && format.is_zero(b)) return a == b ? a : signed_zero(format, context.rounding == kRdn);
  if (format.is_zero(a)) return b;
  if (format.is_zero(b)) return a;
  return sum(format, term_of(unpack(format, a)), term_of(unpack(format, b)), context);
}

uint64_t subtract(const Format& format, uint64_t a, uint64_t b, Context& context) {
  if (format.is_nan(b)) return nan_result(format, context, a, b);
  return add(format, a, b ^ format.sign(), context);
}

uint64_t multiply(const Format& format, uint64_t a, uint64_t b, Context& context) {
  if (format.is_nan(a) || format.is_nan(b)) return nan_result(format, context, a, b);
  bool sign = (a ^ b) & format.sign();
  bool infinite = format.is_infinite(a) || format.is_infinite(b), zero = format.is_zero(a) || format.is_zero(b);
  if (infinite) return zero ? invalid(format, context) : signed_infinity(format, sign);
  if (zero) return signed_zero(format, sign);
  Finite x = unpack(format, a), y = unpack(format, b);
  return round_pack(format, sign, x.exponent + y.exponent, Wide{x.significand} * y.significand, context);
}

uint64_t divide(const Format& format, uint64_t a, uint64_t b, Context& context) {
  if (format.is_nan(a) || format.is_nan(b)) return nan_result(format, context, a, b);
  bool sign = (a ^ b) & format.sign();
  if (format.is_infinite(a)) return format.is_infinite(b) ? invalid(format, context) : signed_infinity(format, sign);
  if (format.is_infinite(b)) return signed_zero(format, sign);
  if (format.is_zero(b)) {
    if (format.is_zero(a)) return invalid(format, context);
    context.flags |= kFlagDZ;
    return signed_infinity(format, sign);
  }
  if (format.is_zero(a)) return signed_zero(format, sign);
  Finite x = unpack(format, a), y = unpack(format, b);
  Wide numerator = Wide{x.significand} << 63;
  Wide quotient = numerator / y.significand << 1 | (numerator % y.significand != 0);
  return round_pack(format, sign, x.exponent - y.exponent - 64, quotient, context);
}

uint64_t square_root(const Format& format, uint64_t a, Context& context) {
  if (format.is_nan(a)) return nan_result(format, context, a);
  if (format.is_zero(a)) return a;
  if (a & format.sign()) return invalid(format, context);
  if (format.is_infinite(a)) return a;
  Finite x = unpack(format, a);
  // An even exponent and 126 or 127 bits, so that the root has 63 or 64.
  Wide square = Wide{x.significand} << 62;
  int exponent = x.exponent - 62;
  if (exponent & 1) square <<= 1, --exponent;
  uint64_t root = 0;
  for (uint64_t bit = uint64_t{1} << 63; bit; bit >>= 1)
    if (Wide{root | bit} * (root | bit) <= square) root |= bit;
  bool inexact = Wide{root} * root != square;
  return round_pack(format, false, exponent / 2 - 1, Wide{root} << 1 | inexact, context);
}

uint64_t multiply_add(const Format& format, uint64_t a, uint64_t b, uint64_t c, Context& context) {
  bool zero_times_infinity = (format.is_infinite(a) && format.is_zero(b)) || (format.is_zero(a) && format.is_infinite(b));
  if (zero_times_infinity) return invalid(format, context);  // also with a quiet NaN addend (Unprivileged ISA, "F", FMADD)
  if (format.is_nan(a) || format.is_nan(b) || format.is_nan(c)) return nan_result(format, context, a, b, c);
  bool sign = (a ^ b) & format.sign(), addend_sign = c & format.sign();
  if (format.is_infinite(a) || format.is_infinite(b))
    return format.is_infinite(c) && sign != addend_sign ? invalid(format, context) : signed_infinity(format, sign);
  if (format.is_infinite(c)) return c;
  if (format.is_zero(a) || format.is_zero(b)) {
    if (!format.is_zero(c)) return c;
    return sign == addend_sign ? c : signed_zero(format, context.rounding == kRdn);
  }
  Finite x = unpack(format, a), y = unpack(format, b);
  Wide product = Wide{x.significand} * y.significand;  // its low bits are zero: 64-bit significands of at most 53 bits
  if (format.is_zero(c)) return round_pack(format, sign, x.exponent + y.exponent, product, context);
  return sum(format, {sign, x.exponent + y.exponent + 2, product >> 2}, term_of(unpack(format, c)), context);
}

uint64_t convert(const Format& from, const Format& to, uint64_t a, Context& context) {
  bool sign = a & from.sign();
  if (from.is_nan(a)) {
    if (from.is_signaling(a)) context.flags |= kFlagNV;
    return to.canonical_nan();
  }
  if (from.is_infinite(a)) return signed_infinity(to, sign);
  if (from.is_zero(a)) return signed_zero(to, sign);
  Finite x = unpack(from, a);
  return round_pack(to, sign, x.exponent, x.significand, context);
}

uint64_t round_to_integral(const Format& format, uint64_t a, bool signal_inexact, Context& context) {
  if (format.is_nan(a)) return nan_result(format, context, a);
  if (format.is_infinite(a) || format.is_zero(a)) return a;
  Finite x = unpack(format, a);
  if (x.exponent >= 0) return a;
  bool inexact;
  Wide whole = round_shift(x.significand, -x.exponent, context.rounding, x.sign, inexact);
  if (!inexact) return a;
  if (signal_inexact) context.flags |= kFlagNX;
  if (!whole) return signed_zero(format, x.sign);
  Context exact;  // an integer that a rounded significand can hold
  return round_pack(format, x.sign, 0, whole, exact);
}

uint64_t to_integer(const Format& format, uint64_t a, unsigned bits, bool is_signed, Context& context) {
  uint64_t ones = bits == 64 ? ~uint64_t{0} : (uint64_t{1} << bits) - 1;
  uint64_t largest = is_signed ? ones >> 1 : ones, smallest = is_signed ? ~(ones >> 1) : 0;
  uint64_t extended_largest = bits == 32 && !is_signed ? ~uint64_t{0} : largest;  // unsigned words are sign-extended too
  bool sign = a & format.sign();
  if (format.is_nan(a) || format.is_infinite(a)) {
    context.flags |= kFlagNV;
    return format.is_nan(a) || !sign ? extended_largest : smallest;
  }
  if (format.is_zero(a)) return 0;
  Finite x = unpack(format, a);
  bool inexact = false;
  Wide whole = x.exponent > 63 ? ~Wide{0} : round_shift(x.significand, -x.exponent, context.rounding, sign, inexact);
  Wide limit = sign ? (is_signed ? Wide{largest} + 1 : Wide{0}) : Wide{largest};
  if (whole > limit) {
    context.flags |= kFlagNV;
    return sign ? smallest : extended_largest;
  }
  if (inexact) context.flags |= kFlagNX;
  auto value = static_cast<uint64_t>(whole);
  if (sign) value = -value;
  return bits == 32 ? static_cast<uint64_t>(int64_t{static_cast<int32_t>(value)}) : value;
}

uint64_t from_integer(const Format& format, uint64_t value, unsigned bits, bool is_signed, Context& context) {
  if (bits == 32) value = is_signed ? static_cast<uint64_t>(int64_t{static_cast<int32_t>(value)}) : static_cast<uint32_t>(value);
  if (!value) return 0;
  bool sign = is_signed && value >> 63;
  return round_pack(format, sign, 0, sign ? -value : value, context);
}

uint64_t to_integer_modular(uint64_t a, Context& context) {
  Context truncation{kRtz, 0};
  to_integer(kDouble, a, 32, true, truncation);
  context.flags |= truncation.flags;
  if (kDouble.is_nan(a) || kDouble.is_infinite(a) || kDouble.is_zero(a)) return 0;
  Finite x = unpack(kDouble, a);
  uint64_t whole = 0;
  if (x.exponent >= 0) whole = x.exponent >= 32 ? 0 : x.significand << x.exponent;
  else if (x.exponent > -64) whole = x.significand >> -x.exponent;
  if (x.sign) whole = -whole;
  return static_cast<uint64_t>(int64_t{static_cast<int32_t>(whole)});
}

bool compare(const Format& format, Compare kind, bool quiet, uint64_t a, uint64_t b, Context& context) {
  if (format.is_nan(a) || format.is_nan(b)) {
    if (!quiet || format.is_signaling(a) || format.is_signaling(b)) context.flags |= kFlagNV;
    return false;
  }
  bool equal = a == b || (format.is_zero(a) && format.is_zero(b));
  if (kind == Compare::kEqual || equal) return equal && kind != Compare::kLess;
  bool sign_a = a & format.sign(), sign_b = b & format.sign();
  if (sign_a != sign_b) return sign_a;
  return sign_a ? a > b : a < b;
}

uint64_t min_max(const Format& format, bool maximum, bool propagate_nan, uint64_t a, uint64_t b, Context& context) {
  bool nan_a = format.is_nan(a), nan_b = format.is_nan(b);
  if (format.is_signaling(a) || format.is_signaling(b)) context.flags |= kFlagNV;
  if (nan_a || nan_b) return propagate_nan || (nan_a && nan_b) ? format.canonical_nan() : nan_a ? b : a;
  bool less;  // a before b, with -0 before +0
  if (format.is_zero(a) && format.is_zero(b)) less = a & format.sign();
  else less = compare(format, Compare::kLess, true, a, b, context);
  return less != maximum ? a : b;
}

uint64_t classify(const Format& format, uint64_t a) {
  bool sign = a & format.sign();
  if (format.is_nan(a)) return format.is_signaling(a) ? 1 << 8 : 1 << 9;
  if (format.is_infinite(a)) return sign ? 1 << 0 : 1 << 7;
  if (format.is_zero(a)) return sign ? 1 << 3 : 1 << 4;
  bool subnormal = !(a & format.infinity());
  if (subnormal) return sign ? 1 << 2 : 1 << 5;
  return sign ? 1 << 1 : 1 << 6;
}

}  // namespace lyre::riscv::exact
