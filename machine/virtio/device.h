// VirtioDevice: what every virtio device has, whatever the transport: status, feature negotiation, queues, notifications, the failed
// state (virtio 1.3, 2.1 - 2.6, 3.1). A transport turns registers into calls of the first group; a device implements the second.
// Threads and locks: one mutex a device. Transport calls come from vCPU threads and take it. notify() takes no lock: it marks the queue
// and wakes the I/O thread, where handle_queue() runs without the lock held and takes it itself. A vCPU thus waits for a device only
// when it resets it. Nothing is called back into the transport's registers; interrupts go out through VirtioTransport.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "machine/bus/dma.h"
#include "machine/virtio/ring.h"
#include "runtime/base/event_loop.h"
#include "runtime/base/named_mutex.h"

namespace lyre::machine::virtio {

inline constexpr uint8_t kStatusAcknowledge = 1;
inline constexpr uint8_t kStatusDriver = 2;
inline constexpr uint8_t kStatusDriverOk = 4;
inline constexpr uint8_t kStatusFeaturesOk = 8;
inline constexpr uint8_t kStatusNeedsReset = 64;
inline constexpr uint8_t kStatusFailed = 128;

constexpr uint64_t feature(unsigned bit) { return uint64_t{1} << bit; }
inline constexpr uint64_t kFeatureIndirect = feature(28);
inline constexpr uint64_t kFeatureEventIdx = feature(29);
inline constexpr uint64_t kFeatureVersion1 = feature(32);
inline constexpr uint64_t kFeaturePacked = feature(34);
inline constexpr uint64_t kFeatureRingReset = feature(40);

// Where interrupts go. Called with the device's lock held, from any thread.
class VirtioTransport {
 public:
  virtual ~VirtioTransport() = default;
  virtual void queue_interrupt(unsigned queue) = 0;
  virtual void config_interrupt() = 0;
  virtual void clear_interrupts() = 0;  // the device was reset
};

// What of the ring features is offered; properties of every virtio device.
struct RingOptions {
  bool packed = false;
  bool event_idx = true;
  bool indirect = true;
  bool ring_reset = true;
};

// What every device is made with.
struct VirtioContext {
  Dma dma;
  EventLoop* loop;
  std::string name;  // for messages: "virtio-blk 'disk0'"
  RingOptions rings;
};

class VirtQueue {
 public:
  uint16_t max_size = 0;     // 0: the queue is not available
  uint16_t size = 0;         // as the driver set it
  Gpa descriptors, driver, device;
  bool enabled = false;

  bool usable() const { return ring_ != nullptr && !ring_->error(); }
  Ring& ring() { return *ring_; }

 private:
  friend class VirtioDevice;
  std::unique_ptr<Ring> ring_;
  std::atomic<bool> notified_{false};
};

class VirtioDevice {
 public:
  // Destroyed only when the I/O thread has stopped or runs nothing of the device any more.
  VirtioDevice(VirtioContext context, uint16_t device_id, unsigned queues);
  virtual ~VirtioDevice();
  VirtioDevice(const VirtioDevice&) = delete;
  VirtioDevice& operator=(const VirtioDevice&) = delete;

