// Numbers of seven bits a byte, low ones first; points as differences to the one before; the log backwards, as it is read.
#include "backend/code/state_table.h"

#include <string.h>

namespace lyre::backend {
namespace {

void put(std::vector<uint8_t>& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out.push_back(static_cast<uint8_t>(value | 0x80));
  out.push_back(static_cast<uint8_t>(value));
}
uint64_t get(const uint8_t*& at) {
  uint64_t value = 0;
  unsigned shift = 0;
  while (*at & 0x80) value |= uint64_t{*at++ & 0x7fu} << shift, shift += 7;
  return value | uint64_t{*at++} << shift;
}

// Small numbers of either sign become small ones.
uint64_t fold(int64_t value) { return static_cast<uint64_t>(value) << 1 ^ static_cast<uint64_t>(value >> 63); }
int64_t unfold(uint64_t value) { return static_cast<int64_t>(value >> 1 ^ (0 - (value & 1))); }

// Slots are mostly aligned to 8: their number first.
uint64_t fold_slot(unsigned slot) { return (slot & 7) << 13 | slot >> 3; }
uint16_t unfold_slot(uint64_t value) { return static_cast<uint16_t>((value & 0x1fff) << 3 | value >> 13); }

void next_point(const uint8_t*& at, StatePoint& point) {
  point.host_offset += static_cast<uint32_t>(get(at));
  point.entries_count += static_cast<uint32_t>(unfold(get(at)));
  // Modulo 2^32, as the difference of any two may be.
  point.pc_offset = static_cast<int32_t>(static_cast<uint32_t>(point.pc_offset) + static_cast<uint32_t>(unfold(get(at))));
}

}  // namespace

StateTable::StateTable(std::span<const StatePoint> points, std::span<const StateEntry> log) {
  if (points.empty()) return;
  thread_local std::vector<uint8_t> out, list;
  out.clear(), list.clear();
  StatePoint before;
  for (const StatePoint& point : points) {
    put(list, point.host_offset - before.host_offset);
    put(list, fold(int64_t{point.entries_count} - before.entries_count));
    put(list, fold(int64_t{point.pc_offset} - before.pc_offset));
    before = point;
  }
  put(out, points.size()), put(out, log.size()), put(out, list.size());
  out.insert(out.end(), list.begin(), list.end());
  for (size_t k = log.size(); k-- > 0;) {
    const StateEntry& entry = log[k];
    const Location& where = entry.location;
    out.push_back(static_cast<uint8_t>(static_cast<unsigned>(where.kind) << 5 | static_cast<unsigned>(entry.type)));
    put(out, fold_slot(entry.slot));
    switch (where.kind) {
      case LocationKind::kGpr:
      case LocationKind::kVector: out.push_back(where.index); break;
      case LocationKind::kSpill: put(out, where.spill); break;
      case LocationKind::kConstant: put(out, fold(static_cast<int64_t>(where.constant))); break;
      case LocationKind::kState: out.push_back(where.index), put(out, where.spill); break;
      case LocationKind::kHome: break;
    }
  }
  bytes_ = std::make_unique_for_overwrite<uint8_t[]>(out.size());
  memcpy(bytes_.get(), out.data(), out.size());
}

StateTable::Head StateTable::head() const {
  Head head;
  if (!bytes_) return head;
  head.at = bytes_.get();
  head.points = static_cast<uint32_t>(get(head.at));
  head.entries = static_cast<uint32_t>(get(head.at));
  head.points_bytes = static_cast<uint32_t>(get(head.at));
  return head;
}

bool StateTable::find(uint32_t host_offset, StatePoint& point) const {
  Head head = this->head();
  point = {};
  for (uint32_t k = 0; k < head.points && point.host_offset <= host_offset; ++k) {
    next_point(head.at, point);
    if (point.host_offset == host_offset) return true;
  }
  return false;
}

std::vector<StatePoint> StateTable::points() const {
  Head head = this->head();
  std::vector<StatePoint> all(head.points);
  StatePoint point;
  for (StatePoint& each : all) next_point(head.at, point), each = point;
  return all;
}

StateTable::Reader::Reader(const StateTable& table, const StatePoint& point) {
  const Head head = table.head();
  at_ = head.at + head.points_bytes;
  StateEntry later;
  for (uint32_t k = head.entries; k > point.entries_count; --k) read(later);
  left_ = point.entries_count;
}

bool StateTable::Reader::next(StateEntry& entry) {
  if (left_ == 0) return false;
  --left_;
  read(entry);
  return true;
}

void StateTable::Reader::read(StateEntry& entry) {
  const unsigned first = *at_++;
  entry.type = static_cast<ir::Type>(first & 31);
  entry.slot = unfold_slot(get(at_));
  Location& where = entry.location;
  where = {};
  where.kind = static_cast<LocationKind>(first >> 5);
  switch (where.kind) {
    case LocationKind::kGpr:
    case LocationKind::kVector: where.index = *at_++; break;
    case LocationKind::kSpill: where.spill = static_cast<uint16_t>(get(at_)); break;
    case LocationKind::kConstant: where.constant = static_cast<uint64_t>(unfold(get(at_))); break;
    case LocationKind::kState: where.index = *at_++, where.spill = static_cast<uint16_t>(get(at_)); break;
    case LocationKind::kHome: break;
  }
}

}  // namespace lyre::backend
