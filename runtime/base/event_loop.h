// EventLoop: one I/O thread that waits on file descriptors, runs posted functions and host-time timers.
// Devices never do host I/O on a vCPU thread: they post here. Threads: add/modify/remove/post from any thread; handlers
// run on the loop's thread only, one at a time. remove() returns after a running handler of that fd has finished unless it
// is called from the loop's own thread. Cold.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>

namespace lyre {

class EventLoop {
 public:
  enum : uint32_t { kReadable = 1, kWritable = 2, kHangup = 4, kUrgent = 8 };  // kUrgent: out-of-band data of a socket
  using Handler = std::function<void(uint32_t events)>;
  using TimerId = uint64_t;

  EventLoop();
  ~EventLoop();  // stops and joins
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  void start(const char* thread_name);
  void stop();  // drains posted functions, then joins; idempotent
  bool on_loop_thread() const;

  void add(int fd, uint32_t events, Handler handler);  // does not own fd
                                                       // A file that cannot be polled (regular, /dev/null) is always ready.
  void modify(int fd, uint32_t events);                // 0 pauses it, hangups too
  void remove(int fd);
  // Returns after a handler that was running at the call has finished, also one that has removed its own fd. On the loop's thread: at once.
  void settle();
  void post(std::function<void()> function);           // after stop(): ignored
  // Host CLOCK_MONOTONIC nanoseconds from now. One shot.
  TimerId after_ns(int64_t delay_ns, std::function<void()> function);
  void cancel(TimerId id);  // waits for a running callback as remove() does; an id that has fired, or 0, is ignored

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace lyre
