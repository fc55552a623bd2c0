#include "runtime/mem/soft_tlb.h"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>

#include "runtime/base/check.h"

namespace lyre::runtime {
namespace {

// Tags are read by other threads' drop_writes and by emitted code; plain moves on the host, atomics for C++.
void store_tag(uint64_t& tag, uint64_t value) { std::atomic_ref<uint64_t>(tag).store(value, std::memory_order_relaxed); }
uint64_t load_tag(uint64_t& tag) { return std::atomic_ref<uint64_t>(tag).load(std::memory_order_relaxed); }

void invalidate(ir::TlbEntry& entry) {
  store_tag(entry.read_tag, ~uint64_t{0});
  store_tag(entry.write_tag, ~uint64_t{0});
}

bool holds(ir::TlbEntry& entry, uint64_t page) {
  return (load_tag(entry.read_tag) & kPageMask) == page || (load_tag(entry.write_tag) & kPageMask) == page;
}

}  // namespace

SoftTlb::SoftTlb(ir::VcpuBlock& block) : block_(block) { select(0, 0); }

SoftTlb::~SoftTlb() {
  for (Array& array : arrays_) release(array);
}

void SoftTlb::allocate(Array& array, uint32_t entries) {
  void* memory = mmap(nullptr, size_t{entries} * sizeof(ir::TlbEntry), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  LYRE_CHECK(memory != MAP_FAILED, "no memory for a soft TLB");
  array.table = static_cast<ir::TlbEntry*>(memory);
  array.entries = entries;
  for (uint32_t i = 0; i < entries; ++i) invalidate(array.table[i]);
}

void SoftTlb::release(Array& array) {
  if (array.table) munmap(array.table, size_t{array.entries} * sizeof(ir::TlbEntry));
  array.table = nullptr;
}

bool SoftTlb::Array::in_large(uint64_t page) const {
  for (unsigned i = 0; i < large_count; ++i)
    if ((page & large[i].mask) == large[i].base) return true;
  return false;
}

// A kernel's text, its linear map and its device mappings lie far apart: a range grows to at most a gigabyte while there is another one left.
void SoftTlb::Array::add_large(uint64_t page, unsigned page_bits) {
  const uint64_t mask = ~((uint64_t{1} << page_bits) - 1), gigabyte = ~((uint64_t{1} << 30) - 1);
  uint64_t best_mask = 0;
  Range* best = nullptr;
  for (unsigned i = 0; i < large_count; ++i) {
    uint64_t both = mask & large[i].mask;
    while ((page & both) != (large[i].base & both)) both <<= 1;
    if (!best || both > best_mask) best = &large[i], best_mask = both;
  }
  if (best && (best_mask == best->mask || best_mask >= gigabyte || large_count == large.size())) {
    *best = {page & best_mask, best_mask};
  } else {
    large[large_count++] = {page & mask, mask};
  }
}

void SoftTlb::clear(Array& array) {
  if (array.used <= Array::kFilledKept) {
    for (uint32_t i = 0; i < array.used; ++i) invalidate(array.table[array.filled[i]]);
  } else {
    for (uint32_t i = 0; i < array.entries; ++i) invalidate(array.table[i]);
  }
  array.used = 0;
  array.large_count = 0;
  for (auto& word : array.stores) word.store(0, std::memory_order_relaxed);
}

void SoftTlb::activate(Array& array) {
  array.last_used = ++uses_;
  current_ = &array;
  block_.tlb = array.table;
  block_.tlb_mask = uint64_t{array.entries - 1} * sizeof(ir::TlbEntry);
}

void SoftTlb::select(uint64_t space, unsigned mmu_index) {
  if (current_ && current_->space == space && current_->mmu_index == mmu_index) return;
  if (current_) current_->flushes_seen = flush_count_;
  Array* oldest = nullptr;
  for (Array& array : arrays_) {
    if (array.valid && array.space == space && array.mmu_index == mmu_index) {
      catch_up(array);
      return activate(array);
    }
    if (!oldest || array.last_used < oldest->last_used) oldest = &array;
  }
  // A new space takes the place of the one not used for the longest time; its table is kept at its size.
  if (!oldest->table) {
    std::lock_guard lock(structure_);
    allocate(*oldest, kMinEntries);
  } else if (oldest->used) {
    clear(*oldest);
  }
  oldest->space = space;
  oldest->mmu_index = mmu_index;
  oldest->valid = true;
  oldest->conflicts = 0;
  oldest->flushes_seen = flush_count_;
  activate(*oldest);
}

void SoftTlb::flush_all() {
  for (Array& array : arrays_)
    if (array.table && array.used) clear(array);
}

void SoftTlb::clear_local(Array& array) {
  auto global = [](const ir::TlbEntry& entry) { return (entry.page_info & kInfoGlobal) != 0; };
  if (array.used > Array::kFilledKept) {
    for (uint32_t i = 0; i < array.entries; ++i)
      if (!global(array.table[i])) invalidate(array.table[i]);
    return;
  }
  uint32_t kept = 0;
  for (uint32_t i = 0; i < array.used; ++i) {
    ir::TlbEntry& entry = array.table[array.filled[i]];
    if (global(entry)) array.filled[kept++] = array.filled[i];
    else invalidate(entry);
  }
  array.used = kept;
}

void SoftTlb::flush_spaces(uint64_t mask, uint64_t value) {
  for (Array& array : arrays_)
    if (array.table && array.used && (array.space & mask) == value) clear_local(array);
}

void SoftTlb::flush_page_in(Array& array, uint64_t page) {
  if (!array.used) return;
  if (array.in_large(page)) return clear(array);
  ir::TlbEntry& entry = array.table[(page >> kPageBits) & (array.entries - 1)];
  if (holds(entry, page)) invalidate(entry);
}

void SoftTlb::flush_page(Gva address) {
  uint64_t page = address.value & kPageMask;
  flush_page_in(*current_, page);
  flushed_[flush_count_++ % kFlushLog] = page;
}

void SoftTlb::catch_up(Array& array) {
  if (flush_count_ - array.flushes_seen > kFlushLog) {
    if (array.used) clear(array);
  } else {
    for (uint64_t i = array.flushes_seen; i < flush_count_; ++i) flush_page_in(array, flushed_[i % kFlushLog]);
  }
  array.flushes_seen = flush_count_;
}

void SoftTlb::flush_physical(Gpa address, uint64_t size) {
  for (Array& array : arrays_) {
    if (!array.table) continue;
    for (uint32_t i = 0; i < array.entries; ++i)
      if ((array.table[i].page_info & kPageMask) - (address.value & kPageMask) < size) invalidate(array.table[i]);
  }
}

ir::TlbEntry& SoftTlb::fill(const Fill& fill) {
  Array& array = *current_;
  ir::TlbEntry& entry = entry_for(fill.page);
  uint64_t page = fill.page.value;
  bool live = !(load_tag(entry.read_tag) & kInvalidBit) || !(load_tag(entry.write_tag) & kInvalidBit);
  if (live && !holds(entry, page)) {
    if (++array.conflicts > array.entries && array.entries < kMaxEntries) {
      grow_wanted_ = true;
      block_.exit_request.store(1, std::memory_order_release);
    }
  } else if (!live) {
    if (array.used < Array::kFilledKept) array.filled[array.used] = static_cast<uint32_t>(&entry - array.table);
    ++array.used;
  }
  if (fill.page_bits > kPageBits) array.add_large(page, fill.page_bits);
  store_tag(entry.write_tag, ~uint64_t{0});  // never a tag that matches with another page's addend
  store_tag(entry.read_tag, ~uint64_t{0});
  std::atomic_ref<uint64_t>(entry.page_info)
      .store((fill.gpa.value & kPageMask) | (fill.host ? 0 : kInfoDevice) | (fill.readable ? kInfoReadable : 0) | (fill.writable ? kInfoWritable : 0) |
                 (fill.global ? kInfoGlobal : 0),
             std::memory_order_relaxed);
  if (fill.host) {
    entry.addend = reinterpret_cast<uintptr_t>(fill.host) - page;
    if (fill.store_hits) {
      std::atomic<uint64_t>& word = array.stores[fill.gpa.value >> kPageBits & 63];
      const uint64_t bit = uint64_t{1} << (fill.gpa.value >> (kPageBits + 6) & 63);
      if (!(word.load(std::memory_order_relaxed) & bit)) word.fetch_or(bit, std::memory_order_relaxed);
    }
    store_tag(entry.read_tag, fill.readable ? page : page | kInvalidBit);
    store_tag(entry.write_tag, fill.store_hits ? page : page | kInvalidBit);
  } else {
    store_tag(entry.read_tag, page | kDeviceBit);
    store_tag(entry.write_tag, page | kDeviceBit);
  }
  return entry;
}

void SoftTlb::drop_writes(Gpa page) {
  std::lock_guard lock(structure_);
  const uint64_t bit = uint64_t{1} << (page.value >> (kPageBits + 6) & 63);
  for (Array& array : arrays_) {
    if (!array.table || !(array.stores[page.value >> kPageBits & 63].load(std::memory_order_relaxed) & bit)) continue;
    for (uint32_t i = 0; i < array.entries; ++i) {
      ir::TlbEntry& entry = array.table[i];
      if ((std::atomic_ref<uint64_t>(entry.page_info).load(std::memory_order_relaxed) & kPageMask) != page.value) continue;
      uint64_t tag = load_tag(entry.write_tag);
      if (!(tag & ~kPageMask)) store_tag(entry.write_tag, tag | kInvalidBit);
    }
  }
}

void SoftTlb::safe_point() {
  if (!grow_wanted_) return;
  grow_wanted_ = false;
  std::lock_guard lock(structure_);
  for (Array& array : arrays_) {
    if (!array.table || array.conflicts <= array.entries || array.entries >= kMaxEntries) continue;
    uint32_t entries = array.entries * 4 > kMaxEntries ? kMaxEntries : array.entries * 4;
    const uint32_t old_entries = array.entries;
    ir::TlbEntry* const old_table = array.table;
    allocate(array, entries);
    // Entries move to their new places: growth loses nothing.
    uint32_t used = 0;
    for (uint32_t i = 0; i < old_entries; ++i) {
      const ir::TlbEntry& entry = old_table[i];
      uint64_t tag = entry.read_tag == ~uint64_t{0} ? entry.write_tag : entry.read_tag;
      if (tag == ~uint64_t{0}) continue;
      array.table[(tag >> kPageBits) & (entries - 1)] = entry;
      ++used;
    }
    array.used = std::max(used, Array::kFilledKept + 1);  // `filled` names places of the old table
    array.conflicts = 0;
    munmap(old_table, size_t{old_entries} * sizeof(ir::TlbEntry));
  }
  activate(*current_);
}

uint64_t SoftTlb::bytes() const {
  uint64_t total = 0;
  for (const Array& array : arrays_)
    if (array.table) total += uint64_t{array.entries} * sizeof(ir::TlbEntry);
  return total;
}

}  // namespace lyre::runtime
