// Every floating-point operation, in all rounding modes, static and dynamic, against MPFR: result bits and flags. Operands: all pairs of a list
// of edges, then random ones biased to close exponents. Guest code does the work: a loop over a table in memory.
#include <array>
#include <random>
#include <set>

#include "tests/guest/riscv/float_reference.h"
#include "tests/guest/riscv/hart_rig.h"
#include "tests/support/catch.h"

using namespace lyre;
using namespace lyre::test;

namespace {

constexpr uint64_t kCode = HartRig::kRam, kInput = HartRig::kRam + 0x10000, kOutput = HartRig::kRam + 0x60000;
constexpr size_t kBatch = 4096;

struct Operands {
  uint64_t a = 0, b = 0, c = 0;
};
struct Answer {
  uint64_t value;
  unsigned flags;
};

// Runs one instruction word (f3 or a6 := f0, f1, f2 or a5) over all operands with frm set.
std::vector<Answer> run(HartRig& rig, uint32_t word, bool to_integer, unsigned frm, const std::vector<Operands>& operands) {
  RiscvAsm code;
  RiscvAsm::Label loop = code.bound();
  code.word(0x00053007);  // fld f0, 0(a0)
  code.word(0x00853087);  // fld f1, 8(a0)
  code.word(0x01053107);  // fld f2, 16(a0)
  code.ld(a5, a0);
  code.word(0x00105073);  // fsflagsi 0
  code.word(word);
  if (to_integer) code.sd(a6, a1);
  else code.word(0x0035b027);  // fsd f3, 0(a1)
  code.csrr(a2, riscv::kFflags);
  code.sd(a2, a1, 8);
  code.addi(a0, a0, 24);
  code.addi(a1, a1, 16);
  code.addi(a3, a3, -1);
  code.bne(a3, zero, loop);
  uint64_t end = code.here();
  RiscvAsm::Label stop = code.bound();
  code.j(stop);
  rig.load(kCode, code);
  riscv::write_frm(*rig.block, 0, frm);
  rig.state().mstatus |= riscv::mstatus::kFs | riscv::mstatus::kSd;
  std::vector<Answer> answers;
  for (size_t first = 0; first < operands.size(); first += kBatch) {
    size_t count = std::min(kBatch, operands.size() - first);
    std::memcpy(rig.at(kInput), &operands[first], count * sizeof(Operands));
    rig.state().pc = kCode;
    rig.x(a0) = kInput, rig.x(a1) = kOutput, rig.x(a3) = count;
    REQUIRE(rig.run_to(kCode + end, 1000000));
    for (size_t i = 0; i < count; ++i)
      answers.push_back({rig.peek(kOutput + 16 * i), static_cast<unsigned>(rig.peek(kOutput + 16 * i + 8))});
  }
  riscv::write_frm(*rig.block, 0, 0);
  return answers;
}

std::vector<uint64_t> edges(const FloatFormat& f) {
  uint64_t one = static_cast<uint64_t>(f.bias()) << (f.precision - 1), ulp = 1, half = one - (uint64_t{1} << (f.precision - 1));
  std::vector<uint64_t> list = {0, 1, 2, (uint64_t{1} << (f.precision - 1)) - 1, uint64_t{1} << (f.precision - 1), (uint64_t{1} << (f.precision - 1)) + 1,
                                half, half + ulp, half - ulp, one, one + ulp, one - ulp, one + (uint64_t{1} << (f.precision - 2)), f.infinity() - 1,
                                f.infinity() - 2, f.infinity() - (uint64_t{1} << (f.precision - 1)), f.infinity(), f.infinity() + 1, f.nan(), f.nan() + 5};
  size_t count = list.size();
  for (size_t i = 0; i < count; ++i) list.push_back(list[i] | f.sign());
  return list;
}

class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}
  uint64_t bits() { return engine_(); }
  uint64_t below(uint64_t limit) { return engine_() % limit; }
  // Any bit pattern, or an exponent near `near` so that sums cancel and carries happen, or short significands so that ties happen.
  uint64_t value(const FloatFormat& f, uint64_t near) {
    uint64_t all = f.sign() | (f.sign() - 1);
    switch (below(4)) {
      case 0: return bits() & all;
      case 1: return (bits() & f.sign()) | (((near & ~f.sign()) + bits() % 7 - 3) & (f.sign() - 1));
      default: {
        uint64_t limit = uint64_t{1} << f.exponent_bits;
        uint64_t exponent = ((near >> (f.precision - 1)) + below(2 * static_cast<uint64_t>(f.precision)) - static_cast<uint64_t>(f.precision)) & (limit - 1);
        uint64_t fraction = bits() & ((uint64_t{1} << (f.precision - 1)) - 1);
        if (below(2)) fraction &= ~uint64_t{0} << below(static_cast<uint64_t>(f.precision));
        return (bits() & f.sign()) | exponent << (f.precision - 1) | (fraction & ((uint64_t{1} << (f.precision - 1)) - 1));
      }
    }
  }

 private:
  std::mt19937_64 engine_;
};

