#include "machine/virtio/device.h"

#include "runtime/base/bits.h"
#include "runtime/base/log.h"

namespace lyre::machine::virtio {
namespace {

// By the device ids of section 5.
const char* lock_name(uint16_t device_id) {
  switch (device_id) {
    case 1: return "virtio-net";
    case 2: return "virtio-blk";
    case 3: return "virtio-serial";
    case 4: return "virtio-rng";
    case 18: return "virtio-keyboard";
    default: return "a virtio device";
  }
}

}  // namespace

VirtioDevice::VirtioDevice(VirtioContext context, uint16_t device_id, unsigned queues)
    : context_(std::move(context)), device_id_(device_id), mutex_(lock_name(device_id)), queues_(queues) {}

VirtioDevice::~VirtioDevice() = default;

uint64_t VirtioDevice::offered_features() const {
  uint64_t features = kFeatureVersion1 | device_features();
  if (context_.rings.packed) features |= kFeaturePacked;
  if (context_.rings.event_idx) features |= kFeatureEventIdx;
  if (context_.rings.indirect) features |= kFeatureIndirect;
  if (context_.rings.ring_reset) features |= kFeatureRingReset;
  return features;
}

uint64_t VirtioDevice::driver_features() const {
  std::lock_guard guard(mutex_);
  return driver_features_;
}

void VirtioDevice::set_driver_features(unsigned word, uint32_t value) {
  std::lock_guard guard(mutex_);
  // 3.1.1: features are settled once FEATURES_OK is set.
  if (word > 1 || (status() & kStatusFeaturesOk)) return;
  driver_features_ = word == 0 ? (driver_features_ & ~uint64_t{0xffffffff}) | value
                               : (driver_features_ & 0xffffffff) | uint64_t{value} << 32;
}

bool VirtioDevice::features_acceptable() const {
  // 6.1: VERSION_1 is a must for a modern device; 2.2.2: nothing that was not offered.
  return (driver_features_ & kFeatureVersion1) && !(driver_features_ & ~offered_features());
}

void VirtioDevice::set_status(uint8_t value) {
  if (value == 0) {
    reset();
    return;
  }
  std::unique_lock guard(mutex_);
  const uint8_t old = status();
  // 2.1: the driver sets bits; only a reset clears them. NEEDS_RESET is ours.
  auto now = static_cast<uint8_t>(old | (value & ~kStatusNeedsReset));
  if ((now & ~old & kStatusFeaturesOk) && !features_acceptable()) {
    LYRE_GUEST_ERROR("%s: the driver's features 0x%llx are not acceptable", name().c_str(),
                     static_cast<unsigned long long>(driver_features_));
    now = static_cast<uint8_t>(now & ~kStatusFeaturesOk);
  }
  status_.store(now, std::memory_order_release);
  if (now & ~old & kStatusFeaturesOk) features_negotiated();
  if (now & ~old & kStatusDriverOk) {
    if (failed_) {
      status_.store(static_cast<uint8_t>(now | kStatusNeedsReset), std::memory_order_release);
      if (transport_) transport_->config_interrupt();
      return;
    }
    driver_ready();
    for (unsigned i = 0; i < queues_.size(); ++i) {
      if (queues_[i].enabled) schedule(i);  // buffers may lie there already
    }
  }
}

void VirtioDevice::enable_queue(unsigned index) {
  std::lock_guard guard(mutex_);
  if (index >= queues_.size()) return;
  VirtQueue& q = queues_[index];
  if (q.enabled || failed_) return;
  if (q.max_size == 0 || q.size > q.max_size) {
    fail("a queue was enabled that does not exist or is larger than allowed");
    return;
  }
  const RingConfig config{q.descriptors, q.driver,
                          q.device,      q.size,
                          negotiated(kFeatureIndirect), negotiated(kFeatureEventIdx)};
  const char* why = nullptr;
  q.ring_ = negotiated(kFeaturePacked) ? make_packed_ring(dma(), config, why) : make_split_ring(dma(), config, why);
  if (!q.ring_) {
    fail(why);
    return;
  }
  q.enabled = true;
}

// With the lock.
void VirtioDevice::drop_queue(unsigned index) {
  VirtQueue& q = queues_[index];
  q.enabled = false;
  q.ring_.reset();
  q.notified_.store(false, std::memory_order_relaxed);
  q.size = q.max_size;
  q.descriptors = q.driver = q.device = Gpa{};
  queue_was_reset(index);
}

void VirtioDevice::reset_queue(unsigned index) {
  {
    std::lock_guard guard(mutex_);
    if (index >= queues_.size() || !queues_[index].enabled) return;
    queues_[index].enabled = false;  // nothing new starts
  }
  quiesce();
  std::lock_guard guard(mutex_);
  drop_queue(index);
}

void VirtioDevice::reset() {
  {
    std::lock_guard guard(mutex_);
    for (VirtQueue& q : queues_) q.enabled = false;
  }
  quiesce();
  std::lock_guard guard(mutex_);
  for (unsigned i = 0; i < queues_.size(); ++i) drop_queue(i);
  driver_features_ = 0;
  failed_ = false;
  device_reset();
  status_.store(0, std::memory_order_release);
  if (transport_) transport_->clear_interrupts();
}

void VirtioDevice::notify(unsigned index) {
  // 4.2.3.3: a driver that knows no such queue is ignored.
  if (index < queues_.size() && (status() & kStatusDriverOk)) schedule(index);
}

void VirtioDevice::schedule(unsigned index) {
  queues_[index].notified_.store(true, std::memory_order_seq_cst);
  if (!scheduled_.exchange(true, std::memory_order_seq_cst)) loop().post([this] { run_queues(); });
}

void VirtioDevice::run_queues() {
  scheduled_.store(false, std::memory_order_seq_cst);
  for (unsigned i = 0; i < queues_.size(); ++i) {
    if (queues_[i].notified_.exchange(false, std::memory_order_seq_cst)) handle_queue(i);
  }
}

uint32_t VirtioDevice::read_config(uint64_t offset, unsigned size) {
  std::lock_guard guard(mutex_);
  const std::span<const uint8_t> bytes = config();
  uint32_t value = 0;
  for (unsigned i = 0; i < size; ++i) {
    if (offset + i < bytes.size()) value |= uint32_t{bytes[offset + i]} << (8 * i);
  }
  return value;
}

void VirtioDevice::write_config(uint64_t offset, unsigned size, uint32_t value) {
  std::lock_guard guard(mutex_);
  config_written(offset, size, value);
}

bool VirtioDevice::pop(unsigned index, Chain& chain) {
  if (!running(index)) return false;
  Ring& ring = queues_[index].ring();
  const Pop result = ring.pop(chain);
  if (result == Pop::kBroken) fail(ring.error());
  return result == Pop::kGot;
}

void VirtioDevice::publish(unsigned index) {
  if (running(index) && queues_[index].ring().publish() && transport_) transport_->queue_interrupt(index);
}

void VirtioDevice::fail(const char* why) {
  if (failed_) return;
  failed_ = true;
  LYRE_GUEST_ERROR("%s: %s; the device needs a reset", name().c_str(), why);
  const uint8_t now = status();
  // 2.1.2: tell a driver that has come to life; one that has not is told when it sets DRIVER_OK.
  if (!(now & kStatusDriverOk)) return;
  status_.store(static_cast<uint8_t>(now | kStatusNeedsReset), std::memory_order_release);
  if (transport_) transport_->config_interrupt();
}

void VirtioDevice::config_changed() {
  config_generation_.fetch_add(1, std::memory_order_acq_rel);
  if ((status() & kStatusDriverOk) && transport_) transport_->config_interrupt();
}

void VirtioDevice::set_queue_size(unsigned index, uint16_t max_size) {
  queues_[index].max_size = queues_[index].size = max_size;
}

}  // namespace lyre::machine::virtio
