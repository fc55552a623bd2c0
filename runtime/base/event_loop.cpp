#include "runtime/base/event_loop.h"

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <condition_variable>
#include <csignal>
#include <ctime>
#include <deque>
#include <map>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "runtime/base/check.h"

namespace lyre {
namespace {

constexpr int kEventsPerWait = 32;
// epoll's user word: registrations count up from kFirstRegistration, so that an event of a removed registration is
// recognised even if its descriptor number is in use again.
constexpr uint64_t kWakeKey = 1, kTimerKey = 2, kFirstRegistration = 16;

uint32_t to_epoll(uint32_t events) {
  uint32_t out = 0;
  if (events & EventLoop::kReadable) out |= EPOLLIN;
  if (events & EventLoop::kWritable) out |= EPOLLOUT;
  if (events & EventLoop::kHangup) out |= EPOLLRDHUP;
  if (events & EventLoop::kUrgent) out |= EPOLLPRI;
  return out;
}

uint32_t from_epoll(uint32_t events) {
  uint32_t out = 0;
  if (events & EPOLLIN) out |= EventLoop::kReadable;
  if (events & EPOLLOUT) out |= EventLoop::kWritable;
  if (events & EPOLLPRI) out |= EventLoop::kUrgent;
  if (events & (EPOLLHUP | EPOLLERR | EPOLLRDHUP)) out |= EventLoop::kHangup;
  return out;
}

int64_t monotonic_ns() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

}  // namespace

struct EventLoop::Impl {
  struct Watch {
    uint64_t key = 0;
    uint32_t events = 0;
    bool in_epoll = false;
    bool always_ready = false;  // a regular file or /dev/null: epoll refuses it, it never blocks
    std::shared_ptr<Handler> handler;
  };
  struct TimerEntry {
    TimerId id;
    std::function<void()> function;
  };

  int epoll_fd = -1, wake_fd = -1, timer_fd = -1;
  std::thread thread;
  std::mutex mutex;
  std::condition_variable idle;  // a handler or timer callback has ended
  std::unordered_map<int, Watch> watches;
  std::unordered_map<uint64_t, int> fd_of_key;
  std::deque<std::function<void()>> posted;
  std::multimap<int64_t, TimerEntry> timers;  // by deadline
  uint64_t next_key = kFirstRegistration;
  TimerId next_timer = 1;
  uint64_t running_key = 0;
  TimerId running_timer = 0;
  bool stopping = false, stopped = false;

  bool on_thread() const { return std::this_thread::get_id() == thread.get_id(); }

  void wake() {
    const uint64_t one = 1;
    while (::write(wake_fd, &one, sizeof one) < 0 && errno == EINTR) {
    }
  }

  // Brings epoll's set in line with the watch. A paused descriptor leaves the set, because epoll reports hangups even
  // for an empty mask.
  void apply(int fd, Watch& watch) {
    if (watch.always_ready) return;
    epoll_event event{};
    event.events = to_epoll(watch.events);
    event.data.u64 = watch.key;
    const bool wanted = watch.events != 0;
    if (!wanted && !watch.in_epoll) return;
    const int operation = !wanted ? EPOLL_CTL_DEL : watch.in_epoll ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    const int result = epoll_ctl(epoll_fd, operation, fd, &event);
    if (result < 0 && operation == EPOLL_CTL_ADD && errno == EPERM) {
      watch.always_ready = true;
      return;
    }
    LYRE_CHECK(result == 0 || operation == EPOLL_CTL_DEL, "epoll refused a descriptor that its owner says is open");
    watch.in_epoll = wanted;
  }

