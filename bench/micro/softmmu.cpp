// The miss side of the soft TLB: filling an entry, and switching between two address spaces and back.
#include <benchmark/benchmark.h>

#include <memory>

#include "runtime/mem/soft_tlb.h"

namespace lyre::bench {
namespace {

runtime::SoftTlb::Fill page(uint64_t number) {
  runtime::SoftTlb::Fill fill;
  fill.page = {number << kPageBits};
  fill.gpa = {number << kPageBits};
  fill.host = reinterpret_cast<Hva>(uintptr_t{0x10000000} + (number << kPageBits));
  fill.readable = fill.writable = fill.store_hits = true;
  return fill;
}

void tlb_fill(benchmark::State& state) {
  auto block = std::make_unique<ir::VcpuBlock>();
  runtime::SoftTlb tlb(*block);
  tlb.select(1, 0);
  uint64_t number = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(tlb.fill(page(number)));
    number = (number + 1) & 0xffff;
    if (tlb.wants_safe_point()) tlb.safe_point();
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(tlb_fill);

void tlb_switch_space(benchmark::State& state) {
  auto block = std::make_unique<ir::VcpuBlock>();
  runtime::SoftTlb tlb(*block);
  const auto spaces = static_cast<uint64_t>(state.range(0));
  uint64_t space = 0;
  for (auto _ : state) {
    tlb.select(space, 0);
    space = space + 1 == spaces ? 0 : space + 1;
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(tlb_switch_space)->Arg(2)->Arg(8)->Arg(32);  // 32: more than there are arrays

void tlb_flush_all(benchmark::State& state) {
  auto block = std::make_unique<ir::VcpuBlock>();
  runtime::SoftTlb tlb(*block);
  tlb.select(1, 0);
  for (auto _ : state) {
    for (uint64_t i = 0; i < 64; ++i) tlb.fill(page(i));
    tlb.flush_all();
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(tlb_flush_all);

}  // namespace
}  // namespace lyre::bench
