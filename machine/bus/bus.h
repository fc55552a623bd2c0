// Bus: the machine's MMIO address space. Finds the range of an access, splits or merges it to the sizes that the device
// implements, and calls the device with an offset. Look-up is lock-free on an immutable sorted snapshot; map/unmap
// publish a new one and old ones are kept until the bus is destroyed.
#pragma once
#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "machine/bus/device.h"
#include "runtime/base/result.h"
#include "runtime/mem/physical_map.h"

namespace lyre::machine {

struct BusRange {
  Gpa base;
  uint64_t size = 0;
  MmioDevice* device = nullptr;
  std::string name;
};

class Bus final : public runtime::IoBus {
 public:
  explicit Bus(runtime::PhysicalMap& memory);
  ~Bus() override;

  // Error: overlaps another device or RAM ("uart at 0x... overlaps plic at 0x...").
  Status map(Gpa base, uint64_t size, MmioDevice& device);
  void unmap(MmioDevice& device);
  std::vector<BusRange> ranges() const;  // sorted by base, for `info mtree`

  runtime::IoStatus io_read(Gpa address, unsigned size, uint64_t& value) override;
  runtime::IoStatus io_write(Gpa address, unsigned size, uint64_t value) override;
  std::string io_name(Gpa address) const override;

 private:
  struct Snapshot;
  const BusRange* find(Gpa address) const;
  runtime::PhysicalMap& memory_;
  std::atomic<const Snapshot*> current_{nullptr};
  std::mutex writers_;
  std::vector<std::unique_ptr<Snapshot>> snapshots_;
};

}  // namespace lyre::machine
