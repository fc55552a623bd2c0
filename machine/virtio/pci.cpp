#include "machine/virtio/pci.h"

#include <algorithm>

#include "runtime/base/log.h"

namespace lyre::machine::virtio {
namespace {

constexpr uint16_t kVendor = 0x1af4;
constexpr uint16_t kFirstDeviceId = 0x1040;  // plus the virtio device id (4.1.2.1)
constexpr uint8_t kVendorCapability = 0x09;

// The BAR: a page for each structure.
constexpr unsigned kBar = 4;
constexpr uint64_t kBarSize = 0x4000;
constexpr uint32_t kCommonAt = 0x0000, kIsrAt = 0x1000, kDeviceAt = 0x2000, kNotifyAt = 0x3000, kStructureSize = 0x1000;
constexpr uint32_t kNotifyMultiplier = 4;

enum CapabilityType : uint8_t { kCommonCfg = 1, kNotifyCfg = 2, kIsrCfg = 3, kDeviceCfg = 4, kPciCfg = 5 };

// 4.1.4.3: the common configuration structure.
enum Common : unsigned {
  kDeviceFeatureSelect = 0,
  kDeviceFeature = 4,
  kDriverFeatureSelect = 8,
  kDriverFeature = 12,
  kConfigVector = 16,
  kNumQueues = 18,
  kDeviceStatus = 20,
  kConfigGeneration = 21,
  kQueueSelect = 22,
  kQueueSize = 24,
  kQueueVector = 26,
  kQueueEnable = 28,
  kQueueNotifyOff = 30,
  kQueueDesc = 32,
  kQueueDriver = 40,
  kQueueDevice = 48,
  kQueueNotifyData = 56,
  kQueueReset = 58,
};
constexpr uint32_t kNoVector = 0xffff;

struct Field {
  unsigned at, bytes;
};
constexpr Field kFields[] = {{kDeviceFeatureSelect, 4}, {kDeviceFeature, 4}, {kDriverFeatureSelect, 4}, {kDriverFeature, 4},
                             {kConfigVector, 2},        {kNumQueues, 2},     {kDeviceStatus, 1},        {kConfigGeneration, 1},
                             {kQueueSelect, 2},         {kQueueSize, 2},     {kQueueVector, 2},         {kQueueEnable, 2},
                             {kQueueNotifyOff, 2},      {kQueueDesc, 8},     {kQueueDriver, 8},         {kQueueDevice, 8},
                             {kQueueNotifyData, 2},     {kQueueReset, 2}};

void set_half(Gpa& address, bool high, uint32_t value) {
  const unsigned shift = high ? 32 : 0;
  address.value = (address.value & ~(uint64_t{0xffffffff} << shift)) | uint64_t{value} << shift;
}

}  // namespace

VirtioPci::VirtioPci(VirtioDevice& device, uint32_t class_code)
    : PciDevice(device.name(), pci::PciIds{kVendor, static_cast<uint16_t>(kFirstDeviceId + device.device_id()), kVendor, 0x1100, class_code, 1, true}),
      device_(device),
      interrupts_([this](bool level) { set_intx(level); }) {
  add_bar(kBar, pci::BarKind::kMem64Prefetch, kBarSize);
  add_structure(kCommonCfg, kCommonAt, kStructureSize);
  add_structure(kIsrCfg, kIsrAt, kStructureSize);
  add_structure(kDeviceCfg, kDeviceAt, kStructureSize);
  add_structure(kNotifyCfg, kNotifyAt, kStructureSize, 4);
  add_structure(kPciCfg, 0, 0, 4);
  device_.connect(*this);
}

// 4.1.4: struct virtio_pci_cap.
void VirtioPci::add_structure(uint8_t type, uint32_t offset, uint32_t length, unsigned extra) {
  const unsigned bytes = 16 + extra;
  const unsigned at = add_capability(kVendorCapability, bytes);
  put8(at + 2, static_cast<uint8_t>(bytes));
  put8(at + 3, type);
  put8(at + 4, type == kPciCfg ? 0 : kBar);
  put32(at + 8, offset);
  put32(at + 12, length);
  if (type == kNotifyCfg) put32(at + 16, kNotifyMultiplier);
  if (type == kPciCfg) {
    // 4.1.4.9: bar, offset, length and data are the driver's.
    config_access_at_ = at;
    allow_writes(at + 4, 0xff);
    allow_writes(at + 8, 0xffffffff);
    allow_writes(at + 12, 0xffffffff);
    allow_writes(at + 16, 0xffffffff);
  }
}

// The access that the driver has set up in the capability. False: it names nothing.
bool VirtioPci::config_access(uint64_t& offset, unsigned& size) const {
  offset = config_value(config_access_at_ + 8, 4);
  size = config_value(config_access_at_ + 12, 4);
  return config_value(config_access_at_ + 4, 1) == kBar && (size == 1 || size == 2 || size == 4) && offset % size == 0 &&
         offset + size <= kBarSize;
}

bool VirtioPci::special_config_read(unsigned at, unsigned size, uint32_t& value) {
  const unsigned data = config_access_at_ + 16;
  if (at < data || at + size > data + 4) return false;
  uint64_t offset;
  unsigned bytes;
  if (!config_access(offset, bytes)) return false;
  value = bar_read(kBar, offset, bytes) >> (8 * (at - data));
  return true;
}

void VirtioPci::config_written(unsigned at, unsigned size) {
  const unsigned data = config_access_at_ + 16;
  if (at < data || at + size > data + 4) return;
  uint64_t offset;
  unsigned bytes;
  if (config_access(offset, bytes)) bar_write(kBar, offset, bytes, config_value(data, bytes));
}

uint32_t VirtioPci::bar_read(unsigned, uint64_t offset, unsigned size) {
  const uint64_t inside = offset % kStructureSize;
  switch (offset - inside) {
    case kCommonAt: return common_read(inside, size);
    case kIsrAt: return inside == 0 ? interrupts_.take() : 0;
    case kDeviceAt: return device_.read_config(inside, size);
    default: return 0;
  }
}

void VirtioPci::bar_write(unsigned, uint64_t offset, unsigned size, uint32_t value) {
  const uint64_t inside = offset % kStructureSize;
  switch (offset - inside) {
    case kCommonAt: common_write(inside, size, value); break;
    case kDeviceAt: device_.write_config(inside, size, value); break;
    case kNotifyAt: device_.notify(static_cast<unsigned>(inside / kNotifyMultiplier)); break;  // 4.1.5.2: the address says which
    default: break;
  }
}

uint64_t VirtioPci::common_field(unsigned at) const {
  const unsigned queue = queue_select_.load(std::memory_order_relaxed);
  const auto word = [](uint64_t features, uint32_t select) { return select > 1 ? 0 : features >> (32 * select) & 0xffffffff; };
  switch (at) {
    case kDeviceFeatureSelect: return device_features_select_.load(std::memory_order_relaxed);
    case kDeviceFeature: return word(device_.offered_features(), device_features_select_.load(std::memory_order_relaxed));
    case kDriverFeatureSelect: return driver_features_select_.load(std::memory_order_relaxed);
    case kDriverFeature: return word(device_.driver_features(), driver_features_select_.load(std::memory_order_relaxed));
    case kConfigVector: return kNoVector;
    case kNumQueues: return device_.queue_count();
    case kDeviceStatus: return device_.status();
    case kConfigGeneration: return device_.config_generation() & 0xff;
    case kQueueSelect: return queue;
    case kQueueSize: return device_.read_queue(queue, [](const VirtQueue& q) { return q.size; });
    case kQueueVector: return kNoVector;
    case kQueueEnable: return device_.read_queue(queue, [](const VirtQueue& q) { return q.enabled; });
    case kQueueNotifyOff: return queue;
    case kQueueDesc: return device_.read_queue(queue, [](const VirtQueue& q) { return q.descriptors.value; });
    case kQueueDriver: return device_.read_queue(queue, [](const VirtQueue& q) { return q.driver.value; });
    case kQueueDevice: return device_.read_queue(queue, [](const VirtQueue& q) { return q.device.value; });
    default: return 0;
  }
}

uint32_t VirtioPci::common_read(uint64_t offset, unsigned size) const {
  for (const Field& field : kFields) {
    if (offset < field.at || offset >= field.at + field.bytes) continue;
    const unsigned inside = static_cast<unsigned>(offset) - field.at;
    if (inside + size > field.bytes) break;
    const uint64_t value = common_field(field.at) >> (8 * inside);
    return static_cast<uint32_t>(size >= 4 ? value : value & ((uint64_t{1} << (8 * size)) - 1));
  }
  LYRE_GUEST_ERROR("%s: read of %u bytes at 0x%llx of the common structure", device_.name().c_str(), size,
                   static_cast<unsigned long long>(offset));
  return 0;
}

void VirtioPci::common_write(uint64_t offset, unsigned size, uint32_t value) {
  for (const Field& field : kFields) {
    if (offset < field.at || offset >= field.at + field.bytes) continue;
    // 4.1.3.1: accesses have the width of the field, 64-bit fields are two of 32 bits.
    if (size != std::min(field.bytes, 4u) || (offset - field.at) % 4) break;
    switch (field.at) {
      case kDeviceFeatureSelect: device_features_select_.store(value, std::memory_order_relaxed); return;
      case kDriverFeatureSelect: driver_features_select_.store(value, std::memory_order_relaxed); return;
      case kDriverFeature: device_.set_driver_features(driver_features_select_.load(std::memory_order_relaxed), value); return;
      case kDeviceStatus: device_.set_status(static_cast<uint8_t>(value)); return;
      case kQueueSelect: queue_select_.store(static_cast<uint16_t>(value), std::memory_order_relaxed); return;
      case kConfigVector:
      case kQueueVector: return;  // there are no vectors: it goes on reading as none
      default: queue_write(offset, value); return;
    }
  }
  LYRE_GUEST_ERROR("%s: write of %u bytes at 0x%llx of the common structure", device_.name().c_str(), size,
                   static_cast<unsigned long long>(offset));
}

void VirtioPci::queue_write(uint64_t offset, uint32_t value) {
  const unsigned queue = queue_select_.load(std::memory_order_relaxed);
  const bool high = offset % 8 == 4;
  switch (offset & ~uint64_t{4}) {
    case kQueueDesc: device_.configure_queue(queue, [=](VirtQueue& q) { set_half(q.descriptors, high, value); }); return;
    case kQueueDriver: device_.configure_queue(queue, [=](VirtQueue& q) { set_half(q.driver, high, value); }); return;
    case kQueueDevice: device_.configure_queue(queue, [=](VirtQueue& q) { set_half(q.device, high, value); }); return;
    default: break;
  }
  switch (offset) {
    case kQueueSize: device_.configure_queue(queue, [=](VirtQueue& q) { q.size = static_cast<uint16_t>(value); }); return;
    case kQueueEnable:
      if (value & 1) device_.enable_queue(queue);  // 4.1.4.3.2: never written 0
      return;
    case kQueueReset:
      if (value & 1) device_.reset_queue(queue);
      return;
    default: break;  // read-only
  }
}

void VirtioPci::reset() {
  device_features_select_.store(0, std::memory_order_relaxed);
  driver_features_select_.store(0, std::memory_order_relaxed);
  queue_select_.store(0, std::memory_order_relaxed);
  device_.reset();
  PciDevice::reset();
}

void VirtioPci::queue_interrupt(unsigned) { interrupts_.set(kInterruptQueue); }
void VirtioPci::config_interrupt() { interrupts_.set(kInterruptConfig); }
void VirtioPci::clear_interrupts() { interrupts_.clear(~uint32_t{0}); }

}  // namespace lyre::machine::virtio
