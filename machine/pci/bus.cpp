#include "machine/pci/bus.h"

#include <algorithm>
#include <cstdio>

namespace lyre::machine::pci {
namespace {

constexpr uint64_t all_ones(unsigned size) { return size >= 8 ? ~uint64_t{0} : (uint64_t{1} << (8 * size)) - 1; }

class HostBridge final : public PciDevice {
 public:
  HostBridge() : PciDevice("host bridge", PciIds{0x1b36, 0x0008, 0x1af4, 0x1100, 0x060000, 0, false}) {}
  uint32_t bar_read(unsigned, uint64_t, unsigned) override { return 0; }
  void bar_write(unsigned, uint64_t, unsigned, uint32_t) override {}
};

}  // namespace

// PCI Express 3.0, 7.2.2: bus, device, function and register from the address.
class PciBus::Ecam final : public MmioDevice {
 public:
  explicit Ecam(PciBus& bus) : bus_(bus) {}
  std::string_view name() const override { return "pcie-ecam"; }
  AccessSizes access_sizes() const override { return {1, 4, false}; }
  uint64_t read(uint64_t offset, unsigned size) override {
    PciDevice* device = target(offset);
    return device ? device->config_read(offset & 0xfff, size) : all_ones(size);
  }
  void write(uint64_t offset, unsigned size, uint64_t value) override {
    if (PciDevice* device = target(offset)) device->config_write(offset & 0xfff, size, static_cast<uint32_t>(value));
  }

 private:
  PciDevice* target(uint64_t offset) const {
    return offset >> 20 ? nullptr : bus_.function_at(offset >> 15 & 31, offset >> 12 & 7);
  }
  PciBus& bus_;
};

class PciBus::Window final : public MmioDevice {
 public:
  Window(PciBus& bus, const PciWindow& where, bool io, const char* name) : range(where), bus_(bus), io_(io), name_(name) {}
  std::string_view name() const override { return name_; }
  AccessSizes access_sizes() const override { return {1, 8, false}; }
  uint64_t read(uint64_t offset, unsigned size) override {
    Found at;
    if (!bus_.find(io_, range.pci_base + offset, at) || at.left < size) return all_ones(size);
    if (size < 8) return at.device->bar_read(at.bar, at.offset, size);
    const uint64_t low = at.device->bar_read(at.bar, at.offset, 4);
    return low | uint64_t{at.device->bar_read(at.bar, at.offset + 4, 4)} << 32;
  }
  void write(uint64_t offset, unsigned size, uint64_t value) override {
    Found at;
    if (!bus_.find(io_, range.pci_base + offset, at) || at.left < size) return;
    at.device->bar_write(at.bar, at.offset, std::min(size, 4u), static_cast<uint32_t>(value));
    if (size == 8) at.device->bar_write(at.bar, at.offset + 4, 4, static_cast<uint32_t>(value >> 32));
  }
  const PciWindow range;

 private:
  PciBus& bus_;
  const bool io_;
  const char* const name_;
};

PciBus::PciBus(PciHostConfig config) : config_(std::move(config)), bridge_(std::make_unique<HostBridge>()), ecam_(std::make_unique<Ecam>(*this)) {
  functions_[0] = bridge_.get();
  bridge_->bus_ = this;
  const auto window = [&](const PciWindow& range, bool io, const char* name) {
    if (range.size) windows_.push_back(std::make_unique<Window>(*this, range, io, name));
  };
  window(config_.io, true, "pcie-io");
  window(config_.mmio32, false, "pcie-mmio");
  window(config_.mmio64, false, "pcie-mmio-high");
}

PciBus::~PciBus() = default;

Status PciBus::map(Bus& bus) {
  if (Status s = bus.map(config_.ecam, config_.ecam_size, *ecam_); !s) return s;
  for (auto& window : windows_) {
    if (Status s = bus.map(window->range.base, window->range.size, *window); !s) return s;
  }
  return Ok{};
}

Status PciBus::add(PciDevice& device, int slot, unsigned function) {
  if (slot < 0) {
    slot = 1;
    while (slot < 32 && functions_[static_cast<unsigned>(slot) * 8]) ++slot;
    if (slot == 32) return Error{"all PCI slots are in use"};
  }
  if (slot > 31 || function > 7) return Error{"a PCI address is a slot from 0 to 1f and a function from 0 to 7"};
  const unsigned index = static_cast<unsigned>(slot) * 8 + function;
  char text[16];
  std::snprintf(text, sizeof text, "%02x.%x", static_cast<unsigned>(slot), function);
  if (functions_[index]) return Error{std::string("PCI address ") + text + " is already used by " + functions_[index]->name()};
  device.bus_ = this;
  device.slot_ = static_cast<unsigned>(slot);
  device.function_ = function;
  functions_[index] = &device;
  with_bars_.push_back(&device);
  // Bit 7 of the header type, in function 0: there are more (6.2.1).
  if (function && functions_[index - function]) functions_[index - function]->put8(0x0e, 0x80);
  for (unsigned f = 1; f < 8 && !function; ++f) {
    if (functions_[index + f]) device.put8(0x0e, 0x80);
  }
  return Ok{};
}

void PciBus::remove(PciDevice& device) {
  std::replace(functions_.begin(), functions_.end(), &device, static_cast<PciDevice*>(nullptr));
  std::erase(with_bars_, &device);
}

void PciBus::reset() { bridge_->reset(); }

bool PciBus::find(bool io, uint64_t address, Found& found) const {
  for (PciDevice* device : with_bars_) {
    for (unsigned i = 0; i < 6; ++i) {
      const PciDevice::Bar& bar = device->bars_[i];
      if (bar.kind == BarKind::kNone || is_io(bar.kind) != io) continue;
      const uint64_t base = bar.mapped.load(std::memory_order_acquire);
      if (base == PciDevice::kUnmapped || address < base || address - base >= bar.size) continue;
      found = {device, i, address - base, bar.size - (address - base)};
      return true;
    }
  }
  return false;
}

void PciBus::pin_changed(unsigned slot, bool level) {
  const unsigned wire = slot & 3;
  std::lock_guard guard(pins_mutex_);
  unsigned& count = asserted_[wire];
  count = level ? count + 1 : count - 1;
  config_.intx[wire].set(count != 0);
}

std::vector<const PciDevice*> PciBus::devices() const {
  std::vector<const PciDevice*> list;
  for (const PciDevice* device : functions_) {
    if (device) list.push_back(device);
  }
  return list;
}

std::string PciBus::describe() const {
  std::string text;
  char line[128];
  for (const PciDevice* device : devices()) {
    std::snprintf(line, sizeof line, "00:%02x.%x ", device->slot(), device->function());
    text += line + device->name() + "\n";
    for (unsigned i = 0; i < 6; ++i) {
      const PciDevice::Bar& bar = device->bar(i);
      const uint64_t base = bar.mapped.load(std::memory_order_acquire);
      if (bar.kind == BarKind::kNone) continue;
      if (base == PciDevice::kUnmapped) {
        std::snprintf(line, sizeof line, "  BAR%u: %s, 0x%llx bytes, not mapped\n", i, is_io(bar.kind) ? "I/O" : "memory",
                      static_cast<unsigned long long>(bar.size));
      } else {
        std::snprintf(line, sizeof line, "  BAR%u: %s at 0x%llx, 0x%llx bytes\n", i, is_io(bar.kind) ? "I/O" : "memory",
                      static_cast<unsigned long long>(base), static_cast<unsigned long long>(bar.size));
      }
      text += line;
    }
  }
  return text;
}

}  // namespace lyre::machine::pci
