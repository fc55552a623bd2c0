// The console device: port 0 alone, and several ports over the control queues.
#include <cstring>

#include "machine/virtio/serial.h"
#include "tests/support/machine_fakes.h"
#include "tests/support/virtio_driver.h"

using namespace lyre;
using namespace lyre::machine;
using namespace lyre::machine::virtio;
using namespace lyre::tests;

namespace {

constexpr uint64_t kVersion1 = uint64_t{1} << 32, kMultiport = 1 << 1;

struct Rig {
  Rig() : device({ram.dma(), &loop, "test serial", {}}, 4), transport(&device, sink.line(1)), driver(ram, transport) {
    device.add_port({0, true, "", &console});
    device.add_port({2, false, "org.test.port", &other});
    loop.start("test-io");
  }
  ~Rig() { loop.stop(); }
  void send(unsigned queue, DriverRing& ring, const std::string& text) {
    const uint64_t at = ram.allocate(text.size());
    ram.put(at, text.data(), text.size());
    driver.run(queue, ring, {{at, static_cast<uint32_t>(text.size()), false}});
  }
  uint16_t offer(unsigned queue, DriverRing& ring, uint32_t bytes) {
    const uint64_t at = ram.allocate(bytes);
    const uint16_t id = ring.add({{at, bytes, true}});
    buffers[{queue, id}] = at;
    driver.notify(queue, ring);
    return id;
  }
  std::string take(unsigned queue, DriverRing& ring) {
    std::optional<DriverUsed> used;
    REQUIRE(eventually([&] { return (used = ring.take()).has_value(); }));
    return ram.get(buffers[{queue, used->id}], used->length);
  }
  // On the I/O thread, as chardevs do; returns how many bytes went in.
  size_t input(FakeChardev& chardev, const std::string& text) {
    std::atomic<long> sent{-1};
    loop.post([&] { sent = static_cast<long>(chardev.send(text)); });
    REQUIRE(eventually([&] { return sent >= 0; }));
    return static_cast<size_t>(sent);
  }
  GuestRam ram;
  FakeSink sink;
  FakeChardev console, other;
  EventLoop loop;
  VirtioSerial device;
  VirtioMmio transport;
  MmioDriver driver;
  std::map<std::pair<unsigned, uint16_t>, uint64_t> buffers;
};

std::string message(uint32_t id, uint16_t event, uint16_t value) {
  std::string text(8, 0);
  std::memcpy(text.data(), &id, 4);
  std::memcpy(text.data() + 4, &event, 2);
  std::memcpy(text.data() + 6, &value, 2);
  return text;
}

}  // namespace

TEST_CASE("a console without control queues") {
  Rig rig;
  CHECK(rig.driver.get(mmio::kDeviceId) == 3);
  CHECK(rig.driver.get(mmio::kConfig + 4) == 4);
  REQUIRE(rig.driver.negotiate(kVersion1));
  auto rx = rig.driver.queue(0, 8), tx = rig.driver.queue(1, 8);
  rig.driver.ready();
  rig.send(1, *tx, "hello, host");
  CHECK(rig.console.output == "hello, host");
  CHECK(rig.input(rig.console, "early") == 0);  // no buffers yet
  rig.offer(0, *rx, 4);
  rig.offer(0, *rx, 64);
  REQUIRE(eventually([&] { return rig.console.accepted > 0; }));
  CHECK(rig.input(rig.console, "hello, guest") == 12);
  CHECK(rig.take(0, *rx) == "hell");
  CHECK(rig.take(0, *rx) == "o, guest");
}

TEST_CASE("a full chardev holds the guest's output back") {
  Rig rig;
  rig.console.room = 5;
  REQUIRE(rig.driver.negotiate(kVersion1));
  auto rx = rig.driver.queue(0, 8), tx = rig.driver.queue(1, 8);
  rig.driver.ready();
  const uint64_t at = rig.ram.allocate(16);
  rig.ram.put(at, "0123456789abcdef", 16);
  tx->add({{at, 16, false}});
  rig.driver.notify(1, *tx);
  std::this_thread::sleep_for(std::chrono::milliseconds(10));
  CHECK(!tx->take());
  rig.loop.post([&] {
    {
      std::lock_guard guard(rig.console.mutex_);
      rig.console.room = 100;
    }
    rig.console.receiver.can_write();
  });
  REQUIRE(eventually([&] { return tx->take().has_value(); }));
  CHECK(rig.console.output == "0123456789abcdef");
}

TEST_CASE("ports are announced, named and opened") {
  Rig rig;
  REQUIRE(rig.driver.negotiate(kVersion1 | kMultiport));
  auto rx0 = rig.driver.queue(0, 8), tx0 = rig.driver.queue(1, 8), crx = rig.driver.queue(2, 16), ctx = rig.driver.queue(3, 8);
  auto rx2 = rig.driver.queue(6, 8), tx2 = rig.driver.queue(7, 8);
  rig.driver.ready();
  for (int i = 0; i < 8; ++i) rig.offer(2, *crx, 64);
  rig.send(3, *ctx, message(0, 0, 1));  // DEVICE_READY
  CHECK(rig.take(2, *crx) == message(0, 1, 1));
  CHECK(rig.take(2, *crx) == message(2, 1, 1));
  rig.send(3, *ctx, message(0, 3, 1));
  CHECK(rig.take(2, *crx) == message(0, 4, 1));  // a console
  CHECK(rig.take(2, *crx) == message(0, 6, 1));  // that is open
  rig.send(3, *ctx, message(2, 3, 1));
  CHECK(rig.take(2, *crx) == message(2, 7, 1) + "org.test.port");
  rig.send(7, *tx2, "nobody listens");
  CHECK(rig.other.output.empty());
  rig.loop.post([&] { rig.other.receiver.event(ChardevEvent::kOpened); });
  CHECK(rig.take(2, *crx) == message(2, 6, 1));
  rig.send(7, *tx2, "somebody does");
  CHECK(rig.other.output == "somebody does");
  rig.offer(6, *rx2, 64);
  CHECK(rig.input(rig.other, "x") == 0);  // the guest has not opened it
  rig.send(3, *ctx, message(2, 6, 1));
  CHECK(rig.input(rig.other, "in") == 2);
  CHECK(rig.take(6, *rx2) == "in");
  rig.send(3, *ctx, message(77, 3, 1));  // no such port
  rig.send(3, *ctx, "abc");
  rig.send(1, *tx0, "console");
  CHECK(rig.console.output == "console");
}

TEST_CASE("last words") {
  Rig rig;
  for (char c : std::string("panic")) rig.transport.write(mmio::kConfig + 8, 4, static_cast<uint8_t>(c));
  CHECK(rig.console.output == "panic");
}

TEST_CASE("a driver that floods the control queue fails the device") {
  Rig rig;
  REQUIRE(rig.driver.negotiate(kVersion1 | kMultiport));
  auto ctx = rig.driver.queue(3, 8);
  rig.driver.ready();
  const uint64_t at = rig.ram.allocate(8);
  rig.ram.put(at, message(0, 0, 1).data(), 8);
  for (int i = 0; i < 2000 && !(rig.driver.get(mmio::kStatus) & 0x40); ++i) {
    ctx->add({{at, 8, false}});
    rig.driver.set(mmio::kQueueNotify, 3);
    eventually([&] { return ctx->take().has_value() || (rig.driver.get(mmio::kStatus) & 0x40); });
  }
  CHECK((rig.driver.get(mmio::kStatus) & 0x40) != 0);
}
