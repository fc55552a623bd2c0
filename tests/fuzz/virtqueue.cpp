// Drivers that write garbage: into ring memory, and into a device's registers. Whatever they do, every view that a ring hands out lies
// inside guest RAM, every call ends, and the device is usable again after a reset. Fixed seed; a failure prints the case's number.
#include <random>

#include "machine/block/null_disk.h"
#include "machine/net/backend.h"
#include "machine/virtio/blk.h"
#include "machine/virtio/net.h"
#include "machine/virtio/ring.h"
#include "machine/virtio/input.h"
#include "machine/virtio/rng.h"
#include "tests/support/machine_fakes.h"
#include "tests/support/virtio_driver.h"

using namespace lyre;
using namespace lyre::machine;
using namespace lyre::machine::virtio;
using namespace lyre::tests;

namespace {

constexpr uint64_t kSeed = 0x1f2e3d4c5b6a7988;
constexpr int kRingCases = 60000;
constexpr int kDeviceCases = 12000;

class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}
  uint64_t operator()() { return engine_(); }
  uint64_t below(uint64_t n) { return engine_() % n; }
  bool chance(unsigned percent) { return below(100) < percent; }
  // An address: mostly in RAM, often at an edge.
  uint64_t address(const GuestRam& ram) {
    switch (below(8)) {
      case 0: return engine_();
      case 1: return kRamBase + ram.size - below(64);
      case 2: return kRamBase - below(64);
      case 3: return ~uint64_t{0} - below(64);
      default: return kRamBase + below(ram.size);
    }
  }
  uint32_t length() {
    switch (below(6)) {
      case 0: return static_cast<uint32_t>(engine_());
      case 1: return 0;
      case 2: return 0xffffffff - static_cast<uint32_t>(below(16));
      default: return static_cast<uint32_t>(below(5000));
    }
  }

 private:
  std::mt19937_64 engine_;
};

bool inside(const GuestRam& ram, const std::vector<iovec>& views, uint32_t bytes) {
  uint64_t sum = 0;
  for (const iovec& view : views) {
    const auto* at = static_cast<const std::byte*>(view.iov_base);
    if (at < ram.host || at + view.iov_len > ram.host + ram.size || view.iov_len == 0) return false;
    sum += view.iov_len;
  }
  return sum == bytes;
}

// Descriptors that are plausible enough to be followed, and wrong often enough.
[[gnu::no_sanitize_thread]] void scribble_table(Random& random, GuestRam& ram, uint64_t table, uint16_t size, bool packed) {
  auto* entries = ram.at<WireDescriptor>(table);
  for (uint16_t i = 0; i < size; ++i) {
    WireDescriptor& d = entries[i];
    d.address = random.address(ram);
    d.length = random.length();
    uint16_t flags = 0;
    if (random.chance(40)) flags |= 1;
    if (random.chance(40)) flags |= 2;
    if (random.chance(15)) {
      flags |= 4;
      if (random.chance(70)) {  // a table of sorts
        d.address = kRamBase + random.below(ram.size / 16) * 16;
        d.length = static_cast<uint32_t>(random.below(40) * 16);
      }
    }
    if (packed) {
      flags = static_cast<uint16_t>(flags | (random.chance(80) ? 0x80 : random() & 0x8080));
      d.a = static_cast<uint16_t>(random());
      d.b = flags;
    } else {
      d.a = random.chance(3) ? static_cast<uint16_t>(random()) : flags;
      d.b = static_cast<uint16_t>(random.chance(90) ? random.below(size) : random());
    }
  }
}

}  // namespace

