// The thread pool engine: plain system calls on up to kMaxThreads threads, made as they are needed.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "machine/block/aio.h"

namespace lyre::machine::block {
namespace {

constexpr unsigned kMaxThreads = 8;

ssize_t perform(const AioOp& op) {
  const auto offset = static_cast<off_t>(op.offset);
  const auto count = static_cast<int>(op.iov_count);
  for (;;) {
    ssize_t result = -1;
    switch (op.kind) {
      case AioKind::kReadv: result = preadv(op.fd, op.iov, count, offset); break;
      case AioKind::kWritev: result = pwritev2(op.fd, op.iov, count, offset, op.dsync ? RWF_DSYNC : 0); break;
      case AioKind::kSync: result = fdatasync(op.fd); break;
      case AioKind::kNothing: result = 0; break;
      case AioKind::kPunchHole:
        result = fallocate(op.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, static_cast<off_t>(op.bytes));
        break;
      case AioKind::kZeroRange:
        result = fallocate(op.fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, offset, static_cast<off_t>(op.bytes));
        break;
    }
    if (result >= 0) return result;
    if (errno != EINTR) return -errno;
  }
}

class ThreadAio final : public Aio {
 public:
  explicit ThreadAio(EventLoop& loop) : loop_(loop), alive_(std::make_shared<bool>(true)) {}
  ~ThreadAio() override;
  void submit(std::span<AioOp* const> batch) override;
  void wait_idle() override;
  const char* engine() const override { return "threads"; }

 private:
  void work();
  void deliver();

  EventLoop& loop_;
  std::shared_ptr<bool> alive_;  // false once we are gone; looked at on the loop's thread only
  std::mutex mutex_;
  std::condition_variable wake_;   // work came, or the end
  std::condition_variable done_;   // something was finished or delivered
  std::deque<AioOp*> queue_;
  std::vector<AioOp*> finished_;
  std::vector<std::thread> threads_;
  unsigned idle_ = 0;
  size_t undelivered_ = 0;  // submitted, and the client not yet told
  bool stop_ = false;
};

ThreadAio::~ThreadAio() {
  {
    std::lock_guard guard(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
  *alive_ = false;
}

void ThreadAio::submit(std::span<AioOp* const> batch) {
  {
    std::lock_guard guard(mutex_);
    queue_.insert(queue_.end(), batch.begin(), batch.end());
    undelivered_ += batch.size();
    while (idle_ < queue_.size() && threads_.size() < kMaxThreads) {
      threads_.emplace_back([this] { work(); });
      ++idle_;
    }
  }
  if (batch.size() == 1) {
    wake_.notify_one();
  } else {
    wake_.notify_all();
  }
}

void ThreadAio::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [&] { return stop_ || !queue_.empty(); });
    if (queue_.empty()) return;
    AioOp* op = queue_.front();
    queue_.pop_front();
    --idle_;
    lock.unlock();
    op->result = perform(*op);
    lock.lock();
    ++idle_;
    finished_.push_back(op);
    done_.notify_all();
    if (finished_.size() == 1) {
      loop_.post([this, alive = alive_] {
        if (*alive) deliver();
      });
    }
  }
}

void ThreadAio::deliver() {
  std::vector<AioOp*> batch;
  {
    std::lock_guard guard(mutex_);
    batch.swap(finished_);
  }
  // Runs of one client together, so that it can act on the batch at once.
  for (size_t i = 0; i < batch.size();) {
    size_t end = i + 1;
    while (end < batch.size() && batch[end]->client == batch[i]->client) ++end;
    batch[i]->client->aio_done(std::span(batch).subspan(i, end - i));
    i = end;
  }
  std::lock_guard guard(mutex_);
  undelivered_ -= batch.size();
  done_.notify_all();
}

void ThreadAio::wait_idle() {
  std::unique_lock lock(mutex_);
  if (!loop_.on_loop_thread()) {
    done_.wait(lock, [&] { return undelivered_ == 0; });
    return;
  }
  while (undelivered_) {
    done_.wait(lock, [&] { return !finished_.empty() || undelivered_ == 0; });
    lock.unlock();
    deliver();
    lock.lock();
  }
}

}  // namespace

std::unique_ptr<Aio> make_thread_aio(EventLoop& loop) { return std::make_unique<ThreadAio>(loop); }

}  // namespace lyre::machine::block
