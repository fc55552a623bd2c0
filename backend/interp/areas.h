// The interpreter's "code memory": its regions are copies of IR on the heap, counted in areas as real code is, so that the runtime's eviction
// works for it in the same way. Threads: any; a lock, taken per compilation and eviction only.
#pragma once
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <vector>

#include "backend/backend.h"

namespace lyre::backend {

class InterpAreas {
 public:
  explicit InterpAreas(uint64_t limit_bytes) : limit_(limit_bytes ? limit_bytes : kDefaultLimit) {}

  // False: no room. Else the region is in the current area.
  bool add(CompiledRegion& region);
  void remove(const CompiledRegion& region);
  void* evict_oldest(std::vector<CompiledRegion*>& regions);
  void recycle(void* area);
  uint64_t bytes_in_use() const;

 private:
  static constexpr uint64_t kDefaultLimit = uint64_t{512} << 20;
  static constexpr uint64_t kAreas = 8;
  struct Area {
    std::vector<CompiledRegion*> regions;
    uint64_t bytes = 0;
  };
  const uint64_t limit_;
  mutable std::mutex mutex_;
  std::deque<std::unique_ptr<Area>> full_;          // oldest first
  std::unique_ptr<Area> current_ = std::make_unique<Area>();
  std::vector<std::unique_ptr<Area>> evicted_;      // waiting for recycle
  uint64_t bytes_ = 0;
};

}  // namespace lyre::backend
