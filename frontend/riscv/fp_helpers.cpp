// Slow paths of floating-point instructions: exact results (exact_float.h) on whole registers, flags to State::fflags. None uses host floating point.
#include "frontend/riscv/fp_helpers.h"

#include "frontend/riscv/cpu.h"
#include "frontend/riscv/exact_float.h"
#include "frontend/riscv/sysreg.h"

namespace lyre::riscv {
namespace {

using namespace exact;

unsigned op_of(uint64_t what) { return what & 0xff; }
const Format& format_of(uint64_t format) { return format == kFormatD ? kDouble : format == kFormatS ? kSingle : kHalf; }

// NaN boxing (Unprivileged ISA, "D"): a narrower value is valid only with all ones above it, and reads as the canonical NaN otherwise.
uint64_t unbox(const Format& format, uint64_t bits) {
  if (format.width() == 64) return bits;
  uint64_t above = ~uint64_t{0} << format.width();
  return (bits & above) == above ? bits & ~above : format.canonical_nan();
}
uint64_t box(const Format& format, uint64_t bits) { return format.width() == 64 ? bits : bits | ~uint64_t{0} << format.width(); }

// Reads format and rounding from `what`, and adds the flags at the end.
class Operation {
 public:
  Operation(ir::VcpuBlock* vcpu, uint64_t what) : format(format_of(what >> 8 & 0xff)), context{static_cast<RoundingMode>(what >> 16 & 0xff), 0}, vcpu_(vcpu) {}
  ~Operation() { vcpu_->as<State>().fflags |= context.flags; }
  uint64_t read(uint64_t bits) const { return unbox(format, bits); }
  uint64_t result(uint64_t bits) const { return box(format, bits); }
  const Format& format;
  Context context;

