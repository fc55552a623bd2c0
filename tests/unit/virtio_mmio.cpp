// The MMIO transport register by register, and the block and entropy devices behind it.
#include <atomic>

#include "machine/block/null_disk.h"
#include "machine/block/raw_file.h"
#include "machine/virtio/blk.h"
#include "machine/virtio/rng.h"
#include "tests/support/machine_fakes.h"
#include "tests/support/temp_file.h"
#include "tests/support/virtio_driver.h"

using namespace lyre;
using namespace lyre::machine;
using namespace lyre::machine::virtio;
using namespace lyre::tests;

namespace {

constexpr uint64_t kVersion1 = uint64_t{1} << 32, kEventIdx = 1 << 29, kIndirect = 1 << 28, kPacked = uint64_t{1} << 34;
constexpr uint64_t kBlkFlush = 1 << 9, kBlkWce = 1 << 11, kBlkDiscard = 1 << 13, kBlkZeroes = 1 << 14;

struct Rig {
  Rig() { loop.start("test-io"); }
  ~Rig() { loop.stop(); }
  VirtioContext context(bool packed = false) { return {ram.dma(), &loop, "test device", {.packed = packed}}; }
  GuestRam ram;
  FakeSink sink;
  EventLoop loop;
};

struct BlkRig : Rig {
  explicit BlkRig(const std::string& content, BlkOptions options = {}, block::RawFileOptions file_options = {}) : file(content) {
    file_options.file = file.path();
    auto opened = block::RawFile::open(loop, file_options);
    REQUIRE(opened);
    disk = std::move(*opened);
    device = std::make_unique<VirtioBlk>(context(true), disk, options);
    transport = std::make_unique<VirtioMmio>(device.get(), sink.line(1));
    driver = std::make_unique<MmioDriver>(ram, *transport);
  }
  ~BlkRig() { loop.stop(); }  // before the device goes
  void start(uint64_t features = kVersion1 | kEventIdx | kIndirect | kBlkFlush) {
    REQUIRE(driver->negotiate(features));
    ring = driver->queue(0, 16);
    driver->ready();
  }
  // Returns the status byte; 0xee: the device has not written it.
  unsigned request(uint32_t type, uint64_t sector, uint64_t data, uint32_t bytes, bool device_writes, bool indirect = false) {
    const uint64_t header = ram.allocate(16), status = ram.allocate(1);
    struct {
      uint32_t type, reserved;
      uint64_t sector;
    } const wire{type, 0, sector};
    ram.put(header, &wire, sizeof wire);
    *ram.at<uint8_t>(status) = 0xee;
    std::vector<DriverSegment> list{{header, 16, false}};
    if (bytes) list.push_back({data, bytes, device_writes});
    list.push_back({status, 1, true});
    used = driver->run(0, *ring, list, indirect).length;
    return *ram.at<uint8_t>(status);
  }
  TempFile file;
  std::shared_ptr<block::BlockBackend> disk;
  std::unique_ptr<VirtioBlk> device;
  std::unique_ptr<VirtioMmio> transport;
  std::unique_ptr<MmioDriver> driver;
  std::unique_ptr<DriverRing> ring;
  uint32_t used = 0;
};

std::string pattern(size_t bytes, int seed = 0) {
  std::string text(bytes, 0);
  for (size_t i = 0; i < bytes; ++i) text[i] = static_cast<char>((i * 31 + i / 512 * 7 + static_cast<size_t>(seed)) & 0xff);
  return text;
}

}  // namespace

TEST_CASE("an empty slot shows device id 0") {
  FakeSink sink;
  VirtioMmio slot(nullptr, sink.line(1));
  CHECK(slot.read(0, 4) == 0x74726976);
  CHECK(slot.read(4, 4) == 2);
  CHECK(slot.read(8, 4) == 0);
  for (uint64_t at = 0x10; at < 0x200; at += 4) {
    CHECK(slot.read(at, 4) == 0);
    slot.write(at, 4, 0xffffffff);
  }
  CHECK(!sink.level(1));
}

