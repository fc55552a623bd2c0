// The bus: finding, splitting, merging, edges, overlap.
#include "machine/bus/bus.h"

#include <thread>
#include <tuple>
#include <vector>

#include "tests/support/catch.h"

using namespace lyre;
using namespace lyre::machine;
using runtime::IoStatus;

namespace {

// Bytes that remember the accesses.
class Scratch final : public MmioDevice {
 public:
  Scratch(std::string name, AccessSizes sizes) : name_(std::move(name)), sizes_(sizes) {
    for (unsigned i = 0; i < sizeof bytes; ++i) bytes[i] = static_cast<uint8_t>(i);
  }
  std::string_view name() const override { return name_; }
  AccessSizes access_sizes() const override { return sizes_; }
  uint64_t read(uint64_t offset, unsigned size) override {
    log.emplace_back('r', offset, size);
    uint64_t value = 0;
    for (unsigned i = 0; i < size; ++i) value |= uint64_t{bytes[offset + i]} << (8 * i);
    return value;
  }
  void write(uint64_t offset, unsigned size, uint64_t value) override {
    log.emplace_back('w', offset, size);
    for (unsigned i = 0; i < size; ++i) bytes[offset + i] = static_cast<uint8_t>(value >> (8 * i));
  }
  uint8_t bytes[64];
  std::vector<std::tuple<char, uint64_t, unsigned>> log;

 private:
  std::string name_;
  AccessSizes sizes_;
};

using Log = std::vector<std::tuple<char, uint64_t, unsigned>>;

struct Fixture {
  runtime::PhysicalMap memory;
  Bus bus{memory};
  uint64_t value = 0;
};

}  // namespace

TEST_CASE_METHOD(Fixture, "bus passes an access of the device's size through with its offset", "[bus]") {
  Scratch device("d", {.min = 1, .max = 8, .unaligned = false});
  REQUIRE(bus.map(Gpa{0x1000}, 64, device));
  CHECK(bus.io_read(Gpa{0x1008}, 4, value) == IoStatus::kOk);
  CHECK(value == 0x0b0a0908);
  CHECK(bus.io_write(Gpa{0x1010}, 8, 0x1122334455667788) == IoStatus::kOk);
  CHECK(device.log == Log{{'r', 8, 4}, {'w', 0x10, 8}});
}

TEST_CASE_METHOD(Fixture, "bus splits wide accesses to the widest that the device has", "[bus]") {
  Scratch device("d", {.min = 1, .max = 2, .unaligned = false});
  REQUIRE(bus.map(Gpa{0x1000}, 64, device));
  CHECK(bus.io_read(Gpa{0x1008}, 8, value) == IoStatus::kOk);
  CHECK(value == 0x0f0e0d0c0b0a0908);
  CHECK(device.log == Log{{'r', 8, 2}, {'r', 10, 2}, {'r', 12, 2}, {'r', 14, 2}});
  device.log.clear();
  CHECK(bus.io_write(Gpa{0x1000}, 4, 0xaabbccdd) == IoStatus::kOk);
  CHECK(device.log == Log{{'w', 0, 2}, {'w', 2, 2}});
  CHECK(device.bytes[3] == 0xaa);
}

TEST_CASE_METHOD(Fixture, "bus reads a narrow piece of a wide register but refuses to write one", "[bus]") {
  Scratch device("d", {.min = 4, .max = 4, .unaligned = false});
  REQUIRE(bus.map(Gpa{0x1000}, 64, device));
  CHECK(bus.io_read(Gpa{0x1006}, 2, value) == IoStatus::kOk);
  CHECK(value == 0x0706);
  CHECK(device.log == Log{{'r', 4, 4}});
  CHECK(bus.io_write(Gpa{0x1004}, 1, 1) == IoStatus::kRefused);
}