 private:
  ir::VcpuBlock* vcpu_;
};

uint64_t helper_float_dirty(ir::VcpuBlock* vcpu) noexcept {
  State& state = vcpu->as<State>();
  state.mstatus |= mstatus::kFs | state.cpu->top_bit();
  vcpu->env->state_key_changed();
  return 0;
}

uint64_t helper_nan32(ir::VcpuBlock*) noexcept { return kSingle.canonical_nan(); }
uint64_t helper_nan64(ir::VcpuBlock*) noexcept { return kDouble.canonical_nan(); }

uint64_t helper_unbox32(ir::VcpuBlock*, uint64_t) noexcept { return kSingle.canonical_nan(); }

// The host has raised invalid for all reasons but this one, which it does not where the addend is a quiet NaN.
template <const Format& format>
uint64_t helper_fma_nan(ir::VcpuBlock* vcpu, uint64_t a, uint64_t b, uint64_t) noexcept {
  a &= format.sign() | format.infinity() | format.fraction_mask();
  b &= format.sign() | format.infinity() | format.fraction_mask();
  if ((format.is_infinite(a) && format.is_zero(b)) || (format.is_zero(a) && format.is_infinite(b))) vcpu->as<State>().fflags |= kFlagNV;
  return format.canonical_nan();
}

uint64_t helper_arithmetic(ir::VcpuBlock* vcpu, uint64_t what, uint64_t a, uint64_t b, uint64_t c) noexcept {
  Operation op(vcpu, what);
  const Format& format = op.format;
  a = op.read(a), b = op.read(b), c = op.read(c);
  // A sign flip on a NaN is harmless: NaN results are canonical.
  uint64_t sign = format.sign();
  switch (op_of(what)) {
    case kOpAdd: return op.result(add(format, a, b, op.context));
    case kOpSub: return op.result(subtract(format, a, b, op.context));
    case kOpMul: return op.result(multiply(format, a, b, op.context));
    case kOpDiv: return op.result(divide(format, a, b, op.context));
    case kOpSqrt: return op.result(square_root(format, a, op.context));
    case kOpMadd: return op.result(multiply_add(format, a, b, c, op.context));
    case kOpMsub: return op.result(multiply_add(format, a, b, c ^ sign, op.context));
    case kOpNmsub: return op.result(multiply_add(format, a ^ sign, b, c, op.context));
    case kOpNmadd: return op.result(multiply_add(format, a ^ sign, b, c ^ sign, op.context));
    case kOpRound: return op.result(round_to_integral(format, a, false, op.context));
    default: return op.result(round_to_integral(format, a, true, op.context));
  }
}

uint64_t helper_compare(ir::VcpuBlock* vcpu, uint64_t what, uint64_t a, uint64_t b) noexcept {
  Operation op(vcpu, what);
  unsigned kind = op_of(what);
  Compare relation = kind == kOpEq ? Compare::kEqual : kind == kOpLt || kind == kOpLtq ? Compare::kLess : Compare::kLessEqual;
  bool quiet = kind == kOpEq || kind == kOpLtq || kind == kOpLeq;
  return compare(op.format, relation, quiet, op.read(a), op.read(b), op.context);
}

uint64_t helper_min_max(ir::VcpuBlock* vcpu, uint64_t what, uint64_t a, uint64_t b) noexcept {
  Operation op(vcpu, what);
  unsigned kind = op_of(what);
  return op.result(min_max(op.format, kind == kOpMax || kind == kOpMaxm, kind == kOpMinm || kind == kOpMaxm, op.read(a), op.read(b), op.context));
}

uint64_t helper_classify(ir::VcpuBlock*, uint64_t what, uint64_t a) noexcept {
  const Format& format = format_of(what >> 8 & 0xff);
  return classify(format, unbox(format, a));
}

uint64_t helper_to_integer(ir::VcpuBlock* vcpu, uint64_t what, uint64_t a) noexcept {
  Operation op(vcpu, what);
  unsigned kind = op_of(what);
  return to_integer(op.format, op.read(a), kind & kIntL ? 64 : 32, !(kind & 1), op.context);
}

uint64_t helper_from_integer(ir::VcpuBlock* vcpu, uint64_t what, uint64_t value) noexcept {
  Operation op(vcpu, what);
  unsigned kind = op_of(what);
  return op.result(from_integer(op.format, value, kind & kIntL ? 64 : 32, !(kind & 1), op.context));
}

uint64_t helper_convert(ir::VcpuBlock* vcpu, uint64_t what, uint64_t a) noexcept {
  Operation op(vcpu, what);
  const Format& from = format_of(op_of(what));
  return op.result(convert(from, op.format, unbox(from, a), op.context));
}

uint64_t helper_to_modular(ir::VcpuBlock* vcpu, uint64_t a) noexcept {
  Operation op(vcpu, float_what(0, kFormatD));
  return to_integer_modular(a, op.context);
}

}  // namespace

HelperTable float_helpers() {
  using namespace ir;
  static const HelperInfo kHelpers[] = {
      {"float_dirty", helper_function(helper_float_dirty), kReadsState | kWritesState, 0},
      {"float_nan32", helper_function(helper_nan32), kPureHelper, 0},
      {"float_nan64", helper_function(helper_nan64), kPureHelper, 0},
      {"float_unbox32", helper_function(helper_unbox32), kPureHelper, 1},
      {"float_fma_nan32", helper_function(helper_fma_nan<kSingle>), 0, 3},
      {"float_fma_nan64", helper_function(helper_fma_nan<kDouble>), 0, 3},
      {"float_arithmetic", helper_function(helper_arithmetic), 0, 4},
      {"float_compare", helper_function(helper_compare), 0, 3},
      {"float_min_max", helper_function(helper_min_max), 0, 3},
      {"float_classify", helper_function(helper_classify), kPureHelper, 2},
      {"float_to_integer", helper_function(helper_to_integer), 0, 2},
      {"float_from_integer", helper_function(helper_from_integer), 0, 2},
      {"float_convert", helper_function(helper_convert), 0, 2},
      {"float_to_modular", helper_function(helper_to_modular), 0, 1},
  };
  return {kFloatHelpers, kHelpers};
}

}  // namespace lyre::riscv
