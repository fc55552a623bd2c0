// The virtio-mmio transport, version 2 (virtio 1.3, 4.2): one per slot of the board. A slot without a device reads as DeviceID 0.
// Threads: vCPU threads; state of its own (the selectors) is under its lock, the rest is VirtioDevice's.
#pragma once
#include <atomic>
#include <string>

#include "machine/bus/device.h"
#include "machine/bus/irq.h"
#include "machine/virtio/device.h"
#include "machine/virtio/interrupt.h"

namespace lyre::machine::virtio {

class VirtioMmio final : public MmioDevice, public VirtioTransport {
 public:
  // device: null for an empty slot; it outlives the transport.
  VirtioMmio(VirtioDevice* device, IrqLine irq);

  std::string_view name() const override { return name_; }
  AccessSizes access_sizes() const override { return {1, 4, false}; }
  uint64_t read(uint64_t offset, unsigned size) override;
  void write(uint64_t offset, unsigned size, uint64_t value) override;
  void reset() override;

  void queue_interrupt(unsigned queue) override;
  void config_interrupt() override;
  void clear_interrupts() override;

 private:
  uint32_t read_register(uint64_t offset);
  void write_register(uint64_t offset, uint32_t value);
  bool write_queue_register(uint64_t offset, uint32_t value);

  VirtioDevice* const device_;
  const std::string name_;
  InterruptStatus interrupts_;
  // Selectors: each is one word that a vCPU writes before it uses it; racing vCPUs only confuse themselves.
  std::atomic<uint32_t> device_features_select_{0};
  std::atomic<uint32_t> driver_features_select_{0};
  std::atomic<uint32_t> queue_select_{0};
};

}  // namespace lyre::machine::virtio
