// SoftTlb: a vCPU's translations for loads and stores. A few arrays of TlbEntry, one per (address space, mmu index), least recently
// used out: switching the address space or the privilege changes a base pointer and flushes nothing. Arrays grow with use.
// Invariants: a tag equals its page's address only while the translation holds and the access needs no look from the runtime; a page
// that is a device's has its address with kDeviceBit in the read tag, so that the slow path need not walk again. Arrays move only in
// safe_point(), never while translated code runs (it may hold entry pointers).
// Threads: the vCPU's own, but for drop_writes() (any thread). Hot: look-ups are inline in emitted code; this file is the miss side.
#pragma once
#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>

#include "ir/abi.h"
#include "runtime/base/types.h"

namespace lyre::runtime {

class SoftTlb {
 public:
  static constexpr uint64_t kInvalidBit = 1;  // in a tag: never hits
  static constexpr uint64_t kDeviceBit = 2;
  // TlbEntry::page_info: guest physical page, with these flags in its low bits.
  static constexpr uint64_t kInfoDevice = 1, kInfoReadable = 2, kInfoWritable = 4, kInfoGlobal = 8;

  explicit SoftTlb(ir::VcpuBlock& block);
  ~SoftTlb();

  void select(uint64_t space, unsigned mmu_index);
  void flush_all();
  void flush_page(Gva page);
  void flush_spaces(uint64_t mask, uint64_t value);  // entries that are not global
  // Translations of guest physical [address, address + size) are dropped from every array.
  void flush_physical(Gpa address, uint64_t size);

  ir::TlbEntry& entry_for(Gva address) {
    return *reinterpret_cast<ir::TlbEntry*>(reinterpret_cast<uintptr_t>(block_.tlb) + ((address.value >> (kPageBits - 5)) & block_.tlb_mask));
  }
  struct Fill {
    Gva page;
    Gpa gpa;
    Hva host = nullptr;  // of the page; null: device
    uint8_t page_bits = kPageBits;
    bool readable = false, writable = false, store_hits = false, global = false;
  };
  ir::TlbEntry& fill(const Fill& fill);

  // Store entries of this physical page stop hitting. Any thread.
  void drop_writes(Gpa page);
  // Grows or shrinks arrays; call with no translated code on this thread's stack. Returns whether safe_point is wanted.
  bool wants_safe_point() const { return grow_wanted_; }
  void safe_point();
  uint64_t bytes() const;

 private:
  struct Array {
    uint64_t space = 0;
    unsigned mmu_index = 0;
    bool valid = false;
    uint64_t last_used = 0;
    uint32_t entries = 0;
    uint32_t conflicts = 0;   // live entries pushed out since the last resize
    uint32_t used = 0;        // entries filled since the last flush
    // Ranges that cover every page above 4 KiB that was filled: flushing a page inside one flushes all.
    struct Range {
      uint64_t base = 0, mask = 0;
    };
    std::array<Range, 4> large;
    unsigned large_count = 0;
    bool in_large(uint64_t page) const;
    void add_large(uint64_t page, unsigned page_bits);
    // Which entries were filled since the last flush, as long as they are few: clearing a large table for them would cost more than the flush is worth.
    static constexpr uint32_t kFilledKept = 512;
    std::array<uint32_t, kFilledKept> filled;
    uint64_t flushes_seen = 0;  // of flushed_: page flushes that were carried out here
    ir::TlbEntry* table = nullptr;
    // By physical page number: store entries filled since the last flush. Spares drop_writes() most arrays.
    std::array<std::atomic<uint64_t>, 64> stores{};
  };
  static constexpr uint64_t kFlushLog = 64;
  void flush_page_in(Array& array, uint64_t page);
  void catch_up(Array& array);
  void activate(Array& array);
  void allocate(Array& array, uint32_t entries);
  static void release(Array& array);
  static void clear(Array& array);
  static void clear_local(Array& array);

  static constexpr unsigned kArrays = 12;
  static constexpr uint32_t kMinEntries = 256, kMaxEntries = 32768;
  ir::VcpuBlock& block_;
  std::array<Array, kArrays> arrays_;
  // Page flushes are carried out at once in the current array, in another when it is selected next.
  std::array<uint64_t, kFlushLog> flushed_{};
  uint64_t flush_count_ = 0;
  Array* current_ = nullptr;
  uint64_t uses_ = 0;
  bool grow_wanted_ = false;
  std::mutex structure_;  // arrays_' tables, against drop_writes
};

}  // namespace lyre::runtime