TEST_CASE("virtio-mmio registers") {
  BlkRig rig(pattern(1 << 20));
  MmioDriver& d = *rig.driver;
  CHECK(d.get(mmio::kMagic) == 0x74726976);
  CHECK(d.get(mmio::kVersion) == 2);
  CHECK(d.get(mmio::kDeviceId) == 2);
  CHECK(d.get(mmio::kStatus) == 0);
  CHECK(d.get(mmio::kInterruptStatus) == 0);
  CHECK((d.offered() & (kVersion1 | kEventIdx | kIndirect | kPacked)) == (kVersion1 | kEventIdx | kIndirect | kPacked));
  d.set(mmio::kDeviceFeaturesSel, 2);
  CHECK(d.get(mmio::kDeviceFeatures) == 0);
  d.set(mmio::kQueueSel, 0);
  CHECK(d.get(mmio::kQueueSizeMax) == 256);
  d.set(mmio::kQueueSel, 1);
  CHECK(d.get(mmio::kQueueSizeMax) == 0);
  CHECK(d.get(mmio::kQueueReady) == 0);
  CHECK(d.get(mmio::kShmLenLow) == 0xffffffff);
  // Registers are 32 bits wide; configuration bytes are not.
  CHECK(rig.transport->read(0, 2) == 0);
  CHECK(rig.transport->read(mmio::kConfig, 1) == 0x00);
  CHECK(rig.transport->read(mmio::kConfig + 1, 1) == 0x08);
  CHECK(d.get(mmio::kConfig) == 2048);
  CHECK(d.get(mmio::kConfig + 0xfc) == 0);

  SECTION("features are refused without VERSION_1, or when not offered") {
    CHECK(!d.negotiate(kEventIdx));
    CHECK(!d.negotiate(kVersion1 | uint64_t{1} << 40 | uint64_t{1} << 37));
    CHECK(d.negotiate(kVersion1));
    d.set(mmio::kDriverFeaturesSel, 0);
    d.set(mmio::kDriverFeatures, 0xffffffff);  // too late
    CHECK(d.get(mmio::kStatus) == 11);
    CHECK(rig.device->driver_features() == kVersion1);
  }
  SECTION("a reset clears everything") {
    rig.start();
    CHECK(d.get(mmio::kStatus) == 15);
    d.set(mmio::kStatus, 0);
    CHECK(d.get(mmio::kStatus) == 0);
    CHECK(d.get(mmio::kQueueReady) == 0);
    CHECK(d.get(mmio::kInterruptStatus) == 0);
    CHECK(rig.device->driver_features() == 0);
  }
  SECTION("status bits are only set, not cleared, by the driver") {
    rig.start();
    d.set(mmio::kStatus, 1);
    CHECK(d.get(mmio::kStatus) == 15);
    d.set(mmio::kStatus, 0x40);
    CHECK(d.get(mmio::kStatus) == 15);
    d.set(mmio::kStatus, 0x80);
    CHECK(d.get(mmio::kStatus) == 0x8f);
  }
  SECTION("a queue that makes no sense fails the device") {
    REQUIRE(d.negotiate(kVersion1));
    d.set(mmio::kQueueSel, 0);
    d.set(mmio::kQueueSize, 512);
    d.set(mmio::kQueueReady, 1);
    CHECK(d.get(mmio::kQueueReady) == 0);
    CHECK(d.get(mmio::kStatus) == 11);
    d.ready();
    CHECK(d.get(mmio::kStatus) == (15 | 0x40));
    CHECK(d.get(mmio::kInterruptStatus) == 2);
    CHECK(rig.sink.level(1));
    d.set(mmio::kInterruptAck, 2);
    CHECK(!rig.sink.level(1));
    d.set(mmio::kStatus, 0);
    rig.start();
    CHECK(rig.request(0, 0, rig.ram.allocate(512), 512, true) == 0);
  }
}

TEST_CASE("blocks are read and written") {
  const bool packed = GENERATE(false, true);
  const bool indirect = GENERATE(false, true);
  BlkRig rig(pattern(1 << 20));
  rig.start(kVersion1 | kEventIdx | kIndirect | kBlkFlush | (packed ? kPacked : 0));
  const uint64_t data = rig.ram.allocate(65536, 4096);
  CHECK(rig.request(0, 8, data, 8192, true, indirect) == 0);
  CHECK(rig.used == 8193);
  CHECK(rig.ram.get(data, 8192) == pattern(1 << 20).substr(8 * 512, 8192));
  const std::string fresh = pattern(12288, 99);
  rig.ram.put(data, fresh.data(), fresh.size());
  CHECK(rig.request(1, 100, data, 12288, false, indirect) == 0);
  CHECK(rig.used == 1);
  CHECK(rig.request(4, 0, 0, 0, false, indirect) == 0);
  CHECK(rig.file.content().substr(100 * 512, 12288) == fresh);
  CHECK(rig.file.content().size() == 1 << 20);
}

TEST_CASE("an interrupt comes with a completion and goes with the acknowledgement") {
  BlkRig rig(pattern(1 << 16));
  rig.start(kVersion1 | kBlkFlush);
  CHECK(rig.request(4, 0, 0, 0, false) == 0);
  CHECK(eventually([&] { return rig.sink.level(1); }));
  CHECK(rig.driver->get(mmio::kInterruptStatus) == 1);
  rig.driver->set(mmio::kInterruptAck, 1);
  CHECK(rig.driver->get(mmio::kInterruptStatus) == 0);
  CHECK(!rig.sink.level(1));
}

