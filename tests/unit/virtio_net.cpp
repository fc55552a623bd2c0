// The network card: frames both ways, merged buffers, offloads, filters, the control queue, and a DHCP exchange with the user network.
#include <cstring>

#include "machine/net/nodes.h"
#include "machine/net/user.h"
#include "machine/virtio/net.h"
#include "tests/support/machine_fakes.h"
#include "tests/support/virtio_driver.h"

using namespace lyre;
using namespace lyre::machine;
using namespace lyre::machine::virtio;
using namespace lyre::tests;

namespace {

constexpr uint64_t kVersion1 = uint64_t{1} << 32, kEventIdx = 1 << 29;
constexpr uint64_t kCsum = 1 << 0, kGuestCsum = 1 << 1, kTso4 = 1 << 11, kMrgRxbuf = 1 << 15, kCtrlVq = 1 << 17, kCtrlRx = 1 << 18,
                   kCtrlVlan = 1 << 19, kMq = 1 << 22, kCtrlMac = 1 << 23;
constexpr size_t kHeader = 12;

// Remembers what it was sent; delivers what the test gives it.
class FakeNet final : public net::NetBackend {
 public:
  void attach(net::NetPeer* p) override { peer = p; }
  void send(net::Frame frame) override {
    std::lock_guard guard(mutex);
    sent.emplace_back(frame.begin(), frame.end());
  }
  void flush() override { deliver(); }
  void peer_ready() override { deliver(); }
  std::string description() const override { return "fake"; }
  void deliver() {
    while (peer && !waiting.empty()) {
      const net::Frame frame(waiting.front());
      if (peer->receive({&frame, 1}) == 0) return;
      waiting.erase(waiting.begin());
    }
  }
  size_t sent_count() {
    std::lock_guard guard(mutex);
    return sent.size();
  }
  net::NetPeer* peer = nullptr;
  std::mutex mutex;
  std::vector<std::string> sent;
  std::vector<std::vector<uint8_t>> waiting;  // I/O thread
};

struct Rig {
  explicit Rig(std::shared_ptr<net::NetBackend> backend_in = nullptr, NetOptions options = {}) {
    loop.start("test-io");
    fake = std::make_shared<FakeNet>();
    options.mac = {0x52, 0x54, 0, 0x12, 0x34, 0x56};
    VirtioContext context{ram.dma(), &loop, "test card", {.packed = true}};
    device = std::make_unique<VirtioNet>(context, backend_in ? backend_in : fake, options);
    transport = std::make_unique<VirtioMmio>(device.get(), sink.line(1));
    driver = std::make_unique<MmioDriver>(ram, *transport);
  }
  ~Rig() { loop.stop(); }
  void start(uint64_t features) {
    REQUIRE(driver->negotiate(kVersion1 | kEventIdx | features));
    rx = driver->queue(0, 64);
    tx = driver->queue(1, 64);
    if (features & kCtrlVq) ctrl = driver->queue(2, 16);
    driver->ready();
  }
  void send(const std::string& frame, const std::string& header = std::string(kHeader, 0)) {
    const uint64_t at = ram.allocate(frame.size() + kHeader);
    ram.put(at, header.data(), kHeader);
    ram.put(at + kHeader, frame.data(), frame.size());
    driver->run(1, *tx, {{at, kHeader, false}, {at + kHeader, static_cast<uint32_t>(frame.size()), false}});
  }
  void add_buffers(unsigned count, uint32_t bytes) {
    for (unsigned i = 0; i < count; ++i) {
      const uint64_t at = ram.allocate(bytes);
      buffers[rx->add({{at, bytes, true}})] = at;
    }
    driver->notify(0, *rx);
  }
  void deliver(const std::string& frame) {
    loop.post([this, frame] {
      fake->waiting.emplace_back(frame.begin(), frame.end());
      fake->deliver();
    });
  }
  // The next received frame with its virtio header; empty: none came.
  std::string receive(bool wait = true) {
    std::optional<DriverUsed> used;
    const auto take = [&] { return (used = rx->take()).has_value(); };
    if (!(wait ? eventually(take) : take())) return {};
    std::string all = ram.get(buffers[used->id], used->length);
    uint16_t count;
    std::memcpy(&count, all.data() + 10, 2);
    for (uint16_t i = 1; i < count; ++i) {
      REQUIRE(take());
      all += ram.get(buffers[used->id], used->length);
    }
    return all;
  }
  unsigned control(const std::string& command) {
    const uint64_t at = ram.allocate(command.size()), answer = ram.allocate(1);
    ram.put(at, command.data(), command.size());
    *ram.at<uint8_t>(answer) = 0xee;
    driver->run(2, *ctrl, {{at, static_cast<uint32_t>(command.size()), false}, {answer, 1, true}});
    return *ram.at<uint8_t>(answer);
  }
  // Whether a frame gets through; a frame to everybody marks the end.
  bool passes(const std::string& frame) {
    add_buffers(2, 2048);
    deliver(frame);
    deliver(std::string(6, '\xff') + "mark the end of it all");
    const std::string first = receive();
    const bool through = first.substr(kHeader) == frame;
    if (through) receive();
    return through;
  }
  GuestRam ram{32 << 20};
  FakeSink sink;
  EventLoop loop;
  std::shared_ptr<FakeNet> fake;
  std::unique_ptr<VirtioNet> device;
  std::unique_ptr<VirtioMmio> transport;
  std::unique_ptr<MmioDriver> driver;
  std::unique_ptr<DriverRing> rx, tx, ctrl;
  std::map<uint16_t, uint64_t> buffers;
};

std::string to(std::initializer_list<int> mac, const std::string& rest) {
  std::string frame;
  for (int b : mac) frame += static_cast<char>(b);
  return frame + std::string("\x52\x55\x0a\x00\x02\x02\x08\x00", 8) + rest;
}

const std::initializer_list<int> kOwn = {0x52, 0x54, 0, 0x12, 0x34, 0x56};

}  // namespace

