// The pass pipeline, whole and with single passes left out. Each round copies the raw region into reused memory: region_copy is that part alone.
// Items are guest instructions.
#include <benchmark/benchmark.h>

#include "bench/micro/guest_code.h"

namespace lyre::bench {
namespace {

void run(benchmark::State& state, bool passes, uint32_t which) {
  GuestCode code;
  const std::vector<ir::Region> raw = code.regions(false);
  code.pipeline.passes = which;
  ir::Region work;
  for (auto _ : state)
    for (const ir::Region& region : raw) {
      work = region;
      if (passes) ir::run_pipeline(work, code.pipeline);
      benchmark::DoNotOptimize(work.insts.data());
    }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(total_insns(raw)));
}
BENCHMARK_CAPTURE(run, region_copy, false, 0u);
BENCHMARK_CAPTURE(run, passes_all, true, ir::kAllPasses);
BENCHMARK_CAPTURE(run, passes_none_but_forwarding, true, 0u);
BENCHMARK_CAPTURE(run, passes_without_fold, true, ir::kAllPasses & ~ir::kPassFold);
BENCHMARK_CAPTURE(run, passes_without_fuse_address, true, ir::kAllPasses & ~ir::kPassFuseAddress);
BENCHMARK_CAPTURE(run, passes_without_fuse_compare, true, ir::kAllPasses & ~ir::kPassFuseCompare);
BENCHMARK_CAPTURE(run, passes_without_value_number, true, ir::kAllPasses & ~ir::kPassValueNumber);
BENCHMARK_CAPTURE(run, passes_without_dce, true, ir::kAllPasses & ~ir::kPassDce);

}  // namespace
}  // namespace lyre::bench
