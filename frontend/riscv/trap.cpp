// Trap entry and return, interrupts, reset and the state key. See trap.h.
#include "frontend/riscv/trap.h"

#include <bit>

#include "frontend/riscv/cpu.h"
#include "frontend/riscv/fp_helpers.h"
#include "frontend/riscv/pmp.h"
#include "frontend/riscv/sysreg.h"
#include "runtime/base/bits.h"

namespace lyre::riscv {
namespace {

// mtvec and stvec: base in bits XLEN-1:2, mode in bits 1:0; vectored (1) adds 4 x cause for interrupts (Privileged 3.1.7).
uint64_t handler_of(uint64_t vector, uint64_t cause) {
  uint64_t base = vector & ~uint64_t{3};
  return (vector & 1) && (cause & kInterruptCause) ? base + 4 * (cause & ~kInterruptCause) : base;
}

void set_privilege(ir::VcpuBlock& vcpu, Privilege privilege) {
  State& state = vcpu.as<State>();
  if (state.privilege == privilege) return;
  state.privilege = privilege;
  if (state.counters_filtered) counters_privilege_changed(vcpu);
}

}  // namespace

void context_changed(ir::VcpuBlock& vcpu) {
  const State& state = vcpu.as<State>();
  vcpu.env->set_address_space(state.cpu->address_space(vcpu), state.cpu->mmu_index(vcpu));
  vcpu.env->state_key_changed();
}

uint64_t interrupts_pending(ir::VcpuBlock& vcpu) {
  State& state = vcpu.as<State>();
  uint64_t pins = state.pending_pins.load(std::memory_order_acquire);
  // The comparator's pin is set by a timer thread that may have read a deadline which has been replaced since (Sstc: STIP is the comparison itself).
  if ((pins & kStip) && (state.menvcfg & envcfg::kStce) && read_time(vcpu, kTime) < state.stimecmp) {
    state.pending_pins.fetch_and(~kStip, std::memory_order_acq_rel);
    pins &= ~kStip;
    if (read_time(vcpu, kTime) >= state.stimecmp) {  // the deadline passed meanwhile: its timer may have been the one cleared
      state.pending_pins.fetch_or(kStip, std::memory_order_acq_rel);
      pins |= kStip;
    }
  }
  if (state.counters_due.load(std::memory_order_acquire)) {
    counters_settle(vcpu);
    pins |= state.pending_pins.load(std::memory_order_relaxed) & kLcofip;
  }
  return pins | state.mip_software;
}

uint64_t interrupt_due(ir::VcpuBlock& vcpu) {
  const State& state = vcpu.as<State>();
  uint64_t enabled = state.mie & interrupts_pending(vcpu);
  if (!enabled) return 0;
  // Privileged 3.1.9: M-level interrupts first, each level by this order.
  bool machine_open = state.privilege != Privilege::kMachine || (state.mstatus & mstatus::kMie);
  bool supervisor_open = state.privilege == Privilege::kUser || (state.privilege == Privilege::kSupervisor && (state.mstatus & mstatus::kSie));
  uint64_t machine = machine_open ? enabled & ~state.mideleg : 0;
  uint64_t supervisor = supervisor_open ? enabled & state.mideleg : 0;
  for (uint64_t level : {machine, supervisor}) {
    if (!level) continue;
    for (uint64_t bit : {kMeip, kMsip, kMtip, kSeip, kSsip, kStip, kLcofip})
      if (level & bit) return kInterruptCause | static_cast<unsigned>(std::countr_zero(bit));
  }
  return 0;
}

void recheck_interrupts(ir::VcpuBlock& vcpu) {
  const State& state = vcpu.as<State>();
  if (state.cpu->has_wakeup(vcpu)) vcpu.env->interrupts_changed();
}

void enter_trap(ir::VcpuBlock& vcpu, uint64_t cause, uint64_t tval, uint64_t epc) {
  State& state = vcpu.as<State>();
  const RiscvCpu& cpu = *state.cpu;
  epc = cpu.register_form(epc), tval = cpu.register_form(tval);
  uint64_t cause_register = cause & kInterruptCause ? cpu.top_bit() | (cause & ~kInterruptCause) : cause;
  uint64_t status = state.mstatus;
  uint64_t delegation = cause & kInterruptCause ? state.mideleg : state.medeleg;
  bool to_supervisor = state.privilege != Privilege::kMachine && bit(delegation, static_cast<unsigned>(cause & 63));
  uint64_t from = static_cast<uint64_t>(state.privilege);
  state.reservation_address = ~uint64_t{0};
  if (to_supervisor) {
    state.sepc = epc, state.scause = cause_register, state.stval = tval;
    uint64_t enabled = status & mstatus::kSie;
    status &= ~(mstatus::kSpie | mstatus::kSie | mstatus::kSpp);
    status |= (enabled ? mstatus::kSpie : 0) | (from ? mstatus::kSpp : 0);
    state.pc = cpu.address_form(handler_of(state.stvec, cause));
  } else {
    state.mepc = epc, state.mcause = cause_register, state.mtval = tval;
    uint64_t enabled = status & mstatus::kMie;
    status &= ~(mstatus::kMpie | mstatus::kMie | mstatus::kMpp);
    status |= (enabled ? mstatus::kMpie : 0) | from << mstatus::kMppShift;
    state.pc = cpu.address_form(handler_of(state.mtvec, cause));
  }
  state.mstatus = status;
  set_privilege(vcpu, to_supervisor ? Privilege::kSupervisor : Privilege::kMachine);
  context_changed(vcpu);
}

uint64_t return_from_machine(ir::VcpuBlock& vcpu) {
  State& state = vcpu.as<State>();
  uint64_t status = state.mstatus;
  auto to = static_cast<Privilege>(bits(status, mstatus::kMppShift, 2));
  uint64_t enabled = status & mstatus::kMpie;
  status &= ~(mstatus::kMie | mstatus::kMpp);
  status |= (enabled ? mstatus::kMie : 0) | mstatus::kMpie;
  if (to != Privilege::kMachine) status &= ~mstatus::kMprv;  // 3.1.6.3
  state.mstatus = status;
  state.pc = state.cpu->address_form(state.mepc);
  set_privilege(vcpu, to);
  context_changed(vcpu);
  recheck_interrupts(vcpu);
  return state.pc;
}

uint64_t return_from_supervisor(ir::VcpuBlock& vcpu) {
  State& state = vcpu.as<State>();
  uint64_t status = state.mstatus;
  Privilege to = status & mstatus::kSpp ? Privilege::kSupervisor : Privilege::kUser;
  uint64_t enabled = status & mstatus::kSpie;
  status &= ~(mstatus::kSie | mstatus::kSpp | mstatus::kMprv);
  status |= (enabled ? mstatus::kSie : 0) | mstatus::kSpie;
  state.mstatus = status;
  state.pc = state.cpu->address_form(state.sepc);
  set_privilege(vcpu, to);
  context_changed(vcpu);
  recheck_interrupts(vcpu);
  return state.pc;
}

// Reset (Privileged 3.4): M-mode, MIE and MPRV clear, PMP off, Bare; the rest is zero for determinism. Fields that belong to the model are filled in.
void RiscvCpu::reset(ir::VcpuBlock& vcpu, unsigned index, Gva pc) const {
  State& state = vcpu.as<State>();
  for (uint64_t& value : state.x) value = 0;
  for (uint64_t& value : state.f) value = 0;
  state.pc = pc.value;
  state.reservation_address = ~uint64_t{0}, state.reservation_value = 0;
  state.mstatus = narrow() ? 0 : mstatus::kUxl64 | mstatus::kSxl64;
  state.fflags = 0, state.frm = 0;
  vcpu.guest_mxcsr = kMxcsrNearest;
  state.privilege = Privilege::kMachine, state.wfi = state.linux_user = false;
  state.cpu = this, state.hart_id = index;
  state.misa = (narrow() ? uint64_t{1} << 30 : uint64_t{2} << 62) | uint64_t{1} << ('S' - 'A') | uint64_t{1} << ('U' - 'A');
  for (Ext ext : {Ext::i, Ext::m, Ext::a, Ext::f, Ext::d, Ext::c, Ext::v, Ext::h})
    if (has(ext)) state.misa |= uint64_t{1} << (kExtInfo[static_cast<unsigned>(ext)].name[0] - 'a');
  if (has(Ext::zba) && has(Ext::zbb) && has(Ext::zbs)) state.misa |= 1 << ('B' - 'A');
  state.medeleg = state.mideleg = state.mie = 0;
  state.mcounteren = state.mcountinhibit = state.menvcfg = state.mseccfg = state.mstateen0 = 0;
  state.mtvec = state.mscratch = state.mepc = state.mcause = state.mtval = 0;
  state.stvec = state.sscratch = state.sepc = state.scause = state.stval = 0;
  state.scounteren = state.senvcfg = state.satp = 0;
  state.stimecmp = ~uint64_t{0};
  state.mip_software = 0;
  // Level inputs from devices stay as they are: a controller's reset lowers its own pins.
  state.pending_pins.fetch_and(kMsip | kMtip | kSeip | kMeip, std::memory_order_acq_rel);
  reset_pmp(state);
  reset_counters(state);
  if (vcpu.env) vcpu.env->set_timer(0, INT64_MAX);
}

uint32_t RiscvCpu::state_key(const ir::VcpuBlock& vcpu) const {
  const State& state = vcpu.as<State>();
  uint64_t status = state.mstatus;
  auto level = static_cast<uint32_t>(state.privilege);
  bool machine = state.privilege == Privilege::kMachine, user = state.privilege == Privilege::kUser;
  uint32_t key = level;
  uint64_t float_status = bits(status, mstatus::kFsShift, 2);
  if (!float_status) key |= kKeyFloatOff;
  else key |= (float_status == 3 ? uint32_t{kKeyFloatDirty} : 0) | state.frm << kKeyFrmShift;
  if (!(status & mstatus::kVs)) key |= kKeyVectorOff;

  // Counter access: mcounteren below M, and scounteren too for U (Privileged 3.1.11, 12.1.5).
  uint64_t counters = machine ? 7 : state.mcounteren & (user ? state.scounteren : ~uint64_t{0});
  key |= static_cast<uint32_t>(counters & 7) << 8;
  if (state.privilege == Privilege::kSupervisor) {
    if (status & mstatus::kTvm) key |= kKeyTrapVm;
    if (status & mstatus::kTsr) key |= kKeyTrapSret;
  }
  // With S-mode, wfi in U-mode is illegal unless it completes in bounded time (3.3.3): it does not here.
  if (user || (!machine && (status & mstatus::kTw))) key |= kKeyTrapWfi;

  // Zicbom 3.4, Zicboz: menvcfg below M, senvcfg too for U. A permitted cbo.inval flushes when a higher level says so.
  uint64_t all = machine ? ~uint64_t{0} : state.menvcfg & (user ? state.senvcfg : ~uint64_t{0});
  uint64_t inval = machine ? 3 : bits(state.menvcfg, 4, 2);
  if (user) {
    uint64_t lower = bits(state.senvcfg, 4, 2);
    inval = !inval || !lower ? 0 : inval & lower;
  }
  key |= static_cast<uint32_t>(inval) << kKeyCacheInvalShift;
  if (all & envcfg::kCbcfe) key |= kKeyCacheClean;
  if (all & envcfg::kCbze) key |= kKeyCacheZero;
  if (state.linux_user) key |= kKeyLinuxUser;
  return key;
}

void RiscvCpu::deliver_fault(ir::VcpuBlock& vcpu, const ir::Fault& fault) const {
  enter_trap(vcpu, fault.cause, fault.value, vcpu.as<State>().pc);
}

bool RiscvCpu::deliver_interrupt(ir::VcpuBlock& vcpu) const {
  uint64_t cause = interrupt_due(vcpu);
  if (!cause) return false;
  enter_trap(vcpu, cause, 0, vcpu.as<State>().pc);
  return true;
}

// wfi resumes on any interrupt that is pending and enabled in mie, whatever the global enables and delegation say (3.3.3).
bool RiscvCpu::has_wakeup(const ir::VcpuBlock& vcpu) const {
  const State& state = vcpu.as<State>();
  return ((state.pending_pins.load(std::memory_order_acquire) | state.mip_software) & state.mie) || state.counters_due.load(std::memory_order_acquire);
}

// Software and edge inputs (SSIP from an ACLINT SSWI, LCOFIP) only latch: software clears them. The others follow the level.
bool RiscvCpu::set_irq(ir::VcpuBlock& vcpu, unsigned input, bool level) const {
  State& state = vcpu.as<State>();
  if (input >= 64) return false;
  uint64_t mask = uint64_t{1} << input;
  if (level) return !(state.pending_pins.fetch_or(mask, std::memory_order_acq_rel) & mask);
  if (!(mask & (kSsip | kLcofip))) state.pending_pins.fetch_and(~mask, std::memory_order_acq_rel);
  return false;
}

bool RiscvCpu::timer_fired(ir::VcpuBlock& vcpu, unsigned timer) const {
  State& state = vcpu.as<State>();
  if (timer == 0) return set_irq(vcpu, static_cast<unsigned>(std::countr_zero(kStip)), true);
  state.counters_due.fetch_or(1u << (timer - kCounterTimers), std::memory_order_acq_rel);
  return true;  // the hart finds out whether the counter really overflowed
}

}  // namespace lyre::riscv
