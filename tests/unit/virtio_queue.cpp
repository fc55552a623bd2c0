// Rings: split and packed, direct and indirect chains, event suppression, and every way in which a driver can break one.
#include <random>
#include <thread>

#include "machine/virtio/ring.h"
#include "tests/support/virtio_driver.h"

using namespace lyre;
using namespace lyre::machine::virtio;
using namespace lyre::tests;

namespace {

std::unique_ptr<Ring> make_ring(bool packed, GuestRam& ram, const DriverRing& driver, bool event_idx, bool indirect = true) {
  const RingConfig config{Gpa{driver.descriptors}, Gpa{driver.driver}, Gpa{driver.device}, driver.size(), indirect, event_idx};
  const char* why = nullptr;
  auto ring = packed ? make_packed_ring(ram.dma(), config, why) : make_split_ring(ram.dma(), config, why);
  REQUIRE(ring);
  return ring;
}

// Takes one chain, answers with its readable bytes reversed, and publishes.
bool echo(Ring& ring, Chain& chain) {
  if (ring.pop(chain) != Pop::kGot) return false;
  std::string bytes(chain.readable_bytes, 0);
  ChainReader(chain).read(bytes.data(), chain.readable_bytes);
  std::reverse(bytes.begin(), bytes.end());
  ChainWriter writer(chain);
  writer.write(bytes.data(), static_cast<uint32_t>(bytes.size()));
  ring.push(chain, writer.written());
  return true;
}

}  // namespace

TEST_CASE("a ring carries chains there and back many times round") {
  const bool packed = GENERATE(false, true);
  const bool event_idx = GENERATE(false, true);
  const bool indirect = GENERATE(false, true);
  GuestRam ram;
  auto driver = make_driver_ring(packed, ram, 8, event_idx);
  auto ring = make_ring(packed, ram, *driver, event_idx);
  const uint64_t in = ram.allocate(64), out = ram.allocate(64);
  Chain chain;
  CHECK(ring->pop(chain) == Pop::kEmpty);
  for (int round = 0; round < 1000; ++round) {
    const std::string text = "message " + std::to_string(round);
    const auto half = static_cast<uint32_t>(text.size() / 2), rest = static_cast<uint32_t>(text.size()) - half;
    ram.put(in, text.data(), text.size());
    const uint16_t id = driver->add({{in, half, false}, {in + half, rest, false}, {out, 5, true}, {out + 5, 59, true}}, indirect);
    REQUIRE(echo(*ring, chain));
    CHECK(!driver->take());
    ring->publish();
    auto used = driver->take();
    REQUIRE(used);
    CHECK(used->id == id);
    CHECK(used->length == text.size());
    CHECK(ram.get(out, text.size()) == std::string(text.rbegin(), text.rend()));
    CHECK(ring->pop(chain) == Pop::kEmpty);
    if (ram.next > (8u << 20)) ram.next = 2 << 20;  // indirect tables of old
  }
}

TEST_CASE("chains are used out of order and appear as one batch") {
  const bool packed = GENERATE(false, true);
  GuestRam ram;
  auto driver = make_driver_ring(packed, ram, 16, false);
  auto ring = make_ring(packed, ram, *driver, false);
  const uint64_t buffer = ram.allocate(4096);
  for (int round = 0; round < 50; ++round) {
    std::vector<uint16_t> ids;
    for (uint32_t i = 0; i < 5; ++i) ids.push_back(driver->add({{buffer, i + 1, false}, {buffer, 16, true}}));
    std::vector<Chain> chains(5);
    for (Chain& chain : chains) REQUIRE(ring->pop(chain) == Pop::kGot);
    for (uint32_t i = 0; i < 5; ++i) CHECK(chains[i].readable_bytes == i + 1);
    for (size_t i : {3u, 0u, 4u, 1u, 2u}) ring->push(chains[i], static_cast<uint32_t>(i + 1));
    CHECK(!driver->take());
    CHECK(ring->publish());
    for (size_t i : {3u, 0u, 4u, 1u, 2u}) {
      auto used = driver->take();
      REQUIRE(used);
      CHECK(used->id == ids[i]);
      CHECK(used->length == i + 1);
    }
    CHECK(!driver->take());
  }
}