TEST_CASE("rings full of garbage") {
  GuestRam ram(1 << 20);
  Random random(kSeed);
  for (size_t i = 0; i < ram.size / 8; ++i) reinterpret_cast<uint64_t*>(ram.host)[i] = random();
  int got = 0, broken = 0;
  for (int n = 0; n < kRingCases; ++n) {
    const bool packed = random.chance(50);
    const auto size = static_cast<uint16_t>(uint16_t{1} << random.below(8));
    const uint64_t table = kRamBase + random.below(ram.size / 64 - 256) * 64;
    RingConfig config{Gpa{table}, Gpa{table + 16u * size}, Gpa{table + 16u * size + 1024}, size, random.chance(80), random.chance(50)};
    if (random.chance(5)) config.descriptors = Gpa{random.address(ram)};
    if (random.chance(5)) config.driver = Gpa{random.address(ram)};
    if (random.chance(5)) config.device = Gpa{random.address(ram)};
    if (random.chance(3)) config.size = static_cast<uint16_t>(random());
    const char* why = nullptr;
    auto ring = packed ? make_packed_ring(ram.dma(), config, why) : make_split_ring(ram.dma(), config, why);
    CAPTURE(n, packed, size);
    if (!ring) {
      REQUIRE(why);
      continue;
    }
    if (config.descriptors.value == table) scribble_table(random, ram, table, size, packed);
    auto* avail = ram.at<uint16_t>(config.driver.value);
    if (!packed && random.chance(90)) avail[1] = static_cast<uint16_t>(random.below(size + 2u));
    if (!packed) {
      for (uint16_t i = 0; i < config.size && random.chance(95); ++i) avail[2 + i] = static_cast<uint16_t>(random.below(size));
    }
    std::vector<Chain> held;
    for (int step = 0; step < 12; ++step) {
      Chain chain;
      const Pop result = ring->pop(chain);
      if (result == Pop::kGot) {
        ++got;
        if (!inside(ram, chain.readable, chain.readable_bytes) || !inside(ram, chain.writable, chain.writable_bytes)) FAIL("a view outside of RAM");
        if (chain.readable.size() + chain.writable.size() > 2 * kMaxChain) FAIL("too long a chain");
        std::vector<uint8_t> bytes(std::min<uint32_t>(chain.readable_bytes, 4096));
        ChainReader(chain).read(bytes.data(), static_cast<uint32_t>(bytes.size()));
        ChainWriter writer(chain);
        if (random.chance(30)) writer.write(bytes.data(), static_cast<uint32_t>(bytes.size()));
        held.push_back(std::move(chain));
        if (random.chance(60)) {
          const size_t which = random.below(held.size());
          ring->push(held[which], random.chance(50) ? writer.written() : held[which].writable_bytes);
          held.erase(held.begin() + static_cast<ptrdiff_t>(which));
        }
      } else if (result == Pop::kBroken) {
        ++broken;
        REQUIRE(ring->error());
        break;
      } else if (!packed) {
        avail[1] = static_cast<uint16_t>(avail[1] + random.below(4));
      }
      if (random.chance(40)) ring->publish();
      if (random.chance(20)) ring->set_notifications(random.chance(50));
    }
    if (random.chance(2)) {  // what was in RAM changes the next cases
      for (int i = 0; i < 100; ++i) ram.host[random.below(ram.size)] = static_cast<std::byte>(random());
    }
  }
  CHECK(got > kRingCases / 5);
  CHECK(broken > kRingCases / 10);
}

namespace {

class SinkNet final : public net::NetBackend {
 public:
  void attach(net::NetPeer* p) override { peer_ = p; }
  void send(net::Frame frame) override { bytes += frame.size(); }
  void flush() override {
    const uint8_t frame[60] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    const net::Frame frames[] = {net::Frame(frame), net::Frame(frame)};
    if (peer_) peer_->receive(frames);
  }
  void peer_ready() override { flush(); }
  std::string description() const override { return "sink"; }
  uint64_t bytes = 0;