uint64_t box(const FloatFormat& f, uint64_t bits) { return f.width() == 64 ? bits : bits | ~uint64_t{0} << f.width(); }

std::vector<Operands> operands_for(const FloatFormat& f, unsigned arity, unsigned random_count, uint64_t seed) {
  std::vector<Operands> list;
  std::vector<uint64_t> e = edges(f);
  if (arity == 1) {
    for (uint64_t a : e) list.push_back({box(f, a), 0, 0});
  } else if (arity == 2) {
    for (uint64_t a : e)
      for (uint64_t b : e) list.push_back({box(f, a), box(f, b), 0});
  } else {
    for (size_t i = 0; i < e.size(); ++i)
      for (size_t j = i % 2; j < e.size(); j += 2)
        for (size_t k = (i + j) % 7; k < e.size(); k += 7) list.push_back({box(f, e[i]), box(f, e[j]), box(f, e[k])});
  }
  Random random(seed);
  for (unsigned i = 0; i < random_count; ++i) {
    uint64_t a = random.value(f, random.bits()), b = random.value(f, a), c = random.value(f, arity == 3 && random.below(2) ? a : b);
    list.push_back({box(f, a), box(f, b), box(f, c)});
  }
  return list;
}

struct FormatCase {
  const char* name;
  FloatFormat format;
  uint32_t fmt;
};
constexpr FormatCase kFormats[] = {{"s", kRefSingle, 0}, {"d", kRefDouble, 1}, {"h", kRefHalf, 2}};

// R-type word over f0, f1, f2 to f3 (x16 for integer results, from x15 for integer operands).
uint32_t op_word(uint32_t funct5, uint32_t fmt, uint32_t rs2, uint32_t rs1, uint32_t rm, uint32_t rd) {
  return funct5 << 27 | fmt << 25 | rs2 << 20 | rs1 << 15 | rm << 12 | rd << 7 | 0x53;
}
uint32_t fused_word(uint32_t opcode, uint32_t fmt, uint32_t rm) { return 2u << 27 | fmt << 25 | 1u << 20 | 0u << 15 | rm << 12 | 3u << 7 | opcode; }