TEST_CASE("interrupts come as the driver asked") {
  const bool packed = GENERATE(false, true);
  const bool event_idx = GENERATE(false, true);
  GuestRam ram;
  auto driver = make_driver_ring(packed, ram, 4, event_idx);
  auto ring = make_ring(packed, ram, *driver, event_idx);
  const uint64_t buffer = ram.allocate(64);
  Chain chain;
  const auto one = [&] {
    driver->add({{buffer, 8, true}});
    REQUIRE(ring->pop(chain) == Pop::kGot);
    ring->push(chain, 8);
    const bool interrupt = ring->publish();
    return interrupt;
  };
  for (int round = 0; round < 40; ++round) {
    driver->want_interrupt(true);
    CHECK(one());
    REQUIRE(driver->take());
    driver->want_interrupt(false);
    CHECK(!one());
    REQUIRE(driver->take());
  }
  CHECK(!ring->publish());  // nothing new, no interrupt
}

TEST_CASE("with event indices an interrupt comes once for several chains") {
  const bool packed = GENERATE(false, true);
  GuestRam ram;
  auto driver = make_driver_ring(packed, ram, 8, true);
  auto ring = make_ring(packed, ram, *driver, true);
  const uint64_t buffer = ram.allocate(64);
  Chain chain;
  for (int round = 0; round < 30; ++round) {
    driver->want_interrupt(true);  // at the first of those to come
    int interrupts = 0;
    for (int i = 0; i < 3; ++i) {
      driver->add({{buffer, 8, true}});
      REQUIRE(ring->pop(chain) == Pop::kGot);
      ring->push(chain, 8);
      interrupts += ring->publish();
    }
    CHECK(interrupts == 1);
    for (int i = 0; i < 3; ++i) REQUIRE(driver->take());
  }
}

TEST_CASE("the device says when it wants to be notified") {
  const bool packed = GENERATE(false, true);
  const bool event_idx = GENERATE(false, true);
  GuestRam ram;
  auto driver = make_driver_ring(packed, ram, 8, event_idx);
  auto ring = make_ring(packed, ram, *driver, event_idx);
  const uint64_t buffer = ram.allocate(64);
  Chain chain;
  for (int round = 0; round < 30; ++round) {
    CHECK(!ring->set_notifications(true));
    driver->add({{buffer, 8, true}});
    CHECK(driver->should_notify());
    ring->set_notifications(false);
    driver->add({{buffer, 8, true}});
    CHECK(!driver->should_notify());
    CHECK(ring->set_notifications(true));  // something is there already
    for (int i = 0; i < 2; ++i) {
      REQUIRE(ring->pop(chain) == Pop::kGot);
      ring->push(chain, 0);
    }
    ring->publish();
    REQUIRE(driver->take());
    REQUIRE(driver->take());
  }
}

TEST_CASE("no notification is lost between two threads") {
  const bool packed = GENERATE(false, true);
  const bool event_idx = GENERATE(false, true);
  constexpr int kChains = 20000;
  GuestRam ram;
  auto driver = make_driver_ring(packed, ram, 16, event_idx);
  auto ring = make_ring(packed, ram, *driver, event_idx);
  const uint64_t buffer = ram.allocate(64);
  std::atomic<uint32_t> kicks{0};     // what a notification would wake
  std::atomic<uint32_t> interrupts{0};
  std::atomic<bool> stuck{false};
  const auto wait_change = [&](std::atomic<uint32_t>& counter, uint32_t& seen) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (counter.load() == seen) {
      if (std::chrono::steady_clock::now() > end) stuck = true;
      if (stuck) return;
      std::this_thread::yield();
    }
    seen = counter.load();
  };
  std::thread device([&] {
    Chain chain;
    uint32_t seen = 0;
    for (int done = 0; done < kChains && !stuck;) {
      if (ring->pop(chain) == Pop::kGot) {
        ring->push(chain, 1);
        if (ring->publish()) ++interrupts;
        ++done;
        continue;
      }
      if (!ring->set_notifications(true)) wait_change(kicks, seen);
      ring->set_notifications(false);
    }
  });
  uint32_t seen = 0;
  int added = 0, taken = 0;
  while (taken < kChains && !stuck) {
    while (added < kChains && added - taken < 8) {
      driver->add({{buffer, 1, true}});
      if (driver->should_notify()) ++kicks;
      ++added;
    }
    driver->want_interrupt(false);
    while (driver->take()) ++taken;
    if (taken == kChains || added - taken < 8) continue;
    driver->want_interrupt(true);
    if (driver->take()) {
      ++taken;
      continue;
    }
    wait_change(interrupts, seen);
  }
  device.join();
  CHECK(!stuck);
  CHECK(taken == kChains);
}

