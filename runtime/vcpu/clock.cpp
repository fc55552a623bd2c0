// VirtualClock and TimerService. See clock.h.
#include "runtime/vcpu/clock.h"

#include <pthread.h>
#include <sys/prctl.h>

#include <chrono>
#include <condition_variable>
#include <ctime>
#include <thread>
#include <vector>

namespace lyre::runtime {
namespace {

int64_t host_now_ns() noexcept {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

}  // namespace

VirtualClock::VirtualClock() = default;

// The host clock is read between two looks at the sequence. A reader whose second look still finds the old sequence has
// read the host clock before the writer did, so no reader is ever ahead of the time at which the clock is stopped.
int64_t VirtualClock::now_ns() const noexcept {
  for (;;) {
    uint32_t sequence = sequence_.load(std::memory_order_acquire);
    int64_t value = value_ns_.load(std::memory_order_relaxed);
    int64_t now = running_.load(std::memory_order_relaxed) ? host_now_ns() + value : value;
    std::atomic_thread_fence(std::memory_order_acquire);
    if (!(sequence & 1) && sequence == sequence_.load(std::memory_order_relaxed)) return now;
  }
}

void VirtualClock::stop() {
  std::lock_guard lock(writers_);
  if (!running_.load(std::memory_order_relaxed)) return;
  sequence_.fetch_add(1, std::memory_order_acq_rel);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  value_ns_.store(host_now_ns() + value_ns_.load(std::memory_order_relaxed), std::memory_order_relaxed);
  running_.store(false, std::memory_order_relaxed);
  sequence_.fetch_add(1, std::memory_order_release);
}

void VirtualClock::resume() {
  std::lock_guard lock(writers_);
  if (running_.load(std::memory_order_relaxed)) return;
  sequence_.fetch_add(1, std::memory_order_acq_rel);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  value_ns_.store(value_ns_.load(std::memory_order_relaxed) - host_now_ns(), std::memory_order_relaxed);
  running_.store(true, std::memory_order_relaxed);
  sequence_.fetch_add(1, std::memory_order_release);
}

bool VirtualClock::running() const noexcept { return running_.load(std::memory_order_acquire); }

int64_t VirtualClock::host_offset_ns() const noexcept {
  for (;;) {
    uint32_t sequence = sequence_.load(std::memory_order_acquire);
    int64_t value = value_ns_.load(std::memory_order_relaxed);
    bool running = running_.load(std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_acquire);
    if (!(sequence & 1) && sequence == sequence_.load(std::memory_order_relaxed))
      return running ? value : value - host_now_ns();
  }
}

// A binary heap by deadline; each timer knows its place, so that re-arming costs O(log n) and no allocation.
struct TimerService::Impl {
  explicit Impl(VirtualClock& clock_to_follow) : clock(clock_to_follow) {}

  void place(size_t index, Timer* timer) {
    heap[index] = timer;
    timer->heap_index_ = index;
  }
  void sift_up(size_t index) {
    Timer* timer = heap[index];
    for (; index > 0; index = (index - 1) / 2) {
      Timer* parent = heap[(index - 1) / 2];
      if (parent->deadline_ns_ <= timer->deadline_ns_) break;
      place(index, parent);
    }
    place(index, timer);
  }
  void sift_down(size_t index) {
    Timer* timer = heap[index];
    for (;;) {
      size_t child = 2 * index + 1;
      if (child >= heap.size()) break;
      if (child + 1 < heap.size() && heap[child + 1]->deadline_ns_ < heap[child]->deadline_ns_) ++child;
      if (timer->deadline_ns_ <= heap[child]->deadline_ns_) break;
      place(index, heap[child]);
      index = child;
    }
    place(index, timer);
  }
  void remove(Timer* timer) {
    size_t index = timer->heap_index_;
    if (index == Timer::kNotQueued) return;
    timer->heap_index_ = Timer::kNotQueued;
    Timer* last = heap.back();
    heap.pop_back();
    if (last == timer) return;
    place(index, last);
    sift_up(index);
    sift_down(last->heap_index_);
  }

  void run() {
    pthread_setname_np(pthread_self(), "timers");
    prctl(PR_SET_TIMERSLACK, 1UL);  // a guest's timer interrupt should not wait for the default 50 us
    std::unique_lock lock(mutex);
    while (!stopping) {
      if (heap.empty() || !clock.running()) {
        waiting_until = INT64_MAX;
        wake.wait(lock);
        continue;
      }
      Timer* first = heap.front();
      int64_t left = first->deadline_ns_ - clock.now_ns();
      if (left > 0) {
        // A far deadline is looked at again after a day, which also keeps the addition below in range.
        left = std::min<int64_t>(left, 86'400'000'000'000);
        waiting_until = first->deadline_ns_;
        wake.wait_until(lock, std::chrono::steady_clock::now() + std::chrono::nanoseconds(left));
        continue;
      }
      remove(first);
      running = first;
      lock.unlock();
      first->callback_();
      lock.lock();
      running = nullptr;
      if (cancellers) done.notify_all();
    }
  }

  VirtualClock& clock;
  std::mutex mutex;
  std::condition_variable wake, done;
  std::vector<Timer*> heap;
  int64_t waiting_until = INT64_MAX;
  Timer* running = nullptr;
  unsigned cancellers = 0;
  bool stopping = false;
  std::thread thread;
};

TimerService::TimerService(VirtualClock& clock) : impl_(std::make_unique<Impl>(clock)) {
  impl_->thread = std::thread([this] { impl_->run(); });
}

TimerService::~TimerService() {
  {
    std::lock_guard lock(impl_->mutex);
    impl_->stopping = true;
  }
  impl_->wake.notify_all();
  impl_->thread.join();
}

void TimerService::clock_changed() {
  std::lock_guard lock(impl_->mutex);
  impl_->wake.notify_all();
}

Timer::Timer(TimerService& service, std::function<void()> callback)
    : service_(service), callback_(std::move(callback)) {}

Timer::~Timer() { cancel(); }

void Timer::arm(int64_t deadline_ns) {
  TimerService::Impl& impl = *service_.impl_;
  std::lock_guard lock(impl.mutex);
  impl.remove(this);
  deadline_ns_ = deadline_ns;
  heap_index_ = impl.heap.size();
  impl.heap.push_back(this);
  impl.sift_up(heap_index_);
  // A later deadline than the one waited for needs no wake-up: the thread looks at the heap when it wakes.
  if (impl.heap.front() == this && deadline_ns < impl.waiting_until) impl.wake.notify_one();
}

void Timer::disarm() {
  TimerService::Impl& impl = *service_.impl_;
  std::lock_guard lock(impl.mutex);
  impl.remove(this);
}

void Timer::cancel() {
  TimerService::Impl& impl = *service_.impl_;
  std::unique_lock lock(impl.mutex);
  impl.remove(this);
  if (impl.running != this || std::this_thread::get_id() == impl.thread.get_id()) return;
  ++impl.cancellers;
  impl.done.wait(lock, [&] { return impl.running != this; });
  --impl.cancellers;
  impl.remove(this);  // the callback may have armed it again
}

}  // namespace lyre::runtime
