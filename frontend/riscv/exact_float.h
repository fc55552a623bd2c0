// Exact IEEE 754 arithmetic in integers, for what host instructions do not give: round to nearest with ties away (RMM), a rounding mode other than the
// current one, half precision, and the results that need RISC-V's rules (saturating conversions). Tininess is detected after rounding, NaN results are
// canonical (Unprivileged ISA, "F": NaN Generation and Propagation). Cold: called from helpers only. Pure but for the flags, which are or-ed.
#pragma once
#include <cstdint>

#include "frontend/riscv/fp_helpers.h"

namespace lyre::riscv::exact {

// A binary format, values right-aligned in 64 bits.
struct Format {
  unsigned exponent_bits;
  unsigned precision;  // significant bits, the hidden one included
  constexpr unsigned width() const { return exponent_bits + precision; }
  constexpr int bias() const { return (1 << (exponent_bits - 1)) - 1; }
  constexpr uint64_t sign() const { return uint64_t{1} << (width() - 1); }
  constexpr uint64_t fraction_mask() const { return (uint64_t{1} << (precision - 1)) - 1; }
  constexpr uint64_t infinity() const { return ((uint64_t{1} << exponent_bits) - 1) << (precision - 1); }
  constexpr uint64_t quiet_bit() const { return uint64_t{1} << (precision - 2); }
  constexpr uint64_t canonical_nan() const { return infinity() | quiet_bit(); }
  constexpr uint64_t largest() const { return infinity() - 1; }
  constexpr bool is_nan(uint64_t bits) const { return (bits & ~sign()) > infinity(); }
  constexpr bool is_signaling(uint64_t bits) const { return is_nan(bits) && !(bits & quiet_bit()); }
  constexpr bool is_infinite(uint64_t bits) const { return (bits & ~sign()) == infinity(); }
  constexpr bool is_zero(uint64_t bits) const { return !(bits & ~sign()); }
};
inline constexpr Format kHalf{5, 11}, kSingle{8, 24}, kDouble{11, 53};

struct Context {
  RoundingMode rounding = kRne;
  uint32_t flags = 0;  // FloatFlags, sticky
};

uint64_t add(const Format& format, uint64_t a, uint64_t b, Context& context);
uint64_t subtract(const Format& format, uint64_t a, uint64_t b, Context& context);
uint64_t multiply(const Format& format, uint64_t a, uint64_t b, Context& context);
uint64_t divide(const Format& format, uint64_t a, uint64_t b, Context& context);
uint64_t square_root(const Format& format, uint64_t a, Context& context);
uint64_t multiply_add(const Format& format, uint64_t a, uint64_t b, uint64_t c, Context& context);  // a * b + c, rounded once
uint64_t convert(const Format& from, const Format& to, uint64_t a, Context& context);
uint64_t round_to_integral(const Format& format, uint64_t a, bool signal_inexact, Context& context);

// Integers of `bits` bits; results sign-extended from that width as RV64 wants them. NaN and overflow saturate with invalid only (table "Domains of
// float-to-integer conversions").
uint64_t to_integer(const Format& format, uint64_t a, unsigned bits, bool is_signed, Context& context);
uint64_t from_integer(const Format& format, uint64_t value, unsigned bits, bool is_signed, Context& context);
// fcvtmod.w.d: toward zero, modulo 2^32, sign-extended.
uint64_t to_integer_modular(uint64_t a, Context& context);

enum class Compare { kEqual, kLess, kLessEqual };
// quiet: only signalling NaNs raise invalid.
bool compare(const Format& format, Compare kind, bool quiet, uint64_t a, uint64_t b, Context& context);
// minimumNumber and maximumNumber; `propagate_nan`: minimum and maximum (fminm, fmaxm). -0 is less than +0.
uint64_t min_max(const Format& format, bool maximum, bool propagate_nan, uint64_t a, uint64_t b, Context& context);
// fclass: one bit of ten (table "Format of result of FCLASS").
uint64_t classify(const Format& format, uint64_t a);

}  // namespace lyre::riscv::exact
