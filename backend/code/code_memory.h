// CodeMemory: where emitted code lives, and the map from a host pc to the region that it belongs to.
//
// One range is reserved at start (rel32 reaches all of it) and mapped twice from one memfd: a writable alias for emitters and linkers, an executable
// one for translated code (W^X). The first area holds trampolines and thunks for ever; the others are bump areas of 1 MiB, one per compiling thread at a
// time, so that many threads emit at once. An area is given back whole.
// A private one (user mode) is a single anonymous range, writable and executable, which a forked child inherits copy-on-write.
//
// Threads: open_area, close_area, evict, recycle take a mutex (cold). publish and forget are for the thread that compiles into the area, or the
// runtime while the area is out of use; region_at takes no lock, allocates nothing and may be called from a signal handler.
#pragma once
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <vector>

#include "backend/backend.h"
#include "runtime/base/result.h"

namespace lyre::backend {

class CodeMemory {
 public:
  static constexpr uint64_t kAreaBytes = 1 << 20;
  static constexpr uint64_t kDefaultBytes = 256 << 20;
  static constexpr uint32_t kMinRegionBytes = 32;

  // bytes: rounded up to whole areas, at least 2, at most 1 GiB. Error: the host refuses executable memory.
  static Result<std::unique_ptr<CodeMemory>> create(uint64_t bytes, bool is_private = false);
  ~CodeMemory();
  CodeMemory(const CodeMemory&) = delete;
  CodeMemory& operator=(const CodeMemory&) = delete;

  struct Area {
    uint32_t index = 0;
    uint64_t begin = 0;                       // byte offset in code memory
    uint64_t used = 0;                        // bytes; written by the compiling thread
    enum State : uint8_t { kFree, kOpen, kFull, kEvicted } state = kFree;
    uint64_t sequence = 0;                    // when it was opened
    struct Entry {
      std::atomic<CompiledRegion*> region;
      uint32_t offset, bytes;                 // in the area
    };
    std::unique_ptr<Entry[], void (*)(void*)> entries{nullptr, free};  // in address order; zeroed memory that costs nothing until used
    std::atomic<uint32_t> count{0};
  };

  Area& fixed_area() { return areas_[0]; }
  Area* open_area();                          // nullptr: all areas are in use
  void close_area(Area& area);                // no room left
  // The region's code [offset, offset + bytes) in the area is complete: found by region_at from now on.
  void publish(Area& area, uint32_t offset, uint32_t bytes, CompiledRegion* region);
  void forget(const CompiledRegion& region);
  const CompiledRegion* region_at(uint64_t host_pc) const;

  Area* evict_oldest(std::vector<CompiledRegion*>& regions);
  void recycle(Area& area);
  uint64_t bytes_in_use() const { return in_use_.load(std::memory_order_relaxed); }
  void count_bytes(uint64_t bytes) { in_use_.fetch_add(bytes, std::memory_order_relaxed); }

  // Aliases of the byte at `offset`.
  uint8_t* write_at(uint64_t offset) const { return write_ + offset; }
  uint8_t* exec_at(uint64_t offset) const { return exec_ + offset; }
  uint8_t* writable(const uint8_t* exec) const { return write_ + (exec - exec_); }
  uint64_t offset_of(const uint8_t* exec) const { return static_cast<uint64_t>(exec - exec_); }
  uint64_t bytes() const { return bytes_; }

 private:
  CodeMemory() = default;
  Status map_private();
  Status map_twice();
  static constexpr uint32_t kEntriesPerArea = kAreaBytes / kMinRegionBytes;
  Area::Entry* find(Area& area, uint32_t offset) const;

  int fd_ = -1;
  uint64_t bytes_ = 0;
  uint8_t* write_ = nullptr;
  uint8_t* exec_ = nullptr;
  std::unique_ptr<Area[]> areas_;
  uint32_t area_count_ = 0;
  std::mutex mutex_;
  uint64_t sequence_ = 0;
  std::atomic<uint64_t> in_use_{0};
};

}  // namespace lyre::backend