template <typename Expected>
void compare_all(HartRig& rig, const std::string& what, uint32_t (*make)(uint32_t, uint32_t, uint32_t), uint32_t kind, uint32_t fmt, bool to_integer,
                 const std::vector<Operands>& operands, Expected expected) {
  for (unsigned mode = 0; mode < 5; ++mode) {
    std::vector<Answer> right;
    right.reserve(operands.size());
    for (const Operands& o : operands) {
      Answer answer{0, 0};
      answer.value = expected(o, static_cast<int>(mode), answer.flags);
      right.push_back(answer);
    }
    // Dynamic with frm, and static under another frm.
    for (bool dynamic : {true, false}) {
      std::vector<Answer> got = run(rig, make(kind, fmt, dynamic ? 7 : mode), to_integer, dynamic ? mode : (mode + 1) % 4, operands);
      size_t wrong = 0;
      for (size_t i = 0; i < operands.size(); ++i) {
        if (got[i].value == right[i].value && got[i].flags == right[i].flags) continue;
        if (++wrong > 3) continue;
        CAPTURE(what, mode, dynamic, std::to_string(operands.size()));
        char line[256];
        std::snprintf(line, sizeof line, "%016llx %016llx %016llx: got %016llx flags %02x, expected %016llx flags %02x", (unsigned long long)operands[i].a,
                      (unsigned long long)operands[i].b, (unsigned long long)operands[i].c, (unsigned long long)got[i].value, got[i].flags,
                      (unsigned long long)right[i].value, right[i].flags);
        CHECK(std::string(line) == "");
      }
      CAPTURE(what, mode, dynamic);
      CHECK(wrong == 0);
    }
  }
}

uint64_t low(const FloatFormat& f, uint64_t bits) { return f.width() == 64 ? bits : bits & ((uint64_t{1} << f.width()) - 1); }

}  // namespace

TEST_CASE("arithmetic against MPFR", "[float]") {
  HartRig rig(GENERATE(as<std::string>{}, "interp", "x64"));
  struct Kind {
    const char* name;
    RefOp op;
    uint32_t funct5;
    unsigned arity;
  };
  for (const FormatCase& format : kFormats)
    for (Kind kind : {Kind{"fadd", RefOp::kAdd, 0, 2}, Kind{"fsub", RefOp::kSub, 1, 2}, Kind{"fmul", RefOp::kMul, 2, 2}, Kind{"fdiv", RefOp::kDiv, 3, 2},
                      Kind{"fsqrt", RefOp::kSqrt, 11, 1}}) {
      const FloatFormat& f = format.format;
      std::vector<Operands> operands = operands_for(f, kind.arity, 1500, kind.funct5 * 7 + format.fmt);
      compare_all(
          rig, std::string(kind.name) + "." + format.name,
          +[](uint32_t funct5, uint32_t fmt, uint32_t rm) { return op_word(funct5, fmt, funct5 == 11 ? 0 : 1, 0, rm, 3); }, kind.funct5, format.fmt, false,
          operands, [&](const Operands& o, int mode, unsigned& flags) {
            return box(f, ref_operate(f, kind.op, low(f, o.a), low(f, o.b), 0, mode, flags));
          });
    }
}

TEST_CASE("fused multiply-add against MPFR", "[float]") {
  HartRig rig(GENERATE(as<std::string>{}, "interp", "x64"));
  struct Kind {
    const char* name;
    RefOp op;
    uint32_t opcode;
  };
  for (const FormatCase& format : kFormats)
    for (Kind kind : {Kind{"fmadd", RefOp::kMadd, 0x43}, Kind{"fmsub", RefOp::kMsub, 0x47}, Kind{"fnmsub", RefOp::kNmsub, 0x4b}, Kind{"fnmadd", RefOp::kNmadd, 0x4f}}) {
      const FloatFormat& f = format.format;
      std::vector<Operands> operands = operands_for(f, 3, 1000, kind.opcode + format.fmt);
      compare_all(rig, std::string(kind.name) + "." + format.name, fused_word, kind.opcode, format.fmt, false, operands,
                  [&](const Operands& o, int mode, unsigned& flags) {
                    return box(f, ref_operate(f, kind.op, low(f, o.a), low(f, o.b), low(f, o.c), mode, flags));
                  });
    }
}

