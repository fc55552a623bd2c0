// A virtqueue's device side: take a chain of `range` descriptors, hand it back, publish. The driver's side is played here, in the same thread.
// Items are chains.
#include <benchmark/benchmark.h>

#include <cstring>

#include "machine/virtio/ring.h"
#include "runtime/mem/physical_map.h"

namespace lyre::bench {
namespace {

using namespace machine;
using namespace machine::virtio;

constexpr uint64_t kRam = 0x80000000, kRamBytes = 1 << 20;
constexpr uint16_t kSize = 256;
constexpr uint64_t kDescriptors = kRam, kDriver = kRam + 0x2000, kDevice = kRam + 0x3000, kBuffers = kRam + 0x10000;

class Bench {
 public:
  Bench() {
    auto added = memory.add_ram("ram", {kRam}, kRamBytes);
    if (!added) std::abort();
  }
  template <typename T>
  void put(uint64_t address, T value) {
    std::memcpy(memory.ram({address}, sizeof value, true), &value, sizeof value);
  }
  RingConfig config() const { return {{kDescriptors}, {kDriver}, {kDevice}, kSize, false, true}; }
  runtime::PhysicalMap memory;
  Dma dma{memory};
};

void take_and_return(benchmark::State& state, Ring& ring, Chain& chain) {
  if (ring.pop(chain) != Pop::kGot) return state.SkipWithError(ring.error() ? ring.error() : "the queue is empty");
  ring.push(chain, chain.writable_bytes);
  benchmark::DoNotOptimize(ring.publish());
}

void split_queue(benchmark::State& state) {
  Bench bench;
  const auto length = static_cast<uint16_t>(state.range(0));
  for (uint16_t i = 0; i < kSize; ++i) {  // virtio 1.3, 2.7.5; chains of `length` stand one after another
    const bool last = i % length == length - 1;
    bench.put(kDescriptors + i * 16u, uint64_t{kBuffers + i * 512u});
    bench.put(kDescriptors + i * 16u + 8, uint32_t{512});
    bench.put(kDescriptors + i * 16u + 12, static_cast<uint16_t>((last ? 0 : 1) | (i % length ? 2 : 0)));
    bench.put(kDescriptors + i * 16u + 14, static_cast<uint16_t>(i + 1));
  }
  const char* why = nullptr;
  auto ring = make_split_ring(bench.dma, bench.config(), why);
  if (!ring) return state.SkipWithError(why);
  Chain chain;
  uint16_t available = 0;
  const auto chains = static_cast<uint16_t>(kSize / length);
  for (auto _ : state) {
    bench.put(kDriver + 4 + available % kSize * 2u, static_cast<uint16_t>(available % chains * length));
    bench.put(kDriver + 2, static_cast<uint16_t>(++available));
    take_and_return(state, *ring, chain);
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(split_queue)->Arg(1)->Arg(4)->Arg(16);

void packed_queue(benchmark::State& state) {
  Bench bench;
  const auto length = static_cast<uint16_t>(state.range(0));
  const char* why = nullptr;
  auto ring = make_packed_ring(bench.dma, bench.config(), why);
  if (!ring) return state.SkipWithError(why);
  Chain chain;
  uint16_t at = 0;
  bool wrap = true;
  for (auto _ : state) {
    for (uint16_t i = 0; i < length; ++i) {  // virtio 1.3, 2.8.13: AVAIL is bit 7, USED bit 15
      const uint64_t descriptor = kDescriptors + at * 16u;
      bench.put(descriptor, uint64_t{kBuffers + at * 512u});
      bench.put(descriptor + 8, uint32_t{512});
      bench.put(descriptor + 12, at);
      bench.put(descriptor + 14, static_cast<uint16_t>((i + 1 < length ? 1 : 0) | (i ? 2 : 0) | (wrap ? 1 << 7 : 1 << 15)));
      if (++at == kSize) at = 0, wrap = !wrap;
    }
    take_and_return(state, *ring, chain);
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(packed_queue)->Arg(1)->Arg(4)->Arg(16);

}  // namespace
}  // namespace lyre::bench
