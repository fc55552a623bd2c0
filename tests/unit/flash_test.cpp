// CFI flash as drivers talk to it: query, identifiers, programming, erasing, buffers, errors.
#include <cstring>

#include "machine/bus/bus.h"
#include "machine/devices/cfi_flash.h"
#include "tests/support/catch.h"

using namespace lyre;
using namespace lyre::machine;
using runtime::IoStatus;

namespace {

struct Flash {
  static constexpr Gpa kBase{0x20000000};
  runtime::PhysicalMap memory;
  runtime::RamBlock* array = *memory.add_ram("flash0", kBase, 0x2000000, true);
  std::vector<std::pair<uint64_t, uint64_t>> changed;
  CfiFlash flash{"flash0", memory, *array,
                 [this](uint64_t at, std::span<const std::byte> bytes) { changed.emplace_back(at, bytes.size()); }};
  Bus bus{memory};
  Flash() { REQUIRE(bus.map(kBase, array->size, flash)); }

  // As the CPU sees it: memory in array mode, the device otherwise.
  uint32_t in(uint64_t offset) {
    uint32_t value = 0;
    if (Hva host = memory.ram(kBase + offset, 4, false)) {
      std::memcpy(&value, host, 4);
      return value;
    }
    uint64_t wide = 0;
    CHECK(bus.io_read(kBase + offset, 4, wide) == IoStatus::kOk);
    return static_cast<uint32_t>(wide);
  }
  void out(uint64_t offset, uint32_t value) { CHECK(bus.io_write(kBase + offset, 4, value) == IoStatus::kOk); }
  void both(uint64_t offset, uint32_t command) { out(offset, command << 16 | command); }
  bool direct() { return memory.find_ram(kBase) != nullptr; }
};

}  // namespace

TEST_CASE_METHOD(Flash, "flash is memory until it is asked something else", "[flash]") {
  flash.reset();
  CHECK(direct());
  both(0, 0x70);
  CHECK_FALSE(direct());
  CHECK(in(0x1234) == 0x00800080);
  both(0, 0xff);
  CHECK(direct());
  CHECK(in(0) == 0);
}

TEST_CASE_METHOD(Flash, "flash answers a CFI query for two 16 MiB chips with 128 KiB blocks", "[flash]") {
  both(0x55 * 4, 0x98);
  auto query = [&](unsigned index) {
    uint32_t word = in(index * 4);
    CHECK(word >> 16 == (word & 0xffff));
    return word & 0xffff;
  };
  CHECK(query(0x10) == 'Q');
  CHECK(query(0x11) == 'R');
  CHECK(query(0x12) == 'Y');
  CHECK(query(0x13) == 1);
  CHECK(query(0x27) == 24);
  CHECK(query(0x2c) == 1);
  CHECK((query(0x2d) | query(0x2e) << 8) == 127);
  CHECK((query(0x2f) | query(0x30) << 8) == 128 * 1024 / 256);
  unsigned primary = query(0x15) | query(0x16) << 8;
  CHECK(query(primary) == 'P');
  CHECK(query(primary + 2) == 'I');
  uint64_t byte = 0;
  CHECK(bus.io_read(kBase + 0x10 * 4, 1, byte) == IoStatus::kOk);
  CHECK(byte == 'Q');
  CHECK(bus.io_read(kBase + 0x10 * 4 + 2, 2, byte) == IoStatus::kOk);
  CHECK(byte == 'Q');
  both(0, 0x90);
  CHECK(in(0) == 0x00890089);
  CHECK(in(4) == 0x00180018);
}

TEST_CASE_METHOD(Flash, "flash programs words by clearing bits, erases blocks, and reports what changed", "[flash]") {
  both(0x40000, 0x20);
  both(0x40000, 0xd0);
  CHECK(in(0x40000) == 0x00800080);
  both(0, 0xff);
  CHECK(in(0x40000) == 0xffffffff);
  CHECK(in(0x7fffc) == 0xffffffff);
  CHECK(in(0x80000) == 0);
  CHECK(in(0x3fffc) == 0);
  both(0x40010, 0x40);
  out(0x40010, 0x12345678);
  both(0x40010, 0x10);
  out(0x40010, 0xffff00ff);
  both(0, 0xff);
  CHECK(in(0x40010) == (0x12345678u & 0xffff00ff));
  CHECK(changed == std::vector<std::pair<uint64_t, uint64_t>>{{0x40000, 0x40000}, {0x40010, 4}, {0x40010, 4}});
}

TEST_CASE_METHOD(Flash, "flash writes a buffer when it is confirmed, and only then", "[flash]") {
  both(0, 0x20);
  both(0, 0xd0);
  both(0x100, 0xe8);
  CHECK((in(0x100) & 0x80) == 0x80);
  both(0x100, 3);
  for (uint32_t i = 0; i < 4; ++i) out(0x100 + 4 * i, 0xabcd0000 + i);
  both(0x100, 0xd0);
  CHECK(in(0) == 0x00800080);
  both(0, 0xff);
  CHECK(in(0x10c) == 0xabcd0003);
  CHECK(changed.back() == std::make_pair(uint64_t{0x100}, uint64_t{16}));

  both(0x200, 0xe8);
  both(0x200, 0);
  out(0x200, 0);
  both(0x200, 0xff);  // not the confirmation
  CHECK((in(0) & 0x30) == 0x30);
  both(0, 0x50);
  CHECK(in(0) == 0x00800080);
  both(0, 0xff);
  CHECK(in(0x200) == 0xffffffff);
}

TEST_CASE_METHOD(Flash, "flash reports bad sequences in its status", "[flash]") {
  both(0, 0x20);
  both(0, 0x11);
  CHECK((in(0) & 0x30) == 0x30);
  both(0, 0x50);
  both(0, 0xe8);
  out(0, 0xffffffff);  // more words than the buffer has
  CHECK((in(0) & 0x10) == 0x10);
  both(0, 0x50);
  both(0, 0xe8);
  both(0, 1);
  out(0, 1);
  out(0x40000, 2);  // another block
  CHECK((in(0) & 0x10) == 0x10);
  both(0, 0x50);
  both(0, 0x60);
  both(0, 0x01);
  CHECK(in(0) == 0x00800080);
  both(0, 0x77);
  flash.reset();
  CHECK(direct());
  CHECK(changed.empty());
}