TEST_CASE("conversions between formats against MPFR", "[float]") {
  HartRig rig(GENERATE(as<std::string>{}, "interp", "x64"));
  for (const FormatCase& from : kFormats)
    for (const FormatCase& to : kFormats) {
      if (from.fmt == to.fmt) continue;
      std::vector<Operands> operands = operands_for(from.format, 1, 2500, from.fmt * 5 + to.fmt);
      // Values around the narrower format's limits.
      for (uint64_t e : edges(to.format)) {
        unsigned none = 0;
        uint64_t wide = ref_convert(to.format, from.format, e, 0, none);
        for (uint64_t near : {wide, wide + 1, wide - 1}) operands.push_back({box(from.format, low(from.format, near)), 0, 0});
      }
      static uint32_t source;
      source = from.fmt;
      compare_all(
          rig, std::string("fcvt.") + to.name + "." + from.name, +[](uint32_t, uint32_t fmt, uint32_t rm) { return op_word(8, fmt, source, 0, rm, 3); }, 0,
          to.fmt, false, operands, [&](const Operands& o, int mode, unsigned& flags) {
            return box(to.format, ref_convert(from.format, to.format, low(from.format, o.a), mode, flags));
          });
    }
}

TEST_CASE("conversions to and from integers against MPFR", "[float]") {
  HartRig rig(GENERATE(as<std::string>{}, "interp", "x64"));
  for (const FormatCase& format : kFormats)
    for (uint32_t kind = 0; kind < 4; ++kind) {
      const FloatFormat& f = format.format;
      int bits = kind & 2 ? 64 : 32;
      bool is_signed = !(kind & 1);
      std::vector<Operands> operands = operands_for(f, 1, 1000, kind + 31 * format.fmt);
      Random random(kind);
      // Around the ends of the range, with halves.
      for (int power : {30, 31, 32, 62, 63, 64, 0, 1, 2})
        for (int sign : {0, 1})
          for (int step = -4; step <= 4; ++step) {
            uint64_t exponent = static_cast<uint64_t>(power + f.bias());
            if (exponent >= (uint64_t{1} << f.exponent_bits) - 1) continue;
            uint64_t base = (exponent << (f.precision - 1)) + static_cast<uint64_t>(step);
            operands.push_back({box(f, base | (sign ? f.sign() : 0)), 0, 0});
          }
      for (unsigned i = 0; i < 1000; ++i) {
        uint64_t exponent = (static_cast<uint64_t>(f.bias()) - 3 + random.below(70)) & ((uint64_t{1} << f.exponent_bits) - 1);
        uint64_t fraction = random.bits() & ((uint64_t{1} << (f.precision - 1)) - 1);
        if (random.below(2)) fraction &= ~uint64_t{0} << random.below(static_cast<uint64_t>(f.precision));
        operands.push_back({box(f, exponent << (f.precision - 1) | (fraction & ((uint64_t{1} << (f.precision - 1)) - 1)) | (random.bits() & f.sign())), 0, 0});
      }
      compare_all(
          rig, std::string("fcvt.int") + std::to_string(kind) + "." + format.name,
          +[](uint32_t k, uint32_t fmt, uint32_t rm) { return op_word(24, fmt, k, 0, rm, 16); }, kind, format.fmt, true, operands,
          [&](const Operands& o, int mode, unsigned& flags) { return ref_to_integer(f, low(f, o.a), bits, is_signed, mode, flags); });

      std::vector<Operands> integers;
      for (uint64_t value : {uint64_t{0}, uint64_t{1}, ~uint64_t{0}, uint64_t{1} << 63, (uint64_t{1} << 63) - 1, uint64_t{0x80000000}, uint64_t{0x7fffffff},
                             uint64_t{0xffffffff}, uint64_t{65504}, uint64_t{65519}, uint64_t{65520}, uint64_t{65535}})
        for (uint64_t delta : {uint64_t{0}, uint64_t{1}, ~uint64_t{0}}) integers.push_back({value + delta, 0, 0});
      for (unsigned i = 0; i < 1500; ++i) integers.push_back({random.bits() >> random.below(64) << random.below(32), 0, 0});
      for (unsigned i = 0; i < 500; ++i) integers.push_back({-(random.bits() >> random.below(64)), 0, 0});
      compare_all(
          rig, std::string("fcvt.") + format.name + ".int" + std::to_string(kind),
          +[](uint32_t k, uint32_t fmt, uint32_t rm) { return op_word(26, fmt, k, 15, rm, 3); }, kind, format.fmt, false, integers,
          [&](const Operands& o, int mode, unsigned& flags) { return box(f, ref_from_integer(f, o.a, bits, is_signed, mode, flags)); });
    }
}

