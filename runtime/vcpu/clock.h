// VirtualClock: guest time in nanoseconds. Runs with the host's CLOCK_MONOTONIC while the machine runs, stands still
// while it is stopped. now_ns() takes no lock. It is the one seam through which a guest sees host time (deterministic
// execution replaces it here). TimerService: one thread that calls back when guest time reaches a deadline. A callback
// runs on that thread, holds no lock of the service, and may re-arm. Timer::arm and cancel may be called from any
// thread; after cancel() returns the callback is not running (unless cancel is called from it).
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>

namespace lyre::runtime {

class VirtualClock {
 public:
  VirtualClock();
  int64_t now_ns() const noexcept;  // never goes back, also across stop and resume; takes no lock
  void stop();                      // idempotent
  void resume();                    // idempotent
  bool running() const noexcept;
  // now_ns() == host_monotonic_ns + offset while running: what translated code adds to an inline clock read.
  int64_t host_offset_ns() const noexcept;

 private:
  // Sequence lock: odd while stop() or resume() changes the two values below.
  std::atomic<uint32_t> sequence_{0};
  std::atomic<bool> running_{false};
  std::atomic<int64_t> value_ns_{0};  // running: guest time minus host time; stopped: guest time
  std::mutex writers_;
};

class TimerService;

class Timer {
 public:
  Timer(TimerService& service, std::function<void()> callback);
  ~Timer();  // cancels
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  void arm(int64_t deadline_ns);  // guest time; replaces an earlier deadline; in the past fires at once
  void disarm();  // does not wait for a running callback: for callers that hold a lock which the callback takes
  void cancel();  // disarms and waits

 private:
  friend class TimerService;
  static constexpr size_t kNotQueued = ~size_t{0};
  TimerService& service_;
  std::function<void()> callback_;
  int64_t deadline_ns_ = 0;         // under the service's lock, as is the next
  size_t heap_index_ = kNotQueued;  // place in the service's heap
};

class TimerService {
 public:
  explicit TimerService(VirtualClock& clock);
  ~TimerService();
  void clock_changed();  // the clock was stopped or resumed

 private:
  friend class Timer;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace lyre::runtime
