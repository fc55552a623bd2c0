// RISC-V ACLINT Specification 1.0-rc4: MTIMER and MSWI in SiFive's CLINT layout (chapters 2 and 3, compatible with
// "sifive,clint0"), and SSWI (chapter 4). mtime is guest time in ticks; it is the `time` CSR too, so writing it is
// refused. Threads: any. mtime is read without a lock; each hart's compare register has a lock and a timer of its own.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "machine/bus/device.h"
#include "machine/bus/irq.h"
#include "machine/firmware/fdt.h"
#include "runtime/base/named_mutex.h"
#include "runtime/vcpu/clock.h"

namespace lyre::machine {

class Clint final : public MmioDevice {
 public:
  static constexpr uint64_t kSize = 0x10000;
  static constexpr unsigned kMaxHarts = 4095;

  struct HartPins {
    IrqLine software, timer;  // MSIP, MTIP
  };
  Clint(runtime::VirtualClock& clock, runtime::TimerService& timers, uint64_t ticks_per_second,
        const std::vector<HartPins>& harts);

  std::string_view name() const override { return "clint"; }
  AccessSizes access_sizes() const override { return {.min = 4, .max = 8, .unaligned = false}; }
  uint64_t read(uint64_t offset, unsigned size) override;
  void write(uint64_t offset, unsigned size, uint64_t value) override;
  void reset() override;

  uint64_t mtime() const { return static_cast<uint64_t>(clock_.now_ns()) / ns_per_tick_; }
  // As one "sifive,clint0", or as the ACLINT's two devices at the same addresses.
  static void describe(FdtBuilder& fdt, const FdtPlace& place, std::span<const uint32_t> cpu_intc);
  static void describe_aclint(FdtBuilder& fdt, const FdtPlace& place, std::span<const uint32_t> cpu_intc);

 private:
  struct Hart {
    Hart(Clint& clint, HartPins wires, runtime::TimerService& timers)
        : pins(wires), timer(timers, [this, &clint] { clint.timer_due(*this); }) {}
    HartPins pins;
    NamedMutex mutex{"clint"};
    std::atomic<bool> software{false};
    uint64_t compare = ~uint64_t{0};
    runtime::Timer timer;
  };

  uint32_t read_word(uint64_t offset);
  void write_compare(Hart& hart, uint64_t compare);
  void update_timer(Hart& hart);
  void timer_due(Hart& hart);

  runtime::VirtualClock& clock_;
  uint64_t ns_per_tick_;
  std::vector<std::unique_ptr<Hart>> harts_;
};

// Supervisor software interrupts. A write of 1 latches the hart's SSIP, which only the hart clears; reads give 0.
class AclintSswi final : public MmioDevice {
 public:
  static constexpr uint64_t kSize = 0x4000;
  explicit AclintSswi(std::vector<IrqLine> ssip) : ssip_(std::move(ssip)) {}
  std::string_view name() const override { return "sswi"; }
  AccessSizes access_sizes() const override { return {.min = 4, .max = 4, .unaligned = false}; }
  uint64_t read(uint64_t, unsigned) override { return 0; }
  void write(uint64_t offset, unsigned size, uint64_t value) override;
  static void describe(FdtBuilder& fdt, const FdtPlace& place, std::span<const uint32_t> cpu_intc);

 private:
  std::vector<IrqLine> ssip_;
};

}  // namespace lyre::machine
