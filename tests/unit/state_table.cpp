// The packed state log gives back what went in: every point, and under each the entries before it, newest first.
#include "backend/code/state_table.h"

#include <random>

#include "tests/support/catch.h"

namespace lyre::backend {
namespace {

StateEntry some_entry(std::mt19937_64& random) {
  StateEntry entry;
  entry.slot = static_cast<uint16_t>(random() % 4 ? random() % 64 * 8 : random() % 8192);
  entry.type = static_cast<ir::Type>(1 + random() % 10);
  Location& where = entry.location;
  where.kind = static_cast<LocationKind>(random() % 6);
  switch (where.kind) {
    case LocationKind::kGpr:
    case LocationKind::kVector: where.index = static_cast<uint8_t>(random() % 16); break;
    case LocationKind::kSpill: where.spill = static_cast<uint16_t>(random()); break;
    case LocationKind::kConstant: where.constant = random() >> random() % 64 ^ (random() & 1 ? ~uint64_t{0} : 0); break;
    case LocationKind::kState: where.index = static_cast<uint8_t>(random() % 9), where.spill = static_cast<uint16_t>(random() % 8192); break;
    case LocationKind::kHome: break;
  }
  return entry;
}

TEST_CASE("state table: gives back what went in") {
  std::mt19937_64 random(11);
  for (int round = 0; round < 200; ++round) {
    std::vector<StateEntry> log(random() % 300);
    for (StateEntry& entry : log) entry = some_entry(random);
    std::vector<StatePoint> points(random() % 50);
    uint32_t offset = 0;
    for (StatePoint& point : points) {
      offset += 1 + static_cast<uint32_t>(random() % (random() % 8 ? 40 : 100000));
      point = {offset, static_cast<uint32_t>(random() % (log.size() + 1)), static_cast<int32_t>(random())};
    }
    const StateTable table(points, log);
    CHECK(table.points() == points);
    for (const StatePoint& point : points) {
      StatePoint found, other;
      REQUIRE(table.find(point.host_offset, found));
      CHECK(found == point);
      if (&point != &points.back() && (&point + 1)->host_offset != point.host_offset + 1) CHECK(!table.find(point.host_offset + 1, other));
      StateTable::Reader reader(table, found);
      StateEntry entry;
      for (uint32_t k = point.entries_count; k-- > 0;) {
        REQUIRE(reader.next(entry));
        REQUIRE(entry == log[k]);
      }
      CHECK(!reader.next(entry));
    }
    StatePoint none;
    CHECK(!table.find(0, none));
    CHECK(!table.find(offset + 1, none));
  }
}

TEST_CASE("state table: an empty one has no points") {
  StatePoint point;
  CHECK(!StateTable().find(0, point));
  CHECK(StateTable({}, {}).points().empty());
}

}  // namespace
}  // namespace lyre::backend
