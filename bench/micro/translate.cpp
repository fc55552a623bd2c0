// Guest bytes to raw IR: decoding alone, and the translation loop. Items are guest instructions.
#include <benchmark/benchmark.h>

#include "bench/micro/guest_code.h"
#include "frontend/riscv/cpu.h"

namespace lyre::bench {
namespace {

void decode_riscv(benchmark::State& state) {
  GuestCode code;
  const auto& cpu = static_cast<const riscv::RiscvCpu&>(*code.cpu);
  for (auto _ : state)
    for (uint32_t word : code.words) benchmark::DoNotOptimize(cpu.find_row(word));
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(code.words.size()));
}
BENCHMARK(decode_riscv);

void translate_loop(benchmark::State& state) {
  GuestCode code;
  ir::Region region;
  int64_t insns = 0;
  for (auto _ : state)
    for (size_t at = 0; at < code.words.size(); at += region.guest_insns) {
      code.translate(at, region);
      insns += region.guest_insns;
    }
  state.SetItemsProcessed(insns);
}
BENCHMARK(translate_loop);

}  // namespace
}  // namespace lyre::bench