 private:
  net::NetPeer* peer_ = nullptr;
};

// A driver that goes through the motions, with garbage thrown in.
[[gnu::no_sanitize_thread]] void torment(Random& random, GuestRam& ram, VirtioMmio& transport, unsigned queues, uint64_t offered) {
  const auto set = [&](uint64_t at, uint64_t value) { transport.write(at, 4, static_cast<uint32_t>(value)); };
  set(mmio::kStatus, 0);
  set(mmio::kStatus, 3);
  uint64_t features = offered & (random() | uint64_t{1} << 32);
  if (random.chance(5)) features |= random();
  set(mmio::kDriverFeaturesSel, 0);
  set(mmio::kDriverFeatures, features);
  set(mmio::kDriverFeaturesSel, 1);
  set(mmio::kDriverFeatures, features >> 32);
  if (random.chance(95)) set(mmio::kStatus, 11);
  const bool packed = features >> 34 & 1;
  struct Queue {
    uint64_t table, avail;
    uint16_t size;
  };
  std::vector<Queue> made;
  for (unsigned q = 0; q < queues; ++q) {
    const auto size = static_cast<uint16_t>(uint16_t{1} << random.below(7));
    const uint64_t table = kRamBase + random.below(ram.size / 4096 - 2) * 4096;
    set(mmio::kQueueSel, q);
    set(mmio::kQueueSize, random.chance(95) ? size : random());
    const uint64_t places[] = {table, table + 16u * size, table + 16u * size + 256};
    const uint64_t registers[] = {mmio::kDescLow, mmio::kDriverLow, mmio::kDeviceLow};
    for (int i = 0; i < 3; ++i) {
      const uint64_t at = random.chance(97) ? places[i] : random.address(ram);
      set(registers[i], at);
      set(registers[i] + 4, at >> 32);
    }
    scribble_table(random, ram, table, size, packed);
    auto* avail = ram.at<uint16_t>(places[1]);
    avail[0] = 0;
    avail[1] = static_cast<uint16_t>(random.below(size + 1u));
    for (uint16_t i = 0; i < size; ++i) avail[2 + i] = static_cast<uint16_t>(random.below(size));
    // Some of the headers look like something.
    for (int i = 0; i < 8; ++i) {
      auto* header = ram.at<uint32_t>(kRamBase + random.below(ram.size / 4 - 4) * 4);
      header[0] = static_cast<uint32_t>(random.below(16));
      header[1] = 0;
      header[2] = static_cast<uint32_t>(random.below(4096));
      header[3] = 0;
    }
    set(mmio::kQueueReady, 1);
    made.push_back({table, places[1], size});
  }
  set(mmio::kStatus, 15);
  for (int i = 0; i < 6; ++i) {
    set(mmio::kQueueNotify, random.chance(90) ? random.below(queues) : random());
    const Queue& q = made[random.below(made.size())];
    if (random.chance(30)) ram.at<uint16_t>(q.avail)[1] = static_cast<uint16_t>(ram.at<uint16_t>(q.avail)[1] + random.below(3));
    if (random.chance(20)) scribble_table(random, ram, q.table, q.size, packed);
    if (random.chance(20)) transport.write(random.below(0x200 / 4) * 4, 4, random());
    if (random.chance(20)) transport.read(random.below(0x200), static_cast<unsigned>(1u << random.below(3)));
    if (random.chance(5)) {
      set(mmio::kQueueSel, random.below(queues));
      set(mmio::kQueueReset, 1);
    }
  }
}

}  // namespace

TEST_CASE("devices with drivers gone mad") {
  GuestRam ram(1 << 20);
  FakeSink sink;
  EventLoop loop;
  loop.start("test-io");
  Random random(kSeed + 1);
  for (size_t i = 0; i < ram.size / 8; ++i) reinterpret_cast<uint64_t*>(ram.host)[i] = random();
  const VirtioContext context{ram.dma(), &loop, "tormented device", {.packed = true}};
  auto disk = std::make_shared<block::NullDisk>(loop, block::NullDiskOptions{.bytes = 1 << 20, .read_zeroes = true});
  BlkOptions blk_options;
  blk_options.queues = 2;
  VirtioBlk blk(context, disk, blk_options);
  VirtioNet net(context, std::make_shared<SinkNet>(), {.mac = {2, 0, 0, 0, 0, 1}});
  VirtioRng rng(context, [](std::span<std::byte> to) { return to.size(); }, {});
  VirtioKeyboard keyboard(context);
  VirtioMmio transports[] = {{&blk, sink.line(1)}, {&net, sink.line(2)}, {&rng, sink.line(3)}, {&keyboard, sink.line(4)}};
  const unsigned queues[] = {2, 3, 1, 2};
  for (int n = 0; n < kDeviceCases; ++n) {
    const unsigned which = static_cast<unsigned>(n % 4);
    CAPTURE(n, which);
    if (which == 0) keyboard.press(kKeyPower);  // the driver of three turns ago may listen
    torment(random, ram, transports[which], queues[which], MmioDriver(ram, transports[which]).offered());
  }
  // Each of them still works: a reset, and an honest request.
  for (VirtioMmio& transport : transports) transport.write(mmio::kStatus, 4, 0);
  ram.next = 0x1000;
  std::memset(ram.host, 0, ram.size);
  MmioDriver driver(ram, transports[0]);
  REQUIRE(driver.negotiate(uint64_t{1} << 32));
  auto ring = driver.queue(0, 16);
  driver.ready();
  const uint64_t header = ram.allocate(16), data = ram.allocate(512), status = ram.allocate(1);
  *ram.at<uint8_t>(status) = 0xee;
  CHECK(driver.run(0, *ring, {{header, 16, false}, {data, 512, true}, {status, 1, true}}).length == 513);
  CHECK(*ram.at<uint8_t>(status) == 0);
  loop.stop();
}
