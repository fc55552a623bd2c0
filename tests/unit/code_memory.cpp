// Code memory: both aliases show the same bytes, host addresses find their region, areas are used up, evicted and used again.
#include <vector>

#include "backend/code/code_memory.h"
#include "tests/support/catch.h"

namespace lyre::backend {
namespace {

TEST_CASE("code memory: aliases, the map and areas") {
  auto made = CodeMemory::create(3 << 20);
  REQUIRE(static_cast<bool>(made));
  CodeMemory& memory = **made;
  CodeMemory::Area* area = memory.open_area();
  REQUIRE(area);
  CHECK(area->begin == CodeMemory::kAreaBytes);

  std::vector<CompiledRegion> regions(100);
  for (uint32_t k = 0; k < regions.size(); k++) {
    regions[k].code = memory.exec_at(area->begin + k * 64);
    *memory.write_at(area->begin + k * 64) = static_cast<uint8_t>(k);
    CHECK(*regions[k].code == k);
    CHECK(memory.writable(regions[k].code) == memory.write_at(area->begin + k * 64));
    memory.publish(*area, k * 64, 48, &regions[k]);
  }
  for (uint32_t k = 0; k < regions.size(); k++) {
    const auto at = reinterpret_cast<uintptr_t>(regions[k].code);
    CHECK(memory.region_at(at) == &regions[k]);
    CHECK(memory.region_at(at + 48) == &regions[k]);  // a return address behind the last call
    CHECK(memory.region_at(at + 49) == nullptr);
  }
  CHECK(memory.region_at(0) == nullptr);
  CHECK(memory.region_at(reinterpret_cast<uintptr_t>(memory.exec_at(0))) == nullptr);
  memory.forget(regions[5]);
  CHECK(memory.region_at(reinterpret_cast<uintptr_t>(regions[5].code)) == nullptr);

  std::vector<CompiledRegion*> evicted;
  CHECK(memory.evict_oldest(evicted) == nullptr);  // none is full
  CodeMemory::Area* second = memory.open_area();
  REQUIRE(second);
  CHECK(memory.open_area() == nullptr);
  memory.close_area(*area);
  CHECK(memory.evict_oldest(evicted) == area);
  CHECK(evicted.size() == 99);
  CHECK(memory.open_area() == nullptr);
  memory.recycle(*area);
  CHECK(memory.open_area() == area);
  CHECK(memory.region_at(reinterpret_cast<uintptr_t>(regions[0].code)) == nullptr);
}

}  // namespace
}  // namespace lyre::backend
