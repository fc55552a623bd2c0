// What a floating-point operation must give, computed by MPFR: the exact value (or enough bits and a sticky one), then one rounding to the format by
// MPFR's integer rounding of the value scaled to the last place. Independent of the frontend's own exact arithmetic.
#pragma once
#include <gmp.h>
#include <mpfr.h>

#include <cstdint>

namespace lyre::test {

struct FloatFormat {
  int exponent_bits, precision;
  int width() const { return exponent_bits + precision; }
  int bias() const { return (1 << (exponent_bits - 1)) - 1; }
  uint64_t sign() const { return uint64_t{1} << (width() - 1); }
  uint64_t infinity() const { return ((uint64_t{1} << exponent_bits) - 1) << (precision - 1); }
  uint64_t nan() const { return infinity() | uint64_t{1} << (precision - 2); }
  bool is_nan(uint64_t b) const { return (b & ~sign()) > infinity(); }
  bool is_signaling(uint64_t b) const { return is_nan(b) && !(b >> (precision - 2) & 1); }
};
inline constexpr FloatFormat kRefHalf{5, 11}, kRefSingle{8, 24}, kRefDouble{11, 53};

inline constexpr unsigned kRefNX = 1, kRefUF = 2, kRefOF = 4, kRefDZ = 8, kRefNV = 16;
enum class RefOp { kAdd, kSub, kMul, kDiv, kSqrt, kMadd, kMsub, kNmsub, kNmadd };
// Rounding modes as RISC-V numbers them: nearest even, to zero, down, up, nearest away.

class Real {
 public:
  explicit Real(mpfr_prec_t bits = 64) { mpfr_init2(value, bits); }
  ~Real() { mpfr_clear(value); }
  Real(const Real&) = delete;
  Real& operator=(const Real&) = delete;
  mpfr_t value;
};

// The value of bits that are not NaN.
inline void ref_decode(const FloatFormat& f, uint64_t bits, mpfr_t out) {
  bool negative = bits & f.sign();
  uint64_t fraction = bits & ((uint64_t{1} << (f.precision - 1)) - 1);
  int biased = static_cast<int>((bits & ~f.sign()) >> (f.precision - 1));
  if (biased == (1 << f.exponent_bits) - 1) {
    mpfr_set_inf(out, negative ? -1 : 1);
  } else {
    if (biased) fraction |= uint64_t{1} << (f.precision - 1);
    mpfr_set_ui_2exp(out, fraction, (biased ? biased : 1) - f.bias() - (f.precision - 1), MPFR_RNDZ);
    if (!fraction) mpfr_set_zero(out, 1);
    if (negative) mpfr_neg(out, out, MPFR_RNDZ);
  }
}

// Rounds to an integer in place; true: it was not one.
inline bool ref_round_integer(mpfr_t value, int mode) {
  if (mpfr_integer_p(value)) return false;
  switch (mode) {
    case 0: mpfr_rint(value, value, MPFR_RNDN); break;  // ties to even
    case 1: mpfr_trunc(value, value); break;
    case 2: mpfr_floor(value, value); break;
    case 3: mpfr_ceil(value, value); break;
    default: mpfr_round(value, value); break;  // ties away
  }
  return true;
}

// Rounds a finite nonzero value to `precision` bits, or to multiples of 2^least if that is coarser. True: inexact.
inline bool ref_round_to(mpfr_t value, int precision, long least, bool limited, int mode) {
  long unit = mpfr_get_exp(value) - precision;
  if (limited && unit < least) unit = least;
  mpfr_mul_2si(value, value, -unit, MPFR_RNDN);
  bool inexact = ref_round_integer(value, mode);
  mpfr_mul_2si(value, value, unit, MPFR_RNDN);
  return inexact;
}

// `value` (its precision holds it exactly or with a sticky bit) to the format. Zero and infinity keep their sign.
inline uint64_t ref_encode(const FloatFormat& f, mpfr_t value, int mode, unsigned& flags) {
  uint64_t sign = mpfr_signbit(value) ? f.sign() : 0;
  if (mpfr_inf_p(value)) return sign | f.infinity();
  if (mpfr_zero_p(value)) return sign;
  Real unbounded(mpfr_get_prec(value));
  mpfr_set(unbounded.value, value, MPFR_RNDN);
  ref_round_to(unbounded.value, f.precision, 0, false, mode);
  bool tiny = mpfr_get_exp(unbounded.value) - 1 < 1 - f.bias();
  bool inexact = ref_round_to(value, f.precision, 1 - f.bias() - (f.precision - 1), true, mode);
  if (inexact) flags |= kRefNX | (tiny ? kRefUF : 0);
  if (mpfr_zero_p(value)) return sign;
  if (mpfr_get_exp(value) - 1 > f.bias()) {
    flags |= kRefOF | kRefNX;
    bool stays = mode == 1 || (mode == 2 && !sign) || (mode == 3 && sign);
    return sign | (stays ? f.infinity() - 1 : f.infinity());
  }
  long exponent = mpfr_get_exp(value) - 1;
  bool subnormal = exponent < 1 - f.bias();
  if (subnormal) exponent = 1 - f.bias();
  mpfr_mul_2si(value, value, f.precision - 1 - exponent, MPFR_RNDN);
  mpfr_abs(value, value, MPFR_RNDN);
  uint64_t significand = mpfr_get_uj(value, MPFR_RNDZ);
  if (subnormal) return sign | significand;
  return sign | static_cast<uint64_t>(exponent + f.bias()) << (f.precision - 1) | (significand & ((uint64_t{1} << (f.precision - 1)) - 1));
}

// Cuts a value computed toward zero with a remainder: moves it a little away from zero, so that it stands between representable values.
inline void ref_stick(mpfr_t value, int ternary) {
  if (!ternary || mpfr_zero_p(value)) return;
  if (mpfr_sgn(value) > 0) mpfr_nextabove(value);
  else mpfr_nextbelow(value);
}

inline uint64_t ref_operate(const FloatFormat& f, RefOp op, uint64_t a, uint64_t b, uint64_t c, int mode, unsigned& flags) {
  bool two = op != RefOp::kSqrt, three = op >= RefOp::kMadd;
  if (f.is_signaling(a) || (two && f.is_signaling(b)) || (three && f.is_signaling(c))) flags |= kRefNV;
  bool product_invalid = three && (((a & ~f.sign()) == f.infinity() && !(b & ~f.sign())) || ((b & ~f.sign()) == f.infinity() && !(a & ~f.sign())));
  if (product_invalid) flags |= kRefNV;
  if (product_invalid || f.is_nan(a) || (two && f.is_nan(b)) || (three && f.is_nan(c))) return f.nan();
  constexpr mpfr_prec_t kExact = 8192, kMany = 256;
  Real x, y, z, result(op == RefOp::kDiv || op == RefOp::kSqrt ? kMany : kExact);
  ref_decode(f, a, x.value);
  ref_decode(f, b, y.value);
  if (three) ref_decode(f, c, z.value);
  // Only an exact zero's sign depends on the mode here.
  mpfr_rnd_t zero_mode = mode == 2 ? MPFR_RNDD : MPFR_RNDN;
  mpfr_clear_flags();
  switch (op) {
    case RefOp::kAdd: mpfr_add(result.value, x.value, y.value, zero_mode); break;
    case RefOp::kSub: mpfr_sub(result.value, x.value, y.value, zero_mode); break;
    case RefOp::kMul: mpfr_mul(result.value, x.value, y.value, MPFR_RNDN); break;
    case RefOp::kDiv: ref_stick(result.value, mpfr_div(result.value, x.value, y.value, MPFR_RNDZ)); break;
    case RefOp::kSqrt: ref_stick(result.value, mpfr_sqrt(result.value, x.value, MPFR_RNDZ)); break;
    case RefOp::kMadd: mpfr_fma(result.value, x.value, y.value, z.value, zero_mode); break;
    case RefOp::kMsub: mpfr_fms(result.value, x.value, y.value, z.value, zero_mode); break;
    default: {
      mpfr_neg(x.value, x.value, MPFR_RNDN);
      if (op == RefOp::kNmsub) mpfr_fma(result.value, x.value, y.value, z.value, zero_mode);
      else mpfr_fms(result.value, x.value, y.value, z.value, zero_mode);
    }
  }
  if (mpfr_divby0_p()) flags |= kRefDZ;
  if (mpfr_nan_p(result.value)) {
    flags |= kRefNV;
    return f.nan();
  }
  return ref_encode(f, result.value, mode, flags);
}

inline uint64_t ref_convert(const FloatFormat& from, const FloatFormat& to, uint64_t a, int mode, unsigned& flags) {
  if (from.is_signaling(a)) flags |= kRefNV;
  if (from.is_nan(a)) return to.nan();
  Real x(4096);
  ref_decode(from, a, x.value);
  return ref_encode(to, x.value, mode, flags);
}

// Rounding to an integral value in the format; the caller decides about inexact.
inline uint64_t ref_integral(const FloatFormat& f, uint64_t a, int mode, unsigned& flags) {
  if (f.is_signaling(a)) flags |= kRefNV;
  if (f.is_nan(a)) return f.nan();
  Real x(4096);
  ref_decode(f, a, x.value);
  if (mpfr_inf_p(x.value) || mpfr_zero_p(x.value)) return a;
  if (ref_round_integer(x.value, mode)) flags |= kRefNX;
  unsigned none = 0;
  return mpfr_zero_p(x.value) ? a & f.sign() : ref_encode(f, x.value, 0, none);
}

// To an integer of 32 or 64 bits, sign-extended to 64 as RV64 does.
inline uint64_t ref_to_integer(const FloatFormat& f, uint64_t a, int bits, bool is_signed, int mode, unsigned& flags) {
  Real x(4096);
  mpz_t low, high, integer;
  mpz_inits(low, high, integer, nullptr);
  mpz_set_ui(high, 1);
  mpz_mul_2exp(high, high, static_cast<unsigned long>(is_signed ? bits - 1 : bits));
  if (is_signed) mpz_neg(low, high);
  mpz_sub_ui(high, high, 1);
  unsigned raised = 0;
  if (f.is_nan(a)) {
    raised = kRefNV;
    mpz_set(integer, high);
  } else {
    ref_decode(f, a, x.value);
    if (!mpfr_inf_p(x.value) && ref_round_integer(x.value, mode)) raised = kRefNX;
    bool over = mpfr_cmp_z(x.value, high) > 0, under = mpfr_cmp_z(x.value, low) < 0;
    if (over || under) raised = kRefNV, mpz_set(integer, over ? high : low);
    else mpfr_get_z(integer, x.value, MPFR_RNDZ);
  }
  flags |= raised;
  mpz_t wrapped;
  mpz_init(wrapped);
  mpz_fdiv_r_2exp(wrapped, integer, 64);
  uint64_t result = mpz_get_ui(wrapped);
  mpz_clears(low, high, integer, wrapped, nullptr);
  return bits == 32 ? static_cast<uint64_t>(int64_t{static_cast<int32_t>(result)}) : result;
}

inline uint64_t ref_from_integer(const FloatFormat& f, uint64_t value, int bits, bool is_signed, int mode, unsigned& flags) {
  Real x(128);
  if (bits == 32) value = is_signed ? static_cast<uint64_t>(int64_t{static_cast<int32_t>(value)}) : static_cast<uint32_t>(value);
  if (is_signed) mpfr_set_sj(x.value, static_cast<int64_t>(value), MPFR_RNDN);
  else mpfr_set_uj(x.value, value, MPFR_RNDN);
  return ref_encode(f, x.value, mode, flags);
}

}  // namespace lyre::test
