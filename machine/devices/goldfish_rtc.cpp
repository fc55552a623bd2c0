// Goldfish RTC. See goldfish_rtc.h.
#include "machine/devices/goldfish_rtc.h"

#include <ctime>

namespace lyre::machine {
namespace {

enum Register : uint64_t {
  kTimeLow = 0x00,  // read: latches the upper half; write: sets the time with the upper half written before
  kTimeHigh = 0x04,
  kAlarmLow = 0x08,  // write: arms the alarm
  kAlarmHigh = 0x0c,
  kIrqEnabled = 0x10,
  kClearAlarm = 0x14,
  kAlarmStatus = 0x18,
  kClearInterrupt = 0x1c,
};

int64_t join(uint32_t high, uint64_t low) { return static_cast<int64_t>(uint64_t{high} << 32 | (low & 0xffffffff)); }

}  // namespace

int64_t host_wall_ns(bool local_time) {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  int64_t seconds = now.tv_sec;
  if (local_time) {
    tm here{};
    localtime_r(&now.tv_sec, &here);
    seconds += here.tm_gmtoff;
  }
  return seconds * 1'000'000'000 + now.tv_nsec;
}

GoldfishRtc::GoldfishRtc(runtime::VirtualClock& clock, runtime::TimerService& timers, int64_t start_ns, IrqLine irq)
    : clock_(clock), irq_(irq), offset_ns_(start_ns), timer_(timers, [this] {
        std::lock_guard lock(mutex_);
        update_alarm();
      }) {}

// Wraps around as unsigned: the guest may set any time.
int64_t GoldfishRtc::now_ns() const {
  return static_cast<int64_t>(static_cast<uint64_t>(clock_.now_ns()) + static_cast<uint64_t>(offset_ns_));
}

void GoldfishRtc::reset() {
  std::lock_guard lock(mutex_);
  r_ = Registers{};
  timer_.disarm();
  update_irq();
}

uint64_t GoldfishRtc::read(uint64_t offset, unsigned) {
  std::lock_guard lock(mutex_);
  switch (offset) {
    case kTimeLow: {
      auto now = static_cast<uint64_t>(now_ns());
      r_.time_high = static_cast<uint32_t>(now >> 32);
      return now & 0xffffffff;
    }
    case kTimeHigh:
      return r_.time_high;
    case kAlarmLow:
      return static_cast<uint64_t>(r_.alarm_ns) & 0xffffffff;
    case kAlarmHigh:
      return static_cast<uint64_t>(r_.alarm_ns) >> 32;
    case kIrqEnabled:
      return r_.irq_enabled;
    case kAlarmStatus:
      return r_.alarm_armed;
    default:
      return 0;
  }
}

void GoldfishRtc::write(uint64_t offset, unsigned, uint64_t value) {
  std::lock_guard lock(mutex_);
  switch (offset) {
    case kTimeLow:
      offset_ns_ = static_cast<int64_t>(static_cast<uint64_t>(join(r_.time_high, value)) -
                                        static_cast<uint64_t>(clock_.now_ns()));
      update_alarm();
      return;
    case kTimeHigh:
      r_.time_high = static_cast<uint32_t>(value);
      return;
    case kAlarmLow:
      set_alarm(join(r_.alarm_high, value));
      return;
    case kAlarmHigh:
      r_.alarm_high = static_cast<uint32_t>(value);
      return;
    case kIrqEnabled:
      r_.irq_enabled = value & 1;
      update_irq();
      return;
    case kClearAlarm:
      r_.alarm_armed = false;
      timer_.disarm();
      return;
    case kClearInterrupt:
      r_.irq_pending = false;
      update_irq();
      return;
    default:
      return;
  }
}

void GoldfishRtc::set_alarm(int64_t alarm_ns) {
  r_.alarm_ns = alarm_ns;
  r_.alarm_armed = true;
  update_alarm();
}

// An alarm of the past rings at once.
void GoldfishRtc::update_alarm() {
  if (!r_.alarm_armed) return;
  int64_t guest_now = clock_.now_ns(), left = 0;
  bool far = __builtin_sub_overflow(r_.alarm_ns, now_ns(), &left) || left > INT64_MAX - guest_now;
  if (far && r_.alarm_ns > 0) return timer_.disarm();  // beyond what the clock can count
  if (!far && left > 0) return timer_.arm(guest_now + left);
  r_.alarm_armed = false;
  r_.irq_pending = true;
  timer_.disarm();
  update_irq();
}

void GoldfishRtc::update_irq() { irq_.set(r_.irq_pending && r_.irq_enabled); }

void GoldfishRtc::describe(FdtBuilder& fdt, const FdtPlace& place) {
  auto node = fdt.node_at("rtc", place.base);
  fdt.string("compatible", "google,goldfish-rtc");
  fdt.reg(place.base, place.size);
  fdt.u32("interrupt-parent", place.interrupt_parent);
  fdt.u32("interrupts", place.irq);
}

}  // namespace lyre::machine
