// InterruptStatus: the interrupt status bits of the MMIO transport and of virtio-pci's ISR byte, and the wire that shows them.
// Reading takes no lock; changes take a lock of their own, so that a vCPU that acknowledges never waits for the device.
#pragma once
#include <atomic>
#include <functional>
#include <mutex>

#include "runtime/base/named_mutex.h"

namespace lyre::machine::virtio {

inline constexpr uint32_t kInterruptQueue = 1;
inline constexpr uint32_t kInterruptConfig = 2;

class InterruptStatus {
 public:
  // wire(level) is called under the lock, only when the level changes.
  explicit InterruptStatus(std::function<void(bool)> wire) : wire_(std::move(wire)) {}

  uint32_t bits() const { return bits_.load(std::memory_order_acquire); }
  void set(uint32_t bits) {
    std::lock_guard guard(mutex_);
    change(bits_.load(std::memory_order_relaxed) | bits);
  }
  void clear(uint32_t bits) {
    std::lock_guard guard(mutex_);
    change(bits_.load(std::memory_order_relaxed) & ~bits);
  }
  // Reads and clears, as the ISR byte of virtio-pci does (4.1.4.5).
  uint32_t take() {
    std::lock_guard guard(mutex_);
    const uint32_t old = bits_.load(std::memory_order_relaxed);
    change(0);
    return old;
  }

 private:
  void change(uint32_t now) {
    const uint32_t old = bits_.exchange(now, std::memory_order_acq_rel);
    if ((old != 0) != (now != 0)) wire_(now != 0);
  }
  std::function<void(bool)> wire_;
  NamedMutex mutex_{"virtio interrupt"};
  std::atomic<uint32_t> bits_{0};
};

}  // namespace lyre::machine::virtio
