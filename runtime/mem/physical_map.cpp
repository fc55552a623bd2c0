// PhysicalMap: RAM from anonymous private memory, found by binary search. See physical_map.h.
#include "runtime/mem/physical_map.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <cstring>

#include "runtime/base/bits.h"

namespace lyre::runtime {
namespace {

constexpr uint64_t kHugePage = uint64_t{2} << 20;

std::string hex(uint64_t value) {
  char text[24];
  std::snprintf(text, sizeof text, "0x%" PRIx64, value);
  return text;
}

// Maps `size` bytes at a host address that is a multiple of the huge page, so that the kernel can use huge pages from
// the start.
Hva map_aligned(uint64_t size) {
  uint64_t slack = size >= kHugePage ? kHugePage : 0;
  if (size + slack < size) return nullptr;
  void* start = mmap(nullptr, size + slack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (start == MAP_FAILED) return nullptr;
  Hva raw = static_cast<Hva>(start);
  if (slack == 0) return raw;
  uint64_t head = align_up(reinterpret_cast<uint64_t>(raw), kHugePage) - reinterpret_cast<uint64_t>(raw);
  if (head) munmap(raw, head);
  if (slack - head) munmap(raw + head + size, slack - head);
  madvise(raw + head, size, MADV_HUGEPAGE);  // a wish: kernels without huge pages serve small ones
  return raw + head;
}

}  // namespace

PhysicalMap::~PhysicalMap() {
  for (auto& block : blocks_) munmap(block->host, block->size);
}

Result<RamBlock*> PhysicalMap::add_ram(std::string name, Gpa base, uint64_t size, bool read_only) {
  if (size == 0 || size % kPageSize || base.value % kPageSize)
    return Error{name + " at " + hex(base.value) + " of " + hex(size) + " bytes is not made of whole pages"};
  if (base.value + (size - 1) < base.value)
    return Error{name + " of " + hex(size) + " bytes does not fit above " + hex(base.value)};
  for (auto& other : blocks_)
    if (base.value < other->base.value + other->size && other->base.value < base.value + size)
      return Error{name + " at " + hex(base.value) + " overlaps " + other->name + " at " + hex(other->base.value)};

  Hva host = map_aligned(size);
  if (!host) {
    char text[64];
    std::snprintf(text, sizeof text, "%.1f MiB", static_cast<double>(size) / (1 << 20));
    return Error{"the host cannot map " + std::string(text) + " for " + name + ": " + std::strerror(errno)};
  }
  auto block = std::make_unique<RamBlock>();
  block->name = std::move(name);
  block->base = base;
  block->size = size;
  block->host = host;
  block->read_only = read_only;
  RamBlock* added = block.get();
  auto place =
      std::upper_bound(blocks_.begin(), blocks_.end(), base, [](Gpa key, const auto& b) { return key < b->base; });
  blocks_.insert(place, std::move(block));
  return added;
}

const RamBlock* PhysicalMap::find_ram(Gpa address) const noexcept {
  auto after =
      std::upper_bound(blocks_.begin(), blocks_.end(), address, [](Gpa key, const auto& b) { return key < b->base; });
  if (after == blocks_.begin()) return nullptr;
  const RamBlock* block = std::prev(after)->get();
  if (address.value - block->base.value >= block->size) return nullptr;
  return block->device_mode.load(std::memory_order_relaxed) ? nullptr : block;
}

Hva PhysicalMap::ram(Gpa address, uint64_t size, bool for_write) const noexcept {
  const RamBlock* block = find_ram(address);
  if (!block || (for_write && block->read_only)) return nullptr;
  uint64_t offset = address.value - block->base.value;
  return size <= block->size - offset ? block->host + offset : nullptr;
}

void PhysicalMap::written(Gpa address, uint64_t size) const {
  if (observer_ && size) observer_(address, size);
}

void PhysicalMap::set_device_mode(RamBlock& block, bool device_mode) {
  if (block.device_mode.exchange(device_mode) == device_mode) return;
  if (map_observer_) map_observer_(block.base, block.size);
}

}  // namespace lyre::runtime
