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

}  // namespace lyre::runtime
