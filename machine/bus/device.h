// Device: a thing with registers. It does not know where it is: it sees an offset. Each device has a lock of its own
// and takes it inside read/write; a device never calls another device's registers. Lock order: bus snapshot (no lock)
// -> device -> interrupt controller -> vCPU flag.
#pragma once
#include <cstdint>
#include <string_view>

namespace lyre::machine {

class FdtBuilder;

// Sizes that the device implements; the bus splits and merges other accesses. Powers of two, bytes.
struct AccessSizes {
  uint8_t min = 1;
  uint8_t max = 8;
  bool unaligned = false;  // if not, an unaligned access is refused
};

class MmioDevice {
 public:
  virtual ~MmioDevice() = default;
  virtual std::string_view name() const = 0;
  virtual AccessSizes access_sizes() const { return {}; }
  // offset + size lies inside the mapped range; size within access_sizes().
  virtual uint64_t read(uint64_t offset, unsigned size) = 0;
  virtual void write(uint64_t offset, unsigned size, uint64_t value) = 0;
  virtual void reset() {}
};

}  // namespace lyre::machine
