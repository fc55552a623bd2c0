// Floating-point evaluation on the host's SSE and FMA instructions. Written as volatile assembly, so that the compiler neither
// folds an operation nor moves it across a change of the control/status register.
#include <cfenv>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include "ir/eval.h"
#include "runtime/base/check.h"

#if !defined(__x86_64__)
#error "eval_float is written for x86-64 hosts; add this host's instructions"
#endif

namespace lyre::ir {
namespace {

template <typename F>
F from_bits(Bits bits) {
  std::conditional_t<sizeof(F) == 4, uint32_t, uint64_t> low = static_cast<decltype(low)>(bits);
  F value;
  std::memcpy(&value, &low, sizeof value);
  return value;
}
template <typename F>
Bits to_bits(F value) {
  std::conditional_t<sizeof(F) == 4, uint32_t, uint64_t> low;
  std::memcpy(&low, &value, sizeof value);
  return low;
}

#define LYRE_SSE_BINARY(name, mnemonic)                                          \
  float name(float a, float b) {                                                 \
    asm volatile(mnemonic "ss %1, %0" : "+x"(a) : "x"(b));                       \
    return a;                                                                    \
  }                                                                              \
  double name(double a, double b) {                                              \
    asm volatile(mnemonic "sd %1, %0" : "+x"(a) : "x"(b));                       \
    return a;                                                                    \
  }
LYRE_SSE_BINARY(host_add, "add")
LYRE_SSE_BINARY(host_sub, "sub")
LYRE_SSE_BINARY(host_mul, "mul")
LYRE_SSE_BINARY(host_div, "div")
LYRE_SSE_BINARY(host_sqrt, "sqrt")
LYRE_SSE_BINARY(host_cmp_eq, "cmpeq")        // quiet
LYRE_SSE_BINARY(host_cmp_lt, "cmplt")        // signaling
LYRE_SSE_BINARY(host_cmp_le, "cmple")        // signaling
LYRE_SSE_BINARY(host_cmp_unord, "cmpunord")  // quiet
#undef LYRE_SSE_BINARY

// Quiet ordered compares through ucomis: carry: a < b or unordered; so b < a is "above" with the operands swapped.
bool host_above(float a, float b) {
  bool result;
  asm volatile("ucomiss %2, %1\n\tseta %0" : "=q"(result) : "x"(a), "x"(b) : "cc");
  return result;
}
bool host_above(double a, double b) {
  bool result;
  asm volatile("ucomisd %2, %1\n\tseta %0" : "=q"(result) : "x"(a), "x"(b) : "cc");
  return result;
}
bool host_above_or_equal(float a, float b) {
  bool result;
  asm volatile("ucomiss %2, %1\n\tsetae %0" : "=q"(result) : "x"(a), "x"(b) : "cc");
  return result;
}
bool host_above_or_equal(double a, double b) {
  bool result;
  asm volatile("ucomisd %2, %1\n\tsetae %0" : "=q"(result) : "x"(a), "x"(b) : "cc");
  return result;
}

int64_t truncate_to_i64(float a) {
  int64_t result;
  asm volatile("cvttss2siq %1, %0" : "=r"(result) : "x"(a));
  return result;
}
int64_t truncate_to_i64(double a) {
  int64_t result;
  asm volatile("cvttsd2siq %1, %0" : "=r"(result) : "x"(a));
  return result;
}
int32_t truncate_to_i32(float a) {
  int32_t result;
  asm volatile("cvttss2sil %1, %0" : "=r"(result) : "x"(a));
  return result;
}
int32_t truncate_to_i32(double a) {
  int32_t result;
  asm volatile("cvttsd2sil %1, %0" : "=r"(result) : "x"(a));
  return result;
}

template <typename F>
F from_i64(int64_t value) {
  F result = 0;
  if constexpr (sizeof(F) == 4) {
    asm volatile("cvtsi2ssq %1, %0" : "+x"(result) : "r"(value));
  } else {
    asm volatile("cvtsi2sdq %1, %0" : "+x"(result) : "r"(value));
  }
  return result;
}
// Halves with a sticky low bit, so that the doubling is exact and the rounding is done once.
template <typename F>
F from_u64(uint64_t value) {
  if (static_cast<int64_t>(value) >= 0) return from_i64<F>(static_cast<int64_t>(value));
  F half = from_i64<F>(static_cast<int64_t>(value >> 1 | (value & 1)));
  return host_add(half, half);
}

template <typename F>
F host_fma(F a, F b, F c) {
  if (__builtin_cpu_supports("fma")) {
    if constexpr (sizeof(F) == 4) {
      asm volatile("vfmadd213ss %2, %1, %0" : "+x"(a) : "x"(b), "x"(c));
    } else {
      asm volatile("vfmadd213sd %2, %1, %0" : "+x"(a) : "x"(b), "x"(c));
    }
    return a;
  }
  // The C library's exact software form reads the rounding mode from the x87 control word: give it this one's.
  constexpr int kModes[] = {FE_TONEAREST, FE_DOWNWARD, FE_UPWARD, FE_TOWARDZERO};
  uint32_t control = __builtin_ia32_stmxcsr();
  std::fesetround(kModes[control >> 13 & 3]);
  volatile F result = std::fma(a, b, c);
  uint32_t after = __builtin_ia32_stmxcsr();
  std::fesetround(FE_TONEAREST);  // the x87 word's resting state
  __builtin_ia32_ldmxcsr((control & ~0x3fu) | ((control | after) & 0x3fu));
  return result;
}

template <typename F>
F host_round(F a, Rounding mode) {
#define LYRE_ROUND(imm)                                                                    \
  if constexpr (sizeof(F) == 4) asm volatile("roundss $" #imm ", %0, %0" : "+x"(a));       \
  else asm volatile("roundsd $" #imm ", %0, %0" : "+x"(a));                                \
  return a
  switch (mode) {
    case Rounding::kNearestEven: LYRE_ROUND(0);
    case Rounding::kDown: LYRE_ROUND(1);
    case Rounding::kUp: LYRE_ROUND(2);
    case Rounding::kTowardZero: LYRE_ROUND(3);
    case Rounding::kDynamic: LYRE_ROUND(4);
  }
#undef LYRE_ROUND
  return a;
}

template <typename F>
bool compare(FloatCond cond, F a, F b) {
  switch (cond) {
    case FloatCond::kEqQuiet: return to_bits(host_cmp_eq(a, b)) != 0;
    case FloatCond::kLtQuiet: return host_above(b, a);
    case FloatCond::kLeQuiet: return host_above_or_equal(b, a);
    case FloatCond::kLtSignaling: return to_bits(host_cmp_lt(a, b)) != 0;
    case FloatCond::kLeSignaling: return to_bits(host_cmp_le(a, b)) != 0;
    case FloatCond::kUnordered: return to_bits(host_cmp_unord(a, b)) != 0;
  }
  return false;
}

// All ones, with invalid raised and nothing else.
template <typename F>
uint64_t invalid_unsigned() {
  truncate_to_i64(std::numeric_limits<F>::quiet_NaN());
  return ~uint64_t{0};
}
template <typename F>
uint64_t to_unsigned(F a, unsigned bits) {
  F limit = bits == 64 ? F(18446744073709551616.0) : F(4294967296.0);
  // !(a < limit) catches NaN; a signalling one raises invalid here already, as it must.
  if (!host_above(limit, a) || !host_above(a, F(-1))) return invalid_unsigned<F>();
  constexpr F kTwo63 = F(9223372036854775808.0);
  if (host_above_or_equal(a, kTwo63)) return static_cast<uint64_t>(truncate_to_i64(host_sub(a, kTwo63))) ^ uint64_t{1} << 63;
  return static_cast<uint64_t>(truncate_to_i64(a));
}

template <typename F>
Bits to_integer(const EvalInput& in) {
  F a = from_bits<F>(in.a);
  unsigned bits = type_bits(in.type);
  if (in.op == Op::ftoi_u) return truncate(to_unsigned(a, bits), in.type);
  return bits == 64 ? static_cast<uint64_t>(truncate_to_i64(a)) : static_cast<uint32_t>(truncate_to_i32(a));
}

template <typename F>
F from_integer(const EvalInput& in) {
  uint64_t low = static_cast<uint64_t>(in.a);
  if (in.op == Op::itof_u) return from_u64<F>(low);
  return from_i64<F>(in.arg_type == Type::kI32 ? static_cast<int32_t>(low) : static_cast<int64_t>(low));
}

template <typename F>
Bits arithmetic(const EvalInput& in) {
  F a = from_bits<F>(in.a), b = from_bits<F>(in.b);
  switch (in.op) {
    case Op::fadd: return to_bits(host_add(a, b));
    case Op::fsub: return to_bits(host_sub(a, b));
    case Op::fmul: return to_bits(host_mul(a, b));
    case Op::fdiv: return to_bits(host_div(a, b));
    case Op::fsqrt: return to_bits(host_sqrt(a, a));
    case Op::fma: return to_bits(host_fma(a, b, from_bits<F>(in.c)));
    case Op::fround: return to_bits(host_round(a, static_cast<Rounding>(in.aux & ~kFlagsDead)));
    default: break;
  }
  LYRE_CHECK(false, "an operation that eval_float does not know");
  return 0;
}

Bits convert_float(const EvalInput& in) {
  if (in.type == Type::kF64) {
    float a = from_bits<float>(in.a);
    double result = 0;
    asm volatile("cvtss2sd %1, %0" : "+x"(result) : "x"(a));
    return to_bits(result);
  }
  double a = from_bits<double>(in.a);
  float result = 0;
  asm volatile("cvtsd2ss %1, %0" : "+x"(result) : "x"(a));
  return to_bits(result);
}

bool is_plain_float(Type type) { return type == Type::kF32 || type == Type::kF64; }
bool is_convertible_int(Type type) { return type == Type::kI32 || type == Type::kI64; }

}  // namespace

bool can_eval_float(Op op, Type type, Type arg_type) {
  switch (op) {
    case Op::fadd: case Op::fsub: case Op::fmul: case Op::fdiv: case Op::fsqrt: case Op::fma: case Op::fround:
      return is_plain_float(type);
    case Op::fcmp: return is_plain_float(arg_type);
    case Op::fcvt: return is_plain_float(type) && is_plain_float(arg_type) && type != arg_type;
    case Op::ftoi_s: case Op::ftoi_u: return is_convertible_int(type) && is_plain_float(arg_type);
    case Op::itof_s: case Op::itof_u: return is_plain_float(type) && is_convertible_int(arg_type);
    default: return false;
  }
}

Bits eval_float(const EvalInput& in) {
  bool narrow = in.arg_type == Type::kF32;
  switch (in.op) {
    case Op::fcmp: {
      FloatCond cond = static_cast<FloatCond>(in.aux & ~kFlagsDead);
      return narrow ? compare(cond, from_bits<float>(in.a), from_bits<float>(in.b))
                    : compare(cond, from_bits<double>(in.a), from_bits<double>(in.b));
    }
    case Op::fcvt: return convert_float(in);
    case Op::ftoi_s: case Op::ftoi_u: return narrow ? to_integer<float>(in) : to_integer<double>(in);
    case Op::itof_s: case Op::itof_u:
      return in.type == Type::kF32 ? to_bits(from_integer<float>(in)) : to_bits(from_integer<double>(in));
    default: return in.type == Type::kF32 ? arithmetic<float>(in) : arithmetic<double>(in);
  }
}

}  // namespace lyre::ir
