// PciDevice: one PCI function: configuration space, base address registers, capabilities and its INTx pin (PCI Local Bus 3.0, 6 and 2.2.6).
// Threads: configuration and BAR accesses come from vCPU threads; the configuration space has a lock of its own. BAR handlers run without
// it. Where a BAR is mapped is an atomic that the bus reads without a lock.
#pragma once
#include <array>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>

#include "runtime/base/named_mutex.h"

namespace lyre::machine::pci {

class PciBus;

enum class BarKind : uint8_t { kNone, kMem32, kMem64, kMem64Prefetch, kIo };
constexpr bool is_io(BarKind kind) { return kind == BarKind::kIo; }

struct PciIds {
  uint16_t vendor = 0, device = 0;
  uint16_t subsystem_vendor = 0, subsystem = 0;
  uint32_t class_code = 0;  // 0xccsspp
  uint8_t revision = 0;
  bool interrupt_pin = false;  // INTA#
};

class PciDevice {
 public:
  static constexpr uint64_t kUnmapped = ~uint64_t{0};
  struct Bar {
    BarKind kind = BarKind::kNone;
    uint64_t size = 0;
    std::atomic<uint64_t> mapped{kUnmapped};  // PCI address
  };

  PciDevice(std::string name, const PciIds& ids);
  virtual ~PciDevice() = default;
  PciDevice(const PciDevice&) = delete;
  PciDevice& operator=(const PciDevice&) = delete;

  const std::string& name() const { return name_; }
  const Bar& bar(unsigned index) const { return bars_[index]; }
  unsigned slot() const { return slot_; }
  unsigned function() const { return function_; }

  // offset < 4096, offset and size (1, 2, 4) aligned.
  uint32_t config_read(unsigned offset, unsigned size);
  void config_write(unsigned offset, unsigned size, uint32_t value);
  // offset + size lies inside the BAR; size 1, 2 or 4.
  virtual uint32_t bar_read(unsigned bar, uint64_t offset, unsigned size) = 0;
  virtual void bar_write(unsigned bar, uint64_t offset, unsigned size, uint32_t value) = 0;
  virtual void reset();

 protected:
  // Set-up, in the constructor. size: a power of two; a 64-bit BAR takes index and index + 1.
  void add_bar(unsigned index, BarKind kind, uint64_t size);
  // A capability of `bytes` bytes in all; returns its offset. What is beyond id and next pointer is filled in by put*().
  unsigned add_capability(uint8_t id, unsigned bytes);
  void put8(unsigned offset, uint8_t value) { config_[offset] = value; }
  void put16(unsigned offset, uint16_t value);
  void put32(unsigned offset, uint32_t value);
  void allow_writes(unsigned offset, uint32_t mask);

  // INTA#, level. Any thread.
  void set_intx(bool level);
  // Registers that are not plain memory; true: handled. Without the lock.
  virtual bool special_config_read(unsigned /*offset*/, unsigned /*size*/, uint32_t& /*value*/) { return false; }
  virtual void config_written(unsigned /*offset*/, unsigned /*size*/) {}
  uint32_t config_value(unsigned offset, unsigned size) const;  // as stored

 private:
  friend class PciBus;
  void update_bars();
  void drive_pin();

  const std::string name_;
  std::array<uint8_t, 256> config_{};
  std::array<uint8_t, 256> writable_{};  // mask of bits
  std::array<Bar, 6> bars_;
  unsigned next_capability_ = 0x40;
  unsigned last_capability_ = 0x34;      // where the next pointer goes
  mutable NamedMutex mutex_{name_.c_str()};
  bool pin_wanted_ = false;
  bool pin_driven_ = false;
  PciBus* bus_ = nullptr;
  unsigned slot_ = 0, function_ = 0;
};

}  // namespace lyre::machine::pci
