// VirtualClock: guest time in nanoseconds. Runs with the host's CLOCK_MONOTONIC while the machine runs, stands still while it
// is stopped. now_ns() takes no lock. It is the one seam through which a guest sees host time (deterministic execution
// replaces it here).
// TimerService: one thread that calls back when guest time reaches a deadline. A callback runs on that thread, holds no lock
// of the service, and may re-arm. Timer::arm and cancel may be called from any thread; after cancel() returns the callback is not
// running (unless cancel is called from it).
#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>

namespace lyre::runtime {

class VirtualClock {
 public:
  VirtualClock();
  int64_t now_ns() const noexcept;  // lock-free
  void stop();                      // idempotent
  void resume();                    // idempotent
  bool running() const noexcept;
  // now_ns() == host_monotonic_ns + offset while running: what translated code adds to an inline clock read.
  int64_t host_offset_ns() const noexcept;

 private:
  std::atomic<int64_t> offset_ns_{0};
  std::atomic<int64_t> stopped_at_ns_{0};
  std::atomic<bool> running_{false};
};

class TimerService;

class Timer {
 public:
  Timer(TimerService& service, std::function<void()> callback);
  ~Timer();  // cancels
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  void arm(int64_t deadline_ns);  // guest time; replaces an earlier deadline; in the past fires at once
  void cancel();

 private:
  friend class TimerService;
  TimerService& service_;
  std::function<void()> callback_;
  int64_t deadline_ns_ = -1;  // under the service's lock; -1: not armed
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