TEST_CASE_METHOD(Fixture, "bus refuses unaligned accesses unless the device takes them", "[bus]") {
  Scratch strict("strict", {.min = 1, .max = 8, .unaligned = false}),
      lax("lax", {.min = 4, .max = 4, .unaligned = true});
  REQUIRE(bus.map(Gpa{0x1000}, 64, strict));
  REQUIRE(bus.map(Gpa{0x2000}, 64, lax));
  CHECK(bus.io_read(Gpa{0x1001}, 4, value) == IoStatus::kRefused);
  CHECK(bus.io_write(Gpa{0x1001}, 2, 0) == IoStatus::kRefused);
  CHECK(bus.io_read(Gpa{0x2006}, 4, value) == IoStatus::kOk);
  CHECK(value == 0x09080706);
  CHECK(lax.log == Log{{'r', 4, 4}, {'r', 8, 4}});
  CHECK(bus.io_write(Gpa{0x2002}, 4, 0) == IoStatus::kRefused);  // would need parts of two registers
}

TEST_CASE_METHOD(Fixture, "bus knows where ranges end", "[bus]") {
  Scratch a("a", {.min = 1, .max = 8, .unaligned = true}), b("b", {.min = 1, .max = 8, .unaligned = true});
  REQUIRE(bus.map(Gpa{0x1000}, 0x10, a));
  REQUIRE(bus.map(Gpa{0x1010}, 0x10, b));
  CHECK(bus.io_read(Gpa{0xfff}, 1, value) == IoStatus::kUnmapped);
  CHECK(bus.io_read(Gpa{0x100f}, 1, value) == IoStatus::kOk);
  CHECK(bus.io_read(Gpa{0x100e}, 4, value) == IoStatus::kUnmapped);  // spans two devices
  CHECK(bus.io_write(Gpa{0x101c}, 8, 0) == IoStatus::kUnmapped);
  CHECK(bus.io_read(Gpa{0x1020}, 1, value) == IoStatus::kUnmapped);
  CHECK(bus.io_read(Gpa{~uint64_t{0}}, 8, value) == IoStatus::kUnmapped);
  CHECK(b.log.empty());
  bus.unmap(a);
  CHECK(bus.io_read(Gpa{0x100f}, 1, value) == IoStatus::kUnmapped);
  CHECK(bus.ranges().size() == 1);
}

TEST_CASE_METHOD(Fixture, "bus names both sides of an overlap", "[bus]") {
  Scratch a("uart", {}), b("plic", {}), c("c", {});
  REQUIRE(memory.add_ram("ram", Gpa{0x80000000}, 0x10000));
  REQUIRE(memory.add_ram("flash", Gpa{0x20000}, 0x1000, true));
  REQUIRE(bus.map(Gpa{0x1000}, 0x100, a));
  auto overlap = bus.map(Gpa{0x10ff}, 0x100, b);
  REQUIRE_FALSE(overlap);
  CHECK(overlap.error().message == "plic at 0x10ff overlaps uart at 0x1000");
  auto on_ram = bus.map(Gpa{0x8000f000}, 0x100, b);
  REQUIRE_FALSE(on_ram);
  CHECK(on_ram.error().message == "plic at 0x8000f000 overlaps ram at 0x80000000");
  CHECK_FALSE(bus.map(Gpa{0x20800}, 0x1000, b));  // hangs over the ROM's end
  CHECK(bus.map(Gpa{0x20000}, 0x1000, b));        // a ROM that takes commands
  CHECK_FALSE(bus.map(Gpa{~uint64_t{0} - 1}, 0x100, c));
  CHECK_FALSE(bus.map(Gpa{0x5000}, 0, c));
}

TEST_CASE_METHOD(Fixture, "bus look-ups go on while ranges come and go", "[bus]") {
  Scratch fixed("fixed", {}), moving("moving", {});
  REQUIRE(bus.map(Gpa{0x1000}, 64, fixed));
  std::atomic<bool> stop{false};
  std::atomic<unsigned> bad{0};
  std::thread reader([&] {
    uint64_t seen;
    while (!stop)
      if (bus.io_read(Gpa{0x1000}, 4, seen) != IoStatus::kOk || seen != 0x03020100) ++bad;
  });
  for (int i = 0; i < 200; ++i) {
    REQUIRE(bus.map(Gpa{0x2000}, 64, moving));
    bus.unmap(moving);
  }
  stop = true;
  reader.join();
  CHECK(bad == 0);
}
