// NullDisk: the null-co driver: a disk that swallows writes and reads as zeros (read-zeroes=on) or leaves the buffer alone, after an
// optional delay. For benchmarks and tests. Threads: as BlockBackend says.
#pragma once
#include <condition_variable>
#include <mutex>
#include <vector>

#include "machine/block/backend.h"
#include "runtime/base/event_loop.h"

namespace lyre::machine::block {

struct NullDiskOptions {
  uint64_t bytes = uint64_t{1} << 30;
  int64_t latency_ns = 0;
  bool read_zeroes = false;
};

class NullDisk final : public BlockBackend {
 public:
  NullDisk(EventLoop& loop, const NullDiskOptions& options);
  uint64_t size() const override { return options_.bytes; }
  const BlockInfo& info() const override { return info_; }
  void submit(std::span<BlockRequest* const> batch) override;
  void drain() override;

 private:
  void deliver();
  EventLoop& loop_;
  const NullDiskOptions options_;
  BlockInfo info_;
  std::mutex mutex_;
  std::condition_variable idle_;
  std::vector<BlockRequest*> pending_;
  size_t undelivered_ = 0;
};

}  // namespace lyre::machine::block
