// IrqLine: a wire from a device to whoever listens (interrupt controller input, vCPU pin). Level-triggered; set() is
// idempotent and may be called from any thread while the caller holds its own device lock. Copyable handle; an
// unconnected line swallows.
#pragma once
#include <cstdint>

namespace lyre::machine {

class IrqSink {
 public:
  virtual ~IrqSink() = default;
  virtual void set_irq(unsigned input, bool level) = 0;
};

class IrqLine {
 public:
  IrqLine() = default;
  IrqLine(IrqSink* sink, unsigned input) : sink_(sink), input_(input) {}
  void set(bool level) const {
    if (sink_) sink_->set_irq(input_, level);
  }
  explicit operator bool() const { return sink_ != nullptr; }

 private:
  IrqSink* sink_ = nullptr;
  unsigned input_ = 0;
};

}  // namespace lyre::machine
