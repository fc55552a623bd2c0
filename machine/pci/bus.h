// PciBus: a PCI Express root with one bus (the generic ECAM host bridge that firmware knows as "pci-host-ecam-generic"): configuration
// space by address, windows for memory and I/O, four INTx wires.
// BARs are found inside the windows by looking at each function's registers: nothing is allocated or published when a guest moves a BAR,
// so a guest can move BARs for ever. What no BAR answers reads as all ones (master abort).
// Ownership: devices belong to whoever plugs them and outlive the bus's use. Threads: add() while the machine is built; the rest any.
#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "machine/bus/bus.h"
#include "machine/bus/device.h"
#include "machine/bus/irq.h"
#include "machine/pci/device.h"
#include "runtime/base/named_mutex.h"
#include "runtime/base/result.h"

namespace lyre::machine::pci {

// A range of guest physical addresses behind which lies PCI address space.
struct PciWindow {
  Gpa base;
  uint64_t size = 0;
  uint64_t pci_base = 0;  // PCI address of its first byte
};

struct PciHostConfig {
  Gpa ecam;
  uint64_t ecam_size = uint64_t{256} << 20;  // 1 MiB a bus number
  PciWindow io;                              // size 0: none
  PciWindow mmio32, mmio64;
  std::array<IrqLine, 4> intx;               // wire (slot + pin) mod 4, pin INTA# = 0
};

class PciBus {
 public:
  explicit PciBus(PciHostConfig config);
  ~PciBus();

  // Maps the configuration space and the windows. Error: overlap.
  Status map(Bus& bus);
  // Plugs a function in; slot -1: the first free one. Errors: taken (names who is there), out of range.
  Status add(PciDevice& device, int slot = -1, unsigned function = 0);
  void remove(PciDevice& device);
  void reset();  // the host bridge; devices reset themselves
  const PciHostConfig& config() const { return config_; }
  std::vector<const PciDevice*> devices() const;
  std::string describe() const;  // functions and where their BARs are, for `info pci` and `info mtree`

  // Of PciDevice, with its lock held: INTA# of the function in that slot changed.
  void pin_changed(unsigned slot, bool level);

 private:
  class Ecam;
  class Window;
  struct Found {
    PciDevice* device;
    unsigned bar;
    uint64_t offset;
    uint64_t left;  // bytes to the BAR's end
  };
  bool find(bool io, uint64_t address, Found& found) const;
  PciDevice* function_at(unsigned slot, unsigned function) const { return functions_[slot * 8 + function]; }

  const PciHostConfig config_;
  std::array<PciDevice*, 256> functions_{};
  std::vector<PciDevice*> with_bars_;
  std::unique_ptr<PciDevice> bridge_;
  std::unique_ptr<Ecam> ecam_;
  std::vector<std::unique_ptr<Window>> windows_;
  NamedMutex pins_mutex_{"pci pins"};
  std::array<unsigned, 4> asserted_{};  // functions that pull each wire
};

}  // namespace lyre::machine::pci
