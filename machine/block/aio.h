// Aio: asynchronous file operations on the I/O thread. io_uring where the kernel has it (its ring is made on first use, because making
// one costs time at start-up), else a small thread pool; both behave alike.
// Threads: submit() on the loop's thread; wait_idle() on any thread but with the loop running, or on the loop's thread itself.
#pragma once
#include <sys/types.h>
#include <sys/uio.h>

#include <cstdint>
#include <memory>
#include <span>

#include "runtime/base/event_loop.h"
#include "runtime/base/result.h"

namespace lyre::machine::block {

enum class AioKind : uint8_t { kReadv, kWritev, kSync, kPunchHole, kZeroRange, kNothing };

struct AioOp;

class AioClient {
 public:
  virtual ~AioClient() = default;
  virtual void aio_done(std::span<AioOp* const> done) = 0;
};

// Owned by the client; stays where it is until aio_done().
struct AioOp {
  AioKind kind = AioKind::kReadv;
  bool dsync = false;     // kWritev: durable before completion
  int fd = -1;
  uint64_t offset = 0;
  uint64_t bytes = 0;     // kPunchHole, kZeroRange
  const iovec* iov = nullptr;
  unsigned iov_count = 0;  // at most 1024
  AioClient* client = nullptr;
  ssize_t result = 0;     // bytes, or a negative errno; reads and writes may be short
};

enum class AioEngine : uint8_t { kAuto, kIoUring, kThreads };

class Aio {
 public:
  virtual ~Aio() = default;  // waits for what is in flight; nobody is told any more
  virtual void submit(std::span<AioOp* const> batch) = 0;
  virtual void wait_idle() = 0;
  virtual const char* engine() const = 0;  // "io_uring" or "threads", for `info block`; before the first use what is hoped for

  // kIoUring fails if the kernel refuses; kAuto takes the pool then.
  static Result<std::unique_ptr<Aio>> create(EventLoop& loop, AioEngine engine);
};

std::unique_ptr<Aio> make_thread_aio(EventLoop& loop);
// Null: the kernel has no io_uring for us, errno says why.
std::unique_ptr<Aio> make_uring_aio(EventLoop& loop);

}  // namespace lyre::machine::block
