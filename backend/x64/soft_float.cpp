#include "backend/x64/soft_float.h"

#include <bit>
#include <cfenv>
#include <cmath>

namespace lyre::backend::x64 {
namespace {

constexpr uint32_t kFlags = 0x3f;
constexpr unsigned kRoundShift = 13;  // MXCSR.RC

// Runs `body` with MXCSR.RC = mode; flags raised meanwhile stay.
template <typename Body>
auto with_rounding(uint32_t mode, Body&& body) {
  const uint32_t control = __builtin_ia32_stmxcsr();
  __builtin_ia32_ldmxcsr((control & ~(3u << kRoundShift)) | mode << kRoundShift);
  auto result = body();
  __builtin_ia32_ldmxcsr((control & ~kFlags) | ((control | __builtin_ia32_stmxcsr()) & kFlags));
  return result;
}

template <typename Float>
Float fused(Float a, Float b, Float c) {
  // The C library's exact form reads the rounding mode from the x87 control word.
  constexpr int kModes[] = {FE_TONEAREST, FE_DOWNWARD, FE_UPWARD, FE_TOWARDZERO};
  const uint32_t control = __builtin_ia32_stmxcsr();
  std::fesetround(kModes[control >> kRoundShift & 3]);
  volatile Float x = a, y = b, z = c;
  volatile Float result = std::fma(x, y, z);
  const uint32_t after = __builtin_ia32_stmxcsr();
  std::fesetround(FE_TONEAREST);
  __builtin_ia32_ldmxcsr((control & ~kFlags) | ((control | after) & kFlags));
  return result;
}

// Adding and taking away the number whose lowest bit is 1 rounds to integral in the current mode. Volatile: each step under the control register that
// is loaded then, of which the compiler knows nothing.
template <typename Float>
Float round_now(Float value) {
  constexpr Float kWhole = sizeof(Float) == 8 ? Float(4503599627370496.0) : Float(8388608.0);
  volatile Float input = value;
  if (!std::isless(std::fabs(value), kWhole)) {
    volatile Float quiet = input + Float(0);  // NaN, infinity, or integral already
    return std::isnan(value) ? quiet : value;
  }
  volatile Float shift = std::copysign(kWhole, value);
  volatile Float sum = input + shift;
  volatile Float result = sum - shift;
  return std::copysign(result, value);
}

template <typename Float, typename Word, int kMode>
uint64_t round(ir::VcpuBlock*, uint64_t a, uint64_t, uint64_t) noexcept {
  const auto value = std::bit_cast<Float>(static_cast<Word>(a));
  if constexpr (kMode < 0) return std::bit_cast<Word>(round_now(value));
  return std::bit_cast<Word>(with_rounding(static_cast<uint32_t>(kMode), [&] { return round_now(value); }));
}

template <typename Float, typename Word>
SoftFunction pick(ir::Rounding mode) {
  switch (mode) {
    case ir::Rounding::kNearestEven: return round<Float, Word, 0>;
    case ir::Rounding::kDown: return round<Float, Word, 1>;
    case ir::Rounding::kUp: return round<Float, Word, 2>;
    case ir::Rounding::kTowardZero: return round<Float, Word, 3>;
    case ir::Rounding::kDynamic: break;
  }
  return round<Float, Word, -1>;
}

}  // namespace

uint64_t soft_fma32(ir::VcpuBlock*, uint64_t a, uint64_t b, uint64_t c) noexcept {
  return std::bit_cast<uint32_t>(fused(std::bit_cast<float>(static_cast<uint32_t>(a)), std::bit_cast<float>(static_cast<uint32_t>(b)),
                                       std::bit_cast<float>(static_cast<uint32_t>(c))));
}
uint64_t soft_fma64(ir::VcpuBlock*, uint64_t a, uint64_t b, uint64_t c) noexcept {
  return std::bit_cast<uint64_t>(fused(std::bit_cast<double>(a), std::bit_cast<double>(b), std::bit_cast<double>(c)));
}
SoftFunction soft_round(bool is_double, ir::Rounding mode) { return is_double ? pick<double, uint64_t>(mode) : pick<float, uint32_t>(mode); }

}  // namespace lyre::backend::x64
