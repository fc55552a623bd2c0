// Goldfish real-time clock (Android emulator, "GOLDFISH VIRTUAL HARDWARE", section on the RTC; Linux
// drivers/rtc/rtc-goldfish.c): nanoseconds since 1970 in two halves, and one alarm. Runs with guest time from the
// host's wall clock at construction. Threads: any; one lock, which the alarm's timer takes too.
#pragma once
#include <cstdint>
#include <mutex>

#include "machine/bus/device.h"
#include "machine/bus/irq.h"
#include "machine/firmware/fdt.h"
#include "runtime/base/named_mutex.h"
#include "runtime/vcpu/clock.h"

namespace lyre::machine {

class GoldfishRtc final : public MmioDevice {
 public:
  static constexpr uint64_t kSize = 0x1000;

  // start_ns: what the clock shows at guest time zero, in ns since 1970.
  GoldfishRtc(runtime::VirtualClock& clock, runtime::TimerService& timers, int64_t start_ns, IrqLine irq);

  std::string_view name() const override { return "rtc"; }
  AccessSizes access_sizes() const override { return {.min = 4, .max = 4, .unaligned = false}; }
  uint64_t read(uint64_t offset, unsigned size) override;
  void write(uint64_t offset, unsigned size, uint64_t value) override;
  void reset() override;  // the time goes on
  static void describe(FdtBuilder& fdt, const FdtPlace& place);

 private:
  struct Registers {
    uint32_t time_high = 0, alarm_high = 0;  // halves that wait for their lower one
    int64_t alarm_ns = 0;
    bool alarm_armed = false, irq_enabled = false, irq_pending = false;
  };

  int64_t now_ns() const;
  void set_alarm(int64_t alarm_ns);
  void update_alarm();
  void update_irq();

  runtime::VirtualClock& clock_;
  IrqLine irq_;
  NamedMutex mutex_{"rtc"};
  int64_t offset_ns_;  // wall time minus guest time
  Registers r_;
  runtime::Timer timer_;
};

// The host's wall clock as the start of a machine's: UTC, or what a clock on the wall shows here.
int64_t host_wall_ns(bool local_time);

}  // namespace lyre::machine
