// CLINT and ACLINT SSWI. See aclint.h.
#include "machine/devices/aclint.h"

#include "runtime/base/check.h"
#include "runtime/base/log.h"

namespace lyre::machine {
namespace {

constexpr uint64_t kMsip = 0, kCompare = 0x4000, kTime = 0xbff8;

constexpr uint32_t kPinSsi = 1, kPinMsi = 3, kPinMti = 7;  // mip bits

std::vector<uint32_t> outputs_of(std::span<const uint32_t> cpu_intc, uint32_t pin) {
  std::vector<uint32_t> outputs;
  for (uint32_t cpu : cpu_intc) outputs.insert(outputs.end(), {cpu, pin});
  return outputs;
}

uint64_t replace_half(uint64_t whole, bool upper, uint64_t half) {
  half &= 0xffffffff;
  return upper ? (whole & 0xffffffff) | half << 32 : (whole & ~uint64_t{0xffffffff}) | half;
}

}  // namespace

Clint::Clint(runtime::VirtualClock& clock, runtime::TimerService& timers, uint64_t ticks_per_second,
             const std::vector<HartPins>& harts)
    : clock_(clock), ns_per_tick_(1'000'000'000 / ticks_per_second) {
  LYRE_CHECK(1'000'000'000 % ticks_per_second == 0, "a tick is a whole number of nanoseconds");
  LYRE_CHECK(harts.size() <= kMaxHarts, "the CLINT's address range has room for its harts");
  for (const HartPins& pins : harts) harts_.push_back(std::make_unique<Hart>(*this, pins, timers));
}

void Clint::reset() {
  for (auto& hart : harts_) {
    std::lock_guard lock(hart->mutex);
    hart->software = false;
    hart->pins.software.set(false);
    hart->compare = ~uint64_t{0};
    update_timer(*hart);
  }
}

uint64_t Clint::read(uint64_t offset, unsigned size) {
  if (offset == kTime && size == 8) return mtime();
  uint64_t value = read_word(offset);
  if (size == 8) value |= uint64_t{read_word(offset + 4)} << 32;
  return value;
}

uint32_t Clint::read_word(uint64_t offset) {
  uint64_t whole;
  if (offset < kCompare) {
    uint64_t hart = (offset - kMsip) / 4;
    return hart < harts_.size() && harts_[hart]->software;
  } else if (offset < kTime) {
    uint64_t hart = (offset - kCompare) / 8;
    if (hart >= harts_.size()) return 0;
    std::lock_guard lock(harts_[hart]->mutex);
    whole = harts_[hart]->compare;
  } else if (offset < kTime + 8) {
    whole = mtime();
  } else {
    return 0;
  }
  return static_cast<uint32_t>(offset & 4 ? whole >> 32 : whole);
}

void Clint::write(uint64_t offset, unsigned size, uint64_t value) {
  if (offset < kCompare) {
    for (uint64_t at = 0; at < size; at += 4, value >>= 32) {
      uint64_t index = (offset + at) / 4;
      if (index >= harts_.size()) return;
      Hart& hart = *harts_[index];
      std::lock_guard lock(hart.mutex);
      hart.software = value & 1;
      hart.pins.software.set(value & 1);
    }
    return;
  }
  if (offset >= kTime) {
    LYRE_UNIMP("clint: mtime follows the machine's clock and cannot be set\n");
    return;
  }
  uint64_t index = (offset - kCompare) / 8;
  if (index >= harts_.size()) return;
  Hart& hart = *harts_[index];
  std::lock_guard lock(hart.mutex);
  write_compare(hart, size == 8 ? value : replace_half(hart.compare, offset & 4, value));
}

void Clint::write_compare(Hart& hart, uint64_t compare) {
  hart.compare = compare;
  update_timer(hart);
}

// MTIP is mtime >= mtimecmp. Called with the hart's lock held, which the timer's callback takes too: disarm, not
// cancel.
void Clint::update_timer(Hart& hart) {
  if (mtime() >= hart.compare) {
    hart.timer.disarm();
    hart.pins.timer.set(true);
    return;
  }
  hart.pins.timer.set(false);
  if (hart.compare > static_cast<uint64_t>(INT64_MAX) / ns_per_tick_)
    hart.timer.disarm();  // later than the clock can count: never
  else
    hart.timer.arm(static_cast<int64_t>(hart.compare * ns_per_tick_));
}

void Clint::timer_due(Hart& hart) {
  std::lock_guard lock(hart.mutex);
  update_timer(hart);
}

void Clint::describe(FdtBuilder& fdt, const FdtPlace& place, std::span<const uint32_t> cpu_intc) {
  std::vector<uint32_t> outputs;
  for (uint32_t cpu : cpu_intc) outputs.insert(outputs.end(), {cpu, kPinMsi, cpu, kPinMti});
  auto node = fdt.node_at("clint", place.base);
  fdt.strings("compatible", {"sifive,clint0", "riscv,clint0"});
  fdt.reg(place.base, place.size);
  fdt.cells("interrupts-extended", outputs);
}

void Clint::describe_aclint(FdtBuilder& fdt, const FdtPlace& place, std::span<const uint32_t> cpu_intc) {
  uint32_t base = static_cast<uint32_t>(place.base.value), time = base + static_cast<uint32_t>(kTime),
           compare = base + static_cast<uint32_t>(kCompare);
  {
    auto mswi = fdt.node_at("mswi", place.base);
    fdt.string("compatible", "riscv,aclint-mswi");
    fdt.reg(place.base, kCompare);
    fdt.cells("interrupts-extended", outputs_of(cpu_intc, kPinMsi));
    fdt.flag("interrupt-controller");
    fdt.u32("#interrupt-cells", 0);
  }
  auto mtimer = fdt.node_at("mtimer", Gpa{time});
  fdt.string("compatible", "riscv,aclint-mtimer");
  // mtime first, then the compare registers.
  fdt.cells("reg", {0, time, 0, static_cast<uint32_t>(place.size - kTime), 0, compare, 0, time - compare});
  fdt.cells("interrupts-extended", outputs_of(cpu_intc, kPinMti));
}

void AclintSswi::write(uint64_t offset, unsigned, uint64_t value) {
  uint64_t hart = offset / 4;
  if (hart < ssip_.size() && (value & 1)) ssip_[hart].set(true);
}

void AclintSswi::describe(FdtBuilder& fdt, const FdtPlace& place, std::span<const uint32_t> cpu_intc) {
  auto node = fdt.node_at("sswi", place.base);
  fdt.string("compatible", "riscv,aclint-sswi");
  fdt.reg(place.base, place.size);
  fdt.cells("interrupts-extended", outputs_of(cpu_intc, kPinSsi));
  fdt.flag("interrupt-controller");
  fdt.u32("#interrupt-cells", 0);
}

}  // namespace lyre::machine
