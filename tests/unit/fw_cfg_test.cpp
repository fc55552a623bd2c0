// fw_cfg: selector, data of every width, directory, DMA and its bounds.
#include "machine/devices/fw_cfg.h"

#include <cstring>

#include "machine/firmware/fw_cfg_items.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_file.h"

using namespace lyre;
using namespace lyre::machine;

namespace {

struct Config {
  static constexpr Gpa kRam{0x80000000};
  runtime::PhysicalMap memory;
  runtime::RamBlock* ram = *memory.add_ram("ram", kRam, 0x10000);
  FwCfg fw{Dma(memory)};

  void select(uint16_t key) { fw.write(8, 2, __builtin_bswap16(key)); }
  std::string bytes(unsigned count) {
    std::string text;
    while (count--) text += static_cast<char>(fw.read(0, 1));
    return text;
  }
  // Starts a transfer with the request at the start of RAM; returns the control word after it.
  uint32_t dma(uint32_t control, uint32_t length, uint64_t address, uint64_t request = 0x80000000) {
    uint32_t words[4] = {__builtin_bswap32(control), __builtin_bswap32(length),
                         __builtin_bswap32(static_cast<uint32_t>(address >> 32)),
                         __builtin_bswap32(static_cast<uint32_t>(address))};
    std::memcpy(ram->host, words, sizeof words);
    fw.write(16, 4, __builtin_bswap32(static_cast<uint32_t>(request >> 32)));
    fw.write(20, 4, __builtin_bswap32(static_cast<uint32_t>(request)));
    std::memcpy(words, ram->host, sizeof words);
    return __builtin_bswap32(words[0]);
  }
  std::string at(uint64_t offset, size_t size) {
    return std::string(reinterpret_cast<char*>(ram->host) + offset, size);
  }
};

}  // namespace

TEST_CASE_METHOD(Config, "fw_cfg introduces itself", "[fw_cfg]") {
  fw.reset();
  CHECK(bytes(4) == "QEMU");
  CHECK(bytes(1) == std::string(1, '\0'));  // past the end
  select(1);
  CHECK(fw.read(0, 4) == 3);
  CHECK(fw.read(16, 8) == __builtin_bswap64(0x51454d5520434647));
  CHECK((fw.read(16, 4) & 0xffffffff) == __builtin_bswap32(0x51454d55));
  select(0x7fff);
  CHECK(fw.read(0, 8) == 0);
}

TEST_CASE_METHOD(Config, "fw_cfg gives an item's bytes in order at any width", "[fw_cfg]") {
  fw.set(0x40, {1, 2, 3, 4, 5, 6, 7, 8, 9});
  select(0x40);
  CHECK(fw.read(0, 1) == 1);
  CHECK(fw.read(0, 2) == 0x0302);
  CHECK(fw.read(0, 4) == 0x07060504);
  CHECK(fw.read(0, 8) == 0x0908);
  select(0x40);
  CHECK(fw.read(0, 1) == 1);
}

TEST_CASE_METHOD(Config, "fw_cfg lists its files by name", "[fw_cfg]") {
  REQUIRE(fw.add_file("opt/b", {'B', 'B'}));
  REQUIRE(fw.add_file("etc/a", {'A'}));
  CHECK_FALSE(fw.add_file("etc/a", {}));
  CHECK_FALSE(fw.add_file(std::string(56, 'x'), {}));
  CHECK_FALSE(fw.add_file("", {}));
  select(0x19);
  CHECK(bytes(4) == std::string("\0\0\0\2", 4));
  CHECK(bytes(8) == std::string("\0\0\0\1\0\x20\0\0", 8));
  CHECK(bytes(56) == std::string("etc/a") + std::string(51, '\0'));
  CHECK(bytes(8) == std::string("\0\0\0\2\0\x21\0\0", 8));
  select(0x21);
  CHECK(bytes(2) == "BB");
}

TEST_CASE_METHOD(Config, "fw_cfg DMA selects, reads, skips and pads with zeros", "[fw_cfg]") {
  REQUIRE(fw.add_file("f", {'0', '1', '2', '3', '4', '5'}));
  std::memset(ram->host + 0x100, 'x', 16);
  CHECK(dma(0x20 << 16 | 8 | 2, 3, 0x80000100) == 0);
  CHECK(at(0x100, 4) == "012x");
  CHECK(dma(4, 1, 0) == 0);
  CHECK(dma(2, 4, 0x80000100) == 0);
  CHECK(at(0x100, 5) == std::string("45\0\0x", 5));
  CHECK(dma(2, 0, 0x80000100) == 0);
}