TEST_CASE("a card's configuration") {
  Rig rig(nullptr, {.mtu = 1400});
  CHECK(rig.driver->get(mmio::kDeviceId) == 1);
  CHECK(rig.driver->get(mmio::kConfig) == 0x12005452);
  CHECK(rig.transport->read(mmio::kConfig + 6, 2) == 1);
  CHECK(rig.transport->read(mmio::kConfig + 10, 2) == 1400);
}

TEST_CASE("frames are sent and received") {
  Rig rig;
  const uint64_t packed = GENERATE(uint64_t{0}, uint64_t{1} << 34);
  rig.start(packed);
  rig.send(to({1, 2, 3, 4, 5, 6}, "hello, network"));
  REQUIRE(eventually([&] { return rig.fake->sent_count() == 1; }));
  CHECK(rig.fake->sent[0] == to({1, 2, 3, 4, 5, 6}, "hello, network"));
  rig.add_buffers(4, 2048);
  rig.deliver(to(kOwn, "hello, guest"));
  const std::string got = rig.receive();
  CHECK(got.substr(kHeader) == to(kOwn, "hello, guest"));
  CHECK(got.substr(0, kHeader) == std::string("\0\0\0\0\0\0\0\0\0\0\1\0", kHeader));
  CHECK(eventually([&] { return rig.sink.level(1); }));
}

TEST_CASE("a frame waits for buffers, and is spread over them") {
  Rig rig;
  rig.start(kMrgRxbuf | kGuestCsum);
  const std::string frame = to(kOwn, std::string(1400, 'm'));
  rig.deliver(frame);
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
  rig.add_buffers(3, 500);  // 1426 bytes need three
  const std::string got = rig.receive();
  CHECK(got.substr(kHeader) == frame);
  CHECK(got[0] == 2);  // DATA_VALID
  rig.add_buffers(2, 500);
  rig.deliver(frame);
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
  CHECK(rig.receive(false).empty());
  rig.add_buffers(1, 500);
  CHECK(rig.receive().substr(kHeader) == frame);
}

