#include "machine/virtio/mmio.h"

#include "runtime/base/log.h"

namespace lyre::machine::virtio {
namespace {

// Table 4.1 (virtio 1.3, 4.2.2).
enum Register : uint32_t {
  kMagicValue = 0x000,
  kVersion = 0x004,
  kDeviceId = 0x008,
  kVendorId = 0x00c,
  kDeviceFeatures = 0x010,
  kDeviceFeaturesSel = 0x014,
  kDriverFeatures = 0x020,
  kDriverFeaturesSel = 0x024,
  kQueueSel = 0x030,
  kQueueSizeMax = 0x034,
  kQueueSize = 0x038,
  kQueueReady = 0x044,
  kQueueNotify = 0x050,
  kInterruptStatus = 0x060,
  kInterruptAck = 0x064,
  kStatus = 0x070,
  kQueueDescLow = 0x080,
  kQueueDescHigh = 0x084,
  kQueueDriverLow = 0x090,
  kQueueDriverHigh = 0x094,
  kQueueDeviceLow = 0x0a0,
  kQueueDeviceHigh = 0x0a4,
  kShmSel = 0x0ac,
  kShmLenLow = 0x0b0,
  kShmLenHigh = 0x0b4,
  kShmBaseLow = 0x0b8,
  kShmBaseHigh = 0x0bc,
  kQueueReset = 0x0c0,
  kConfigGeneration = 0x0fc,
  kConfig = 0x100,
};

constexpr uint32_t kMagic = 0x74726976;   // "virt"
constexpr uint32_t kVendor = 0x554d4551;  // the vendor that the well-known boards show

void set_low(Gpa& address, uint32_t value) { address.value = (address.value & ~uint64_t{0xffffffff}) | value; }
void set_high(Gpa& address, uint32_t value) { address.value = (address.value & 0xffffffff) | uint64_t{value} << 32; }

}  // namespace

VirtioMmio::VirtioMmio(VirtioDevice* device, IrqLine irq)
    : device_(device), name_(device ? "virtio-mmio " + device->name() : "virtio-mmio"), interrupts_([irq](bool level) { irq.set(level); }) {
  if (device_) device_->connect(*this);
}

uint64_t VirtioMmio::read(uint64_t offset, unsigned size) {
  if (offset >= kConfig) return device_ ? device_->read_config(offset - kConfig, size) : 0;
  if (size != 4 || offset % 4) {
    LYRE_GUEST_ERROR("%s: read of %u bytes at 0x%llx, registers are 32 bits wide", name_.c_str(), size,
                     static_cast<unsigned long long>(offset));
    return 0;
  }
  return read_register(offset);
}

uint32_t VirtioMmio::read_register(uint64_t offset) {
  switch (offset) {
    case kMagicValue: return kMagic;
    case kVersion: return 2;
    case kDeviceId: return device_ ? device_->device_id() : 0;
    case kVendorId: return kVendor;
    default: break;
  }
  if (!device_) return 0;  // 4.2.3.1: a driver stops after reading DeviceID 0
  const unsigned queue = queue_select_.load(std::memory_order_relaxed);
  switch (offset) {
    case kDeviceFeatures: {
      const uint32_t word = device_features_select_.load(std::memory_order_relaxed);
      return word > 1 ? 0 : static_cast<uint32_t>(device_->offered_features() >> (32 * word));
    }
    case kQueueSizeMax:
      return static_cast<uint32_t>(device_->read_queue(queue, [](const VirtQueue& q) { return q.max_size; }));
    case kQueueReady:
      return static_cast<uint32_t>(device_->read_queue(queue, [](const VirtQueue& q) { return q.enabled; }));
    case kInterruptStatus: return interrupts_.bits();
    case kStatus: return device_->status();
    case kShmLenLow:
    case kShmLenHigh:
    case kShmBaseLow:
    case kShmBaseHigh: return 0xffffffff;  // no such region
    case kQueueReset: return 0;            // a reset is over when the write that asks for it returns
    case kConfigGeneration: return device_->config_generation();
    default:
      LYRE_GUEST_ERROR("%s: read of write-only or unknown register 0x%llx", name_.c_str(),
                       static_cast<unsigned long long>(offset));
      return 0;
  }
}

void VirtioMmio::write(uint64_t offset, unsigned size, uint64_t value) {
  if (!device_) return;
  if (offset >= kConfig) {
    device_->write_config(offset - kConfig, size, static_cast<uint32_t>(value));
    return;
  }
  if (size != 4 || offset % 4) {
    LYRE_GUEST_ERROR("%s: write of %u bytes at 0x%llx, registers are 32 bits wide", name_.c_str(), size,
                     static_cast<unsigned long long>(offset));
    return;
  }
  write_register(offset, static_cast<uint32_t>(value));
}

void VirtioMmio::write_register(uint64_t offset, uint32_t value) {
  switch (offset) {
    case kQueueNotify: device_->notify(value); return;
    case kInterruptAck: interrupts_.clear(value); return;
    case kStatus: device_->set_status(static_cast<uint8_t>(value)); return;
    case kDeviceFeaturesSel: device_features_select_.store(value, std::memory_order_relaxed); return;
    case kDriverFeatures:
      device_->set_driver_features(driver_features_select_.load(std::memory_order_relaxed), value);
      return;
    case kDriverFeaturesSel: driver_features_select_.store(value, std::memory_order_relaxed); return;
    case kQueueSel: queue_select_.store(value, std::memory_order_relaxed); return;
    case kShmSel: return;
    default: break;
  }
  if (!write_queue_register(offset, value)) {
    LYRE_GUEST_ERROR("%s: write of read-only or unknown register 0x%llx", name_.c_str(),
                     static_cast<unsigned long long>(offset));
  }
}

bool VirtioMmio::write_queue_register(uint64_t offset, uint32_t value) {
  const unsigned queue = queue_select_.load(std::memory_order_relaxed);
  const auto set = [&](auto change) {
    device_->configure_queue(queue, change);
    return true;
  };
  switch (offset) {
    // A size that does not fit 16 bits becomes 0, which enabling the queue refuses.
    case kQueueSize: return set([=](VirtQueue& q) { q.size = value > 0xffff ? uint16_t{0} : static_cast<uint16_t>(value); });
    case kQueueDescLow: return set([=](VirtQueue& q) { set_low(q.descriptors, value); });
    case kQueueDescHigh: return set([=](VirtQueue& q) { set_high(q.descriptors, value); });
    case kQueueDriverLow: return set([=](VirtQueue& q) { set_low(q.driver, value); });
    case kQueueDriverHigh: return set([=](VirtQueue& q) { set_high(q.driver, value); });
    case kQueueDeviceLow: return set([=](VirtQueue& q) { set_low(q.device, value); });
    case kQueueDeviceHigh: return set([=](VirtQueue& q) { set_high(q.device, value); });
    case kQueueReady:
      if (value & 1) {
        device_->enable_queue(queue);
      } else {
        device_->reset_queue(queue);
      }
      return true;
    case kQueueReset:
      if (value & 1) device_->reset_queue(queue);
      return true;
    default: return false;
  }
}

void VirtioMmio::reset() {
  device_features_select_.store(0, std::memory_order_relaxed);
  driver_features_select_.store(0, std::memory_order_relaxed);
  queue_select_.store(0, std::memory_order_relaxed);
  if (device_) device_->reset();
}

void VirtioMmio::queue_interrupt(unsigned) { interrupts_.set(kInterruptQueue); }
void VirtioMmio::config_interrupt() { interrupts_.set(kInterruptConfig); }
void VirtioMmio::clear_interrupts() { interrupts_.clear(~uint32_t{0}); }

}  // namespace lyre::machine::virtio
