// Where the guest's registers are at the places of a region's code that may fault. Every access of user mode has such a place, so they are kept packed:
// a few bytes instead of some forty.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "ir/types.h"

namespace lyre::backend {

enum class LocationKind : uint8_t { kGpr, kVector, kSpill, kConstant, kHome, kState };  // kHome: already in its slot; kState: in another slot
struct Location {
  LocationKind kind = LocationKind::kHome;
  uint8_t index = 0;           // host register number; kState: bytes that the value has there (the rest is zero)
  uint16_t spill = 0;          // spill slot, or byte offset of the other slot
  uint64_t constant = 0;
  bool operator==(const Location&) const = default;
};

// Where the guest state is at one host pc: the first entries_count entries of the region's log, the newest of a slot counts.
struct StatePoint {
  uint32_t host_offset = 0;    // return address of the slow call, or the access itself, minus code start
  uint32_t entries_count = 0;
  int32_t pc_offset = 0;
  bool operator==(const StatePoint&) const = default;
};
struct StateEntry {
  uint16_t slot = 0;
  ir::Type type = ir::Type::kVoid;
  Location location;
  bool operator==(const StateEntry&) const = default;
};

// Immutable; reading takes no lock and allocates nothing but for points().
class StateTable {
 public:
  StateTable() = default;
  StateTable(std::span<const StatePoint> points, std::span<const StateEntry> log);  // points sorted by host_offset

  bool find(uint32_t host_offset, StatePoint& point) const;
  std::vector<StatePoint> points() const;

  // The entries of a point, newest first.
  class Reader {
   public:
    Reader(const StateTable& table, const StatePoint& point);
    bool next(StateEntry& entry);

   private:
    void read(StateEntry& entry);
    const uint8_t* at_ = nullptr;
    uint32_t left_ = 0;
  };

 private:
  struct Head {
    uint32_t points = 0, entries = 0, points_bytes = 0;
    const uint8_t* at = nullptr;  // the first point
  };
  Head head() const;

  std::unique_ptr<uint8_t[]> bytes_;  // null: no points
};

}  // namespace lyre::backend
