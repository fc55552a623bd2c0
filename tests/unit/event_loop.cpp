#include "runtime/base/event_loop.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/catch.h"

using lyre::EventLoop;
using namespace std::chrono_literals;

namespace {

struct Pair {
  int fds[2];
  Pair() { REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0); }
  ~Pair() {
    close(fds[0]);
    if (fds[1] >= 0) close(fds[1]);
  }
};

// Waits until everything posted before has run.
void settle(EventLoop& loop) {
  std::promise<void> done;
  loop.post([&] { done.set_value(); });
  done.get_future().wait();
}

}  // namespace

TEST_CASE("event loop delivers readable data and pauses", "[event_loop]") {
  EventLoop loop;
  loop.start("test");
  Pair pair;
  std::promise<std::string> got;
  loop.add(pair.fds[0], EventLoop::kReadable, [&](uint32_t) {
    char buffer[16];
    const ssize_t n = read(pair.fds[0], buffer, sizeof buffer);
    loop.modify(pair.fds[0], 0);
    got.set_value(std::string(buffer, static_cast<size_t>(n)));
  });
  REQUIRE(write(pair.fds[1], "hello", 5) == 5);
  REQUIRE(got.get_future().get() == "hello");
  REQUIRE(write(pair.fds[1], "more", 4) == 4);
  std::this_thread::sleep_for(20ms);  // a second call would throw at set_value
  settle(loop);
  loop.remove(pair.fds[0]);
}

TEST_CASE("event loop reports a hangup once paused no more", "[event_loop]") {
  EventLoop loop;
  loop.start("test");
  Pair pair;
  std::atomic<int> hangups{0};
  loop.add(pair.fds[0], EventLoop::kReadable | EventLoop::kHangup, [&](uint32_t events) {
    if (events & EventLoop::kHangup) ++hangups;
    loop.modify(pair.fds[0], 0);
  });
  close(pair.fds[1]);
  pair.fds[1] = -1;
  while (!hangups) std::this_thread::sleep_for(1ms);
  std::this_thread::sleep_for(20ms);
  REQUIRE(hangups == 1);
  loop.remove(pair.fds[0]);
}

TEST_CASE("event loop runs timers in order of their deadlines", "[event_loop]") {
  EventLoop loop;
  loop.start("test");
  std::vector<int> order;
  std::promise<void> done;
  const auto begin = std::chrono::steady_clock::now();
  loop.after_ns(30'000'000, [&] {
    order.push_back(3);
    done.set_value();
  });
  loop.after_ns(10'000'000, [&] { order.push_back(1); });
  const auto cancelled = loop.after_ns(15'000'000, [&] { order.push_back(99); });
  loop.after_ns(20'000'000, [&] { order.push_back(2); });
  loop.cancel(cancelled);
  loop.cancel(cancelled);
  loop.cancel(0);
  done.get_future().wait();
  REQUIRE(std::chrono::steady_clock::now() - begin >= 30ms);
  settle(loop);
  REQUIRE(order == std::vector<int>{1, 2, 3});
}

TEST_CASE("event loop reads regular files, which epoll refuses", "[event_loop]") {
  char path[] = "/tmp/lyre_loop_XXXXXX";
  const int fd = mkstemp(path);
  unlink(path);
  REQUIRE(write(fd, "abc", 3) == 3);
  lseek(fd, 0, SEEK_SET);
  EventLoop loop;
  loop.start("test");
  std::string text;
  std::promise<void> done;
  loop.add(fd, EventLoop::kReadable, [&](uint32_t) {
    char c;
    if (read(fd, &c, 1) == 1) {
      text.push_back(c);
    } else {
      loop.modify(fd, 0);
      done.set_value();
    }
  });
  done.get_future().wait();
  REQUIRE(text == "abc");
  loop.remove(fd);
  close(fd);
}

TEST_CASE("event loop: remove waits for the running handler", "[event_loop]") {
  for (int round = 0; round < 50; ++round) {
    EventLoop loop;
    loop.start("test");
    Pair pair;
    std::atomic<bool> entered{false}, left{false};
    loop.add(pair.fds[0], EventLoop::kReadable, [&](uint32_t) {
      entered = true;
      std::this_thread::sleep_for(1ms);
      left = true;
    });
    REQUIRE(write(pair.fds[1], "x", 1) == 1);
    while (!entered) std::this_thread::yield();
    loop.remove(pair.fds[0]);
    const bool finished = left;
    REQUIRE(finished);
  }
}

TEST_CASE("event loop stop drains what was posted, also by what it drains", "[event_loop]") {
  int ran = 0;
  {
    EventLoop loop;
    loop.start("test");
    for (int i = 0; i < 1000; ++i) loop.post([&] { ++ran; });
    loop.post([&] { loop.post([&] { ran += 10000; }); });
    loop.stop();
    loop.post([&] { ran = -1; });
  }
  REQUIRE(ran == 11000);
}

TEST_CASE("event loop: many threads post and add at once", "[event_loop]") {
  EventLoop loop;
  loop.start("test");
  std::atomic<int> count{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 200; ++i) {
        int fds[2];
        if (pipe(fds) != 0) return;
        loop.add(fds[0], EventLoop::kReadable, [&](uint32_t) { loop.modify(fds[0], 0); });
        if (write(fds[1], "x", 1) != 1) return;
        loop.post([&] { ++count; });
        loop.remove(fds[0]);
        close(fds[0]);
        close(fds[1]);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  settle(loop);
  REQUIRE(count == 800);
}

TEST_CASE("event loop: ordinary data is not urgent data", "[event_loop]") {
  EventLoop loop;
  loop.start("test");
  Pair pair;
  std::atomic<uint32_t> seen{0};
  loop.add(pair.fds[0], EventLoop::kReadable | EventLoop::kUrgent, [&](uint32_t events) {
    char c;
    if (read(pair.fds[0], &c, 1) == 1) seen |= events;
  });
  REQUIRE(write(pair.fds[1], "x", 1) == 1);
  while (!seen) std::this_thread::sleep_for(1ms);
  loop.remove(pair.fds[0]);
  REQUIRE(seen == EventLoop::kReadable);
}

TEST_CASE("event loop: settle waits for a handler that has removed its own descriptor") {
  EventLoop loop;
  loop.start("test");
  const int fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
  std::atomic<bool> removed{false}, finished{false};
  loop.add(fd, EventLoop::kReadable, [&](uint32_t) {
    loop.remove(fd);
    loop.settle();  // on the loop's own thread: does not wait for itself
    removed = true;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    finished = true;
  });
  while (!removed) std::this_thread::yield();
  loop.settle();
  CHECK(finished);
  close(fd);
}
