// National Semiconductor PC16550D UART (data sheet TL/C/8652, June 1995), registers a byte apart.
// Transmission takes no guest time: bytes go into a batch that the I/O thread hands to the chardev about a millisecond
// later, so that a byte costs the vCPU a lock and a store. When the chardev does not keep up, the batch fills and THRE
// stays clear until there is room. Received bytes below the trigger level raise the character timeout at once instead
// of after four character times. Threads: register accesses from vCPUs, the chardev from the I/O thread; one lock,
// never held while the chardev is called.
#pragma once
#include <array>
#include <mutex>
#include <vector>

#include "machine/bus/device.h"
#include "machine/bus/irq.h"
#include "machine/chardev/chardev.h"
#include "machine/firmware/fdt.h"
#include "runtime/base/named_mutex.h"

namespace lyre::machine {

class Ns16550a final : public MmioDevice {
 public:
  static constexpr uint64_t kSize = 0x100;

  // chardev may be null: output goes nowhere. The loop is stopped before the UART goes.
  Ns16550a(Chardev* chardev, EventLoop& io, IrqLine irq);

  std::string_view name() const override { return "serial"; }
  AccessSizes access_sizes() const override { return {.min = 1, .max = 1, .unaligned = true}; }
  uint64_t read(uint64_t offset, unsigned size) override;
  void write(uint64_t offset, unsigned size, uint64_t value) override;
  void reset() override;

  // Hands everything written so far to the chardev, as far as that takes it. On the I/O thread, or at exit.
  void flush();
  static void describe(FdtBuilder& fdt, const FdtPlace& place);

 private:
  static constexpr size_t kFifoSize = 16;
  static constexpr size_t kBatchSize = 4096;  // bytes on their way to the chardev
  static constexpr int64_t kBatchDelayNs = 1'000'000;

  struct Registers {
    uint8_t ier = 0, fcr = 0, lcr = 0, mcr = 0x08, lsr_errors = 0, msr_deltas = 0, scr = 0;
    uint16_t divisor = 0x0c;
    bool thr_empty_pending = false;  // the THRE interrupt, cleared by reading it from IIR
    std::array<uint8_t, kFifoSize> fifo{};
    uint8_t fifo_head = 0, fifo_count = 0;
  };

  uint8_t read_locked(unsigned reg);
  void write_locked(unsigned reg, uint8_t value);
  void transmit(uint8_t byte);
  void push_received(uint8_t byte);
  uint8_t pop_received();
  void write_fcr(uint8_t value);
  void write_mcr(uint8_t value);
  bool thr_empty() const { return batch_.size() + kFifoSize <= kBatchSize; }
  uint8_t lsr() const;
  uint8_t modem_lines() const;
  uint8_t pending_interrupt() const;
  void update_irq();
  size_t receive_room();
  void receive(std::span<const uint8_t> bytes);
  void receive_break();
  void schedule_flush(bool now);

  Chardev* chardev_;
  EventLoop& io_;
  IrqLine irq_;
  NamedMutex mutex_{"uart"};
  Registers r_;
  bool irq_level_ = false;
  bool input_waits_ = false;  // the chardev found no room; tell it when there is
  bool flush_scheduled_ = false;
  std::vector<uint8_t> batch_;
  NamedMutex flush_mutex_{"uart's flush"};  // orders flushes; taken before mutex_
};

}  // namespace lyre::machine
