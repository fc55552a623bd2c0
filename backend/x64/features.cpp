#include "backend/x64/features.h"

#include <cpuid.h>

#include <cstdint>

#include "runtime/base/bits.h"

namespace lyre::backend::x64 {
namespace {
uint64_t enabled_state() {
  uint32_t low, high;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return uint64_t{high} << 32 | low;
}
}  // namespace

// Bit numbers: Intel SDM volume 2, CPUID, tables 3-8 (leaf 1), 3-17 (leaf 7) and leaf 80000001H.
HostFeatures host_features() {
  HostFeatures features;
  unsigned a, b, c, d;
  if (__get_cpuid(1, &a, &b, &c, &d)) {
    features.pclmul = bit(c, 1);
    features.sse41 = bit(c, 19);
    features.popcnt = bit(c, 23);
    const bool os_saves_avx = bit(c, 27) && (enabled_state() & 6) == 6;
    features.avx = bit(c, 28) && os_saves_avx;
    features.fma = bit(c, 12) && features.avx;
  }
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) {
    features.bmi1 = bit(b, 3) && features.avx;  // VEX-encoded like AVX
    features.bmi2 = bit(b, 8) && features.avx;
  }
  if (__get_cpuid(0x80000001, &a, &b, &c, &d)) features.lzcnt = bit(c, 5);
  return features;
}

}  // namespace lyre::backend::x64
