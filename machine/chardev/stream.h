// StreamChardev: a chardev over host file descriptors: an output queue, input with flow control, both served on the I/O
// thread. Backends derive from it and decide which descriptors there are and what happens when the far end leaves.
// Threads: write, accept_input, flush and attach from any; everything else on the I/O thread, or in the constructor
// before the front end is attached. No lock is held while a front end's callback runs, so a front end may hold its own
// lock over write().
#pragma once
#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

#include "machine/chardev/chardev.h"

namespace lyre::machine {

class StreamChardev : public Chardev {
 public:
  explicit StreamChardev(EventLoop& io);
  ~StreamChardev() override;
  size_t write(std::span<const uint8_t> bytes) final;
  void attach(ChardevReceiver receiver) final;
  void accept_input() final;
  void flush() final;

 protected:
  // Takes ownership of the descriptors, which may be the same; -1: this direction does not exist. Sends kOpened.
  void connect(int in, int out);
  // Closes them, drops what is queued, sends kClosed. Harmless if not connected.
  void disconnect();
  bool connected() const;
  void stop_input();   // end of file: never read again on this connection
  void drop_output();  // nobody reads any more: what is queued and what comes is dropped, input goes on
  // A derived class's destructor calls it first: afterwards no handler runs.
  void shut();

  virtual void input_ended() = 0;  // read gave end of file or an error
  virtual void output_failed() { disconnect(); }
  EventLoop& io() { return io_; }

 private:
  enum class Sent : uint8_t { kAll, kLater, kFailed };
  Sent send_locked();
  void kick();
  void on_kick();
  void on_ready(uint32_t events);
  void drain();
  void read_some();
  void update_watches();
  void send_event(ChardevEvent event);
  std::shared_ptr<ChardevReceiver> receiver() const;

  EventLoop& io_;
  const int kick_fd_;  // an eventfd: removing it from the loop is the barrier that posting a function could not be
  mutable std::mutex mutex_;
  std::shared_ptr<ChardevReceiver> receiver_;
  std::vector<uint8_t> queue_;
  size_t queue_head_ = 0;
  std::atomic<int> in_{-1}, out_{-1};  // -1: none; who exchanges one for -1 closes it
  bool starved_ = false;   // a write was cut short: can_write is owed
  bool announce_ = false;  // kOpened is owed to a new receiver
  bool shut_ = false;
  // I/O thread only.
  bool reading_ = false, writing_ = false, input_over_ = false;
};

// A descriptor of our own for the same file that does not block, without changing the flags of the shared one (the
// shell's terminal). -1 if the host refuses.
int reopen_nonblocking(int fd, int open_flags);

}  // namespace lyre::machine
