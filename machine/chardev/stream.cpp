#include "machine/chardev/stream.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string>

#include "runtime/base/check.h"

namespace lyre::machine {
namespace {

constexpr size_t kQueueBytes = 64 * 1024;
constexpr size_t kReadBytes = 4096;
constexpr size_t kWriteBytes = 4096;  // PIPE_BUF: a pipe that polls writable takes this much without blocking
constexpr int kFlushPatienceMs = 2000;

bool is_socket(int fd) {
  struct stat status {};
  return fstat(fd, &status) == 0 && S_ISSOCK(status.st_mode);
}

ssize_t write_once(int fd, const uint8_t* data, size_t size) {
  const size_t chunk = std::min(size, kWriteBytes);
  ssize_t n;
  do {
    n = is_socket(fd) ? send(fd, data, chunk, MSG_DONTWAIT | MSG_NOSIGNAL) : ::write(fd, data, chunk);
  } while (n < 0 && errno == EINTR);
  return n;
}

}  // namespace

int reopen_nonblocking(int fd, int open_flags) {
  struct stat status {};
  if (fstat(fd, &status) < 0) return -1;
  // A file offset is shared with whoever else writes there; a socket cannot be opened and is sent to with MSG_DONTWAIT.
  if (S_ISREG(status.st_mode) || S_ISSOCK(status.st_mode)) return fcntl(fd, F_DUPFD_CLOEXEC, 3);
  const std::string path = "/proc/self/fd/" + std::to_string(fd);
  const int own = open(path.c_str(), open_flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  return own >= 0 ? own : fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

StreamChardev::StreamChardev(EventLoop& io) : io_(io), kick_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  LYRE_CHECK(kick_fd_ >= 0, "the host gives no eventfd for a character device");
  io_.add(kick_fd_, EventLoop::kReadable, [this](uint32_t) {
    uint64_t ticks = 0;
    if (::read(kick_fd_, &ticks, sizeof ticks) > 0) on_kick();
  });
}

StreamChardev::~StreamChardev() {
  LYRE_CHECK(shut_, "a stream chardev's destructor must begin with shut()");
  close(kick_fd_);
}

void StreamChardev::shut() {
  if (shut_) return;
  io_.remove(kick_fd_);
  shut_ = true;
  std::unique_lock lock(mutex_);
  const int in = in_.exchange(-1), out = out_.exchange(-1);
  lock.unlock();
  for (int fd : {in, out == in ? -1 : out}) {
    if (fd < 0) continue;
    io_.remove(fd);
    close(fd);
  }
  io_.settle();  // a handler may have found the peer gone, and closed the descriptors itself
}

void StreamChardev::kick() {
  const uint64_t one = 1;
  while (::write(kick_fd_, &one, sizeof one) < 0 && errno == EINTR) {
  }
}

std::shared_ptr<ChardevReceiver> StreamChardev::receiver() const {
  std::lock_guard lock(mutex_);
  return receiver_;
}

void StreamChardev::attach(ChardevReceiver receiver) {
  {
    std::lock_guard lock(mutex_);
    receiver_ = std::make_shared<ChardevReceiver>(std::move(receiver));
    announce_ = true;
  }
  kick();
}

void StreamChardev::accept_input() { kick(); }

bool StreamChardev::connected() const {
  std::lock_guard lock(mutex_);
  return in_ >= 0 || out_ >= 0;
}

void StreamChardev::send_event(ChardevEvent event) {
  auto to = receiver();
  if (to && to->event) to->event(event);
}

void StreamChardev::connect(int in, int out) {
  reading_ = writing_ = input_over_ = false;
  {
    std::lock_guard lock(mutex_);
    in_ = in;
    out_ = out;
    queue_.clear();
    queue_head_ = 0;
    announce_ = true;
  }
  auto ready = [this](uint32_t events) { on_ready(events); };
  if (in >= 0) io_.add(in, 0, ready);
  if (out >= 0 && out != in) io_.add(out, 0, ready);
  kick();
}

void StreamChardev::disconnect() {
  std::unique_lock lock(mutex_);
  const int in = in_.exchange(-1), out = out_.exchange(-1);
  queue_.clear();
  queue_head_ = 0;
  const bool starved = std::exchange(starved_, false);
  lock.unlock();
  if (in < 0 && out < 0) return;
  for (int fd : {in, out == in ? -1 : out}) {
    if (fd < 0) continue;
    io_.remove(fd);
    close(fd);
  }
  send_event(ChardevEvent::kClosed);
  auto to = receiver();
  if (starved && to && to->can_write) to->can_write();
}

void StreamChardev::stop_input() {
  input_over_ = true;
  reading_ = false;
  update_watches();
}

void StreamChardev::drop_output() {
  std::unique_lock lock(mutex_);
  const int out = out_.exchange(-1);
  queue_.clear();
  queue_head_ = 0;
  const bool starved = std::exchange(starved_, false);
  lock.unlock();
  writing_ = false;
  if (out >= 0 && out != in_) {
    io_.remove(out);
    close(out);
  }
  auto to = receiver();
  if (starved && to && to->can_write) to->can_write();
}

size_t StreamChardev::write(std::span<const uint8_t> bytes) {
  size_t taken;
  bool wake;
  {
    std::lock_guard lock(mutex_);
    if (out_ < 0) return bytes.size();
    const size_t queued = queue_.size() - queue_head_;
    taken = std::min(bytes.size(), kQueueBytes - queued);
    wake = queued == 0 && taken;
    queue_.insert(queue_.end(), bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(taken));
    if (taken < bytes.size()) starved_ = true;
  }
  if (wake) kick();
  return taken;
}

StreamChardev::Sent StreamChardev::send_locked() {
  while (queue_head_ < queue_.size()) {
    if (out_ < 0) return Sent::kFailed;
    const ssize_t n = write_once(out_, queue_.data() + queue_head_, queue_.size() - queue_head_);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return Sent::kLater;
    if (n <= 0) return Sent::kFailed;
    queue_head_ += static_cast<size_t>(n);
  }
  queue_.clear();
  queue_head_ = 0;
  return Sent::kAll;
}

void StreamChardev::flush() {
  std::lock_guard lock(mutex_);
  int patience = kFlushPatienceMs;
  while (out_ >= 0 && send_locked() == Sent::kLater && patience > 0) {
    pollfd wait{out_, POLLOUT, 0};
    const size_t before = queue_.size() - queue_head_;
    poll(&wait, 1, 50);
    if (queue_.size() - queue_head_ == before) patience -= 50;
  }
}

void StreamChardev::drain() {
  Sent sent;
  bool room = false;
  {
    std::lock_guard lock(mutex_);
    if (queue_.empty() || out_ < 0) {
      writing_ = false;
      return;
    }
    sent = send_locked();
    if (queue_head_ > kQueueBytes / 2) {
      queue_.erase(queue_.begin(), queue_.begin() + static_cast<ptrdiff_t>(queue_head_));
      queue_head_ = 0;
    }
    if (starved_ && queue_.size() - queue_head_ <= kQueueBytes / 2) {
      room = true;
      starved_ = false;
    }
  }
  writing_ = sent == Sent::kLater;
  if (sent == Sent::kFailed) {
    output_failed();
    return;
  }
  auto to = receiver();
  if (room && to && to->can_write) to->can_write();
}

void StreamChardev::read_some() {
  auto to = receiver();
  const size_t room = to && to->can_receive ? to->can_receive() : 0;
  reading_ = room != 0;
  if (!room) return;
  std::array<uint8_t, kReadBytes> buffer;
  const int in = in_;
  if (in < 0) return;
  ssize_t n;
  do {
    n = ::read(in, buffer.data(), std::min(room, buffer.size()));
  } while (n < 0 && errno == EINTR);
  if (n > 0) {
    to->receive({buffer.data(), static_cast<size_t>(n)});
  } else if (n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK)) {
    input_ended();
  }
}

void StreamChardev::update_watches() {
  const uint32_t in_events = reading_ && !input_over_ ? EventLoop::kReadable : 0u;
  const uint32_t out_events = writing_ ? EventLoop::kWritable : 0u;
  const int in = in_, out = out_;
  if (in == out && in >= 0) {
    io_.modify(in, in_events | out_events);
    return;
  }
  if (in >= 0) io_.modify(in, in_events);
  if (out >= 0) io_.modify(out, out_events);
}

void StreamChardev::on_ready(uint32_t events) {
  const bool hangup = events & EventLoop::kHangup;
  if (writing_ && (hangup || (events & EventLoop::kWritable))) drain();
  // The input of another descriptor is only "ready" when it is ours that was watched for it: reading_ says so.
  if (in_ >= 0 && reading_ && !input_over_ && (hangup || (events & EventLoop::kReadable))) {
    pollfd ready{in_, POLLIN, 0};
    if (poll(&ready, 1, 0) > 0) read_some();
  }
  update_watches();
}

void StreamChardev::on_kick() {
  bool announce;
  {
    std::lock_guard lock(mutex_);
    announce = receiver_ && (in_ >= 0 || out_ >= 0) && std::exchange(announce_, false);
  }
  if (announce) send_event(ChardevEvent::kOpened);
  if (!writing_) drain();
  auto to = receiver();
  if (in_ >= 0) reading_ = to && to->can_receive && to->can_receive() > 0;
  update_watches();
}

}  // namespace lyre::machine