TEST_CASE("fround and froundnx against MPFR", "[float]") {
  HartRig rig(GENERATE(as<std::string>{}, "interp", "x64"));
  for (const FormatCase& format : kFormats)
    for (uint32_t kind : {4u, 5u}) {
      const FloatFormat& f = format.format;
      std::vector<Operands> operands = operands_for(f, 1, 1000, kind);
      Random random(kind + 9);
      for (unsigned i = 0; i < 1500; ++i) {
        uint64_t exponent = (static_cast<uint64_t>(f.bias()) - 3 + random.below(static_cast<uint64_t>(f.precision) + 5)) & ((uint64_t{1} << f.exponent_bits) - 1);
        uint64_t fraction = (random.bits() & ((uint64_t{1} << (f.precision - 1)) - 1)) & ~uint64_t{0} << random.below(static_cast<uint64_t>(f.precision));
        operands.push_back({box(f, exponent << (f.precision - 1) | (fraction & ((uint64_t{1} << (f.precision - 1)) - 1)) | (random.bits() & f.sign())), 0, 0});
      }
      compare_all(
          rig, std::string(kind == 4 ? "fround." : "froundnx.") + format.name,
          +[](uint32_t k, uint32_t fmt, uint32_t rm) { return op_word(8, fmt, k, 0, rm, 3); }, kind, format.fmt, false, operands,
          [&](const Operands& o, int mode, unsigned& flags) {
            unsigned raised = 0;
            uint64_t result = ref_integral(f, low(f, o.a), mode, raised);
            flags |= kind == 4 ? raised & kRefNV : raised;
            return box(f, result);
          });
    }
}

