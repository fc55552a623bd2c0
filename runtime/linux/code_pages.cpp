// Which guest pages hold translated code, how stores to them are noticed, and fetching from them.
#include <errno.h>
#include <signal.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <mutex>

#include "runtime/base/check.h"
#include "runtime/base/guarded.h"
#include "runtime/linux/address_space.h"
#include "runtime/linux/host_fault.h"

namespace lyre::linux_user {
namespace {

template <typename T>
T* get_or_make(std::atomic<T*>& slot, bool make) {
  T* found = slot.load(std::memory_order_acquire);
  if (found || !make) return found;
  T* made = static_cast<T*>(calloc(1, sizeof(T)));  // zeroed; the kernel gives pages as they are touched
  LYRE_CHECK(made, "out of memory");
  if (slot.compare_exchange_strong(found, made)) return made;
  free(made);
  return found;
}

}  // namespace

AddressSpace::Leaf* AddressSpace::leaf(uint64_t address, bool make) {
  const uint64_t page = address >> kPageBits;
  if (page >> (kRootBits + kMiddleBits + kLeafBits)) return nullptr;
  Middle* middle = get_or_make(root_[page >> (kMiddleBits + kLeafBits)], make);
  return middle ? get_or_make(middle->leaves[page >> kLeafBits & ((1u << kMiddleBits) - 1)], make) : nullptr;
}

bool AddressSpace::has_code(Gpa address) const {
  const Leaf* found = leaf(address.value);
  const uint64_t index = address.value >> kPageBits & ((1u << kLeafBits) - 1);
  return found && (found->code[index / 64].load(std::memory_order_acquire) >> (index % 64) & 1);
}

// The translating thread shares the lock, so the mapping stays as it is.
bool AddressSpace::watch(Gpa page) {
  const uint64_t index = page.value >> kPageBits & ((1u << kLeafBits) - 1);
  leaf(page.value, true)->code[index / 64].fetch_or(uint64_t{1} << (index % 64), std::memory_order_seq_cst);
  const Mapping* mapping = find(page.value);
  if (mapping && mapping->shared) shared_code_seen_.store(true, std::memory_order_relaxed);
  if (mapping && (mapping->protection & PROT_WRITE)) {
    writable_code_seen_.store(true, std::memory_order_relaxed);
    mprotect(reinterpret_cast<void*>(page.value), kPageSize, host_protection(mapping->protection) & ~PROT_WRITE);
  }
  return false;  // once mprotect has returned no thread has the old right
}

void AddressSpace::unwatch(Gpa page) {
  const uint64_t index = page.value >> kPageBits & ((1u << kLeafBits) - 1);
  Leaf* found = leaf(page.value, false);
  if (!found) return;
  const uint64_t bit = uint64_t{1} << (index % 64);
  if (!(found->code[index / 64].fetch_and(~bit, std::memory_order_seq_cst) & bit)) return;
  const Mapping* mapping = find(page.value);
  if (mapping && (mapping->protection & PROT_WRITE))
    mprotect(reinterpret_cast<void*>(page.value), kPageSize, host_protection(mapping->protection));
}

bool AddressSpace::any_code(uint64_t address, uint64_t bytes) const {
  const uint64_t end = address + bytes;
  constexpr uint64_t kLeafBytes = kPageSize << kLeafBits;
  for (uint64_t at = address; at < end; at = (at | (kLeafBytes - 1)) + 1) {
    if (!leaf(at)) continue;
    const uint64_t next = std::min(end, (at | (kLeafBytes - 1)) + 1);
    for (uint64_t page = at & kPageMask; page < next; page += kPageSize)
      if (has_code({page})) return true;
  }
  return false;
}

// Leaves of the table without any code are passed over whole.
void AddressSpace::drop_code(uint64_t address, uint64_t bytes) {
  if (!cache_) return;
  const uint64_t end = address + bytes;
  constexpr uint64_t kLeafBytes = kPageSize << kLeafBits;
  for (uint64_t at = address; at < end;) {
    const uint64_t next = std::min(end, (at | (kLeafBytes - 1)) + 1);
    if (leaf(at, false))
      for (uint64_t page = at & kPageMask; page < next; page += kPageSize)
        if (has_code({page})) cache_->invalidate({page}, kPageSize);
    at = next;
  }
}

void AddressSpace::flush_shared_code(uint64_t first, uint64_t end) {
  if (!shared_code_seen_.load(std::memory_order_relaxed)) return;
  if (first >= end) first = 0, end = top_;
  std::shared_lock lock(mutex_);
  auto each = table_.upper_bound(first);
  if (each != table_.begin()) --each;
  for (; each != table_.end() && each->first < end; ++each) {
    const uint64_t from = std::max(first, each->first), to = std::min(end, each->second.end);
    if (each->second.shared && from < to) drop_code(from, to - from);
  }
}

void AddressSpace::code_changed(uint64_t address, uint64_t bytes) {
  std::shared_lock lock(mutex_);
  drop_code(address, bytes);
}

bool AddressSpace::write_fault(uint64_t address) {
  std::shared_lock lock(mutex_);
  const Mapping* mapping = find(address);
  if (!mapping || !(mapping->protection & PROT_WRITE)) return false;
  const uint64_t page = address & kPageMask;
  if (has_code({page})) cache_->invalidate({page}, kPageSize);
  return true;
}

void AddressSpace::about_to_write(uint64_t address, uint64_t bytes) {
  if (!writable_code_seen_.load(std::memory_order_relaxed) || !bytes || address + bytes < address ||
      !in_range(address, bytes))
    return;
  std::shared_lock lock(mutex_);
  const uint64_t end = address + bytes;
  for (uint64_t at = address & kPageMask; at < end; at += kPageSize)
    if (has_code({at})) {
      const Mapping* mapping = find(at);
      if (!mapping || !(mapping->protection & PROT_WRITE)) continue;
      cache_->invalidate({at}, kPageSize);
    }
}

const runtime::FetchEntry* AddressSpace::fetch_page(Gva pc, ir::Fault& fault) {
  thread_local runtime::FetchEntry entry;
  const uint64_t page = pc.value & kPageMask;
  const Mapping* mapping = find(pc.value);
  fault.cause = ir::kHostMemoryFault, fault.value = pc.value, fault.value2 = 0;
  if (!mapping || !(mapping->protection & PROT_EXEC)) {
    fault.aux = host_fault_aux(SIGSEGV, mapping ? SEGV_ACCERR : SEGV_MAPERR);
    return nullptr;
  }
  // Mapped, but perhaps beyond the end of its file.
  uint64_t byte = 0;
  if (!guarded_load(pc.value, 1, byte)) {
    fault.aux = last_host_fault().aux;
    return nullptr;
  }
  entry.page = page;
  entry.gpa = {page};
  entry.host = reinterpret_cast<Hva>(page);
  return &entry;
}

}  // namespace lyre::linux_user