TEST_CASE("bad block requests are answered with an error") {
  BlkRig rig(pattern(1 << 16), {.serial = "LYRE0001"});
  rig.start(kVersion1 | kBlkFlush | kBlkDiscard | kBlkZeroes);
  const uint64_t data = rig.ram.allocate(65536, 4096);
  CHECK(rig.request(0, 127, data, 1024, true) == 1);           // past the end
  CHECK(rig.request(0, ~uint64_t{0}, data, 512, true) == 1);   // far past the end
  CHECK(rig.request(0, 0, data, 100, true) == 1);              // not whole sectors
  CHECK(rig.request(1, 128, data, 512, false) == 1);
  CHECK(rig.request(99, 0, data, 512, true) == 2);
  CHECK(rig.request(8, 0, data, 20, true) == 0);
  CHECK(rig.ram.get(data, 9) == std::string("LYRE0001\0", 9));
  struct {
    uint64_t sector;
    uint32_t sectors, flags;
  } range{10, 4, 0};
  const auto ask = [&](uint32_t type) {
    rig.ram.put(data, &range, sizeof range);
    return rig.request(type, 0, data, sizeof range, false);
  };
  CHECK(ask(13) == 0);
  CHECK(rig.file.content().substr(10 * 512, 2048) == std::string(2048, 0));
  CHECK(rig.file.content().substr(9 * 512, 512) == pattern(1 << 16).substr(9 * 512, 512));
  CHECK(rig.file.content().substr(14 * 512, 512) == pattern(1 << 16).substr(14 * 512, 512));
  CHECK(ask(11) == 0);
  range.flags = 1;
  CHECK(ask(13) == 0);
  CHECK(ask(11) == 2);  // unmap is for write-zeroes
  range.flags = 2;
  CHECK(ask(13) == 2);
  range = {127, 2, 0};
  CHECK(ask(13) == 1);
  CHECK(rig.request(13, 0, data, 15, false) == 2);
}

TEST_CASE("a read-only disk refuses writes") {
  block::RawFileOptions options;
  options.read_only = true;
  BlkRig rig(pattern(1 << 16), {}, options);
  CHECK((rig.driver->offered() & 1 << 5) != 0);
  rig.start();
  CHECK(rig.request(1, 0, rig.ram.allocate(512), 512, false) == 1);
  CHECK(rig.file.content() == pattern(1 << 16));
}

TEST_CASE("a request without header or status fails the device, once") {
  const bool packed = GENERATE(false, true);
  BlkRig rig(pattern(1 << 16));
  rig.start(kVersion1 | kBlkFlush | (packed ? kPacked : 0));
  const uint64_t buffer = rig.ram.allocate(64);
  SECTION("no header") { rig.ring->add({{buffer, 8, false}, {buffer, 1, true}}); }
  SECTION("no status") { rig.ring->add({{buffer, 16, false}}); }
  SECTION("outside RAM") { rig.ring->add({{0x10, 16, false}, {buffer, 1, true}}); }
  rig.driver->set(mmio::kQueueNotify, 0);
  CHECK(eventually([&] { return rig.driver->get(mmio::kStatus) == (15 | 0x40); }));
  CHECK(rig.driver->get(mmio::kInterruptStatus) == 2);
  rig.start(kVersion1 | kBlkFlush);
  CHECK(rig.request(0, 0, rig.ram.allocate(512), 512, true) == 0);
}

TEST_CASE("the write cache can be switched off") {
  BlkRig rig(pattern(1 << 16));
  rig.start(kVersion1 | kBlkFlush | kBlkWce);
  CHECK(rig.transport->read(mmio::kConfig + 32, 1) == 1);
  rig.transport->write(mmio::kConfig + 32, 1, 0);
  CHECK(rig.transport->read(mmio::kConfig + 32, 1) == 0);
  CHECK(rig.request(1, 0, rig.ram.allocate(512), 512, false) == 0);
  rig.start(kVersion1);
  CHECK(rig.transport->read(mmio::kConfig + 32, 1) == 0);
}

