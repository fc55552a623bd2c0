#include "ir/eval.h"

#include <cfenv>
#include <cmath>
#include <cstring>
#include <limits>

#include "tests/ir/ir_test.h"

namespace lyre::ir {
namespace {

constexpr Bits pure(Op op, Type type, Bits a, Bits b = 0, Bits c = 0) { return eval_pure({op, type, type, 0, a, b, c, 0}); }
constexpr uint64_t u64(Bits value) { return static_cast<uint64_t>(value); }

// Folding must be possible at compile time.
static_assert(pure(Op::add, Type::kI8, 0xff, 1) == 0);
static_assert(pure(Op::sub, Type::kI16, 0, 1) == 0xffff);
static_assert(pure(Op::sar, Type::kI32, 0x80000000, 31) == 0xffffffff);
static_assert(pure(Op::mulh_s, Type::kI64, ~uint64_t{0}, ~uint64_t{0}) == 0);

struct Row {
  Op op;
  Type type;
  uint64_t a, b, result;
};

TEST_CASE("eval: integer edges") {
  constexpr uint64_t kMin64 = uint64_t{1} << 63, kOnes = ~uint64_t{0};
  static constexpr Row kRows[] = {
      {Op::mul, Type::kI32, 0x80000000, 2, 0},
      {Op::mulh_s, Type::kI32, 0x80000000, 0x80000000, 0x40000000},
      {Op::mulh_u, Type::kI64, kOnes, kOnes, kOnes - 1},
      {Op::mulh_su, Type::kI64, kOnes, kOnes, kOnes},
      {Op::mulh_su, Type::kI32, 0x80000000, 0xffffffff, 0x80000000},
      {Op::mulh_s, Type::kI8, 0x80, 0x7f, 0xc0},
      {Op::div_s, Type::kI64, kMin64, kOnes, kMin64},
      {Op::rem_s, Type::kI64, kMin64, kOnes, 0},
      {Op::div_s, Type::kI32, 0xfffffff9, 2, 0xfffffffd},
      {Op::rem_s, Type::kI32, 0xfffffff9, 2, 0xffffffff},
      {Op::rem_s, Type::kI32, 7, 0xfffffffe, 1},
      {Op::div_s, Type::kI64, 5, 0, 0},
      {Op::div_u, Type::kI64, 5, 0, 0},
      {Op::rem_s, Type::kI64, 5, 0, 5},
      {Op::rem_u, Type::kI64, kOnes, 0, kOnes},
      {Op::div_u, Type::kI64, kOnes, 2, kOnes >> 1},
      {Op::andn, Type::kI8, 0xff, 0x0f, 0xf0},
      {Op::shl, Type::kI32, 1, 33, 2},
      {Op::shr, Type::kI8, 0x80, 7, 1},
      {Op::shr, Type::kI8, 0x80, 8, 0x80},
      {Op::sar, Type::kI8, 0x80, 7, 0xff},
      {Op::sar, Type::kI64, kMin64, 64, kMin64},
      {Op::rotl, Type::kI8, 0x81, 1, 0x03},
      {Op::rotr, Type::kI8, 0x81, 1, 0xc0},
      {Op::rotr, Type::kI64, 1, 0, 1},
      {Op::rotl, Type::kI16, 0x1234, 20, 0x2341},
      {Op::clz, Type::kI32, 0, 0, 32},
      {Op::clz, Type::kI8, 1, 0, 7},
      {Op::ctz, Type::kI64, 0, 0, 64},
      {Op::ctz, Type::kI16, 0x8000, 0, 15},
      {Op::popcnt, Type::kI64, kOnes, 0, 64},
      {Op::bswap, Type::kI16, 0x1234, 0, 0x3412},
      {Op::bswap, Type::kI64, 0x0102030405060708, 0, 0x0807060504030201},
      {Op::brev8, Type::kI32, 0x01020480, 0, 0x80402001},
      {Op::orcb, Type::kI32, 0x01000080, 0, 0xff0000ff},
      {Op::min_s, Type::kI8, 0x80, 0x7f, 0x80},
      {Op::max_s, Type::kI8, 0x80, 0x7f, 0x7f},
      {Op::min_u, Type::kI8, 0x80, 0x7f, 0x7f},
      {Op::max_u, Type::kI8, 0x80, 0x7f, 0x80},
      {Op::clmul, Type::kI64, 3, 3, 5},
      {Op::clmul, Type::kI8, 0xff, 0xff, 0x55},
      {Op::clmulh, Type::kI8, 0xff, 0xff, 0x55},
      {Op::clmulh, Type::kI64, kMin64, 2, 1},
      {Op::clmulh, Type::kI64, kMin64, kMin64, uint64_t{1} << 62},
      {Op::not_, Type::kI1, 1, 0, 0},
      {Op::neg, Type::kI16, 1, 0, 0xffff},
      {Op::neg, Type::kI8, 0x80, 0, 0x80},
      {Op::fneg, Type::kF32, 0x7fc00000, 0, 0xffc00000},
      {Op::fabs, Type::kF64, kMin64, 0, 0},
      {Op::fcopysign, Type::kF32, 0x3f800000, 0x80000000, 0xbf800000},
  };
  for (const Row& row : kRows) {
    INFO(op_info(row.op).name << "." << type_name(row.type) << " 0x" << std::hex << row.a << ", 0x" << row.b);
    CHECK(u64(pure(row.op, row.type, row.a, row.b)) == row.result);
  }
}

TEST_CASE("eval: 128 bits") {
  constexpr Bits kOnes = ~Bits{0}, kMin = Bits{1} << 127;
  CHECK(pure(Op::add, Type::kI128, kOnes, 1) == 0);
  CHECK(pure(Op::mulh_u, Type::kI128, kOnes, kOnes) == kOnes - 1);
  CHECK(pure(Op::mulh_s, Type::kI128, kOnes, kOnes) == 0);
  CHECK(pure(Op::mulh_s, Type::kI128, kMin, kMin) == Bits{1} << 126);
  CHECK(pure(Op::mulh_su, Type::kI128, kOnes, kOnes) == kOnes);
  CHECK(pure(Op::div_s, Type::kI128, kMin, kOnes) == kMin);
  CHECK(pure(Op::sar, Type::kI128, kMin, 127) == kOnes);
  CHECK(pure(Op::clz, Type::kI128, 1) == 127);
  CHECK(pure(Op::rotl, Type::kI128, kMin, 1) == 1);
}

TEST_CASE("eval: widths, comparisons and choices") {
  CHECK(eval_pure({Op::sext, Type::kI64, Type::kI1, 0, 1, 0, 0, 0}) == ~uint64_t{0});
  CHECK(eval_pure({Op::sext, Type::kI32, Type::kI8, 0, 0x80, 0, 0, 0}) == 0xffffff80);
  CHECK(eval_pure({Op::zext, Type::kI64, Type::kI8, 0, 0x80, 0, 0, 0}) == 0x80);
  CHECK(eval_pure({Op::trunc, Type::kI1, Type::kI64, 0, 0xfe, 0, 0, 0}) == 0);
  CHECK(eval_pure({Op::select, Type::kI64, Type::kI1, 0, 0, 5, 6, 0}) == 6);
  auto holds = [](Cond cond, uint64_t a, uint64_t b) { return eval_pure({Op::cmp, Type::kI1, Type::kI8, static_cast<uint8_t>(cond), a, b, 0, 0}) != 0; };
  for (unsigned c = 0; c < 10; c++) {
    Cond cond = static_cast<Cond>(c);
    for (uint64_t a : {0x00, 0x01, 0x7f, 0x80, 0xff}) {
      for (uint64_t b : {0x00, 0x01, 0x7f, 0x80, 0xff}) {
        CHECK(holds(cond, a, b) != holds(invert(cond), a, b));
        CHECK(holds(cond, a, b) == holds(swap_operands(cond), b, a));
      }
    }
  }
  CHECK(holds(Cond::kLtS, 0x80, 0x7f));
  CHECK_FALSE(holds(Cond::kLtU, 0x80, 0x7f));
  CHECK(eval_pure({Op::select_cmp, Type::kI64, Type::kI8, static_cast<uint8_t>(Cond::kLtS), 0x80, 0, 11, 22}) == 11);
}

TEST_CASE("eval: read-modify-write kinds in each size") {
  CHECK(eval_rmw(RmwKind::kAdd, 0xff, 1, 1) == 0);
  CHECK(eval_rmw(RmwKind::kAdd, 0xffffffff, 1, 4) == 0);
  CHECK(eval_rmw(RmwKind::kSwap, 5, 0x1ff, 1) == 0xff);
  CHECK(eval_rmw(RmwKind::kMinS, 0x80, 0x7f, 1) == 0x80);
  CHECK(eval_rmw(RmwKind::kMaxU, 0x8000, 0x7fff, 2) == 0x8000);
  CHECK(eval_rmw(RmwKind::kMinU, 0x80000000, 0x7fffffff, 4) == 0x7fffffff);
}

template <typename F>
Bits bits_of(F value) {
  Bits bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  return bits;
}

// An operation under a clean control register with a rounding mode; its sticky flags (invalid 1, divide by zero 4, overflow 8,
// underflow 16, inexact 32) and its result.
struct FloatResult {
  Bits value;
  uint32_t flags;
};
FloatResult evaluate(Op op, Type type, Type arg_type, Bits a, Bits b = 0, Bits c = 0, uint8_t aux = 0, unsigned rounding = 0) {
  uint32_t before = __builtin_ia32_stmxcsr();
  __builtin_ia32_ldmxcsr(0x1f80 | rounding << 13);
  Bits value = eval_float({op, type, arg_type, aux, a, b, c, 0});
  uint32_t flags = __builtin_ia32_stmxcsr() & 0x3d;
  __builtin_ia32_ldmxcsr(before);
  return {value, flags};
}
constexpr Type kD = Type::kF64, kS = Type::kF32;
enum : uint32_t { kInvalid = 1, kDivide = 4, kOverflow = 8, kUnderflow = 16, kInexact = 32 };

TEST_CASE("eval: float arithmetic rounds as the control register says and raises flags") {
  CHECK(evaluate(Op::fadd, kD, kD, bits_of(1.0), bits_of(2.0)).value == bits_of(3.0));
  FloatResult third = evaluate(Op::fdiv, kD, kD, bits_of(1.0), bits_of(3.0), 0, 0, 2);
  CHECK(third.value == bits_of(1.0 / 3.0) + 1);
  CHECK(third.flags == kInexact);
  CHECK(evaluate(Op::fdiv, kS, kS, bits_of(1.0f), bits_of(0.0f)).flags == kDivide);
  CHECK(evaluate(Op::fmul, kD, kD, bits_of(1e300), bits_of(1e300)).flags == (kOverflow | kInexact));
  CHECK(evaluate(Op::fsqrt, kD, kD, bits_of(-1.0)).flags == kInvalid);
  CHECK(evaluate(Op::fsqrt, kS, kS, bits_of(9.0f)).value == bits_of(3.0f));
  // Rounded once: (1 + 2^-52)^2 - 1 keeps the low bit of the product.
  double e = 1.0 + std::ldexp(1.0, -52);
  CHECK(evaluate(Op::fma, kD, kD, bits_of(e), bits_of(e), bits_of(-1.0)).value == bits_of(std::fma(e, e, -1.0)));
}

TEST_CASE("eval: float comparisons and which of them complain") {
  const double quiet = std::numeric_limits<double>::quiet_NaN();
  auto compare = [&](FloatCond cond, double a, double b) { return evaluate(Op::fcmp, Type::kI1, kD, bits_of(a), bits_of(b), 0, static_cast<uint8_t>(cond)); };
  for (FloatCond cond : {FloatCond::kEqQuiet, FloatCond::kLtQuiet, FloatCond::kLeQuiet}) {
    CHECK(compare(cond, quiet, 1).value == 0);
    CHECK(compare(cond, 1, quiet).value == 0);
    CHECK(compare(cond, quiet, 1).flags == 0);
  }
  for (FloatCond cond : {FloatCond::kLtSignaling, FloatCond::kLeSignaling}) {
    CHECK(compare(cond, quiet, 1).value == 0);
    CHECK(compare(cond, quiet, 1).flags == kInvalid);
  }
  CHECK(compare(FloatCond::kUnordered, quiet, 1).value == 1);
  CHECK(compare(FloatCond::kUnordered, 1, 1).value == 0);
  CHECK(compare(FloatCond::kUnordered, quiet, 1).flags == 0);
  CHECK(compare(FloatCond::kEqQuiet, 0.0, -0.0).value == 1);
  for (FloatCond cond : {FloatCond::kLtQuiet, FloatCond::kLtSignaling}) {
    CHECK(compare(cond, 1, 2).value == 1);
    CHECK(compare(cond, 2, 2).value == 0);
    CHECK(compare(cond, 2, 1).value == 0);
  }
  for (FloatCond cond : {FloatCond::kLeQuiet, FloatCond::kLeSignaling}) {
    CHECK(compare(cond, 2, 2).value == 1);
    CHECK(compare(cond, 3, 2).value == 0);
  }
  Bits signalling = 0x7ff0000000000001;
  CHECK(evaluate(Op::fcmp, Type::kI1, kD, signalling, bits_of(1.0), 0, static_cast<uint8_t>(FloatCond::kEqQuiet)).flags == kInvalid);
}

TEST_CASE("eval: float to integer") {
  struct Case {
    Op op;
    Type type;
    double from;
    uint64_t to;
    uint32_t flags;
  };
  constexpr uint64_t kOnes = ~uint64_t{0};
  const Case cases[] = {
      {Op::ftoi_s, Type::kI32, -1.9, 0xffffffff, kInexact},
      {Op::ftoi_s, Type::kI32, 2147483648.0, 0x80000000, kInvalid},
      {Op::ftoi_s, Type::kI32, -2147483648.5, 0x80000000, kInexact},
      {Op::ftoi_s, Type::kI64, 9223372036854775808.0, uint64_t{1} << 63, kInvalid},
      {Op::ftoi_s, Type::kI64, NAN, uint64_t{1} << 63, kInvalid},
      {Op::ftoi_u, Type::kI64, -0.5, 0, kInexact},
      {Op::ftoi_u, Type::kI64, -1.0, kOnes, kInvalid},
      {Op::ftoi_u, Type::kI64, 18446744073709549568.0, 0xfffffffffffff800, 0},
      {Op::ftoi_u, Type::kI64, 18446744073709551616.0, kOnes, kInvalid},
      {Op::ftoi_u, Type::kI64, 9223372036854775808.0, uint64_t{1} << 63, 0},
      {Op::ftoi_u, Type::kI64, NAN, kOnes, kInvalid},
      {Op::ftoi_u, Type::kI32, 4294967295.5, 0xffffffff, kInexact},
      {Op::ftoi_u, Type::kI32, 4294967296.0, 0xffffffff, kInvalid},
      {Op::ftoi_u, Type::kI32, 4294967296.5, 0xffffffff, kInvalid},
      {Op::ftoi_u, Type::kI32, 3e9, 3000000000, 0},
  };
  for (const Case& each : cases) {
    INFO(op_info(each.op).name << " " << each.from);
    FloatResult result = evaluate(each.op, each.type, kD, bits_of(each.from));
    CHECK(u64(result.value) == each.to);
    CHECK(result.flags == each.flags);
  }
}

TEST_CASE("eval: integer to float, between floats, to integral values") {
  CHECK(evaluate(Op::itof_u, kD, Type::kI64, ~uint64_t{0}).value == bits_of(18446744073709551616.0));
  CHECK(evaluate(Op::itof_u, kD, Type::kI64, ~uint64_t{0}, 0, 0, 0, 3).value == bits_of(18446744073709549568.0));
  CHECK(evaluate(Op::itof_u, kS, Type::kI32, 0xffffffff).value == bits_of(4294967296.0f));
  CHECK(evaluate(Op::itof_s, kD, Type::kI32, 0xffffffff).value == bits_of(-1.0));
  // Halfway between two floats: the sticky bit must decide.
  uint64_t tie = (uint64_t{1} << 63) + (uint64_t{1} << 39);
  CHECK(evaluate(Op::itof_u, kS, Type::kI64, tie).value == bits_of(9223372036854775808.0f));
  CHECK(evaluate(Op::itof_u, kS, Type::kI64, tie + 1).value == bits_of(std::nextafter(9223372036854775808.0f, 1e30f)));
  CHECK(evaluate(Op::fcvt, kS, kD, bits_of(0.1)).value == bits_of(0.1f));
  CHECK(evaluate(Op::fcvt, kD, kS, bits_of(0.5f)).value == bits_of(0.5));
  auto round = [](double value, Rounding mode, unsigned control = 0) { return evaluate(Op::fround, kD, kD, bits_of(value), 0, 0, static_cast<uint8_t>(mode), control); };
  CHECK(round(2.5, Rounding::kNearestEven).value == bits_of(2.0));
  CHECK(round(2.5, Rounding::kNearestEven).flags == kInexact);
  CHECK(round(-2.5, Rounding::kTowardZero).value == bits_of(-2.0));
  CHECK(round(-2.5, Rounding::kDown).value == bits_of(-3.0));
  CHECK(round(2.1, Rounding::kUp).value == bits_of(3.0));
  CHECK(round(2.1, Rounding::kDynamic, 2).value == bits_of(3.0));
}

}  // namespace
}  // namespace lyre::ir
