#include "runtime/vcpu/host_clock.h"

#include <time.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <x86intrin.h>
#endif

#include <mutex>

namespace lyre::runtime {

#if defined(__x86_64__)
namespace {

struct Pair {
  int64_t ns;
  uint64_t tsc;
};

int64_t monotonic_ns() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000000000 + now.tv_nsec;
}

// The reading with the shortest bracket of several: its error is well below a microsecond.
Pair read_pair() {
  Pair best{};
  uint64_t shortest = ~uint64_t{0};
  for (int i = 0; i < 16; ++i) {
    const uint64_t before = __rdtsc();
    const int64_t ns = monotonic_ns();
    const uint64_t after = __rdtsc();
    if (after - before < shortest) {
      shortest = after - before;
      best = {ns, before + (after - before) / 2};
    }
  }
  return best;
}

bool invariant_tsc() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid(0x80000007, &a, &b, &c, &d) && (d >> 8 & 1);
}

uint64_t scaled(uint64_t tsc, uint64_t mult) { return static_cast<uint64_t>((static_cast<unsigned __int128>(tsc) * mult) >> 32); }

// One calibration for all vCPUs, so that their clocks agree to the tick. The longer the time since the start, the better the
// ratio is known: it is taken again after ten times as long each time (10 ms, 100 ms, ... 100 s, then every 100 s).
class Calibration {
 public:
  void get(uint64_t& mult, int64_t& base) {
    std::lock_guard lock(mutex_);
    Pair now = read_pair();
    while (now.ns - start_.ns < 10000000) now = read_pair();
    if (now.ns >= next_ns_) {
      mult_ = static_cast<uint64_t>((static_cast<unsigned __int128>(now.ns - start_.ns) << 32) / (now.tsc - start_.tsc));
      base_ = now.ns - static_cast<int64_t>(scaled(now.tsc, mult_));
      const int64_t age = now.ns - start_.ns;
      next_ns_ = now.ns + (age < kLongest / 10 ? age * 9 : kLongest);
    }
    mult = mult_, base = base_;
  }

 private:
  static constexpr int64_t kLongest = 100000000000;
  std::mutex mutex_;
  const Pair start_ = read_pair();
  uint64_t mult_ = 0;
  int64_t base_ = 0;
  int64_t next_ns_ = 0;
};

Calibration g_calibration;
const bool g_usable = invariant_tsc();

}  // namespace

void set_inline_clock(ir::VcpuBlock& block, const VirtualClock& clock) {
  block.clock_mult = 0;
  if (!g_usable || !clock.running()) return;
  uint64_t mult = 0;
  int64_t base = 0;
  g_calibration.get(mult, base);
  block.clock_base = base + clock.host_offset_ns();
  block.clock_mult = mult;
}
#else
void set_inline_clock(ir::VcpuBlock& block, const VirtualClock&) { block.clock_mult = 0; }
#endif

}  // namespace lyre::runtime
