// Guest time stops, goes on and never goes back; timers follow it.
#include "runtime/vcpu/clock.h"

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "tests/support/catch.h"

using namespace lyre::runtime;
using namespace std::chrono_literals;

namespace {

// Counts calls and lets a test wait for them.
struct Bell {
  void ring() {
    std::lock_guard lock(mutex);
    ++count;
    changed.notify_all();
  }
  bool wait_for(int wanted) {
    std::unique_lock lock(mutex);
    return changed.wait_for(lock, 10s, [&] { return count >= wanted; });
  }
  std::mutex mutex;
  std::condition_variable changed;
  int count = 0;
};

}  // namespace

TEST_CASE("clock stands still until it is resumed", "[clock]") {
  VirtualClock clock;
  CHECK_FALSE(clock.running());
  CHECK(clock.now_ns() == 0);
  clock.resume();
  std::this_thread::sleep_for(2ms);
  clock.stop();
  clock.stop();
  int64_t stopped = clock.now_ns();
  CHECK(stopped >= 2'000'000);
  std::this_thread::sleep_for(2ms);
  CHECK(clock.now_ns() == stopped);
  clock.resume();
  clock.resume();
  CHECK(clock.now_ns() >= stopped);
  CHECK(clock.now_ns() < stopped + 1'000'000'000);
}

TEST_CASE("clock never goes back for anybody while it is stopped and resumed", "[clock]") {
  VirtualClock clock;
  std::atomic<bool> end{false};
  std::atomic<int> backwards{0};
  std::atomic<int64_t> newest{0};  // the latest time that anybody has seen
  std::vector<std::thread> readers;
  for (int i = 0; i < 2; ++i)
    readers.emplace_back([&] {
      while (!end) {
        int64_t seen = newest.load();
        int64_t now = clock.now_ns();
        if (now < seen) ++backwards;
        while (seen < now && !newest.compare_exchange_weak(seen, now)) {
        }
      }
    });
  for (int i = 0; i < 20000; ++i) i % 2 ? clock.stop() : clock.resume();
  end = true;
  for (auto& reader : readers) reader.join();
  CHECK(backwards == 0);
}

TEST_CASE("timers fire in the order of their deadlines, the past at once", "[clock]") {
  VirtualClock clock;
  TimerService service(clock);
  clock.resume();
  service.clock_changed();
  std::mutex mutex;
  std::vector<int> order;
  Bell bell;
  auto note = [&](int which) {
    std::lock_guard lock(mutex);
    order.push_back(which);
    bell.ring();
  };
  Timer late(service, [&] { note(3); }), early(service, [&] { note(2); }), past(service, [&] { note(1); });
  int64_t now = clock.now_ns();
  late.arm(now + 60'000'000);
  early.arm(now + 30'000'000);
  past.arm(now - 1);
  REQUIRE(bell.wait_for(3));
  CHECK(order == std::vector<int>{1, 2, 3});
  CHECK(clock.now_ns() >= now + 60'000'000);
}

TEST_CASE("timers wait while the clock stands still", "[clock]") {
  VirtualClock clock;
  TimerService service(clock);
  Bell bell;
  Timer timer(service, [&] { bell.ring(); });
  timer.arm(1'000'000);
  std::this_thread::sleep_for(5ms);
  CHECK(bell.count == 0);
  clock.resume();
  service.clock_changed();
  CHECK(bell.wait_for(1));
}

TEST_CASE("a timer may arm itself again, and cancel waits for its callback", "[clock]") {
  VirtualClock clock;
  TimerService service(clock);
  clock.resume();
  service.clock_changed();
  std::atomic<bool> inside{false};
  Bell bell;
  Timer* self = nullptr;
  Timer timer(service, [&] {
    inside = true;
    bell.ring();
    std::this_thread::sleep_for(1ms);
    self->arm(clock.now_ns() + 100'000);
    inside = false;
  });
  self = &timer;
  timer.arm(0);
  REQUIRE(bell.wait_for(3));
  timer.cancel();
  CHECK_FALSE(inside);
  int seen = bell.count;
  std::this_thread::sleep_for(5ms);
  CHECK(bell.count == seen);
}

TEST_CASE("many timers armed and disarmed at random fire once each", "[clock]") {
  VirtualClock clock;
  TimerService service(clock);
  clock.resume();
  service.clock_changed();
  Bell bell;
  std::vector<std::unique_ptr<Timer>> timers;
  for (int i = 0; i < 100; ++i) timers.push_back(std::make_unique<Timer>(service, [&] { bell.ring(); }));
  int64_t start = clock.now_ns() + 50'000'000;
  unsigned seed = 1;
  for (int round = 0; round < 20; ++round)
    for (auto& timer : timers) {
      seed = seed * 1103515245 + 12345;
      seed & 0x10000 ? timer->disarm() : timer->arm(start + seed % 20'000'000);
    }
  for (auto& timer : timers) timer->arm(start + (seed = seed * 1103515245 + 12345) % 20'000'000);
  REQUIRE(bell.wait_for(100));
  std::this_thread::sleep_for(30ms);
  CHECK(bell.count == 100);
}
