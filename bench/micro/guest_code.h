// Guest code to translate, for the benchmarks of the translator's parts: riscv64 instructions in the mix of compiled code (arithmetic, constants,
// loads, stores, a branch every dozen instructions), the same on every run. Made outside the timed loops.
#pragma once
#include <cstdint>
#include <memory>
#include <random>
#include <span>
#include <stdexcept>
#include <vector>

#include "backend/backend.h"
#include "frontend/guest_isa.h"
#include "frontend/translate_loop.h"
#include "ir/pass/pipeline.h"

namespace lyre::bench {

inline std::vector<uint32_t> guest_words(size_t count) {
  std::mt19937 random(1);
  auto below = [&](uint32_t limit) { return static_cast<uint32_t>(random() % limit); };
  auto reg = [&] { return 5 + below(27); };
  std::vector<uint32_t> words;
  while (words.size() < count) {
    const uint32_t kind = below(12), d = reg() << 7, a = reg() << 15, b = reg() << 20, imm = below(2048) << 20;
    static constexpr uint32_t kF3[] = {0, 4, 6, 7, 1, 5, 2, 3};
    if (kind < 3) words.push_back(b | a | kF3[below(8)] << 12 | d | 0x33);                                            // add, xor, or, ...
    else if (kind < 6) words.push_back(imm | a | kF3[below(4)] << 12 | d | 0x13);                                       // addi, xori, ori, andi
    else if (kind < 7) words.push_back(imm | a | d | 0x1b);                                                           // addiw
    else if (kind < 8) words.push_back(below(1u << 20) << 12 | d | (below(4) ? 0x37u : 0x17u));                       // lui, auipc
    else if (kind < 10) words.push_back((imm & ~(7u << 20)) | 2u << 15 | (2 + below(2)) << 12 | d | 0x03);            // lw, ld off sp
    else if (kind < 11) words.push_back(below(64) << 25 | b | 2u << 15 | 3u << 12 | below(4) << 10 | 0x23);           // sd to sp
    else words.push_back(b | a | below(2) << 12 | 16u << 7 | 0x63);                                                   // beq, bne forward 16 bytes
  }
  return words;
}

// A machine's worth of what translation needs, without a machine.
class GuestCode final : public frontend::CodeReader {
 public:
  static constexpr uint64_t kStart = 0x80000000;
  GuestCode() : words(guest_words(kPageSize / 4)), block(std::make_unique<ir::VcpuBlock>()) {
    const frontend::GuestInfo* guest = frontend::find_guest("riscv64");
    if (!guest) throw std::runtime_error("no guest riscv64");
    auto made = guest->create("", {});
    if (!made) throw std::runtime_error(made.error().message);
    cpu = std::move(*made);
    cpu->reset(*block, 0, {kStart});
    state_key = cpu->state_key(*block);
    pipeline.helpers = cpu->helpers();
    pipeline.pinned_slots = cpu->pinned_slots();
    pipeline.pc_slot = cpu->pc_slot();
    limits.stay_in_page = true;
  }
  std::span<const uint8_t> code_at(Gva address) override {
    const uint64_t offset = address.value & ~kPageMask;
    return {reinterpret_cast<const uint8_t*>(words.data()) + offset, words.size() * 4 - offset};
  }
  // Raw IR of the superblock at instruction `first`.
  void translate(size_t first, ir::Region& region) {
    Gva fault;
    if (!loop().translate({kStart + first * 4}, state_key, *this, limits, region, fault)) throw std::runtime_error("fetch fault");
  }
  // Superblocks that follow one another through the page.
  std::vector<ir::Region> regions(bool optimised) {
    std::vector<ir::Region> made;
    for (size_t at = 0; at < words.size();) {
      ir::Region region;
      translate(at, region);
      at += region.guest_insns;
      if (optimised) ir::run_pipeline(region, pipeline);
      made.push_back(std::move(region));
    }
    return made;
  }
  backend::GuestLayout layout() const { return {cpu->pc_slot(), cpu->pinned_slots(), cpu->helpers()}; }

  std::vector<uint32_t> words;
  std::unique_ptr<ir::VcpuBlock> block;
  std::unique_ptr<frontend::GuestCpu> cpu;
  uint64_t state_key = 0;
  ir::PipelineOptions pipeline;
  frontend::TranslateLimits limits;

 private:
  frontend::TranslateLoop& loop() {
    if (!loop_) loop_ = std::make_unique<frontend::TranslateLoop>(*cpu);
    return *loop_;
  }
  std::unique_ptr<frontend::TranslateLoop> loop_;
};

inline size_t total_insns(const std::vector<ir::Region>& regions) {
  size_t sum = 0;
  for (const ir::Region& region : regions) sum += region.guest_insns;
  return sum;
}

}  // namespace lyre::bench
