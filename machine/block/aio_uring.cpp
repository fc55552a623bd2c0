// The io_uring engine: one ring, filled and reaped on the I/O thread, one io_uring_enter() a batch.
#include <fcntl.h>
#include <liburing.h>

#include <cerrno>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <vector>

#include "machine/block/aio.h"
#include "runtime/base/check.h"

namespace lyre::machine::block {
namespace {

constexpr unsigned kEntries = 256;

class UringAio final : public Aio {
 public:
  UringAio(EventLoop& loop, const io_uring& ring) : loop_(loop), ring_(ring) {
    loop_.add(ring_.ring_fd, EventLoop::kReadable, [this](uint32_t) { reap(); });
  }
  ~UringAio() override;
  void submit(std::span<AioOp* const> batch) override;
  void wait_idle() override;
  const char* engine() const override { return "io_uring"; }

 private:
  void pump();
  bool fill(AioOp& op);
  size_t collect(std::vector<AioOp*>& done);
  void reap();

  EventLoop& loop_;
  io_uring ring_;
  std::deque<AioOp*> waiting_;  // no room in the ring
  unsigned in_kernel_ = 0;
  std::mutex mutex_;            // undelivered_ only: for wait_idle() of other threads
  std::condition_variable idle_;
  size_t undelivered_ = 0;
};

UringAio::~UringAio() {
  loop_.remove(ring_.ring_fd);
  std::vector<AioOp*> dropped;
  waiting_.clear();
  while (in_kernel_) {
    io_uring_cqe* cqe = nullptr;
    const int result = io_uring_wait_cqe(&ring_, &cqe);
    if (result < 0 && result != -EINTR) break;
    collect(dropped);
  }
  io_uring_queue_exit(&ring_);
}

bool UringAio::fill(AioOp& op) {
  io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
  if (!sqe) return false;
  switch (op.kind) {
    case AioKind::kReadv: io_uring_prep_readv(sqe, op.fd, op.iov, op.iov_count, op.offset); break;
    case AioKind::kWritev:
      io_uring_prep_writev(sqe, op.fd, op.iov, op.iov_count, op.offset);
      if (op.dsync) sqe->rw_flags = RWF_DSYNC;
      break;
    case AioKind::kSync: io_uring_prep_fsync(sqe, op.fd, IORING_FSYNC_DATASYNC); break;
    case AioKind::kNothing: io_uring_prep_nop(sqe); break;
    case AioKind::kPunchHole:
    case AioKind::kZeroRange: {
      const int mode = (op.kind == AioKind::kPunchHole ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE) | FALLOC_FL_KEEP_SIZE;
      io_uring_prep_fallocate(sqe, op.fd, mode, static_cast<off_t>(op.offset), static_cast<off_t>(op.bytes));
      break;
    }
  }
  io_uring_sqe_set_data(sqe, &op);
  return true;
}

void UringAio::submit(std::span<AioOp* const> batch) {
  {
    std::lock_guard guard(mutex_);
    undelivered_ += batch.size();
  }
  waiting_.insert(waiting_.end(), batch.begin(), batch.end());
  pump();
}

// Never more in the kernel than the completion ring holds.
void UringAio::pump() {
  bool filled = false;
  while (!waiting_.empty() && in_kernel_ < kEntries && fill(*waiting_.front())) {
    waiting_.pop_front();
    ++in_kernel_;
    filled = true;
  }
  while (filled) {
    const int result = io_uring_submit(&ring_);
    // EAGAIN, EBUSY: the kernel is short of memory for a moment.
    if (result >= 0) break;
    LYRE_CHECK(result == -EINTR || result == -EAGAIN || result == -EBUSY, "io_uring refused a submission");
  }
}

size_t UringAio::collect(std::vector<AioOp*>& done) {
  io_uring_cqe* cqe;
  unsigned head;
  unsigned count = 0;
  io_uring_for_each_cqe(&ring_, head, cqe) {
    auto* op = static_cast<AioOp*>(io_uring_cqe_get_data(cqe));
    op->result = cqe->res;
    done.push_back(op);
    ++count;
  }
  io_uring_cq_advance(&ring_, count);
  in_kernel_ -= count;
  return count;
}

void UringAio::reap() {
  std::vector<AioOp*> done;
  collect(done);
  if (done.empty()) return;
  size_t told = 0;
  for (size_t i = 0; i < done.size();) {
    if (done[i]->result == -EINTR || done[i]->result == -EAGAIN) {
      waiting_.push_back(done[i++]);
      continue;
    }
    size_t end = i + 1;
    while (end < done.size() && done[end]->client == done[i]->client && done[end]->result != -EINTR && done[end]->result != -EAGAIN) ++end;
    done[i]->client->aio_done(std::span(done).subspan(i, end - i));
    told += end - i;
    i = end;
  }
  pump();
  std::lock_guard guard(mutex_);
  undelivered_ -= told;
  if (undelivered_ == 0) idle_.notify_all();
}

void UringAio::wait_idle() {
  std::unique_lock lock(mutex_);
  if (!loop_.on_loop_thread()) {
    idle_.wait(lock, [&] { return undelivered_ == 0; });
    return;
  }
  while (undelivered_) {
    lock.unlock();
    io_uring_cqe* cqe = nullptr;
    io_uring_wait_cqe(&ring_, &cqe);
    reap();
    lock.lock();
  }
}

}  // namespace

std::unique_ptr<Aio> make_uring_aio(EventLoop& loop) {
  io_uring ring;
  const int result = io_uring_queue_init(kEntries, &ring, 0);
  if (result < 0) {
    errno = -result;
    return nullptr;
  }
  // A kernel that has the ring but lacks what we use (before 5.6) is treated as one without.
  io_uring_probe* probe = io_uring_get_probe_ring(&ring);
  const bool enough = probe && io_uring_opcode_supported(probe, IORING_OP_READV) &&
                      io_uring_opcode_supported(probe, IORING_OP_WRITEV) && io_uring_opcode_supported(probe, IORING_OP_FSYNC) &&
                      io_uring_opcode_supported(probe, IORING_OP_FALLOCATE);
  if (probe) io_uring_free_probe(probe);
  if (!enough) {
    io_uring_queue_exit(&ring);
    errno = ENOSYS;
    return nullptr;
  }
  return std::make_unique<UringAio>(loop, ring);
}

}  // namespace lyre::machine::block