// Operations without rounding: compares, minimum and maximum, sign injection, classification, by plain definitions on decoded values.
TEST_CASE("compares, selections, signs and classes", "[float]") {
  HartRig rig(GENERATE(as<std::string>{}, "interp", "x64"));
  for (const FormatCase& format : kFormats) {
    const FloatFormat& f = format.format;
    std::vector<Operands> operands = operands_for(f, 2, 1500, 17 + format.fmt);
    if (f.width() < 64)  // not boxed: both sides read as the canonical NaN
      for (uint64_t a : edges(f)) operands.push_back({a, box(f, f.sign() >> 1), 0}), operands.push_back({box(f, f.sign() >> 1), a | uint64_t{0xfffe} << 48, 0});
    auto read = [&](uint64_t reg) { return box(f, low(f, reg)) == reg ? low(f, reg) : f.nan(); };
    struct Kind {
      const char* name;
      uint32_t funct5, rm;
      bool integer;
    };
    for (Kind kind : {Kind{"feq", 20, 2, true}, Kind{"flt", 20, 1, true}, Kind{"fle", 20, 0, true}, Kind{"fltq", 20, 5, true}, Kind{"fleq", 20, 4, true},
                      Kind{"fmin", 5, 0, false}, Kind{"fmax", 5, 1, false}, Kind{"fminm", 5, 2, false}, Kind{"fmaxm", 5, 3, false}, Kind{"fsgnj", 4, 0, false},
                      Kind{"fsgnjn", 4, 1, false}, Kind{"fsgnjx", 4, 2, false}, Kind{"fclass", 28, 1, true}}) {
      uint32_t word = op_word(kind.funct5, format.fmt, kind.funct5 == 28 ? 0 : 1, 0, kind.rm, kind.integer ? 16 : 3);
      std::vector<Answer> got = run(rig, word, kind.integer, 0, operands);
      size_t wrong = 0;
      for (size_t i = 0; i < operands.size(); ++i) {
        uint64_t a = read(operands[i].a), b = read(operands[i].b), expected = 0;
        unsigned flags = 0;
        bool nan = f.is_nan(a) || f.is_nan(b), signaling = f.is_signaling(a) || f.is_signaling(b);
        Real x, y;
        if (!f.is_nan(a)) ref_decode(f, a, x.value);
        if (!f.is_nan(b)) ref_decode(f, b, y.value);
        std::string name = kind.name;
        if (kind.funct5 == 20) {
          bool quiet = name == "feq" || name.back() == 'q';
          if (nan ? !quiet || signaling : false) flags = kRefNV;
          if (name == "feq") expected = !nan && mpfr_equal_p(x.value, y.value);
          else if (name[2] == 't') expected = !nan && mpfr_less_p(x.value, y.value);
          else expected = !nan && mpfr_lessequal_p(x.value, y.value);
        } else if (kind.funct5 == 5) {
          bool maximum = name[2] == 'a', propagate = name.back() == 'm';
          if (signaling) flags = kRefNV;
          if (nan && (propagate || (f.is_nan(a) && f.is_nan(b)))) expected = f.nan();
          else if (nan) expected = f.is_nan(a) ? b : a;
          else if (mpfr_equal_p(x.value, y.value)) expected = maximum ? (a & f.sign() ? b : a) : (a & f.sign() ? a : b);
          else expected = (mpfr_less_p(x.value, y.value) != 0) != maximum ? a : b;
          expected = box(f, expected);
        } else if (kind.funct5 == 4) {
          uint64_t sign = kind.rm == 0 ? b : kind.rm == 1 ? ~b : a ^ b;
          expected = box(f, (a & ~f.sign()) | (sign & f.sign()));
        } else {
          bool negative = a & f.sign();
          if (f.is_nan(a)) expected = f.is_signaling(a) ? 1 << 8 : 1 << 9;
          else if (mpfr_inf_p(x.value)) expected = negative ? 1 << 0 : 1 << 7;
          else if (mpfr_zero_p(x.value)) expected = negative ? 1 << 3 : 1 << 4;
          else if (mpfr_get_exp(x.value) - 1 < 1 - f.bias()) expected = negative ? 1 << 2 : 1 << 5;
          else expected = negative ? 1 << 1 : 1 << 6;
        }
        if (got[i].value == expected && got[i].flags == flags) continue;
        if (++wrong > 3) continue;
        char line[256];
        std::snprintf(line, sizeof line, "%s.%s %016llx %016llx: got %016llx flags %02x, expected %016llx flags %02x", kind.name, format.name,
                      (unsigned long long)operands[i].a, (unsigned long long)operands[i].b, (unsigned long long)got[i].value, got[i].flags,
                      (unsigned long long)expected, flags);
        CHECK(std::string(line) == "");
      }
      CAPTURE(kind.name, format.name);
      CHECK(wrong == 0);
    }
  }
}

