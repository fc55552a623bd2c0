#include "machine/block/aio.h"

#include <atomic>
#include <cerrno>
#include <cstring>

namespace lyre::machine::block {
namespace {

// Makes the real engine on first use.
class LazyAio final : public Aio {
 public:
  explicit LazyAio(EventLoop& loop) : loop_(loop) {}
  void submit(std::span<AioOp* const> batch) override {
    if (!real_) {
      real_ = make_uring_aio(loop_);
      if (!real_) real_ = make_thread_aio(loop_);
      made_.store(real_.get(), std::memory_order_release);
    }
    real_->submit(batch);
  }
  void wait_idle() override {
    if (Aio* real = made_.load(std::memory_order_acquire)) real->wait_idle();
  }
  const char* engine() const override {
    const Aio* real = made_.load(std::memory_order_acquire);
    return real ? real->engine() : "io_uring";
  }

 private:
  EventLoop& loop_;
  std::unique_ptr<Aio> real_;
  std::atomic<Aio*> made_{nullptr};
};

}  // namespace

Result<std::unique_ptr<Aio>> Aio::create(EventLoop& loop, AioEngine engine) {
  switch (engine) {
    case AioEngine::kThreads: return make_thread_aio(loop);
    case AioEngine::kIoUring: {
      auto aio = make_uring_aio(loop);
      if (!aio) return Error{std::string("aio=io_uring: the host kernel does not allow it (") + std::strerror(errno) + ")"};
      return aio;
    }
    case AioEngine::kAuto: break;
  }
  return std::unique_ptr<Aio>(std::make_unique<LazyAio>(loop));
}

}  // namespace lyre::machine::block