TEST_CASE("a reset waits for requests in flight, and a queue can be reset alone") {
  Rig rig;
  auto disk = std::make_shared<block::NullDisk>(rig.loop, block::NullDiskOptions{.latency_ns = 30'000'000, .read_zeroes = true});
  VirtioBlk device(rig.context(), disk, {});
  VirtioMmio transport(&device, rig.sink.line(1));
  MmioDriver driver(rig.ram, transport);
  REQUIRE(driver.negotiate(kVersion1 | kBlkFlush | uint64_t{1} << 40));
  auto ring = driver.queue(0, 16);
  driver.ready();
  const uint64_t header = rig.ram.allocate(16), data = rig.ram.allocate(512), status = rig.ram.allocate(1);
  *rig.ram.at<uint64_t>(header) = 0;
  *rig.ram.at<uint64_t>(data) = 0x1234;
  ring->add({{header, 16, false}, {data, 512, true}, {status, 1, true}});
  driver.set(mmio::kQueueNotify, 0);
  std::this_thread::sleep_for(std::chrono::milliseconds(10));
  const bool whole = GENERATE(false, true);
  if (whole) {
    driver.set(mmio::kStatus, 0);
  } else {
    driver.set(mmio::kQueueSel, 0);
    driver.set(mmio::kQueueReset, 1);
    CHECK(driver.get(mmio::kQueueReset) == 0);
  }
  CHECK(driver.get(mmio::kQueueReady) == 0);
  CHECK(!ring->take());
  *rig.ram.at<uint64_t>(data) = 0x5678;  // the memory is the driver's again
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  CHECK(*rig.ram.at<uint64_t>(data) == 0x5678);
  if (whole) REQUIRE(driver.negotiate(kVersion1 | kBlkFlush));
  ring = driver.queue(0, 8);
  driver.ready();
  CHECK(driver.run(0, *ring, {{header, 16, false}, {data, 512, true}, {status, 1, true}}).length == 513);
  CHECK(*rig.ram.at<uint64_t>(data) == 0);
  rig.loop.stop();
}

TEST_CASE("many requests at once, several queues") {
  constexpr unsigned kQueues = 4;
  BlkOptions options;
  options.queues = kQueues;
  BlkRig rig(pattern(1 << 20), options);
  REQUIRE(rig.driver->negotiate(kVersion1 | kEventIdx | kBlkFlush | 1 << 12));
  std::vector<std::unique_ptr<DriverRing>> rings;
  for (unsigned i = 0; i < kQueues; ++i) rings.push_back(rig.driver->queue(i, 256));
  rig.driver->ready();
  const uint64_t header = rig.ram.allocate(16 * 64 * kQueues), status = rig.ram.allocate(64 * kQueues), data = rig.ram.allocate(512 * 64 * kQueues);
  std::memset(rig.ram.at<char>(status), 0xee, 64 * kQueues);
  for (unsigned i = 0; i < 64 * kQueues; ++i) {
    auto* wire = rig.ram.at<uint64_t>(header + 16 * i);
    wire[0] = 0;
    wire[1] = i;
    rings[i % kQueues]->add({{header + 16 * i, 16, false}, {data + 512 * i, 512, true}, {status + i, 1, true}});
  }
  for (unsigned i = 0; i < kQueues; ++i) rig.driver->notify(i, *rings[i]);
  for (unsigned i = 0; i < kQueues; ++i) {
    for (int n = 0; n < 64; ++n) REQUIRE(eventually([&] { return rings[i]->take().has_value(); }));
  }
  CHECK(rig.ram.get(status, 64 * kQueues) == std::string(64 * kQueues, 0));
  CHECK(rig.ram.get(data, 512 * 64 * kQueues) == pattern(1 << 20).substr(0, 512 * 64 * kQueues));
}

TEST_CASE("virtio-rng fills buffers, within its quota") {
  Rig rig;
  std::atomic<bool> dry{true};
  VirtioRng device(rig.context(), [&](std::span<std::byte> to) -> size_t {
    if (dry) return 0;
    for (std::byte& b : to) b = std::byte{0x5a};
    return to.size();
  }, {.max_bytes = 100, .period_ms = 20});
  VirtioMmio transport(&device, rig.sink.line(1));
  MmioDriver driver(rig.ram, transport);
  REQUIRE(driver.negotiate(kVersion1));
  auto ring = driver.queue(0, 8);
  driver.ready();
  const uint64_t buffer = rig.ram.allocate(64);
  ring->add({{buffer, 64, true}});
  driver.notify(0, *ring);
  std::this_thread::sleep_for(std::chrono::milliseconds(15));
  CHECK(!ring->take());  // the source has nothing yet
  dry = false;
  std::optional<DriverUsed> used;
  REQUIRE(eventually([&] { return (used = ring->take()).has_value(); }));
  CHECK(used->length == 64);
  CHECK(rig.ram.get(buffer, 64) == std::string(64, 0x5a));
  CHECK(driver.run(0, *ring, {{buffer, 64, true}}).length == 36);
  const auto before = std::chrono::steady_clock::now();
  CHECK(driver.run(0, *ring, {{buffer, 64, true}}).length == 64);
  CHECK(std::chrono::steady_clock::now() - before > std::chrono::milliseconds(10));
  rig.loop.stop();
}

TEST_CASE("the host's entropy is there") {
  std::byte bytes[64] = {};
  CHECK(host_entropy()(bytes) == 64);
  auto file = file_entropy("/dev/urandom");
  REQUIRE(file);
  CHECK((*file)(bytes) == 64);
  CHECK(!file_entropy("/nonexistent/entropy"));
}
