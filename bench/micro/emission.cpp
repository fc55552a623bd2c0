// Optimised IR to finished code: allocation, emission and the host-pc map of each host; and the whole way from guest bytes. Code memory that fills
// up is taken back by area, as the runtime does it. Items are guest instructions.
#include <benchmark/benchmark.h>

#include "bench/micro/guest_code.h"

namespace lyre::bench {
namespace {

// A host with what it has compiled; single thread, so evicted areas can be given back at once.
class Host {
 public:
  Host(const std::string& name, const backend::GuestLayout& layout) {
    auto made = backend::make_backend(name, layout, {});
    if (!made) {
      error = made.error().message;
      return;
    }
    host_ = std::move(*made);
    compiler_ = host_->make_compiler();
  }
  ~Host() {
    for (auto& region : kept_) host_->forget(*region);
  }
  bool compile(const ir::Region& region) {
    for (int tries = 0; tries < 2; ++tries) {
      if (auto code = compiler_->compile(region)) {
        bytes += code->code_bytes;
        kept_.push_back(std::move(code));
        return true;
      }
      make_room();
    }
    return false;
  }
  std::string error;
  uint64_t bytes = 0;

 private:
  void make_room() {
    std::vector<backend::CompiledRegion*> dead;
    void* area = host_->evict_oldest_area(dead);
    std::sort(dead.begin(), dead.end());
    std::erase_if(kept_, [&](const auto& region) { return std::binary_search(dead.begin(), dead.end(), region.get()); });
    if (area) host_->recycle_area(area);
  }
  std::unique_ptr<backend::Backend> host_;
  std::unique_ptr<backend::Compiler> compiler_;
  std::vector<std::unique_ptr<backend::CompiledRegion>> kept_;
};

void emit(benchmark::State& state, const char* name) {
  GuestCode code;
  const std::vector<ir::Region> regions = code.regions(true);
  Host host(name, code.layout());
  if (!host.error.empty()) return state.SkipWithError(host.error.c_str());
  for (auto _ : state)
    for (const ir::Region& region : regions)
      if (!host.compile(region)) return state.SkipWithError("no room in code memory");
  const auto insns = static_cast<double>(state.iterations()) * static_cast<double>(total_insns(regions));
  state.SetItemsProcessed(static_cast<int64_t>(insns));
  state.counters["bytes/insn"] = static_cast<double>(host.bytes) / insns;
}
BENCHMARK_CAPTURE(emit, x64, "x64");

void translate_all(benchmark::State& state, const char* name) {
  GuestCode code;
  Host host(name, code.layout());
  if (!host.error.empty()) return state.SkipWithError(host.error.c_str());
  ir::Region region;
  int64_t insns = 0;
  for (auto _ : state)
    for (size_t at = 0; at < code.words.size(); at += region.guest_insns) {
      code.translate(at, region);
      insns += region.guest_insns;
      ir::run_pipeline(region, code.pipeline);
      if (!host.compile(region)) return state.SkipWithError("no room in code memory");
    }
  state.SetItemsProcessed(insns);
}
BENCHMARK_CAPTURE(translate_all, x64, "x64");

}  // namespace
}  // namespace lyre::bench
