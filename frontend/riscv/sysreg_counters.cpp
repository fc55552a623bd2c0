// Counters and timers: cycle, instret and the hpm counters, time and stimecmp.
// Time ticks at 10 MHz of guest time (RiscvConfig::timebase_hz). Counting costs an addition a branch and an access, so that cycle and instret follow guest
// time as well: one count a nanosecond, as of a 1 GHz machine with one instruction a cycle. In counted blocks both are the exact number of instructions.
// mhpmcounter3..31 count the same for mhpmevent selectors 1 (cycles) and 2 (instructions), nothing for 0; other selectors can not be written (WARL).
#include <algorithm>

#include "frontend/riscv/cpu.h"
#include "frontend/riscv/sysreg.h"
#include "frontend/riscv/trap.h"
#include "runtime/base/bits.h"

namespace lyre::riscv {
namespace {

// mhpmevent fields of Sscofpmf: overflow flag and privilege filters.
constexpr uint64_t kOverflow = uint64_t{1} << 63, kInhibitM = uint64_t{1} << 62, kInhibitS = uint64_t{1} << 61, kInhibitU = uint64_t{1} << 60;
constexpr uint64_t kSelector = 3;
constexpr uint32_t kExisting = ~2u;  // counter 1 is time: no mhpmcounter

uint64_t clock_of(const ir::VcpuBlock& vcpu, unsigned counter) {
  return counter == 0 || counter == 2 ? vcpu.env->instructions_retired() : static_cast<uint64_t>(vcpu.env->now_ns());
}

bool runs(const State& state, unsigned counter) {
  if (bit(state.mcountinhibit, counter)) return false;
  if (counter < 3) return true;
  uint64_t event = state.hpmevent[counter];
  if (!(event & kSelector)) return false;
  switch (state.privilege) {
    case Privilege::kMachine: return !(event & kInhibitM);
    case Privilege::kSupervisor: return !(event & kInhibitS);
    default: return !(event & kInhibitU);
  }
}

uint64_t value_of(const State& state, unsigned counter, uint64_t clock) {
  return state.counter_base[counter] + (bit(state.counters_running, counter) ? clock : 0);
}

// Arms the overflow timer: needed only while OF is clear, for then an overflow raises LCOFI.
void arm(ir::VcpuBlock& vcpu, unsigned counter, uint64_t clock) {
  State& state = vcpu.as<State>();
  if (counter < 3 || !state.cpu->has(Ext::sscofpmf)) return;
  int64_t deadline = INT64_MAX;
  if (bit(state.counters_running, counter) && !(state.hpmevent[counter] & kOverflow)) {
    uint64_t left = ~value_of(state, counter, clock);  // counts to the last value
    if (left < static_cast<uint64_t>(INT64_MAX) - clock) deadline = static_cast<int64_t>(clock + left + 1);
  }
  if (deadline == state.counter_deadline[counter]) return;
  state.counter_deadline[counter] = deadline;
  vcpu.env->set_timer(kCounterTimers + counter, deadline);
}

// Starts or stops one counter as its controls say, keeping its value.
void update(ir::VcpuBlock& vcpu, unsigned counter, uint64_t clock) {
  State& state = vcpu.as<State>();
  bool want = runs(state, counter), now = bit(state.counters_running, counter);
  if (want == now) return;
  state.counter_base[counter] += want ? -clock : clock;
  state.counters_running ^= 1u << counter;
  arm(vcpu, counter, clock);
}

}  // namespace

void reset_counters(State& state) {
  std::fill(std::begin(state.counter_base), std::end(state.counter_base), 0);
  std::fill(std::begin(state.hpmevent), std::end(state.hpmevent), 0);
  std::fill(std::begin(state.counter_deadline), std::end(state.counter_deadline), INT64_MAX);
  state.counters_running = 5;  // cycle and instret
  state.counters_filtered = 0;
  state.counters_due.store(0, std::memory_order_relaxed);
  state.scountovf = 0;
}

// cycle, time, instret, hpmcounter3..31 below M-mode: mcounteren, and scounteren too for U (3.1.11, 12.1.5).
bool counter_allowed(const ir::VcpuBlock& vcpu, unsigned number) {
  const State& state = vcpu.as<State>();
  if (state.privilege == Privilege::kMachine) return true;
  uint64_t enabled = state.mcounteren & (state.privilege == Privilege::kUser ? state.scounteren : ~uint64_t{0});
  return bit(enabled, number & 31);
}

uint64_t read_counter(ir::VcpuBlock& vcpu, unsigned number) {
  if ((number & 31) == 1) return read_time(vcpu, number);
  return value_of(vcpu.as<State>(), number & 31, clock_of(vcpu, number & 31));
}

void write_counter(ir::VcpuBlock& vcpu, unsigned number, uint64_t value) {
  State& state = vcpu.as<State>();
  unsigned counter = number & 31;
  uint64_t clock = clock_of(vcpu, counter);
  state.counter_base[counter] = value - (bit(state.counters_running, counter) ? clock : 0);
  arm(vcpu, counter, clock);
}

uint64_t read_time(ir::VcpuBlock& vcpu, unsigned) {
  return static_cast<uint64_t>(vcpu.env->now_ns()) / (1'000'000'000 / vcpu.as<State>().cpu->config().timebase_hz);
}

uint64_t read_mcountinhibit(ir::VcpuBlock& vcpu, unsigned) { return vcpu.as<State>().mcountinhibit; }
void write_mcountinhibit(ir::VcpuBlock& vcpu, unsigned, uint64_t value) {
  State& state = vcpu.as<State>();
  uint64_t changed = state.mcountinhibit ^ (value & kExisting);
  state.mcountinhibit = value & kExisting;
  for (unsigned counter = 0; counter < 32; ++counter)
    if (bit(changed, counter)) update(vcpu, counter, clock_of(vcpu, counter));
}

uint64_t read_mhpmevent(ir::VcpuBlock& vcpu, unsigned number) { return vcpu.as<State>().hpmevent[number & 31]; }
void write_mhpmevent(ir::VcpuBlock& vcpu, unsigned number, uint64_t value) {
  State& state = vcpu.as<State>();
  unsigned counter = number & 31;
  uint64_t mask = state.cpu->has(Ext::sscofpmf) ? kOverflow | kInhibitM | kInhibitS | kInhibitU : 0;
  uint64_t selector = value & ~(kOverflow | uint64_t{0x7f} << 56);
  uint64_t& event = state.hpmevent[counter];
  event = (value & mask) | (selector <= 2 ? selector : event & kSelector);
  uint32_t flag = 1u << counter;
  state.counters_filtered = (state.counters_filtered & ~flag) | (event & (kInhibitM | kInhibitS | kInhibitU) ? flag : 0);
  state.scountovf = (state.scountovf & ~uint64_t{flag}) | (event & kOverflow ? flag : 0);
  uint64_t clock = clock_of(vcpu, counter);
  update(vcpu, counter, clock);
  arm(vcpu, counter, clock);
}

uint64_t read_scountovf(ir::VcpuBlock& vcpu, unsigned) {
  const State& state = vcpu.as<State>();
  return state.scountovf & (state.privilege == Privilege::kMachine ? ~uint64_t{0} : state.mcounteren);
}

void counters_privilege_changed(ir::VcpuBlock& vcpu) {
  uint64_t clock = static_cast<uint64_t>(vcpu.env->now_ns());
  uint32_t filtered = vcpu.as<State>().counters_filtered;
  for (unsigned counter = 3; counter < 32; ++counter)
    if (bit(filtered, counter)) update(vcpu, counter, clock);
}

void counters_settle(ir::VcpuBlock& vcpu) {
  State& state = vcpu.as<State>();
  uint32_t due = state.counters_due.exchange(0, std::memory_order_acq_rel);
  uint64_t clock = static_cast<uint64_t>(vcpu.env->now_ns());
  for (unsigned counter = 3; counter < 32; ++counter) {
    // The timer may have been that of a deadline replaced since.
    if (!bit(due, counter) || static_cast<int64_t>(clock) < state.counter_deadline[counter]) continue;
    state.counter_deadline[counter] = INT64_MAX;
    state.hpmevent[counter] |= kOverflow;
    state.scountovf |= uint64_t{1} << counter;
    state.pending_pins.fetch_or(kLcofip, std::memory_order_acq_rel);
  }
}

// Sstc: stimecmp is accessible below M-mode when menvcfg.STCE and mcounteren.TM are set.
bool stimecmp_allowed(const ir::VcpuBlock& vcpu, unsigned) {
  const State& state = vcpu.as<State>();
  return state.privilege == Privilege::kMachine || ((state.menvcfg & envcfg::kStce) && bit(state.mcounteren, 1));
}
uint64_t read_stimecmp(ir::VcpuBlock& vcpu, unsigned) { return vcpu.as<State>().stimecmp; }
void write_stimecmp(ir::VcpuBlock& vcpu, unsigned, uint64_t value) {
  vcpu.as<State>().stimecmp = value;
  rearm_stimecmp(vcpu);
}

void rearm_stimecmp(ir::VcpuBlock& vcpu) {
  State& state = vcpu.as<State>();
  if (!(state.menvcfg & envcfg::kStce)) {
    vcpu.env->set_timer(0, INT64_MAX);
    return;
  }
  // The pin goes down before the new deadline is set, so that a timer that fires at once is not lost.
  state.pending_pins.fetch_and(~kStip, std::memory_order_acq_rel);
  uint64_t ns_per_tick = 1'000'000'000 / state.cpu->config().timebase_hz;
  bool far = state.stimecmp >= static_cast<uint64_t>(INT64_MAX) / ns_per_tick;
  if (read_time(vcpu, kTime) >= state.stimecmp) {
    vcpu.env->set_timer(0, INT64_MAX);
    state.pending_pins.fetch_or(kStip, std::memory_order_acq_rel);
    recheck_interrupts(vcpu);
  } else {
    vcpu.env->set_timer(0, far ? INT64_MAX : static_cast<int64_t>(state.stimecmp * ns_per_tick));
  }
}

}  // namespace lyre::riscv
