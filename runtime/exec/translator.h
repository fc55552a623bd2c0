// Translator: one vCPU thread's way from guest bytes to host code: translation loop -> passes -> compiler. Owns the reused buffers, so a
// translation allocates nothing but the block. Takes no lock while it works.
#pragma once
#include <memory>

#include "backend/backend.h"
#include "frontend/translate_loop.h"
#include "ir/pass/pipeline.h"
#include "runtime/exec/code_cache.h"
#include "runtime/exec/counters.h"
#include "runtime/exec/fetch_tlb.h"

namespace lyre::runtime {

// In a state key: blocks of one counted instruction, which are entered from the loop and never linked.
inline constexpr uint64_t kSingleStepKey = uint64_t{1} << 63;
// Likewise, of direct memory: blocks whose accesses all go to the slow path.
inline constexpr uint64_t kWatchedKey = uint64_t{1} << 62;

struct TranslatorParts {
  const frontend::GuestCpu& cpu;
  backend::Backend& backend;
  CodeCache& cache;
  CodeFetcher& fetch;
  Counters& counters;
  bool one_insn_per_block = false;
  bool counted = false;
  const std::vector<uint64_t>* breakpoints = nullptr;  // sorted; blocks end before them
};

class Translator final : frontend::CodeReader {
 public:
  explicit Translator(const TranslatorParts& parts);
  // Block at `pc` under the thread's state, published in the cache. nullptr: a fetch fault, or ir::kNoCodeRoom, in `fault`.
  TranslationBlock* translate(Gva pc, uint64_t state_key, ir::Fault& fault);

 private:
  std::span<const uint8_t> code_at(Gva address) override;
  std::unique_ptr<TranslationBlock> make(Gva pc, uint64_t state_key, ir::Fault& fault);
  void log_before(const ir::Region& region);
  void log_after(const backend::CompiledRegion& code);

  const TranslatorParts parts_;
  frontend::TranslateLoop loop_;
  ir::Region region_;
  std::unique_ptr<backend::Compiler> compiler_;
  ir::PipelineOptions pipeline_;
  frontend::TranslateLimits limits_;
  // Pages read during this translation.
  struct Page {
    Gva page;
    Gpa gpa;
    uint32_t mapping = 0;
    uint32_t version = 0;
  };
  std::array<Page, 4> pages_;
  unsigned page_count_ = 0;
  ir::Fault fetch_fault_;
};

}  // namespace lyre::runtime
