// SlotMap: guest state slots met in one region, densely numbered, and what each holds. A sparse set: clearing costs nothing, look-up is two loads.
// follow_snapshots: applies the deltas that lead from one snapshot to another. Hot (translation).
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "ir/abi.h"
#include "ir/region.h"

namespace lyre::backend {

inline constexpr uint16_t kNoSlot = 0xffff;

struct SlotEntry {
  uint16_t offset = 0;
  uint16_t next_binding = kNoSlot;   // next slot that holds the same value
  ir::Type type = ir::Type::kI64;    // of the binding
  bool changed = false;              // the location differs from what the last state point recorded
  ir::ValueId value = ir::kNoId;     // current content by the newest snapshot; kNoId: what memory holds
  ir::ValueId owner = ir::kNoId;     // value that relies on this slot's memory as its copy
};

class SlotMap {
 public:
  SlotMap() : dense_(std::make_unique<uint16_t[]>(ir::kStateBytes)) { entries_.reserve(128); }
  void clear() { entries_.clear(); }
  uint16_t index_of(uint16_t offset) {
    uint16_t index = dense_[offset];
    if (index < entries_.size() && entries_[index].offset == offset) return index;
    index = static_cast<uint16_t>(entries_.size());
    dense_[offset] = index;
    entries_.emplace_back().offset = offset;
    return index;
  }
  SlotEntry& operator[](uint16_t index) { return entries_[index]; }
  const SlotEntry& operator[](uint16_t index) const { return entries_[index]; }
  uint16_t size() const { return static_cast<uint16_t>(entries_.size()); }

 private:
  std::unique_ptr<uint16_t[]> dense_;
  std::vector<SlotEntry> entries_;
};

// bind(const SnapshotEntry&) for each difference, oldest first; reset() before them if `to` does not descend from `from`.
template <typename Bind, typename Reset>
void follow_snapshots(const ir::Region& region, ir::SnapshotId from, ir::SnapshotId to, std::vector<ir::SnapshotId>& chain, Bind&& bind, Reset&& reset) {
  if (from == to) return;
  chain.clear();
  ir::SnapshotId id = to;
  while (id != ir::kNoId && id != from) {
    chain.push_back(id);
    id = region.snapshots[id].parent;
  }
  if (id == ir::kNoId && from != ir::kNoId) reset();
  for (size_t k = chain.size(); k-- > 0;) {
    const ir::Snapshot& snapshot = region.snapshots[chain[k]];
    for (uint32_t e = 0; e < snapshot.entry_count; e++) bind(region.snapshot_entries[snapshot.first_entry + e]);
  }
}

}  // namespace lyre::backend