TEST_CASE("without merged buffers a frame that does not fit is dropped") {
  Rig rig;
  rig.start(0);
  rig.add_buffers(2, 100);
  rig.deliver(to(kOwn, std::string(200, 'x')));
  rig.deliver(to(kOwn, "small"));
  CHECK(rig.receive().substr(kHeader) == to(kOwn, "small"));
}

TEST_CASE("offloads are done for the guest") {
  Rig rig;
  rig.start(kCsum | kTso4);
  // A TCP segment of 3000 bytes, to be cut at 1000.
  std::string frame = to({0x52, 0x55, 10, 0, 2, 2}, std::string("\x45\0\x0b\xe0\0\1\0\0\x40\x06\0\0\x0a\0\2\x0f\x0a\0\2\2", 20));
  frame += std::string("\4\0\0\x50\0\0\0\1\0\0\0\1\x50\x18\xff\xff\0\0\0\0", 20) + std::string(3000, 't');
  const std::string header("\1\1\x36\0\xe8\3\x22\0\x10\0\0\0", kHeader);  // needs checksum, TSOv4, 54 header bytes, 1000, start 34, offset 16
  rig.send(frame, header);
  REQUIRE(eventually([&] { return rig.fake->sent_count() == 3; }));
  for (const std::string& part : rig.fake->sent) CHECK(part.size() == 1054);
  rig.send(frame, std::string("\1\3", 2) + header.substr(2));   // UFO was not offered: dropped
  rig.send(frame, std::string("\1\0\0\0\0\0\xff\xff\xff\xff\0\0", kHeader));  // checksum outside: dropped
  rig.send(to({1, 2, 3, 4, 5, 6}, "plain"));
  REQUIRE(eventually([&] { return rig.fake->sent_count() == 4; }));
  CHECK(rig.fake->sent[3] == to({1, 2, 3, 4, 5, 6}, "plain"));
}

TEST_CASE("a transmit buffer shorter than its header fails the card") {
  Rig rig;
  rig.start(0);
  rig.tx->add({{rig.ram.allocate(8), 8, false}});
  rig.driver->set(mmio::kQueueNotify, 1);
  CHECK(eventually([&] { return rig.driver->get(mmio::kStatus) & 0x40; }));
}

TEST_CASE("segments that arrive together reach the guest as one large frame") {
  Rig rig;
  rig.start(kMrgRxbuf | kGuestCsum | 1 << 7);
  // Three TCP segments of 100 bytes, the last with PSH.
  std::vector<std::string> parts;
  for (int i = 0; i < 3; ++i) {
    std::string ip("\x45\0\0\x8c\0\1\0\0\x40\x06\0\0\x0a\0\2\2\x0a\0\2\x0f", 20), tcp("\0\x50\4\0\0\0\0\0\0\0\0\1\x50\x10\xff\xff\0\0\0\0", 20);
    tcp[6] = static_cast<char>(i * 100 >> 8);
    tcp[7] = static_cast<char>(i * 100);
    if (i == 2) tcp[13] = 0x18;
    parts.push_back(to(kOwn, ip + tcp + std::string(100, static_cast<char>('a' + i))));
  }
  const auto deliver_all = [&] {
    rig.loop.post([&rig, parts] {
      std::vector<net::Frame> frames;
      for (const std::string& part : parts) frames.emplace_back(reinterpret_cast<const uint8_t*>(part.data()), part.size());
      size_t taken = 0;
      while (taken < frames.size()) {
        const size_t now = rig.fake->peer->receive(std::span(frames).subspan(taken));
        if (!now) break;
        taken += now;
      }
    });
  };
  SECTION("with room for all") {
    rig.add_buffers(4, 200);
    deliver_all();
    const std::string got = rig.receive();
    CHECK(got.substr(0, kHeader) == std::string("\1\1\x36\0\x64\0\x22\0\x10\0\2\0", kHeader));
    CHECK(got.substr(kHeader + 54) == std::string(100, 'a') + std::string(100, 'b') + std::string(100, 'c'));
  }
  SECTION("with room for one only") {
    rig.add_buffers(1, 200);
    deliver_all();
    const std::string got = rig.receive();
    CHECK(got.substr(kHeader) == parts[0]);
    CHECK(got[1] == 0);
    CHECK(rig.receive(false).empty());
  }
}

