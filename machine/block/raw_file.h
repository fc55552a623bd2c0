// RawFile: a disk whose bytes are a file's (or host block device's) bytes. Short transfers are continued, what lies past the end of the
// file reads as zeros, and requests that do not fit O_DIRECT's alignment go through a second, buffered descriptor.
// Threads: as BlockBackend says; all state belongs to the I/O thread.
#pragma once
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "machine/block/aio.h"
#include "machine/block/backend.h"
#include "runtime/base/result.h"

namespace lyre::machine::block {

struct RawFileOptions {
  std::string file;
  bool read_only = false;
  bool auto_read_only = false;  // fall back to read-only if the file cannot be written
  bool direct = false;          // cache.direct: O_DIRECT
  bool no_flush = false;        // cache.no-flush: flushes do nothing
  bool write_cache = true;      // off: every write is durable before it completes, if the guest cannot ask for that itself
  bool discard = false;         // discard=unmap
  bool share_writes = false;
  enum class Locking : uint8_t { kAuto, kOn, kOff } locking = Locking::kAuto;
  AioEngine aio = AioEngine::kAuto;
  uint64_t offset = 0;          // where the disk starts in the file
  uint64_t bytes = 0;           // 0: to the end of the file
};

class RawFile final : public BlockBackend, private AioClient {
 public:
  static Result<std::unique_ptr<RawFile>> open(EventLoop& loop, const RawFileOptions& options);
  // An unnamed file that vanishes with the process, `bytes` long and without blocks.
  static Result<std::unique_ptr<RawFile>> temporary(EventLoop& loop, uint64_t bytes);
  ~RawFile() override;

  uint64_t size() const override { return size_; }
  const BlockInfo& info() const override { return info_; }
  void submit(std::span<BlockRequest* const> batch) override;
  void drain() override { aio_->wait_idle(); }
  const char* engine() const { return aio_->engine(); }

 private:
  struct Job;
  explicit RawFile(RawFileOptions options);
  Status open_files();
  Status measure();
  Job& new_job(BlockRequest& request);
  void prepare(Job& job);
  void prepare_zeroes(Job& job);
  void write_zero_piece(Job& job);
  bool fits_direct(const BlockRequest& request) const;
  bool step(Job& job);  // true: finished
  bool step_transfer(Job& job);
  bool finish(Job& job, int error);
  void aio_done(std::span<AioOp* const> done) override;

  const RawFileOptions options_;
  BlockInfo info_;
  int fd_ = -1;
  int direct_fd_ = -1;
  uint32_t direct_alignment_ = 512;
  uint64_t size_ = 0;
  std::vector<std::unique_ptr<Job>> jobs_;  // all there are
  std::vector<Job*> free_jobs_;
  std::unique_ptr<Aio> aio_;                // last: its end waits for what is in flight
};

}  // namespace lyre::machine::block
