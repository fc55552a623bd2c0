// PassScratch: memory that passes reuse from region to region, one object per thread. Passes that rewrite a region build the new
// arrays here and swap them with the region's, so in steady state nothing is allocated.
#pragma once
#include <array>
#include <cstdint>
#include <vector>

#include "ir/abi.h"
#include "ir/region.h"

namespace lyre::ir {

// What forward_state knows about one slot while it walks.
struct SlotState {
  uint16_t offset = 0;
  Type type = Type::kVoid;      // of `value`
  bool changed = false;         // differs from what the last snapshot says; listed in `changed`
  uint32_t epoch = 0;           // `value` is current if this is the walk's epoch
  ValueId value = kNoId;
};

struct PassScratch {
  PassScratch() : slot_index(kStateBytes, 0), slots(1) {}

  // Dense record of a slot by its byte offset; made on first use and kept for the thread's life.
  SlotState& slot(uint64_t offset) { return slots[index_of(offset)]; }
  uint16_t index_of(uint64_t offset) {
    uint16_t index = slot_index[offset];
    return index ? index : new_slot(offset);
  }
  uint16_t new_slot(uint64_t offset);

  std::vector<Inst> insts;
  std::vector<ValueId> remap;              // old value -> new value
  std::vector<Snapshot> snapshots;
  std::vector<SnapshotEntry> entries;
  std::vector<ValueId> pool;
  std::vector<uint8_t> live, snapshot_live;

  std::vector<uint16_t> slot_index;        // byte offset -> index in slots, 0: none yet
  std::vector<SlotState> slots;
  std::vector<uint16_t> changed;           // indices in slots
  uint32_t epoch = 0;

  // Value numbering: direct-mapped, lossy; an entry counts if its region stamp is current.
  struct Number {
    uint32_t stamp = 0;
    ValueId value = kNoId;
  };
  static constexpr unsigned kNumbers = 256;
  std::array<Number, kNumbers> numbers;
  uint32_t number_stamp = 0;

  // Loop formation: slots that the region writes, slots that it only reads (indices in slots), in order of first appearance.
  std::vector<uint16_t> loop_written, loop_read;
  std::vector<uint8_t> loop_seen;          // per slot index: bit 0 read, bit 1 written
};

PassScratch& pass_scratch();

}  // namespace lyre::ir
