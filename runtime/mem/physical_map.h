// PhysicalMap: what lies at each guest physical address: RAM, ROM, or a device range behind IoBus.
// Ownership: RAM blocks are owned here (mmap'd, huge pages asked for). Threads: RAM is laid out before the vCPUs start
// and never moves; look-ups take no lock. Hot: only on TLB misses and DMA, never on a TLB hit.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "runtime/base/result.h"
#include "runtime/base/types.h"

namespace lyre::runtime {

enum class IoStatus : uint8_t {
  kOk,
  kUnmapped,  // nothing there: the guest gets a bus error / access fault
  kRefused,   // the device does not allow this access (size, alignment, read-only)
};

// Everything that is not RAM. Implemented by machine/bus. size is 1, 2, 4 or 8; an access may be unaligned and is then
// split.
class IoBus {
 public:
  virtual ~IoBus() = default;
  virtual IoStatus io_read(Gpa address, unsigned size, uint64_t& value) = 0;
  virtual IoStatus io_write(Gpa address, unsigned size, uint64_t value) = 0;
  virtual std::string io_name(Gpa) const { return {}; }  // of what lies there, for reports; empty: nothing
};

struct RamBlock {
  std::string name;
  Gpa base;
  uint64_t size = 0;  // bytes, a multiple of the page size
  Hva host = nullptr;
  bool read_only =
      false;  // ROM: guest stores go to the IoBus (flash commands; kUnmapped there is a fault), DMA writes are refused
  // Loads go to the IoBus too (flash that shows its status): find_ram() and ram() do not see the block. Changed by
  // set_device_mode only.
  std::atomic<bool> device_mode{false};
};

class PhysicalMap {
 public:
  PhysicalMap() = default;
  ~PhysicalMap();
  PhysicalMap(const PhysicalMap&) = delete;
  PhysicalMap& operator=(const PhysicalMap&) = delete;

  // Maps `size` bytes of zeroed private memory. Errors: overlap (names both), no memory (names the size).
  Result<RamBlock*> add_ram(std::string name, Gpa base, uint64_t size, bool read_only = false);
  void set_io_bus(IoBus* bus) { io_bus_ = bus; }
  IoBus* io_bus() const { return io_bus_; }

  const RamBlock* find_ram(Gpa address) const noexcept;
  // Host pointer to [address, address + size) if the whole range is inside one RAM block (ROM too unless for_write),
  // else null.
  Hva ram(Gpa address, uint64_t size, bool for_write) const noexcept;
  const std::vector<std::unique_ptr<RamBlock>>& blocks() const { return blocks_; }

  // DMA views report what they wrote, so that translated code in the range is invalidated. Also used by loaders.
  void written(Gpa address, uint64_t size) const;
  using WriteObserver = std::function<void(Gpa, uint64_t)>;
  void set_write_observer(WriteObserver observer) { observer_ = std::move(observer); }

  // Switches a read-only block between memory and device, then tells the map observer, which drops TLB entries and
  // translated code of the range before it returns on the calling vCPU and soon after on the others. Any thread.
  void set_device_mode(RamBlock& block, bool device_mode);
  void set_map_observer(WriteObserver observer) { map_observer_ = std::move(observer); }

 private:
  std::vector<std::unique_ptr<RamBlock>> blocks_;  // sorted by base
  IoBus* io_bus_ = nullptr;
  WriteObserver observer_;
  WriteObserver map_observer_;
};

}  // namespace lyre::runtime
