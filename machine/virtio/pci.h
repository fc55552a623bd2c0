// The virtio-pci transport, modern only (virtio 1.3, 4.1): one 64-bit memory BAR with the common, ISR, device and notification structures,
// and the capabilities that point at them. Interrupts are INTA#.
// Threads: vCPU threads; state of its own are the selectors, the rest is VirtioDevice's.
#pragma once
#include <atomic>

#include "machine/pci/device.h"
#include "machine/virtio/device.h"
#include "machine/virtio/interrupt.h"

namespace lyre::machine::virtio {

class VirtioPci final : public pci::PciDevice, public VirtioTransport {
 public:
  // device outlives the transport. class_code: 0xccsspp.
  VirtioPci(VirtioDevice& device, uint32_t class_code);

  uint32_t bar_read(unsigned bar, uint64_t offset, unsigned size) override;
  void bar_write(unsigned bar, uint64_t offset, unsigned size, uint32_t value) override;
  void reset() override;

  void queue_interrupt(unsigned queue) override;
  void config_interrupt() override;
  void clear_interrupts() override;

 private:
  void add_structure(uint8_t type, uint32_t offset, uint32_t length, unsigned extra = 0);
  bool special_config_read(unsigned offset, unsigned size, uint32_t& value) override;
  void config_written(unsigned offset, unsigned size) override;
  bool config_access(uint64_t& offset, unsigned& size) const;
  uint64_t common_field(unsigned at) const;
  uint32_t common_read(uint64_t offset, unsigned size) const;
  void common_write(uint64_t offset, unsigned size, uint32_t value);
  void queue_write(uint64_t offset, uint32_t value);

  VirtioDevice& device_;
  InterruptStatus interrupts_;
  unsigned config_access_at_ = 0;  // offset of the PCI configuration access capability
  std::atomic<uint32_t> device_features_select_{0};
  std::atomic<uint32_t> driver_features_select_{0};
  std::atomic<uint16_t> queue_select_{0};
};

}  // namespace lyre::machine::virtio
