// Where a board offers places to plug devices: virtio-mmio slots and the PCI bus. The board registers them while it
// builds; device classes look them up. Not thread-safe: used while the machine is built.
#pragma once
#include <cstdint>
#include <vector>

#include "machine/bus/irq.h"
#include "runtime/base/types.h"

namespace lyre::machine {

struct VirtioMmioSlot {
  Gpa base;
  uint64_t size = 0x200;
  IrqLine irq;
  bool used = false;
};

}  // namespace lyre::machine
