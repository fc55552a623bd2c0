#include "machine/block/raw_file.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "machine/block/image_lock.h"
#include "runtime/base/bits.h"
#include "runtime/base/check.h"

namespace lyre::machine::block {
namespace {

constexpr unsigned kMaxIov = 1024;  // UIO_MAXIOV
constexpr size_t kZeroBytes = 64 * 1024;

alignas(4096) std::byte g_zeroes[kZeroBytes];

Error could_not(const char* what, const std::string& file, int error) {
  return Error{std::string("could not ") + what + " '" + file + "': " + std::strerror(error)};
}

// Moves an iovec list past its first `bytes` bytes.
void advance(std::vector<iovec>& list, uint64_t bytes) {
  size_t first = 0;
  while (first < list.size() && bytes >= list[first].iov_len) bytes -= list[first++].iov_len;
  list.erase(list.begin(), list.begin() + static_cast<ptrdiff_t>(first));
  if (bytes) {
    list[0].iov_base = static_cast<std::byte*>(list[0].iov_base) + bytes;
    list[0].iov_len -= bytes;
  }
}

}  // namespace

// One request on its way. The operation comes first in its life as the request says, then again for what was left over.
struct RawFile::Job : AioOp {
  BlockRequest* request = nullptr;
  uint64_t done = 0;        // bytes
  std::vector<iovec> rest;  // own list, once the request's no longer serves
  enum class Stage : uint8_t { kMain, kWriteZeroes, kSync } stage = Stage::kMain;
};

RawFile::RawFile(RawFileOptions options) : options_(std::move(options)) {}

RawFile::~RawFile() {
  aio_.reset();
  if (direct_fd_ >= 0) close(direct_fd_);
  if (fd_ >= 0) close(fd_);
}

Result<std::unique_ptr<RawFile>> RawFile::open(EventLoop& loop, const RawFileOptions& options) {
  std::unique_ptr<RawFile> disk(new RawFile(options));
  if (Status s = disk->open_files(); !s) return s.error();
  if (Status s = disk->measure(); !s) return s.error();
  auto aio = Aio::create(loop, options.aio);
  if (!aio) return aio.error();
  disk->aio_ = std::move(*aio);
  return disk;
}

Result<std::unique_ptr<RawFile>> RawFile::temporary(EventLoop& loop, uint64_t bytes) {
  const char* dir = std::getenv("TMPDIR");
  RawFileOptions options;
  options.file = std::string(dir && *dir ? dir : "/var/tmp");
  options.discard = true;
  std::unique_ptr<RawFile> disk(new RawFile(options));
  disk->fd_ = ::open(options.file.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (disk->fd_ < 0) {
    std::string name = options.file + "/lyrebird-XXXXXX";  // a file system without O_TMPFILE
    disk->fd_ = mkostemp(name.data(), O_CLOEXEC);
    if (disk->fd_ < 0) return could_not("create a temporary file in", options.file, errno);
    unlink(name.c_str());
  }
  if (ftruncate(disk->fd_, static_cast<off_t>(bytes)) < 0) return could_not("size a temporary file in", options.file, errno);
  disk->size_ = bytes;
  disk->info_ = {"temporary file in " + options.file, false, true, true};
  auto aio = Aio::create(loop, AioEngine::kAuto);
  if (!aio) return aio.error();
  disk->aio_ = std::move(*aio);
  return disk;
}

Status RawFile::open_files() {
  const std::string& file = options_.file;
  bool read_only = options_.read_only;
  fd_ = ::open(file.c_str(), (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);
  if (fd_ < 0 && !read_only && options_.auto_read_only && (errno == EACCES || errno == EROFS || errno == EPERM)) {
    read_only = true;
    fd_ = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  }
  if (fd_ < 0) return could_not("open", file, errno);
  if (options_.locking != RawFileOptions::Locking::kOff) {
    const bool must = options_.locking == RawFileOptions::Locking::kOn;
    if (Status s = lock_image(fd_, file, {!read_only, options_.share_writes}, must); !s) return s;
  }
  if (options_.direct) {
    direct_fd_ = ::open(file.c_str(), (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_DIRECT);
    if (direct_fd_ < 0) {
      if (errno == EINVAL) return Error{"'" + file + "': the file system does not support O_DIRECT (cache=none, cache=directsync)"};
      return could_not("open", file, errno);
    }
    struct statx status {};
    direct_alignment_ = 4096;
    if (statx(direct_fd_, "", AT_EMPTY_PATH, 0x2000 /* STATX_DIOALIGN */, &status) == 0 && (status.stx_mask & 0x2000)) {
      // stx_dio_mem_align and stx_dio_offset_align follow stx_mnt_id (Linux 6.1); C libraries name them later than kernels have them.
      uint32_t align[2];
      std::memcpy(align, reinterpret_cast<const char*>(&status) + 0x98, sizeof align);
      const uint32_t larger = std::max(align[0], align[1]);
      if (larger && is_power_of_two(larger)) direct_alignment_ = larger;
    }
  }
  info_.read_only = read_only;
  info_.write_cache = options_.write_cache;
  info_.discards = options_.discard;
  info_.description = file + " (raw" + (read_only ? ", read-only" : "") + ")";
  return Ok{};
}

Status RawFile::measure() {
  const std::string& file = options_.file;
  struct stat status {};
  if (fstat(fd_, &status) < 0) return could_not("measure", file, errno);
  uint64_t bytes = 0;
  if (S_ISREG(status.st_mode)) {
    bytes = static_cast<uint64_t>(status.st_size);
  } else if (S_ISBLK(status.st_mode)) {
    if (ioctl(fd_, BLKGETSIZE64, &bytes) < 0) return could_not("measure", file, errno);
  } else if (S_ISDIR(status.st_mode)) {
    return Error{"'" + file + "' is a directory, not a disk image"};
  } else {
    return Error{"'" + file + "' is neither a regular file nor a block device"};
  }
  if (options_.offset % 512 || options_.bytes % 512) return Error{"'" + file + "': offset= and size= must be multiples of 512"};
  if (options_.offset > bytes) return Error{"'" + file + "': offset= lies past the end of the file"};
  bytes -= options_.offset;
  if (options_.bytes) {
    if (options_.bytes > bytes) return Error{"'" + file + "': size= reaches past the end of the file"};
    bytes = options_.bytes;
  }
  size_ = align_up(bytes, 512);
  return Ok{};
}

RawFile::Job& RawFile::new_job(BlockRequest& request) {
  if (free_jobs_.empty()) {
    jobs_.push_back(std::make_unique<Job>());
    free_jobs_.push_back(jobs_.back().get());
  }
  Job& job = *free_jobs_.back();
  free_jobs_.pop_back();
  job.request = &request;
  job.done = 0;
  job.dsync = false;
  job.stage = Job::Stage::kMain;
  job.client = this;
  job.fd = fd_;
  return job;
}

bool RawFile::fits_direct(const BlockRequest& request) const {
  if (direct_fd_ < 0) return false;
  uint64_t together = (options_.offset + request.offset) | request.bytes;
  for (const iovec& part : request.data) together |= reinterpret_cast<uintptr_t>(part.iov_base) | part.iov_len;
  return together % direct_alignment_ == 0;
}

// Sets up the first operation of a job.
void RawFile::prepare(Job& job) {
  BlockRequest& request = *job.request;
  job.offset = options_.offset + request.offset;
  job.bytes = request.bytes;
  switch (request.op) {
    case Op::kRead:
    case Op::kWrite:
      job.kind = request.op == Op::kRead ? AioKind::kReadv : AioKind::kWritev;
      job.dsync = request.op == Op::kWrite && request.fua && !options_.no_flush;
      if (fits_direct(request)) job.fd = direct_fd_;
      job.iov = request.data.data();
      job.iov_count = static_cast<unsigned>(std::min<size_t>(request.data.size(), kMaxIov));
      break;
    case Op::kFlush: job.kind = AioKind::kSync; break;
    case Op::kDiscard: job.kind = AioKind::kPunchHole; break;
    case Op::kZeroes: prepare_zeroes(job); break;
  }
}

void RawFile::prepare_zeroes(Job& job) {
  job.kind = job.request->unmap && options_.discard ? AioKind::kPunchHole : AioKind::kZeroRange;
}

void RawFile::submit(std::span<BlockRequest* const> batch) {
  std::vector<AioOp*> ops;
  for (BlockRequest* request : batch) {
    request->error = 0;
    Job& job = new_job(*request);
    const bool changes = request->op == Op::kWrite || request->op == Op::kDiscard || request->op == Op::kZeroes;
    const bool nothing = (request->op == Op::kFlush && options_.no_flush) || (request->op == Op::kDiscard && !options_.discard) ||
                         (request->op != Op::kFlush && request->bytes == 0);
    if (changes && info_.read_only) request->error = EROFS;
    if (nothing || request->error) {
      job.kind = AioKind::kNothing;  // completes like the others, never from inside submit()
    } else {
      prepare(job);
    }
    ops.push_back(&job);
  }
  aio_->submit(ops);
}

bool RawFile::finish(Job& job, int error) {
  job.request->error = error;
  return true;
}

bool RawFile::step(Job& job) {
  if (job.kind == AioKind::kNothing) return true;
  const auto result = static_cast<int>(std::min<ssize_t>(job.result, 0));
  if (job.kind == AioKind::kReadv || job.kind == AioKind::kWritev) return step_transfer(job);
  if (job.kind == AioKind::kSync) return finish(job, -result);
  const bool unsupported = result == -EOPNOTSUPP || result == -ENOSYS || result == -ENODEV;
  if (job.request->op == Op::kDiscard) return finish(job, unsupported ? 0 : -result);  // a discard is a hint
  if (unsupported) {
    job.stage = Job::Stage::kWriteZeroes;
    write_zero_piece(job);
    return false;
  }
  if (result < 0 || !job.request->fua) return finish(job, -result);
  job.stage = Job::Stage::kSync;
  job.kind = AioKind::kSync;
  return false;
}

// The next piece of zeros to be written by hand.
void RawFile::write_zero_piece(Job& job) {
  uint64_t left = job.request->bytes - job.done;
  job.rest.clear();
  while (left && job.rest.size() < kMaxIov) {
    const uint64_t part = std::min<uint64_t>(left, kZeroBytes);
    job.rest.push_back({g_zeroes, part});
    left -= part;
  }
  job.kind = AioKind::kWritev;
  job.dsync = job.request->fua && !options_.no_flush;
  job.fd = fd_;
  job.offset = options_.offset + job.request->offset + job.done;
  job.iov = job.rest.data();
  job.iov_count = static_cast<unsigned>(job.rest.size());
}

bool RawFile::step_transfer(Job& job) {
  if (job.result < 0) return finish(job, static_cast<int>(-job.result));
  if (job.result == 0) {
    if (job.kind == AioKind::kWritev) return finish(job, EIO);
    // The end of the file: the rest of the disk reads as zeros.
    if (job.done == 0) job.rest.assign(job.request->data.begin(), job.request->data.end());
    for (const iovec& part : job.rest) std::memset(part.iov_base, 0, part.iov_len);
    return finish(job, 0);
  }
  const auto moved = static_cast<uint64_t>(job.result);
  const bool first = job.done == 0;
  job.done += moved;
  if (job.done >= job.request->bytes) return finish(job, 0);
  if (job.stage == Job::Stage::kWriteZeroes) {
    write_zero_piece(job);
    return false;
  }
  if (first) job.rest.assign(job.request->data.begin(), job.request->data.end());
  advance(job.rest, moved);
  job.offset += moved;
  job.fd = fd_;  // what is left may not be aligned
  job.iov = job.rest.data();
  job.iov_count = static_cast<unsigned>(std::min<size_t>(job.rest.size(), kMaxIov));
  return false;
}

void RawFile::aio_done(std::span<AioOp* const> done) {
  std::vector<BlockRequest*> finished;
  std::vector<AioOp*> again;
  for (AioOp* op : done) {
    Job& job = *static_cast<Job*>(op);
    if (step(job)) {
      finished.push_back(job.request);
      free_jobs_.push_back(&job);
    } else {
      again.push_back(&job);
    }
  }
  if (!again.empty()) aio_->submit(again);
  for (size_t i = 0; i < finished.size();) {
    size_t end = i + 1;
    while (end < finished.size() && finished[end]->client == finished[i]->client) ++end;
    finished[i]->client->block_done(std::span(finished).subspan(i, end - i));
    i = end;
  }
}

}  // namespace lyre::machine::block
