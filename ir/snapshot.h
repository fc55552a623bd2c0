// Reading snapshots: walks a delta chain from the newest entry back and gives every slot once, with its newest value.
// One object per thread or owner; it keeps a mark per byte offset, so that a walk allocates and clears nothing. Cold (leaving, compiling).
#pragma once
#include <cstdint>
#include <memory>

#include "ir/abi.h"
#include "ir/region.h"

namespace lyre::ir {

class SnapshotReader {
 public:
  SnapshotReader() : seen_(std::make_unique<uint32_t[]>(kStateBytes)) {}

  // visit(const SnapshotEntry&) for each slot that differs from the state area in memory.
  template <typename Visit>
  void each(const Region& region, SnapshotId id, Visit&& visit) {
    if (++mark_ == 0) reset();
    while (id != kNoId) {
      const Snapshot& snapshot = region.snapshots[id];
      for (uint32_t i = 0; i < snapshot.entry_count; i++) {
        const SnapshotEntry& entry = region.snapshot_entries[snapshot.first_entry + i];
        if (seen_[entry.slot] == mark_) continue;
        seen_[entry.slot] = mark_;
        visit(entry);
      }
      id = snapshot.parent;
    }
  }

 private:
  void reset() {
    for (size_t i = 0; i < kStateBytes; i++) seen_[i] = 0;
    mark_ = 1;
  }
  std::unique_ptr<uint32_t[]> seen_;
  uint32_t mark_ = 0;
};

}  // namespace lyre::ir
