// RAM look-ups, ROM, device mode, and what the host cannot give.
#include "runtime/mem/physical_map.h"

#include "machine/bus/dma.h"
#include "tests/support/catch.h"

using namespace lyre;
using namespace lyre::runtime;

TEST_CASE("physical map finds blocks and keeps ranges inside them", "[physical_map]") {
  PhysicalMap map;
  REQUIRE(map.add_ram("high", Gpa{0x80000000}, 0x400000));
  REQUIRE(map.add_ram("low", Gpa{0x1000}, 0x2000));
  CHECK(map.find_ram(Gpa{0x0fff}) == nullptr);
  CHECK(map.find_ram(Gpa{0x1000})->name == "low");
  CHECK(map.find_ram(Gpa{0x2fff})->name == "low");
  CHECK(map.find_ram(Gpa{0x3000}) == nullptr);
  CHECK(map.find_ram(Gpa{0x803fffff})->name == "high");
  CHECK(map.find_ram(Gpa{0x80400000}) == nullptr);
  CHECK(map.ram(Gpa{0x803ffff8}, 8, true) != nullptr);
  CHECK(map.ram(Gpa{0x803ffff8}, 9, true) == nullptr);
  CHECK(map.ram(Gpa{0x80000000}, ~uint64_t{0}, false) == nullptr);
  CHECK(reinterpret_cast<uint64_t>(map.find_ram(Gpa{0x80000000})->host) % (2u << 20) == 0);
  CHECK(map.ram(Gpa{0x80200000}, 1, false)[0] == std::byte{0});
}

TEST_CASE("physical map refuses overlaps and what the host cannot map, in one sentence", "[physical_map]") {
  PhysicalMap map;
  REQUIRE(map.add_ram("ram", Gpa{0x80000000}, 0x10000));
  auto overlap = map.add_ram("rom", Gpa{0x8000f000}, 0x1000);
  REQUIRE_FALSE(overlap);
  CHECK(overlap.error().message == "rom at 0x8000f000 overlaps ram at 0x80000000");
  CHECK_FALSE(map.add_ram("odd", Gpa{0x1000}, 0x800));
  CHECK_FALSE(map.add_ram("wraps", Gpa{0xfffffffffffff000}, 0x2000));
  auto huge = map.add_ram("ram", Gpa{0x100000000}, uint64_t{1} << 60);
  REQUIRE_FALSE(huge);
  CHECK(huge.error().message.find("the host cannot map") == 0);
}

TEST_CASE("ROM is read but not written, and reports what loaders and DMA store", "[physical_map]") {
  PhysicalMap map;
  auto rom = map.add_ram("rom", Gpa{0x1000}, 0x1000, true);
  auto ram = map.add_ram("ram", Gpa{0x80000000}, 0x1000);
  REQUIRE(rom);
  REQUIRE(ram);
  CHECK(map.ram(Gpa{0x1000}, 4, false) != nullptr);
  CHECK(map.ram(Gpa{0x1000}, 4, true) == nullptr);
  std::vector<std::pair<Gpa, uint64_t>> seen;
  map.set_write_observer([&](Gpa at, uint64_t size) { seen.emplace_back(at, size); });
  machine::Dma dma(map);
  uint32_t word = 0x12345678, back = 0;
  CHECK_FALSE(dma.write(Gpa{0x1000}, &word, 4));
  CHECK(dma.write(Gpa{0x80000010}, &word, 4));
  CHECK(dma.read(Gpa{0x80000010}, &back, 4));
  CHECK(back == word);
  CHECK_FALSE(dma.read(Gpa{0x80000ffe}, &back, 4));
  CHECK(dma.read(Gpa{0x5000}, &back, 0));
  REQUIRE(seen.size() == 1);
  CHECK(seen[0].first == Gpa{0x80000010});
}

TEST_CASE("a block in device mode is no memory until it is switched back", "[physical_map]") {
  PhysicalMap map;
  auto flash = map.add_ram("flash", Gpa{0x20000000}, 0x1000, true);
  REQUIRE(flash);
  int told = 0;
  map.set_map_observer([&](Gpa at, uint64_t size) { told += at == Gpa{0x20000000} && size == 0x1000; });
  map.set_device_mode(**flash, true);
  CHECK(map.find_ram(Gpa{0x20000000}) == nullptr);
  CHECK(map.ram(Gpa{0x20000000}, 4, false) == nullptr);
  map.set_device_mode(**flash, true);
  CHECK(told == 1);
  map.set_device_mode(**flash, false);
  CHECK(told == 2);
  CHECK(map.find_ram(Gpa{0x20000fff}) != nullptr);
}