TEST_CASE("a ring's set-up is checked") {
  GuestRam ram;
  const char* why = nullptr;
  const uint64_t good = ram.allocate(65536, 4096);
  const auto split = [&](uint64_t d, uint64_t a, uint64_t u, uint16_t size) {
    return make_split_ring(ram.dma(), {Gpa{d}, Gpa{a}, Gpa{u}, size, true, true}, why) != nullptr;
  };
  const auto packed = [&](uint64_t d, uint64_t a, uint64_t u, uint16_t size) {
    return make_packed_ring(ram.dma(), {Gpa{d}, Gpa{a}, Gpa{u}, size, true, true}, why) != nullptr;
  };
  CHECK(split(good, good + 4096, good + 8192, 16));
  CHECK(!split(good, good + 4096, good + 8192, 0));
  CHECK(!split(good, good + 4096, good + 8192, 24));
  CHECK(!split(good + 8, good + 4096, good + 8192, 16));
  CHECK(!split(good, good + 4097, good + 8192, 16));
  CHECK(!split(good, good + 4096, good + 8194, 16));
  CHECK(!split(0x1000, good + 4096, good + 8192, 16));
  CHECK(!split(kRamBase + ram.size - 16, good, good + 4096, 16));
  CHECK(!split(good, kRamBase + ram.size - 16, good + 4096, 16));
  CHECK(!split(good, good + 4096, ~uint64_t{0} - 15, 16));
  CHECK(packed(good, good + 4096, good + 8192, 24));
  CHECK(!packed(good, good + 4096, good + 8192, 0));
  CHECK(!packed(good, good + 4096, good + 8192, 40000));
  CHECK(!packed(good + 4, good + 4096, good + 8192, 16));
  CHECK(!packed(good, good + 4098, good + 8192, 16));
  CHECK(!packed(good, good + 4096, kRamBase + ram.size, 16));
}