  // ---- For transports. Any thread.
  void connect(VirtioTransport& transport) { transport_ = &transport; }
  uint16_t device_id() const { return device_id_; }
  const std::string& name() const { return context_.name; }
  unsigned queue_count() const { return static_cast<unsigned>(queues_.size()); }
  uint64_t offered_features() const;
  uint64_t driver_features() const;
  void set_driver_features(unsigned word, uint32_t value);  // word 0: bits 0 to 31
  uint8_t status() const { return status_.load(std::memory_order_acquire); }
  void set_status(uint8_t value);
  // A queue's set-up: `change` runs under the lock; queues beyond queue_count() and enabled ones are left alone.
  template <typename Change>
  void configure_queue(unsigned index, Change change) {
    std::lock_guard guard(mutex_);
    if (index < queues_.size() && !queues_[index].enabled) change(queues_[index]);
  }
  template <typename Read>
  uint64_t read_queue(unsigned index, Read read) const {
    std::lock_guard guard(mutex_);
    return index < queues_.size() ? static_cast<uint64_t>(read(queues_[index])) : 0;
  }
  void enable_queue(unsigned index);
  void reset_queue(unsigned index);  // 2.6.1; also QueueReady = 0 of the MMIO transport
  void notify(unsigned index);
  uint32_t read_config(uint64_t offset, unsigned size);  // bytes past the end read as zero
  void write_config(uint64_t offset, unsigned size, uint32_t value);
  uint32_t config_generation() const { return config_generation_.load(std::memory_order_acquire); }
  void reset();

  // ---- For devices. With the lock held, except where it says otherwise.
 protected:
  std::unique_lock<NamedMutex> lock() const { return std::unique_lock(mutex_); }
  bool negotiated(uint64_t features) const { return (driver_features_ & features) == features; }
  // Driver and device are ready and the queue works.
  bool running(unsigned index) const {
    return (status() & kStatusDriverOk) && !failed_ && queues_[index].enabled && queues_[index].usable();
  }
  VirtQueue& queue(unsigned index) { return queues_[index]; }
  // Next chain of a queue, or false: none, or the ring is broken and the device has failed.
  bool pop(unsigned index, Chain& chain);
  void push(unsigned index, const Chain& chain, uint32_t written) { queues_[index].ring().push(chain, written); }
  // Makes pushed chains visible, with at most one interrupt.
  void publish(unsigned index);
  // True: more chains came meanwhile.
  bool enable_notifications(unsigned index) { return running(index) && queues_[index].ring().set_notifications(true); }
  void disable_notifications(unsigned index) {
    if (running(index)) queues_[index].ring().set_notifications(false);
  }
  // The driver did something that we cannot go on from (2.1.2): said once until the next reset.
  void fail(const char* why);
  bool failed() const { return failed_; }
  // The configuration space changed; tells the driver.
  void config_changed();
  // Marks a queue and wakes the I/O thread; without the lock or with it.
  void schedule(unsigned index);
  void set_queue_size(unsigned index, uint16_t max_size);
  EventLoop& loop() { return *context_.loop; }
  const VirtioContext& context() const { return context_; }
  const Dma& dma() const { return context_.dma; }

  // ---- What a device implements.
  virtual uint64_t device_features() const = 0;
  // The configuration space; its size never changes. With the lock.
  virtual std::span<const uint8_t> config() = 0;
  virtual void config_written(uint64_t /*offset*/, unsigned /*size*/, uint32_t /*value*/) {}
  // On the I/O thread, without the lock.
  virtual void handle_queue(unsigned index) = 0;
  // Returns when no request touches guest memory any more and keeps those that end later from doing so. Without the lock; any thread.
  virtual void quiesce() {}
  // Forgets chains of that queue (after quiesce). With the lock.
  virtual void queue_was_reset(unsigned /*index*/) {}
  // Back to the state after power-on (after quiesce, all queues were reset). With the lock.
  virtual void device_reset() {}
  // FEATURES_OK was accepted; DRIVER_OK was set. With the lock.
  virtual void features_negotiated() {}
  virtual void driver_ready() {}

 private:
  void run_queues();
  bool features_acceptable() const;
  void drop_queue(unsigned index);

  const VirtioContext context_;
  const uint16_t device_id_;
  VirtioTransport* transport_ = nullptr;
  mutable NamedMutex mutex_;
  std::vector<VirtQueue> queues_;
  std::atomic<uint8_t> status_{0};
  uint64_t driver_features_ = 0;
  bool failed_ = false;
  std::atomic<uint32_t> config_generation_{0};
  std::atomic<bool> scheduled_{false};
};

}  // namespace lyre::machine::virtio