TEST_CASE("fli, fcvtmod, moves and boxing", "[float]") {
  HartRig rig(GENERATE(as<std::string>{}, "interp", "x64"));
  riscv::State& s = rig.state();
  s.mstatus |= riscv::mstatus::kFs | riscv::mstatus::kSd;
  constexpr float kLiterals[] = {-1, 0x1p-126f, 0x1p-16f, 0x1p-15f, 0x1p-8f, 0x1p-7f, 0.0625f, 0.125f, 0.25f, 0.3125f, 0.375f, 0.4375f, 0.5f, 0.625f, 0.75f, 0.875f,
                                 1,  1.25f,     1.5f,     1.75f,    2,       2.5f,    3,       4,      8,     16,      128,    256,     32768, 65536};
  for (unsigned i = 0; i < 30; ++i) {
    rig.execute({0xf0100053 | i << 15 | 3 << 7, 0xf2100053 | i << 15 | 4 << 7});
    uint32_t single;
    std::memcpy(&single, &kLiterals[i], 4);
    double wide = i == 1 ? 0x1p-1022 : kLiterals[i];
    uint64_t bits;
    std::memcpy(&bits, &wide, 8);
    CAPTURE(i);
    CHECK(s.f[3] == (~uint64_t{0} << 32 | single));
    CHECK(s.f[4] == bits);
  }
  rig.execute({0xf4100053 | 29 << 15 | 3 << 7, 0xf4100053 | 1 << 15 | 4 << 7, 0xf0100053 | 30 << 15 | 5 << 7, 0xf0100053 | 31u << 15 | 6 << 7});
  CHECK((s.f[3] == (~uint64_t{0} << 16 | 0x7c00) && s.f[4] == (~uint64_t{0} << 16 | 0x0400)));
  CHECK((s.f[5] == 0xffffffff7f800000 && s.f[6] == 0xffffffff7fc00000));

  struct Modular {
    double in;
    int64_t out;
    unsigned flags;
  };
  for (Modular m : {Modular{1.5, 1, 1}, Modular{-1.5, -1, 1}, Modular{4294967296.0, 0, 16}, Modular{4294967297.0, 1, 16}, Modular{-4294967297.0, -1, 16},
                    Modular{2147483648.0, -2147483648LL, 16}, Modular{-2147483648.0, -2147483648LL, 0}, Modular{1e300, 0, 16}, Modular{6442450944.5, -2147483648LL, 16},
                    Modular{__builtin_inf(), 0, 16}, Modular{__builtin_nan(""), 0, 16}, Modular{0.25, 0, 1}, Modular{-0.0, 0, 0}}) {
    std::memcpy(&s.f[0], &m.in, 8);
    rig.execute({0x00105073, 0xc2801853, 0x00102673});  // fsflagsi 0; fcvtmod.w.d a6, f0, rtz; frflags a2
    CAPTURE(m.in);
    CHECK(rig.x(a6) == static_cast<uint64_t>(m.out));
    CHECK(rig.x(a2) == m.flags);
  }
  // Moves copy bits whatever they are; a single that is not boxed reads as NaN in arithmetic, also when it was known boxed before.
  s.f[0] = 0x123456789abcdef0;
  rig.execute({0xe0000853});  // fmv.x.w a6, f0
  CHECK(rig.x(a6) == 0xffffffff9abcdef0);
  s.f[1] = 0xffffffff3f800000;
  rig.x(a5) = 0x3f800000;
  rig.execute({0x0010f153,    // fadd.s f2, f1, f1
               0xf20780d3,    // fmv.d.x f1, a5
               0x0020f1d3});  // fadd.s f3, f1, f2
  CHECK(s.f[2] == 0xffffffff40000000);
  CHECK(s.f[3] == 0xffffffff7fc00000);
}

TEST_CASE("reserved rounding modes are illegal", "[float]") {
  HartRig rig(GENERATE(as<std::string>{}, "interp", "x64"));
  riscv::State& s = rig.state();
  s.mtvec = HartRig::kRam + 0x800;
  for (unsigned frm : {0u, 5u, 6u, 7u})
    for (unsigned rm : {0u, 5u, 6u, 7u}) {
      s.mstatus |= riscv::mstatus::kFs | riscv::mstatus::kSd;
      riscv::write_frm(*rig.block, 0, frm);
      rig.load(kCode, {op_word(0, 0, 1, 0, rm, 3), 0x0000006f});
      s.pc = kCode;
      rig.run_block();
      bool illegal = rm == 5 || rm == 6 || (rm == 7 && frm > 4);
      CAPTURE(frm, rm);
      CHECK((s.pc == HartRig::kRam + 0x800) == illegal);
    }
  riscv::write_frm(*rig.block, 0, 0);
}
