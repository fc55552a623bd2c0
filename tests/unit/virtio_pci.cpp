// The PCI bus and the virtio-pci transport: configuration space, BARs, interrupts, and a block request through it all.
#include "machine/block/null_disk.h"
#include "machine/pci/bus.h"
#include "machine/virtio/blk.h"
#include "machine/virtio/pci.h"
#include "tests/support/machine_fakes.h"
#include "tests/support/virtio_driver.h"

using namespace lyre;
using namespace lyre::machine;
using namespace lyre::machine::virtio;
using namespace lyre::tests;

namespace {

constexpr uint64_t kEcam = 0x3000'0000, kMmio32 = 0x4000'0000, kMmio64 = 0x4'0000'0000, kIo = 0x0300'0000;

class TestFunction final : public pci::PciDevice {
 public:
  explicit TestFunction(const char* name = "test function") : PciDevice(name, {0x1234, 0x5678, 0x1af4, 0x1100, 0xff0000, 3, true}) {
    add_bar(0, pci::BarKind::kMem32, 0x1000);
    add_bar(1, pci::BarKind::kIo, 0x40);
    add_bar(2, pci::BarKind::kMem64, 0x10000);
    capability = add_capability(0x09, 8);
  }
  uint32_t bar_read(unsigned bar, uint64_t offset, unsigned size) override { return static_cast<uint32_t>(bar << 28 | offset << 4 | size); }
  void bar_write(unsigned bar, uint64_t offset, unsigned size, uint32_t value) override {
    char text[64];
    std::snprintf(text, sizeof text, "%u:%llx:%u=%x ", bar, static_cast<unsigned long long>(offset), size, value);
    writes += text;
  }
  void pin(bool level) { set_intx(level); }
  unsigned capability;
  std::string writes;
};

struct Rig {
  Rig() : bus(ram.map) {
    pci::PciHostConfig config;
    config.ecam = Gpa{kEcam};
    config.io = {Gpa{kIo}, 0x10000, 0};
    config.mmio32 = {Gpa{kMmio32}, 0x4000'0000, kMmio32};
    config.mmio64 = {Gpa{kMmio64}, uint64_t{16} << 30, kMmio64};
    for (unsigned i = 0; i < 4; ++i) config.intx[i] = sink.line(32 + i);
    pci = std::make_unique<pci::PciBus>(config);
    REQUIRE(pci->map(bus));
  }
  uint64_t read(uint64_t at, unsigned size) {
    uint64_t value = 0;
    REQUIRE(bus.io_read(Gpa{at}, size, value) == runtime::IoStatus::kOk);
    return value;
  }
  void write(uint64_t at, unsigned size, uint64_t value) { REQUIRE(bus.io_write(Gpa{at}, size, value) == runtime::IoStatus::kOk); }
  static uint64_t config(unsigned slot, unsigned reg, unsigned function = 0) { return kEcam + slot * 0x8000 + function * 0x1000 + reg; }
  GuestRam ram;
  FakeSink sink;
  Bus bus;
  std::unique_ptr<pci::PciBus> pci;
};

}  // namespace

TEST_CASE("the host bridge is at slot 0, nothing elsewhere") {
  Rig rig;
  CHECK(rig.read(Rig::config(0, 0), 4) == 0x00081b36);
  CHECK(rig.read(Rig::config(0, 8), 4) == 0x06000000);
  CHECK(rig.read(Rig::config(1, 0), 4) == 0xffffffff);
  CHECK(rig.read(Rig::config(0, 0, 1), 2) == 0xffff);
  CHECK(rig.read(kEcam + (1 << 20), 4) == 0xffffffff);  // bus 1
  rig.write(Rig::config(1, 4), 4, 7);
  CHECK(rig.read(kMmio32, 4) == 0xffffffff);
  CHECK(rig.read(kMmio64 + 0x1000, 8) == ~uint64_t{0});
  CHECK(rig.read(kIo, 1) == 0xff);
}

TEST_CASE("a function's configuration space") {
  Rig rig;
  TestFunction f;
  REQUIRE(rig.pci->add(f));
  CHECK(f.slot() == 1);
  CHECK(rig.read(Rig::config(1, 0), 4) == 0x56781234);
  CHECK(rig.read(Rig::config(1, 2), 2) == 0x5678);
  CHECK(rig.read(Rig::config(1, 1), 1) == 0x12);
  CHECK(rig.read(Rig::config(1, 8), 4) == 0xff000003);
  CHECK(rig.read(Rig::config(1, 0x2c), 4) == 0x11001af4);
  CHECK(rig.read(Rig::config(1, 0x3d), 1) == 1);
  CHECK((rig.read(Rig::config(1, 6), 2) & 0x10) != 0);
  CHECK(rig.read(Rig::config(1, 0x34), 1) == f.capability);
  CHECK(rig.read(Rig::config(1, 0x100), 4) == 0);
  rig.write(Rig::config(1, 0), 4, 0);  // read-only
  CHECK(rig.read(Rig::config(1, 0), 4) == 0x56781234);
  rig.write(Rig::config(1, 0x3c), 1, 0x2a);
  CHECK(rig.read(Rig::config(1, 0x3c), 2) == 0x012a);
  rig.write(Rig::config(1, 4), 2, 0xffff);
  CHECK(rig.read(Rig::config(1, 4), 2) == 0x547);
}

TEST_CASE("BARs are sized, mapped and moved") {
  Rig rig;
  TestFunction f;
  REQUIRE(rig.pci->add(f, 5));
  for (unsigned bar = 0; bar < 6; ++bar) rig.write(Rig::config(5, 0x10 + 4 * bar), 4, 0xffffffff);
  CHECK(rig.read(Rig::config(5, 0x10), 4) == 0xfffff000);
  CHECK(rig.read(Rig::config(5, 0x14), 4) == 0xffffffc1);
  CHECK(rig.read(Rig::config(5, 0x18), 4) == 0xffff0004);
  CHECK(rig.read(Rig::config(5, 0x1c), 4) == 0xffffffff);
  CHECK(rig.read(Rig::config(5, 0x20), 4) == 0);
  rig.write(Rig::config(5, 0x10), 4, kMmio32 + 0x3000);
  rig.write(Rig::config(5, 0x14), 4, 0x1000);
  rig.write(Rig::config(5, 0x18), 4, 0x00020000);
  rig.write(Rig::config(5, 0x1c), 4, 4);
  CHECK(rig.read(kMmio32 + 0x3010, 4) == 0xffffffff);  // not enabled yet
  rig.write(Rig::config(5, 4), 2, 2);
  CHECK(rig.read(kMmio32 + 0x3010, 4) == 0x104);
  CHECK(rig.read(kMmio64 + 0x20020, 2) == 0x0202);
  CHECK(rig.read(kMmio64 + 0x20008, 8) == 0x200000c420000084);
  CHECK(rig.read(kIo + 0x1008, 4) == 0xffffffff);
  rig.write(Rig::config(5, 4), 2, 3);
  CHECK(rig.read(kIo + 0x1008, 4) == 0x10000084);
  rig.write(kMmio32 + 0x3004, 2, 0xabcd);
  rig.write(kMmio64 + 0x20000, 8, 0x1122334455667788);
  CHECK(f.writes == "0:4:2=abcd 2:0:4=55667788 2:4:4=11223344 ");
  for (uint64_t i = 0; i < 10000; ++i) rig.write(Rig::config(5, 0x10), 4, kMmio32 + i * 0x1000);  // a guest may do so for ever
  CHECK(rig.read(kMmio32 + 9999 * 0x1000, 1) == 0x01);
  CHECK(rig.read(kMmio32 + 0x3010, 4) == 0xffffffff);
  f.reset();
  CHECK(rig.read(kMmio32 + 9999 * 0x1000, 1) == 0xff);
  CHECK(rig.read(Rig::config(5, 4), 2) == 0);
}

TEST_CASE("interrupt pins are swizzled and shared") {
  Rig rig;
  TestFunction a, b, c;
  REQUIRE(rig.pci->add(a, 1));
  REQUIRE(rig.pci->add(b, 5));
  REQUIRE(rig.pci->add(c, 2));
  a.pin(true);
  CHECK(rig.sink.level(33));
  CHECK((rig.read(Rig::config(1, 6), 2) & 8) != 0);
  b.pin(true);
  c.pin(true);
  CHECK(rig.sink.level(34));
  a.pin(false);
  CHECK(rig.sink.level(33));  // slot 5 still pulls
  rig.write(Rig::config(5, 4), 2, 0x400);
  CHECK(!rig.sink.level(33));
  CHECK((rig.read(Rig::config(5, 6), 2) & 8) != 0);
  rig.write(Rig::config(5, 4), 2, 0);
  CHECK(rig.sink.level(33));
  b.reset();
  CHECK(!rig.sink.level(33));
}

TEST_CASE("two functions at one address get one sentence") {
  Rig rig;
  TestFunction a("first"), b("second"), c("third");
  REQUIRE(rig.pci->add(a, 3));
  CHECK(rig.pci->add(b, 3).error().message == "PCI address 03.0 is already used by first");
  CHECK(rig.pci->add(b, 0).error().message == "PCI address 00.0 is already used by host bridge");
  CHECK(!rig.pci->add(b, 32));
  CHECK(rig.pci->add(b, 3, 1));
  CHECK(rig.read(Rig::config(3, 0x0e), 1) == 0x80);
  CHECK(rig.pci->add(c));
  CHECK(c.slot() == 1);
}

namespace {

struct VirtioRig : Rig {
  VirtioRig() {
    loop.start("test-io");
    auto disk = std::make_shared<block::NullDisk>(loop, block::NullDiskOptions{.bytes = 1 << 20, .read_zeroes = true});
    device = std::make_unique<VirtioBlk>(VirtioContext{ram.dma(), &loop, "test disk", {}}, disk, BlkOptions{});
    transport = std::make_unique<VirtioPci>(*device, 0x010000);
    REQUIRE(pci->add(*transport));
    write(config(1, 0x20), 4, kMmio32 + 0x4000);
    write(config(1, 0x24), 4, 0);
    write(config(1, 4), 2, 6);
  }
  ~VirtioRig() { loop.stop(); }
  // Where a structure lies, by its capability.
  uint64_t structure(uint8_t type, uint32_t* length = nullptr) {
    for (auto at = static_cast<unsigned>(read(config(1, 0x34), 1)); at; at = static_cast<unsigned>(read(config(1, at + 1), 1))) {
      if (read(config(1, at), 1) != 9 || read(config(1, at + 3), 1) != type) continue;
      if (length) *length = static_cast<uint32_t>(read(config(1, at + 12), 4));
      if (type == 5) return at;
      CHECK(read(config(1, at + 4), 1) == 4);
      return kMmio32 + 0x4000 + read(config(1, at + 8), 4);
    }
    FAIL("no such structure");
    return 0;
  }
  EventLoop loop;
  std::unique_ptr<VirtioBlk> device;
  std::unique_ptr<VirtioPci> transport;
};

}  // namespace

TEST_CASE("virtio-pci: a disk from discovery to an interrupt") {
  VirtioRig rig;
  CHECK(rig.read(Rig::config(1, 0), 4) == 0x10421af4);
  CHECK(rig.read(Rig::config(1, 8), 4) == 0x01000001);
  const uint64_t common = rig.structure(1), notify = rig.structure(2), isr = rig.structure(3), config = rig.structure(4);
  CHECK(rig.read(config, 4) == 2048);
  CHECK(rig.read(config, 2) == 2048);
  CHECK(rig.read(common + 18, 2) == 1);
  CHECK(rig.read(common + 16, 2) == 0xffff);
  rig.write(common + 20, 1, 1);
  rig.write(common + 20, 1, 3);
  rig.write(common, 4, 1);
  CHECK((rig.read(common + 4, 4) & 1) == 1);  // VERSION_1
  rig.write(common + 8, 4, 1);
  rig.write(common + 12, 4, 1);
  CHECK(rig.read(common + 12, 4) == 1);
  rig.write(common + 20, 1, 11);
  REQUIRE(rig.read(common + 20, 1) == 11);
  rig.write(common + 22, 2, 7);
  CHECK(rig.read(common + 24, 2) == 0);  // no such queue
  rig.write(common + 22, 2, 0);
  CHECK(rig.read(common + 24, 2) == 256);
  SplitDriverRing ring(rig.ram, 16, false);
  rig.write(common + 24, 2, 16);
  rig.write(common + 32, 4, ring.descriptors);
  rig.write(common + 36, 4, ring.descriptors >> 32);
  rig.write(common + 40, 8, ring.driver);  // one access of 64 bits is two of 32
  rig.write(common + 48, 4, ring.device);
  CHECK(rig.read(common + 40, 8) == ring.driver);
  rig.write(common + 28, 2, 1);
  CHECK(rig.read(common + 28, 2) == 1);
  rig.write(common + 20, 1, 15);
  const uint64_t header = rig.ram.allocate(16), data = rig.ram.allocate(512), status = rig.ram.allocate(1);
  *rig.ram.at<uint64_t>(data) = 1;
  ring.add({{header, 16, false}, {data, 512, true}, {status, 1, true}});
  rig.write(notify + rig.read(common + 30, 2) * 4, 2, 0);
  REQUIRE(eventually([&] { return ring.take().has_value(); }));
  CHECK(*rig.ram.at<uint64_t>(data) == 0);
  REQUIRE(eventually([&] { return rig.sink.level(33); }));
  CHECK(rig.read(isr, 1) == 1);
  CHECK(!rig.sink.level(33));
  CHECK(rig.read(isr, 1) == 0);
  rig.write(common + 20, 1, 0);
  CHECK(rig.read(common + 20, 1) == 0);
  CHECK(rig.read(common + 28, 2) == 0);
}

TEST_CASE("virtio-pci: access through the configuration space") {
  VirtioRig rig;
  const auto at = static_cast<unsigned>(rig.structure(5));
  const auto set = [&](uint8_t bar, uint32_t offset, uint32_t length) {
    rig.write(Rig::config(1, at + 4), 1, bar);
    rig.write(Rig::config(1, at + 8), 4, offset);
    rig.write(Rig::config(1, at + 12), 4, length);
  };
  set(4, 0x2000, 4);
  CHECK(rig.read(Rig::config(1, at + 16), 4) == 2048);
  set(4, 20, 1);
  rig.write(Rig::config(1, at + 16), 4, 1);
  CHECK(rig.device->status() == 1);
  CHECK((rig.read(Rig::config(1, at + 16), 1) & 0xff) == 1);
  set(4, 0x4000, 4);  // past the BAR
  rig.write(Rig::config(1, at + 16), 4, 0);
  set(0, 0, 4);
  rig.write(Rig::config(1, at + 16), 4, 0);
  set(4, 20, 3);
  rig.write(Rig::config(1, at + 16), 4, 0);
  CHECK(rig.device->status() == 1);
}