TEST_CASE("receive filters") {
  Rig rig;
  rig.start(kCtrlVq | kCtrlRx | kCtrlVlan | kCtrlMac);
  const std::string own = to(kOwn, "own address..."), other = to({2, 2, 2, 2, 2, 2}, "another address"),
                    group = to({1, 0, 0x5e, 0, 0, 1}, "a group address");
  CHECK(rig.passes(own));
  CHECK(!rig.passes(other));
  CHECK(!rig.passes(group));
  CHECK(rig.control(std::string("\0\0\1", 3)) == 0);  // promiscuous
  CHECK(rig.passes(other));
  CHECK(rig.control(std::string("\0\0\0", 3)) == 0);
  CHECK(rig.control(std::string("\0\1\1", 3)) == 0);  // all multicast
  CHECK(rig.passes(group));
  CHECK(rig.control(std::string("\0\1\0", 3)) == 0);
  // A table: one unicast, one multicast address.
  CHECK(rig.control(std::string("\1\0\1\0\0\0\2\2\2\2\2\2\1\0\0\0\1\0\x5e\0\0\1", 22)) == 0);
  CHECK(rig.passes(other));
  CHECK(rig.passes(group));
  CHECK(rig.control(std::string("\1\0\2\0\0\0\2\2\2\2\2\2\0\0\0\0", 16)) == 1);  // shorter than it says
  CHECK(rig.control(std::string("\1\1\2\3\3\3\3\3", 8)) == 0);                  // new address
  CHECK(rig.passes(to({2, 3, 3, 3, 3, 3}, "the new address")));
  CHECK(!rig.passes(own));
  CHECK(rig.control(std::string("\0\5\1", 3)) == 0);  // no broadcast
  CHECK(rig.control(std::string("\0\5\0", 3)) == 0);
  const std::string tagged = to({2, 3, 3, 3, 3, 3}, "").substr(0, 12) + std::string("\x81\0\0\7", 4) + "a tagged frame";
  CHECK(!rig.passes(tagged));
  CHECK(rig.control(std::string("\2\0\7\0", 4)) == 0);
  CHECK(rig.passes(tagged));
  CHECK(rig.control(std::string("\2\1\7\0", 4)) == 0);
  CHECK(!rig.passes(tagged));
  CHECK(rig.control(std::string("\2\0\xff\xff", 4)) == 1);
  CHECK(rig.control(std::string("\x63\0\0", 3)) == 1);
  CHECK(rig.control(std::string("\4\0\2\0", 4)) == 1);  // one pair only
}