TEST_CASE_METHOD(Config, "fw_cfg DMA writes only what may be written", "[fw_cfg]") {
  REQUIRE(fw.add_file("rw", {'a', 'b', 'c'}, true));
  REQUIRE(fw.add_file("sro", {'d'}));
  std::memcpy(ram->host + 0x200, "XYZ!", 4);
  CHECK(dma(0x20 << 16 | 8 | 16, 2, 0x80000200) == 0);
  select(0x20);
  CHECK(bytes(3) == "XYc");
  CHECK(dma(0x21 << 16 | 8 | 16, 1, 0x80000200) == 1);
  CHECK(dma(0x20 << 16 | 8 | 16, 4, 0x80000200) == 1);  // longer than the item
  CHECK(dma(0x99 << 16 | 8 | 16, 1, 0x80000200) == 1);
}

TEST_CASE_METHOD(Config, "fw_cfg DMA stays inside RAM", "[fw_cfg]") {
  fw.set(0x40, std::vector<uint8_t>(64, 'q'));
  CHECK(dma(0x40 << 16 | 8 | 2, 64, 0x8000ffe0) == 1);
  CHECK(dma(2, 0xffffffff, 0x80000000) == 1);
  CHECK(dma(2, 16, 0) == 1);
  CHECK(dma(2, 16, ~uint64_t{0} - 4) == 1);
  dma(2, 16, 0x80000100, 0x8000fff8);  // a request that hangs over the end is ignored
  dma(2, 16, 0x80000100, 0x1000);
  CHECK(at(0x100, 1) == std::string(1, '\0'));
}

TEST_CASE_METHOD(Config, "fw_cfg takes the user's items or says what is wrong", "[fw_cfg]") {
  MachineConfig config;
  config.ram_bytes = 0x12345678;
  config.fw_cfg.push_back({{{"name", "opt/x"}, {"string", "hello"}}});
  REQUIRE(add_fw_cfg_items(fw, config));
  select(0x21);  // after etc/boot-fail-wait
  CHECK(bytes(5) == "hello");
  select(3);
  CHECK(fw.read(0, 8) == 0x12345678);
  auto fails = [](OptionList option) {
    runtime::PhysicalMap none;
    FwCfg other{Dma(none)};
    MachineConfig bad;
    bad.fw_cfg.push_back(std::move(option));
    Status status = add_fw_cfg_items(other, bad);
    return status ? std::string() : status.error().message;
  };
  CHECK(fails({{{"string", "x"}}}) == "-fw_cfg needs a name=");
  CHECK(fails({{{"name", "n"}}}) == "-fw_cfg name=n needs either file= or string=");
  CHECK(fails({{{"name", "n"}, {"file", "/nonexistent/f"}}}) ==
        "cannot open the fw_cfg file '/nonexistent/f': No such file or directory");
}

// Contents and names as QEMU 11.1's board gives them for the same options.
TEST_CASE_METHOD(Config, "fw_cfg tells firmware the UUID and what -boot says", "[fw_cfg]") {
  MachineConfig config;
  REQUIRE(add_fw_cfg_items(fw, config));
  select(2);
  CHECK(bytes(16) == std::string(16, '\0'));
  select(0x0e);
  CHECK(fw.read(0, 2) == 0);
  select(0x20);  // etc/boot-fail-wait
  CHECK(bytes(4) == "\xff\xff\xff\xff");

  tests::TemporaryFile jpeg("\xff\xd8\xff picture"), text("no picture");
  for (uint8_t i = 0; i < 16; ++i) config.uuid[i] = static_cast<uint8_t>(0x10 + i);
  config.boot.menu = true;
  config.boot.menu_wait_ms = 500;
  config.boot.fail_wait_ms = 77;
  config.boot.splash = jpeg.path();
  FwCfg other{Dma(memory)};
  REQUIRE(add_fw_cfg_items(other, config));
  auto item = [&](uint16_t key, unsigned count) {
    other.write(8, 2, __builtin_bswap16(key));
    std::string value;
    while (count--) value += static_cast<char>(other.read(0, 1));
    return value;
  };
  CHECK(item(2, 16) == "\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f");
  CHECK(item(0x0e, 2) == std::string("\1\0", 2));
  CHECK(item(0x20, 11) == "\xff\xd8\xff picture");  // bootsplash.jpg
  CHECK(item(0x21, 4) == std::string("M\0\0\0", 4));
  CHECK(item(0x22, 2) == "\xf4\x01");
  CHECK(item(0x19, 4) == std::string("\0\0\0\3", 4));

  config.boot.splash = text.path();
  FwCfg third{Dma(memory)};
  Status status = add_fw_cfg_items(third, config);
  REQUIRE_FALSE(status);
  CHECK(status.error().message == "the splash file '" + text.path() + "' is neither JPEG nor 24-bit BMP");
}
