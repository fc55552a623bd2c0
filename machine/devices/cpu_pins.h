// CpuPins: the interrupt pins of all vCPUs as one sink, so that controllers drive ordinary IrqLines. Threads: any.
#pragma once
#include "machine/bus/irq.h"
#include "runtime/vcpu/vcpu_set.h"

namespace lyre::machine {

class CpuPins final : public IrqSink {
 public:
  explicit CpuPins(runtime::VcpuSet& vcpus) : vcpus_(vcpus) {}
  // pin: guest-defined, below 64; riscv: the mip bit.
  IrqLine line(unsigned cpu, unsigned pin) { return IrqLine(this, cpu * 64 + pin); }
  void set_irq(unsigned input, bool level) override { vcpus_.set_irq(input / 64, input % 64, level); }

 private:
  runtime::VcpuSet& vcpus_;
};

}  // namespace lyre::machine