TEST_CASE("several queue pairs") {
  Rig rig(nullptr, {.pairs = 2});
  REQUIRE(rig.driver->negotiate(kVersion1 | kEventIdx | kCtrlVq | kMq));
  CHECK(rig.transport->read(mmio::kConfig + 8, 2) == 2);
  rig.rx = rig.driver->queue(0, 16);
  rig.tx = rig.driver->queue(1, 16);
  auto rx1 = rig.driver->queue(2, 16), tx1 = rig.driver->queue(3, 16);
  auto control = rig.driver->queue(4, 16);
  rig.driver->ready();
  const uint64_t at = rig.ram.allocate(256), answer = rig.ram.allocate(1);
  rig.ram.put(at, "\4\0\2\0", 4);
  rig.driver->run(4, *control, {{at, 4, false}, {answer, 1, true}});
  CHECK(*rig.ram.at<uint8_t>(answer) == 0);
  // A UDP flow sent on the second pair comes back on it.
  const auto udp = [](const std::string& from, const std::string& destination, const std::string& ports) {
    return std::string("\x45\0\0\x1c\0\1\0\0\x40\x11\0\0", 12) + from + destination + ports + std::string("\0\x08\0\0", 4);
  };
  const std::string out = to({0x52, 0x55, 10, 0, 2, 2}, udp("\x0a\1\2\x0f", "\x0a\1\2\2", "\x11\x22\x33\x44"));
  rig.ram.put(at, std::string(kHeader, 0).data(), kHeader);
  rig.ram.put(at + kHeader, out.data(), out.size());
  rig.driver->run(3, *tx1, {{at, static_cast<uint32_t>(kHeader + out.size()), false}});
  const uint64_t buffer = rig.ram.allocate(2048);
  rx1->add({{buffer, 2048, true}});
  rig.driver->notify(2, *rx1);
  rig.add_buffers(1, 2048);
  rig.deliver(to(kOwn, udp("\x0a\1\2\2", "\x0a\1\2\x0f", "\x33\x44\x11\x22")));
  CHECK(eventually([&] { return rx1->take().has_value(); }));
  rig.deliver(to({255, 255, 255, 255, 255, 255}, "unknown flow"));
  CHECK(rig.receive().substr(kHeader) == to({255, 255, 255, 255, 255, 255}, "unknown flow"));
}

namespace {

uint16_t sum16(const std::string& bytes) {
  uint32_t sum = 0;
  for (size_t i = 0; i < bytes.size(); i += 2) {
    sum += static_cast<uint32_t>(static_cast<uint8_t>(bytes[i]) << 8 | (i + 1 < bytes.size() ? static_cast<uint8_t>(bytes[i + 1]) : 0));
  }
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(~sum);
}

// A DHCPDISCOVER as a client's firmware sends it (RFC 2131).
std::string discover() {
  std::string bootp("\1\1\6\0\x12\x34\x56\x78\0\0\x80\0", 12);
  bootp += std::string(16, 0) + std::string("\x52\x54\0\x12\x34\x56", 6) + std::string(10 + 64 + 128, 0);
  bootp += std::string("\x63\x82\x53\x63\x35\1\1\xff", 8);
  bootp.resize(300);
  std::string udp("\0\x44\0\x43", 4);
  const auto udp_bytes = static_cast<uint16_t>(8 + bootp.size());
  udp += static_cast<char>(udp_bytes >> 8);
  udp += static_cast<char>(udp_bytes);
  udp += std::string(2, 0);
  std::string ip("\x45\0", 2);
  const auto ip_bytes = static_cast<uint16_t>(20 + udp_bytes);
  ip += static_cast<char>(ip_bytes >> 8);
  ip += static_cast<char>(ip_bytes);
  ip += std::string("\0\1\0\0\x40\x11\0\0\0\0\0\0\xff\xff\xff\xff", 16);
  const uint16_t check = sum16(ip);
  ip[10] = static_cast<char>(check >> 8);
  ip[11] = static_cast<char>(check);
  return to({255, 255, 255, 255, 255, 255}, "").substr(0, 6) + std::string("\x52\x54\0\x12\x34\x56\x08\0", 8) + ip + udp + bootp;
}

}  // namespace