TEST_CASE("a broken driver breaks the ring and nothing else") {
  GuestRam ram;
  SplitDriverRing driver(ram, 8, false);
  auto ring = make_ring(false, ram, driver, false);
  const uint64_t buffer = ram.allocate(4096);
  auto* table = ram.at<WireDescriptor>(driver.descriptors);
  auto* avail = ram.at<uint16_t>(driver.driver);
  Chain chain;
  const auto offer = [&](uint16_t head) {
    avail[2] = head;
    avail[1] = 1;
    const Pop result = ring->pop(chain);
    if (result == Pop::kBroken) {
      CHECK(ring->error() != nullptr);
      CHECK(ring->pop(chain) == Pop::kBroken);  // it stays broken
      CHECK(!ring->publish());
      CHECK(!ring->set_notifications(true));
    }
    return result;
  };
  SECTION("head outside the table") { CHECK(offer(8) == Pop::kBroken); }
  SECTION("available index too far ahead") {
    avail[1] = 9;
    CHECK(ring->pop(chain) == Pop::kBroken);
  }
  SECTION("loop") {
    table[0] = {buffer, 8, 1, 1};
    table[1] = {buffer, 8, 1, 0};
    CHECK(offer(0) == Pop::kBroken);
  }
  SECTION("self loop") {
    table[3] = {buffer, 8, 1, 3};
    CHECK(offer(3) == Pop::kBroken);
  }
  SECTION("next outside the table") {
    table[0] = {buffer, 8, 1, 100};
    CHECK(offer(0) == Pop::kBroken);
  }
  SECTION("address outside RAM") {
    table[0] = {0x1000, 8, 0, 0};
    CHECK(offer(0) == Pop::kBroken);
  }
  SECTION("address at the end of RAM") {
    table[0] = {kRamBase + ram.size - 4, 8, 2, 0};
    CHECK(offer(0) == Pop::kBroken);
  }
  SECTION("length that wraps round") {
    table[0] = {~uint64_t{0} - 3, 0xffffffff, 2, 0};
    CHECK(offer(0) == Pop::kBroken);
  }
  SECTION("readable after writable") {
    table[0] = {buffer, 8, 3, 1};
    table[1] = {buffer, 8, 0, 0};
    CHECK(offer(0) == Pop::kBroken);
  }
  SECTION("more than 4 GiB") {
    for (uint16_t i = 0; i < 8; ++i) table[i] = {kRamBase, 0x1000000, static_cast<uint16_t>(i < 7 ? 1 : 0), static_cast<uint16_t>(i + 1)};
    CHECK(offer(0) == Pop::kGot);  // eight times 16 MiB are fine
    CHECK(chain.readable_bytes == 0x8000000);
  }
  SECTION("indirect beside next") {
    table[0] = {buffer, 16, 5, 1};
    CHECK(offer(0) == Pop::kBroken);
  }
  SECTION("indirect table of an odd size") {
    table[0] = {buffer, 24, 4, 0};
    CHECK(offer(0) == Pop::kBroken);
  }
  SECTION("empty indirect table") {
    table[0] = {buffer, 0, 4, 0};
    CHECK(offer(0) == Pop::kBroken);
  }
  SECTION("indirect table outside RAM") {
    table[0] = {kRamBase + ram.size - 16, 32, 4, 0};
    CHECK(offer(0) == Pop::kBroken);
  }
  SECTION("indirect in indirect") {
    *ram.at<WireDescriptor>(buffer) = {buffer, 16, 4, 0};
    table[0] = {buffer, 16, 4, 0};
    CHECK(offer(0) == Pop::kBroken);
  }
  SECTION("loop in an indirect table") {
    ram.at<WireDescriptor>(buffer)[0] = {buffer, 8, 1, 1};
    ram.at<WireDescriptor>(buffer)[1] = {buffer, 8, 1, 0};
    table[0] = {buffer, 32, 4, 0};
    CHECK(offer(0) == Pop::kBroken);
  }
  SECTION("indirect after direct descriptors") {
    ram.at<WireDescriptor>(buffer)[0] = {buffer + 64, 8, 2, 0};
    table[0] = {buffer + 32, 4, 1, 1};
    table[1] = {buffer, 16, 4, 0};
    CHECK(offer(0) == Pop::kGot);
    CHECK(chain.readable_bytes == 4);
    CHECK(chain.writable_bytes == 8);
  }
  SECTION("zero-length descriptors are skipped") {
    table[0] = {0, 0, 1, 1};
    table[1] = {buffer, 8, 2, 0};
    CHECK(offer(0) == Pop::kGot);
    CHECK(chain.readable.empty());
    CHECK(chain.writable.size() == 1);
  }
}

TEST_CASE("indirect descriptors need their feature") {
  const bool packed = GENERATE(false, true);
  GuestRam ram;
  auto driver = make_driver_ring(packed, ram, 8, false);
  auto ring = make_ring(packed, ram, *driver, false, false);
  Chain chain;
  driver->add({{ram.allocate(16), 16, true}}, true);
  CHECK(ring->pop(chain) == Pop::kBroken);
}

TEST_CASE("a packed list longer than the queue breaks it") {
  GuestRam ram;
  PackedDriverRing driver(ram, 4, false);
  auto ring = make_ring(true, ram, driver, false);
  const uint64_t buffer = ram.allocate(64);
  auto* table = ram.at<WireDescriptor>(driver.descriptors);
  for (int i = 0; i < 4; ++i) table[i] = {buffer, 8, 0, 0x81};
  Chain chain;
  CHECK(ring->pop(chain) == Pop::kBroken);
}

TEST_CASE("what was written is reported") {
  GuestRam ram;
  std::vector<std::pair<uint64_t, uint64_t>> written;
  ram.map.set_write_observer([&](Gpa at, uint64_t bytes) { written.emplace_back(at.value, bytes); });
  SplitDriverRing driver(ram, 8, false);
  auto ring = make_ring(false, ram, driver, false);
  const uint64_t a = ram.allocate(4096, 4096), b = ram.allocate(4096, 4096);
  driver.add({{a, 100, true}, {b, 100, true}});
  Chain chain;
  REQUIRE(ring->pop(chain) == Pop::kGot);
  ring->push(chain, 130);
  REQUIRE(written.size() == 2);
  CHECK(written[0] == std::pair<uint64_t, uint64_t>(a, 100));
  CHECK(written[1] == std::pair<uint64_t, uint64_t>(b, 30));
  ring->publish();
  CHECK(written.size() == 3);
  CHECK(written[2].first == driver.device);
}
