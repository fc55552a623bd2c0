#include "machine/virtio/rng.h"

#include <fcntl.h>
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

namespace lyre::machine::virtio {
namespace {

constexpr uint16_t kDeviceId = 4;
constexpr uint16_t kQueueSize = 8;
constexpr int64_t kRetryNs = 10'000'000;  // a source that had nothing

}  // namespace

EntropySource host_entropy() {
  return [](std::span<std::byte> to) -> size_t {
    const ssize_t got = getrandom(to.data(), to.size(), 0);
    return got > 0 ? static_cast<size_t>(got) : 0;
  };
}

Result<EntropySource> file_entropy(const std::string& file) {
  const int fd = open(file.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return Error{"could not open '" + file + "': " + std::strerror(errno)};
  std::shared_ptr<const int> owned(new int(fd), [](const int* p) {
    close(*p);
    delete p;
  });
  return EntropySource([owned](std::span<std::byte> to) -> size_t {
    const ssize_t got = read(*owned, to.data(), to.size());
    return got > 0 ? static_cast<size_t>(got) : 0;
  });
}

VirtioRng::VirtioRng(VirtioContext context, EntropySource source, const RngOptions& options)
    : VirtioDevice(std::move(context), kDeviceId, 1), source_(std::move(source)), options_(options), quota_(options.max_bytes) {
  set_queue_size(0, kQueueSize);
}

VirtioRng::~VirtioRng() = default;

// With the lock. A short answer is fine (5.4.6): the driver asks again.
uint32_t VirtioRng::fill(const Chain& chain) {
  uint32_t written = 0;
  for (const iovec& part : chain.writable) {
    size_t done = 0;
    while (done < part.iov_len && quota_) {
      const size_t want = static_cast<size_t>(std::min<uint64_t>(part.iov_len - done, quota_));
      const size_t got = source_({static_cast<std::byte*>(part.iov_base) + done, want});
      if (!got) return written;
      done += got;
      quota_ -= got;
      written += static_cast<uint32_t>(got);
    }
    if (done < part.iov_len) break;
  }
  return written;
}

// With the lock.
void VirtioRng::retry_in(int64_t ns, bool refill) {
  waiting_ = true;
  loop().after_ns(ns, [this, refill] {
    {
      auto guard = lock();
      waiting_ = false;
      if (refill) quota_ = options_.max_bytes;
    }
    handle_queue(0);
  });
}

void VirtioRng::handle_queue(unsigned) {
  auto guard = lock();
  bool pushed = false;
  while (!waiting_ && running(0)) {
    if (!held_ && !pop(0, chain_)) {
      if (enable_notifications(0)) continue;
      break;
    }
    held_ = true;
    const uint32_t written = fill(chain_);
    // 5.4.6.2: one byte at least; until there is one the chain stays ours.
    if (!written && chain_.writable_bytes) {
      retry_in(quota_ ? kRetryNs : int64_t{options_.period_ms} * 1'000'000, quota_ == 0);
      break;
    }
    held_ = false;
    push(0, chain_, written);
    pushed = true;
  }
  if (pushed) publish(0);
}

}  // namespace lyre::machine::virtio
