#include "machine/block/null_disk.h"

#include <cstring>

namespace lyre::machine::block {

NullDisk::NullDisk(EventLoop& loop, const NullDiskOptions& options) : loop_(loop), options_(options) {
  info_ = {"null-co", false, true, true};
}

void NullDisk::submit(std::span<BlockRequest* const> batch) {
  bool first;
  {
    std::lock_guard guard(mutex_);
    first = pending_.empty();
    pending_.insert(pending_.end(), batch.begin(), batch.end());
    undelivered_ += batch.size();
  }
  if (options_.latency_ns > 0) {
    loop_.after_ns(options_.latency_ns, [this] { deliver(); });
  } else if (first) {
    loop_.post([this] { deliver(); });
  }
}

void NullDisk::deliver() {
  std::vector<BlockRequest*> done;
  {
    std::lock_guard guard(mutex_);
    done.swap(pending_);
  }
  for (BlockRequest* request : done) {
    request->error = 0;
    if (request->op == Op::kRead && options_.read_zeroes) {
      for (const iovec& part : request->data) std::memset(part.iov_base, 0, part.iov_len);
    }
  }
  for (BlockRequest* request : done) request->client->block_done({&request, 1});
  std::lock_guard guard(mutex_);
  undelivered_ -= done.size();
  idle_.notify_all();
}

void NullDisk::drain() {
  if (loop_.on_loop_thread()) {
    deliver();
    return;
  }
  std::unique_lock lock(mutex_);
  idle_.wait(lock, [&] { return undelivered_ == 0; });
}

}  // namespace lyre::machine::block
