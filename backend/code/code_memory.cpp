#include "backend/code/code_memory.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>

#include "runtime/base/bits.h"
#include "runtime/base/check.h"

namespace lyre::backend {
namespace {
#ifndef MFD_EXEC
constexpr unsigned kMemfdExec = 0x10;  // Linux 6.3; asks for an executable file where the default is not
#else
constexpr unsigned kMemfdExec = MFD_EXEC;
#endif
constexpr uint64_t kHugePage = 2 << 20;

Error host_refuses(const char* what) { return {std::string("the host refuses executable memory for translated code: ") + what + ": " + strerror(errno)}; }

// A mapping of the whole file at an address aligned for huge pages.
uint8_t* map_aligned(int fd, uint64_t bytes, int protection) {
  void* reserved = mmap(nullptr, bytes + kHugePage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (reserved == MAP_FAILED) return nullptr;
  auto start = reinterpret_cast<uintptr_t>(reserved);
  uintptr_t aligned = align_up(start, kHugePage);
  void* mapped = mmap(reinterpret_cast<void*>(aligned), bytes, protection, MAP_SHARED | MAP_FIXED | MAP_NORESERVE, fd, 0);
  int error = errno;
  if (aligned != start) munmap(reserved, aligned - start);
  uintptr_t end = aligned + bytes;
  if (uintptr_t reserved_end = start + bytes + kHugePage; end != reserved_end) munmap(reinterpret_cast<void*>(end), reserved_end - end);
  errno = error;
  if (mapped == MAP_FAILED) return nullptr;
  madvise(mapped, bytes, MADV_DONTFORK);
  madvise(mapped, bytes, MADV_HUGEPAGE);
  return static_cast<uint8_t*>(mapped);
}
}  // namespace

Status CodeMemory::map_private() {
  void* mapped = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapped == MAP_FAILED) return host_refuses("mmap PROT_WRITE | PROT_EXEC");
  write_ = exec_ = static_cast<uint8_t*>(mapped);
  return Ok{};
}

Status CodeMemory::map_twice() {
  fd_ = memfd_create("lyrebird-code", MFD_CLOEXEC | kMemfdExec);
  if (fd_ < 0) fd_ = memfd_create("lyrebird-code", MFD_CLOEXEC);
  if (fd_ < 0) return host_refuses("memfd_create");
  if (ftruncate(fd_, static_cast<off_t>(bytes_)) != 0) return host_refuses("ftruncate");
  write_ = map_aligned(fd_, bytes_, PROT_READ | PROT_WRITE);
  if (!write_) return host_refuses("mmap");
  exec_ = map_aligned(fd_, bytes_, PROT_READ | PROT_EXEC);
  if (!exec_) return host_refuses("mmap PROT_EXEC");
  return Ok{};
}

Result<std::unique_ptr<CodeMemory>> CodeMemory::create(uint64_t bytes, bool is_private) {
  std::unique_ptr<CodeMemory> memory(new CodeMemory);
  memory->bytes_ = std::clamp<uint64_t>(align_up(bytes ? bytes : kDefaultBytes, kAreaBytes), 2 * kAreaBytes, uint64_t{1} << 30);
  Status mapped = is_private ? memory->map_private() : memory->map_twice();
  if (!mapped) return mapped.error();
  memory->area_count_ = static_cast<uint32_t>(memory->bytes_ / kAreaBytes);
  memory->areas_ = std::make_unique<Area[]>(memory->area_count_);
  for (uint32_t k = 0; k < memory->area_count_; k++) memory->areas_[k].index = k, memory->areas_[k].begin = k * kAreaBytes;
  memory->areas_[0].state = Area::kOpen;
  return memory;
}

CodeMemory::~CodeMemory() {
  if (write_) munmap(write_, bytes_);
  if (exec_ && exec_ != write_) munmap(exec_, bytes_);
  if (fd_ >= 0) close(fd_);
}

CodeMemory::Area* CodeMemory::open_area() {
  std::lock_guard lock(mutex_);
  for (uint32_t k = 1; k < area_count_; k++) {
    Area& area = areas_[k];
    if (area.state != Area::kFree) continue;
    area.state = Area::kOpen;
    area.sequence = ++sequence_;
    area.used = 0;
    if (!area.entries) area.entries.reset(static_cast<Area::Entry*>(calloc(kEntriesPerArea, sizeof(Area::Entry))));
    LYRE_CHECK(area.entries != nullptr, "out of memory");
    return &area;
  }
  return nullptr;
}

void CodeMemory::close_area(Area& area) {
  std::lock_guard lock(mutex_);
  area.state = Area::kFull;
}

void CodeMemory::publish(Area& area, uint32_t offset, uint32_t bytes, CompiledRegion* region) {
  uint32_t count = area.count.load(std::memory_order_relaxed);
  LYRE_CHECK(count < kEntriesPerArea, "a code area holds more regions than its size allows");
  Area::Entry& entry = area.entries[count];
  entry.offset = offset, entry.bytes = bytes;
  entry.region.store(region, std::memory_order_relaxed);
  area.count.store(count + 1, std::memory_order_release);
}

// The entry whose code contains the byte at `offset` in the area.
CodeMemory::Area::Entry* CodeMemory::find(Area& area, uint32_t offset) const {
  uint32_t low = 0, high = area.count.load(std::memory_order_acquire);
  while (low < high) {
    uint32_t middle = (low + high) / 2;
    if (area.entries[middle].offset <= offset) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  if (low == 0) return nullptr;
  Area::Entry& entry = area.entries[low - 1];
  // A return address may be the first byte after the code.
  return offset <= entry.offset + entry.bytes ? &entry : nullptr;
}

const CompiledRegion* CodeMemory::region_at(uint64_t host_pc) const {
  uint64_t offset = host_pc - reinterpret_cast<uintptr_t>(exec_);
  if (offset >= bytes_) return nullptr;
  Area& area = areas_[offset / kAreaBytes];
  Area::Entry* entry = find(area, static_cast<uint32_t>(offset % kAreaBytes));
  return entry ? entry->region.load(std::memory_order_relaxed) : nullptr;
}

void CodeMemory::forget(const CompiledRegion& region) {
  if (!region.code) return;
  uint64_t offset = offset_of(region.code);
  Area::Entry* entry = find(areas_[offset / kAreaBytes], static_cast<uint32_t>(offset % kAreaBytes));
  if (entry && entry->region.load(std::memory_order_relaxed) == &region) entry->region.store(nullptr, std::memory_order_relaxed);
}

CodeMemory::Area* CodeMemory::evict_oldest(std::vector<CompiledRegion*>& regions) {
  std::lock_guard lock(mutex_);
  Area* oldest = nullptr;
  for (uint32_t k = 1; k < area_count_; k++) {
    Area& area = areas_[k];
    if (area.state == Area::kFull && (!oldest || area.sequence < oldest->sequence)) oldest = &area;
  }
  if (!oldest) return nullptr;
  oldest->state = Area::kEvicted;
  uint32_t count = oldest->count.load(std::memory_order_acquire);
  for (uint32_t k = 0; k < count; k++) {
    if (CompiledRegion* region = oldest->entries[k].region.load(std::memory_order_relaxed)) regions.push_back(region);
  }
  return oldest;
}

void CodeMemory::recycle(Area& area) {
  std::lock_guard lock(mutex_);
  LYRE_CHECK(area.state == Area::kEvicted, "a code area is given back that was not evicted");
  in_use_.fetch_sub(area.used, std::memory_order_relaxed);
  area.count.store(0, std::memory_order_release);
  area.used = 0;
  area.state = Area::kFree;
}

}  // namespace lyre::backend
