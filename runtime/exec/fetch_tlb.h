// FetchTlb: a vCPU's translations for instruction fetch, and the space numbers that jump-cache keys carry. Used on the loop's side of a
// jump-cache miss or an unlinked exit; direct-mapped, a few hundred entries.
// A space number stands for (address space id, everything fetched in it so far is still mapped so): a flush gives new numbers, so that
// whatever carries an old one never matches again. Threads: the vCPU's own.
#pragma once
#include <array>
#include <bitset>
#include <cstdint>

#include "frontend/guest_isa.h"
#include "runtime/base/types.h"

namespace lyre::runtime {

class Vcpu;

// Global code is looked up as if in an address space of its own, whose id no guest uses (GuestCpu::global_space).
constexpr uint64_t global_space_id(unsigned number) { return ~uint64_t{number}; }
constexpr bool is_global(uint64_t space_id) { return space_id >= ~uint64_t{255}; }

struct FetchEntry {
  uint64_t page = ~uint64_t{0};  // virtual
  uint32_t space = 0;
  uint32_t fetch_index = 0;
  Gpa gpa;                       // of the page
  Hva host = nullptr;            // null: not executable memory of ours (a device)
  uint32_t mapping = 0;          // CodeCache::mapping_number
  bool global = false;
};

class FetchTlb {
 public:
  // The page of `pc` under the vCPU's current state; null: fetch fault, in `fault`.
  const FetchEntry* find(Vcpu& vcpu, Gva pc, ir::Fault& fault);
  uint32_t space_number(uint64_t id);
  void flush_all();
  void flush_spaces(uint64_t mask, uint64_t value);  // global entries stay
  // Whether code of this page may be in use (then jump caches and code pages must forget it).
  bool flush_page(Gva page);
  void flush_physical(Gpa address, uint64_t size);

 private:
  static constexpr unsigned kEntries = 512, kSpaces = 16;
  struct Space {
    uint64_t id = 0;
    uint32_t number = 0;  // 0: free
    uint64_t last_used = 0;
  };
  std::array<FetchEntry, kEntries> entries_{};
  std::array<Space, kSpaces> spaces_{};
  std::bitset<4096> fetched_;  // by page number: fetched from since the last flush
  uint32_t next_number_ = 1;
  uint64_t uses_ = 0;
};

}  // namespace lyre::runtime
