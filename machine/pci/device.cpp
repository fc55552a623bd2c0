#include "machine/pci/device.h"

#include <bit>

#include "machine/pci/bus.h"
#include "runtime/base/check.h"

namespace lyre::machine::pci {
namespace {

// PCI Local Bus 3.0, 6.1: the type 0 header.
constexpr unsigned kVendorId = 0x00, kDeviceId = 0x02, kCommand = 0x04, kStatus = 0x06, kRevision = 0x08, kCacheLine = 0x0c,
                   kBar0 = 0x10, kSubsystemVendor = 0x2c, kSubsystem = 0x2e, kInterruptLine = 0x3c,
                   kInterruptPin = 0x3d;
constexpr uint16_t kCommandIo = 1, kCommandMemory = 2, kCommandMaster = 4, kCommandParity = 0x40, kCommandSerr = 0x100,
                   kCommandNoIntx = 0x400;
constexpr uint16_t kStatusInterrupt = 8, kStatusCapabilities = 0x10;

}  // namespace

PciDevice::PciDevice(std::string name, const PciIds& ids) : name_(std::move(name)) {
  put16(kVendorId, ids.vendor);
  put16(kDeviceId, ids.device);
  put32(kRevision, ids.class_code << 8 | ids.revision);
  put16(kSubsystemVendor, ids.subsystem_vendor);
  put16(kSubsystem, ids.subsystem);
  put8(kInterruptPin, ids.interrupt_pin ? 1 : 0);
  allow_writes(kCommand, kCommandIo | kCommandMemory | kCommandMaster | kCommandParity | kCommandSerr | kCommandNoIntx);
  allow_writes(kCacheLine, 0xff);
  allow_writes(kInterruptLine, 0xff);
}

void PciDevice::put16(unsigned offset, uint16_t value) {
  put8(offset, static_cast<uint8_t>(value));
  put8(offset + 1, static_cast<uint8_t>(value >> 8));
}

void PciDevice::put32(unsigned offset, uint32_t value) {
  put16(offset, static_cast<uint16_t>(value));
  put16(offset + 2, static_cast<uint16_t>(value >> 16));
}

void PciDevice::allow_writes(unsigned offset, uint32_t mask) {
  for (unsigned i = 0; i < 4; ++i) writable_[offset + i] |= static_cast<uint8_t>(mask >> (8 * i));
}

void PciDevice::add_bar(unsigned index, BarKind kind, uint64_t size) {
  LYRE_CHECK(std::has_single_bit(size) && index < 6, "a BAR's size is a power of two");
  bars_[index].kind = kind;
  bars_[index].size = size;
  const unsigned at = kBar0 + 4 * index;
  const bool wide = kind == BarKind::kMem64 || kind == BarKind::kMem64Prefetch;
  put32(at, is_io(kind) ? 1 : (wide ? 4u : 0u) | (kind == BarKind::kMem64Prefetch ? 8u : 0u));
  const uint64_t mask = ~(size - 1);
  allow_writes(at, static_cast<uint32_t>(mask) & (is_io(kind) ? ~3u : ~15u));
  if (wide) allow_writes(at + 4, static_cast<uint32_t>(mask >> 32));
}

unsigned PciDevice::add_capability(uint8_t id, unsigned bytes) {
  const unsigned at = next_capability_;
  LYRE_CHECK(at + bytes <= 256, "capabilities fit into the configuration space");
  put8(last_capability_, static_cast<uint8_t>(at));
  put8(at, id);
  last_capability_ = at + 1;
  next_capability_ = (at + bytes + 3) & ~3u;
  put16(kStatus, static_cast<uint16_t>(config_value(kStatus, 2) | kStatusCapabilities));
  return at;
}

uint32_t PciDevice::config_value(unsigned offset, unsigned size) const {
  uint32_t value = 0;
  for (unsigned i = 0; i < size; ++i) value |= uint32_t{config_[offset + i]} << (8 * i);
  return value;
}

uint32_t PciDevice::config_read(unsigned offset, unsigned size) {
  if (offset + size > config_.size()) return 0;  // no extended capabilities
  uint32_t value = 0;
  if (special_config_read(offset, size, value)) return value;
  std::lock_guard guard(mutex_);
  return config_value(offset, size);
}

void PciDevice::config_write(unsigned offset, unsigned size, uint32_t value) {
  if (offset + size > config_.size()) return;
  {
    std::lock_guard guard(mutex_);
    for (unsigned i = 0; i < size; ++i) {
      const uint8_t mask = writable_[offset + i];
      config_[offset + i] = static_cast<uint8_t>((config_[offset + i] & ~mask) | (static_cast<uint8_t>(value >> (8 * i)) & mask));
    }
    update_bars();
    drive_pin();
  }
  config_written(offset, size);
}

// With the lock. 6.2.5.1; an address of zero means that nobody has placed the BAR yet.
void PciDevice::update_bars() {
  const uint32_t command = config_value(kCommand, 2);
  for (unsigned i = 0; i < bars_.size(); ++i) {
    Bar& bar = bars_[i];
    if (bar.kind == BarKind::kNone) continue;
    uint64_t base = config_value(kBar0 + 4 * i, 4) & (is_io(bar.kind) ? ~3u : ~15u);
    if (bar.kind == BarKind::kMem64 || bar.kind == BarKind::kMem64Prefetch) base |= uint64_t{config_value(kBar0 + 4 * i + 4, 4)} << 32;
    const bool decoded = command & (is_io(bar.kind) ? kCommandIo : kCommandMemory);
    bar.mapped.store(decoded && base ? base : kUnmapped, std::memory_order_release);
  }
}

void PciDevice::set_intx(bool level) {
  std::lock_guard guard(mutex_);
  pin_wanted_ = level;
  const uint32_t status = config_value(kStatus, 2);
  put16(kStatus, static_cast<uint16_t>(level ? status | kStatusInterrupt : status & ~uint32_t{kStatusInterrupt}));
  drive_pin();
}

// With the lock. 6.2.2: bit 10 of the command register silences the pin, not the status bit.
void PciDevice::drive_pin() {
  const bool level = pin_wanted_ && !(config_value(kCommand, 2) & kCommandNoIntx);
  if (level == pin_driven_) return;
  pin_driven_ = level;
  if (bus_) bus_->pin_changed(slot_, level);
}

void PciDevice::reset() {
  std::lock_guard guard(mutex_);
  pin_wanted_ = false;
  for (unsigned i = 0; i < config_.size(); ++i) config_[i] = static_cast<uint8_t>(config_[i] & ~writable_[i]);
  put16(kStatus, static_cast<uint16_t>(config_value(kStatus, 2) & ~uint32_t{kStatusInterrupt}));
  update_bars();
  drive_pin();
}

}  // namespace lyre::machine::pci
