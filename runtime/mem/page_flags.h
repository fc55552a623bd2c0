// PageFlags: one byte per page of guest RAM, shared by all vCPUs: holds translated code; may be writable through some soft TLB.
// Together they make stores to code visible without a check on the hot path: a store TLB entry exists only for pages without
// code, and a page that becomes code looks for such entries only when one may exist.
// The two sides order themselves as in Dekker's algorithm: the filler installs its entry, fences, then tests kCode; the translator sets
// kCode, fences, then takes entries away. Threads: any. Lock-free.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "runtime/base/types.h"
#include "runtime/exec/code_source.h"
#include "runtime/mem/physical_map.h"

namespace lyre::runtime {

class PageFlags {
 public:
  static constexpr uint8_t kCode = 1;         // translated code was made from this page
  static constexpr uint8_t kWriteCached = 2;  // a soft TLB may hold a store entry for it

  // Covers the RAM that there is now; called again before the vCPUs start, when the board is complete.
  void lay_out(const PhysicalMap& memory);
  // nullptr: not RAM.
  std::atomic<uint8_t>* find(Gpa address) const noexcept;
  bool has_code(Gpa address) const noexcept {
    const auto* flags = find(address);
    return flags && (flags->load(std::memory_order_relaxed) & kCode);
  }

 private:
  struct Block {
    uint64_t base, size;
    std::unique_ptr<std::atomic<uint8_t>[]> flags;
  };
  std::vector<Block> blocks_;
};

// Guest RAM as a source of code: stores are seen through the soft TLBs of `users`. A vCPU that had passed its probe may still store unseen, so a new page
// of code is compared once more where there is more than one.
class RamCode final : public CodeMemorySource {
 public:
  RamCode(PhysicalMap& memory, PageFlags& flags, const std::vector<CodeUser*>& users) : memory_(memory), flags_(flags), users_(users) {}
  bool has_code(Gpa address) const override { return flags_.has_code(address); }
  bool watch(Gpa page) override;
  void unwatch(Gpa page) override;
  const uint8_t* bytes(Gpa address, uint64_t size) const override { return reinterpret_cast<const uint8_t*>(memory_.ram(address, size, false)); }

 private:
  PhysicalMap& memory_;
  PageFlags& flags_;
  const std::vector<CodeUser*>& users_;
};

}  // namespace lyre::runtime