  void set_timer_fd() {
    itimerspec when{};
    if (!timers.empty()) {
      const int64_t deadline = std::max<int64_t>(timers.begin()->first, 1);
      when.it_value.tv_sec = static_cast<time_t>(deadline / 1'000'000'000);
      when.it_value.tv_nsec = static_cast<long>(deadline % 1'000'000'000);
    }
    timerfd_settime(timer_fd, TFD_TIMER_ABSTIME, &when, nullptr);
  }

  void run();
  void run_posted();
  void run_timers();
  void dispatch(uint64_t key, uint32_t events);
  std::vector<std::pair<uint64_t, uint32_t>> always_ready();
};

void EventLoop::Impl::run_posted() {
  // Only what is queued now: a function that posts itself again must not starve the descriptors.
  std::deque<std::function<void()>> now;
  {
    std::lock_guard lock(mutex);
    now.swap(posted);
  }
  for (auto& function : now) function();
}

void EventLoop::Impl::run_timers() {
  const int64_t now = monotonic_ns();
  std::unique_lock lock(mutex);
  while (!timers.empty() && timers.begin()->first <= now) {
    auto node = timers.extract(timers.begin());
    running_timer = node.mapped().id;
    lock.unlock();
    node.mapped().function();
    lock.lock();
    running_timer = 0;
    idle.notify_all();
  }
  set_timer_fd();
}

void EventLoop::Impl::dispatch(uint64_t key, uint32_t events) {
  std::shared_ptr<Handler> handler;
  {
    std::lock_guard lock(mutex);
    auto fd = fd_of_key.find(key);
    if (fd == fd_of_key.end()) return;
    const Watch& watch = watches.at(fd->second);
    events &= watch.events | kHangup;
    if (!watch.events || !events) return;
    handler = watch.handler;
    running_key = key;
  }
  (*handler)(events);
  std::lock_guard lock(mutex);
  running_key = 0;
  idle.notify_all();
}

std::vector<std::pair<uint64_t, uint32_t>> EventLoop::Impl::always_ready() {
  std::vector<std::pair<uint64_t, uint32_t>> ready;
  std::lock_guard lock(mutex);
  for (auto& [fd, watch] : watches) {
    const uint32_t events = watch.events & (kReadable | kWritable);
    if (watch.always_ready && events) ready.emplace_back(watch.key, events);
  }
  return ready;
}

void EventLoop::Impl::run() {
  std::array<epoll_event, kEventsPerWait> events;
  for (;;) {
    const auto ready = always_ready();
    {
      std::lock_guard lock(mutex);
      if (stopping && posted.empty()) return;
    }
    const int count = epoll_wait(epoll_fd, events.data(), kEventsPerWait, ready.empty() ? -1 : 0);
    for (int i = 0; i < count; ++i) {
      const epoll_event& event = events[static_cast<size_t>(i)];
      uint64_t ticks = 0;
      switch (event.data.u64) {
        case kWakeKey:
          if (::read(wake_fd, &ticks, sizeof ticks) > 0) run_posted();
          break;
        case kTimerKey:
          if (::read(timer_fd, &ticks, sizeof ticks) > 0) run_timers();
          break;
        default:
          dispatch(event.data.u64, from_epoll(event.events));
      }
    }
    for (auto [key, mask] : ready) dispatch(key, mask);
  }
}

EventLoop::EventLoop() : impl_(std::make_unique<Impl>()) {
  impl_->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  impl_->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  impl_->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  LYRE_CHECK(impl_->epoll_fd >= 0 && impl_->wake_fd >= 0 && impl_->timer_fd >= 0,
             "the host gives no descriptors for an event loop");
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = kWakeKey;
  epoll_ctl(impl_->epoll_fd, EPOLL_CTL_ADD, impl_->wake_fd, &event);
  event.data.u64 = kTimerKey;
  epoll_ctl(impl_->epoll_fd, EPOLL_CTL_ADD, impl_->timer_fd, &event);
}

EventLoop::~EventLoop() {
  stop();
  close(impl_->timer_fd);
  close(impl_->wake_fd);
  close(impl_->epoll_fd);
}

void EventLoop::start(const char* thread_name) {
  LYRE_CHECK(!impl_->thread.joinable() && !impl_->stopped, "an event loop starts once");
  // The loop's thread takes no signal: the process's signals belong to the main thread.
  sigset_t all, before;
  sigfillset(&all);
  for (int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP}) sigdelset(&all, fault);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  impl_->thread = std::thread([this, name = std::string(thread_name)] {
    pthread_setname_np(pthread_self(), name.c_str());  // before it takes a lock that notes who has it
    impl_->run();
  });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void EventLoop::stop() {
  {
    std::lock_guard lock(impl_->mutex);
    if (impl_->stopped) return;
    impl_->stopped = impl_->stopping = true;
  }
  if (impl_->thread.joinable()) {
    LYRE_CHECK(!impl_->on_thread(), "an event loop cannot stop itself");
    impl_->wake();
    impl_->thread.join();
  }
  impl_->run_posted();  // a loop that never started, or a post that raced with the end
}

bool EventLoop::on_loop_thread() const { return impl_->on_thread(); }

void EventLoop::add(int fd, uint32_t events, Handler handler) {
  std::lock_guard lock(impl_->mutex);
  LYRE_CHECK(!impl_->watches.contains(fd), "a descriptor is watched once");
  Impl::Watch& watch = impl_->watches[fd];
  watch.key = impl_->next_key++;
  watch.events = events;
  watch.handler = std::make_shared<Handler>(std::move(handler));
  impl_->fd_of_key[watch.key] = fd;
  impl_->apply(fd, watch);
  if (watch.always_ready) impl_->wake();
}

void EventLoop::modify(int fd, uint32_t events) {
  std::lock_guard lock(impl_->mutex);
  auto watch = impl_->watches.find(fd);
  if (watch == impl_->watches.end() || watch->second.events == events) return;
  watch->second.events = events;
  impl_->apply(fd, watch->second);
  if (watch->second.always_ready) impl_->wake();
}

void EventLoop::remove(int fd) {
  std::unique_lock lock(impl_->mutex);
  auto found = impl_->watches.find(fd);
  if (found == impl_->watches.end()) return;
  const uint64_t key = found->second.key;
  found->second.events = 0;
  impl_->apply(fd, found->second);
  impl_->fd_of_key.erase(key);
  impl_->watches.erase(found);
  if (!impl_->on_thread()) impl_->idle.wait(lock, [&] { return impl_->running_key != key; });
}

void EventLoop::settle() {
  std::unique_lock lock(impl_->mutex);
  const uint64_t key = impl_->running_key;
  if (key && !impl_->on_thread()) impl_->idle.wait(lock, [&] { return impl_->running_key != key; });
}

void EventLoop::post(std::function<void()> function) {
  {
    std::lock_guard lock(impl_->mutex);
    if (impl_->stopped && !impl_->on_thread()) return;
    impl_->posted.push_back(std::move(function));
  }
  impl_->wake();
}

EventLoop::TimerId EventLoop::after_ns(int64_t delay_ns, std::function<void()> function) {
  std::lock_guard lock(impl_->mutex);
  const TimerId id = impl_->next_timer++;
  impl_->timers.emplace(monotonic_ns() + delay_ns, Impl::TimerEntry{id, std::move(function)});
  impl_->set_timer_fd();
  return id;
}

void EventLoop::cancel(TimerId id) {
  if (id == 0) return;
  std::unique_lock lock(impl_->mutex);
  for (auto timer = impl_->timers.begin(); timer != impl_->timers.end(); ++timer) {
    if (timer->second.id == id) {
      impl_->timers.erase(timer);
      break;
    }
  }
  if (!impl_->on_thread()) impl_->idle.wait(lock, [&] { return impl_->running_timer != id; });
}

}  // namespace lyre