TEST_CASE("the user network answers DHCP through the card") {
  Rig rig;
  net::UserNetOptions options;
  options.dhcp_start = 0x0a000242;
  auto user = net::make_user_net(rig.loop, options);
  REQUIRE(user);
  {
    VirtioContext context{rig.ram.dma(), &rig.loop, "user card", {}};
    VirtioNet card(context, *user, {.mac = {0x52, 0x54, 0, 0x12, 0x34, 0x56}});
    VirtioMmio transport(&card, rig.sink.line(2));
    MmioDriver driver(rig.ram, transport);
    REQUIRE(driver.negotiate(kVersion1 | kGuestCsum));
    auto rx = driver.queue(0, 16), tx = driver.queue(1, 16);
    driver.ready();
    const uint64_t buffer = rig.ram.allocate(2048), out = rig.ram.allocate(1024);
    rx->add({{buffer, 2048, true}});
    driver.notify(0, *rx);
    const std::string frame = std::string(kHeader, 0) + discover();
    rig.ram.put(out, frame.data(), frame.size());
    driver.run(1, *tx, {{out, static_cast<uint32_t>(frame.size()), false}});
    std::optional<DriverUsed> used;
    REQUIRE(eventually([&] { return (used = rx->take()).has_value(); }));
    const std::string offer = rig.ram.get(buffer, used->length).substr(kHeader);
    REQUIRE(offer.size() > 282);
    CHECK(offer.substr(12, 2) == std::string("\x08\0", 2));
    CHECK(offer.substr(34, 4) == std::string("\0\x43\0\x44", 4));        // ports 67 to 68
    CHECK(offer.substr(42 + 4, 4) == "\x12\x34\x56\x78");                // our transaction
    CHECK(offer.substr(42 + 16, 4) == std::string("\x0a\0\2\x42", 4));   // the address on offer
    CHECK(offer.substr(42 + 240, 3) == std::string("\x35\1\2", 3));      // DHCPOFFER
    rig.loop.stop();
    (*user)->attach(nullptr);
  }
}

TEST_CASE("-netdev options") {
  EventLoop loop;
  loop.start("test-io");
  net::NetNodes nodes(loop);
  const auto add = [&](std::initializer_list<std::pair<std::string, std::string>> items) {
    const Status s = nodes.add_netdev(OptionList{items});
    return s ? std::string("accepted") : s.error().message;
  };
  CHECK(add({{"", "user"}, {"id", "n0"}, {"hostfwd", "tcp:127.0.0.1:0-:22"}}) == "accepted");
  CHECK(add({{"", "user"}, {"id", "n0"}}) == "-netdev user: the id 'n0' is given twice");
  CHECK(add({{"", "user"}}) == "-netdev user: there is no id=");
  CHECK(add({{"", "usr"}, {"id", "n1"}}) == "-netdev: there is no back end 'usr', did you mean 'user'?");
  CHECK(add({{"", "tap"}, {"id", "n1"}}) == "-netdev tap: this release has only the user back end");
  CHECK(add({{"", "user"}, {"id", "n1"}, {"hostfwd", "tcp::99999-:22"}}).find("is not of the form") != std::string::npos);
  CHECK(add({{"", "user"}, {"id", "n1"}, {"hostfwrd", "x"}}) == "-netdev user: there is no property 'hostfwrd', did you mean 'hostfwd'?");
  CHECK(add({{"", "user"}, {"id", "n1"}, {"net", "10.0.3.0/24"}, {"dhcpstart", "10.0.2.15"}}) == "-netdev user: dhcpstart= lies outside of net=");
  CHECK(add({{"", "user"}, {"id", "n1"}, {"net", "10.0.3.0/99"}}).find("is not an IPv4 network") != std::string::npos);
  REQUIRE(nodes.take("n0", "-device a"));
  CHECK(nodes.take("n0", "-device b").error().message == "-device b: netdev 'n0' is already used by -device a");
  CHECK(nodes.take("n1", "-device b").error().message == "-device b: there is no netdev 'n1', did you mean 'n0'?");
  auto forward = net::parse_host_forward("udp:127.0.0.1:5353-10.0.2.20:53");
  REQUIRE(forward);
  CHECK(forward->udp);
  CHECK(forward->host_address == 0x7f000001);
  CHECK(forward->host_port == 5353);
  CHECK(forward->guest_address == 0x0a000214);
  CHECK(forward->guest_port == 53);
  loop.stop();
}
