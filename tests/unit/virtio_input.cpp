// The keyboard: what its configuration space answers, and how its power key reaches the driver.
#include <cstring>

#include "machine/virtio/input.h"
#include "tests/support/machine_fakes.h"
#include "tests/support/virtio_driver.h"

using namespace lyre;
using namespace lyre::machine;
using namespace lyre::machine::virtio;
using namespace lyre::tests;

namespace {

constexpr uint64_t kVersion1 = uint64_t{1} << 32;

struct Rig {
  Rig() : device({ram.dma(), &loop, "test keyboard", {}}), transport(&device, sink.line(1)), driver(ram, transport) {
    loop.start("test-io");
  }
  ~Rig() { loop.stop(); }
  std::string ask(uint8_t select, uint8_t subselect) {
    transport.write(mmio::kConfig, 1, select);
    transport.write(mmio::kConfig + 1, 1, subselect);
    std::string data;
    const auto size = transport.read(mmio::kConfig + 2, 1);
    for (unsigned i = 0; i < size; ++i) data += static_cast<char>(transport.read(mmio::kConfig + 8 + i, 1));
    return data;
  }
  uint16_t offer(DriverRing& ring) {
    const uint64_t at = ram.allocate(8);
    const uint16_t id = ring.add({{at, 8, true}});
    buffers[id] = at;
    driver.notify(0, ring);
    return id;
  }
  std::string take(DriverRing& ring) {
    std::optional<DriverUsed> used;
    REQUIRE(eventually([&] { return (used = ring.take()).has_value(); }));
    return ram.get(buffers[used->id], used->length);
  }
  GuestRam ram;
  FakeSink sink;
  EventLoop loop;
  VirtioKeyboard device;
  VirtioMmio transport;
  MmioDriver driver;
  std::map<uint16_t, uint64_t> buffers;
};

std::string event(uint16_t type, uint16_t code, uint32_t value) {
  std::string text(8, 0);
  std::memcpy(text.data(), &type, 2);
  std::memcpy(text.data() + 2, &code, 2);
  std::memcpy(text.data() + 4, &value, 4);
  return text;
}

bool bit(const std::string& map, unsigned number) {
  return number / 8 < map.size() && (static_cast<uint8_t>(map[number / 8]) >> number % 8 & 1);
}

}  // namespace

TEST_CASE("a keyboard says what it is") {
  Rig rig;
  CHECK(rig.driver.get(mmio::kDeviceId) == 18);
  CHECK(rig.ask(0x01, 0) == "Lyrebird virtio keyboard");
  CHECK(rig.ask(0x03, 0).size() == 8);
  const std::string keys = rig.ask(0x11, 1);
  for (unsigned key : {1u, 30u, 57u, 103u, 116u, 142u}) CHECK(bit(keys, key));  // Esc, A, space, up, power, sleep
  CHECK_FALSE(bit(keys, 0));
  CHECK_FALSE(bit(keys, 84));
  CHECK(rig.ask(0x11, 0x14).size() == 1);
  CHECK(rig.ask(0x11, 2).empty());  // no relative axes
  CHECK(rig.ask(0x12, 0).empty());
  CHECK(rig.ask(0x55, 0xaa).empty());
}

TEST_CASE("the power key is pressed and let go") {
  Rig rig;
  CHECK_FALSE(rig.device.press(kKeyPower));  // no driver yet
  REQUIRE(rig.driver.negotiate(kVersion1));
  auto events = rig.driver.queue(0, 8);
  auto status = rig.driver.queue(1, 8);
  rig.driver.ready();
  REQUIRE(rig.device.press(kKeyPower));
  rig.offer(*events);  // the event waits for its buffer
  CHECK(rig.take(*events) == event(1, kKeyPower, 1));
  for (int i = 0; i < 3; ++i) rig.offer(*events);
  CHECK(rig.take(*events) == event(0, 0, 0));
  CHECK(rig.take(*events) == event(1, kKeyPower, 0));
  CHECK(rig.take(*events) == event(0, 0, 0));
  // Lights come back at once.
  const uint64_t at = rig.ram.allocate(8);
  rig.driver.run(1, *status, {{at, 8, false}});
}

TEST_CASE("a guest that takes no events does not make them pile up") {
  Rig rig;
  REQUIRE(rig.driver.negotiate(kVersion1));
  auto events = rig.driver.queue(0, 8);
  rig.driver.queue(1, 8);
  rig.driver.ready();
  int taken = 0;
  for (int i = 0; i < 1000; ++i) taken += rig.device.press(kKeyPower);
  CHECK(taken > 0);
  CHECK(taken < 100);
}
