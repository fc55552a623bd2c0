// The RISC-V hart's state, overlaid on VcpuBlock::state. x0..x31 come first so that translated code reaches them with 8-bit displacements.
// IR may get and set x, f, pc, the reservation and the 64-bit CSR fields marked (slot); everything else is reached through helpers only. A field that IR
// touches is written by helpers only if they are declared kWritesState or if IR sets it right after. pending_pins is the one field other threads write.
//
// RV32 uses the same fields. x registers and CSR slots hold 32-bit values sign-extended, so that compares, logic and loads serve both widths as they are.
// pc is zero-extended. A data address is a register plus a displacement, and code runs on past the last page of 4 GiB, so a Gva may lie 2^32 beside the
// address that is meant: the page walk looks at the low half only, and fences of one page reach every form of it (insn_sys.cpp). What software sees of an
// address (epc, tval, links) is put into register form first. Registers that are 64 bits wide on RV32 too (counters, menvcfg, stimecmp) are whole here.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "ir/types.h"

namespace lyre::riscv {

class RiscvCpu;

enum class Privilege : uint8_t { kUser = 0, kSupervisor = 1, kMachine = 3 };
inline constexpr unsigned kPmpEntries = 16;
inline constexpr unsigned kHpmCounters = 29;  // mhpmcounter3..31

// What the PMP entries come to: addresses from `low` to the next segment's have one set of rights (bit 0 read, 1 write, 2 execute).
struct PmpSegment {
  uint64_t low;
  uint8_t user_rights, machine_rights;
};
inline constexpr unsigned kPmpSegments = 2 * kPmpEntries + 2;  // the last one is a sentinel at the end of the address space

struct State {
  uint64_t x[32];
  uint64_t f[32];          // f32 NaN-boxed
  uint64_t pc;
  uint64_t reservation_address;  // LR: guest physical would be exact; virtual address of the last LR, ~0: none
  uint64_t reservation_value;    // SC compares this with memory (documented ABA; see insn_a.cpp)
  uint64_t mstatus;        // (slot) SD is kept up to date, so that sstatus is a masked view; RV32: without mstatush, which reads zero
  uint32_t fflags;         // sticky flags that do not sit in the host's control register
  uint32_t frm;

  // Privileged state. Written by the hart's own thread only.
  Privilege privilege;
  bool wfi;
  bool linux_user;         // a thread of a Linux process: environment calls leave to the runtime
  const RiscvCpu* cpu;     // model, for WARL masks in helpers
  uint64_t hart_id;
  uint64_t misa, medeleg, mideleg, mie, mcounteren, mcountinhibit, menvcfg, mseccfg, mstateen0;
  uint64_t mtvec, mscratch, mepc, mcause, mtval;          // (slots)
  uint64_t stvec, sscratch, sepc, scause, stval;          // (slots)
  uint64_t scounteren, senvcfg, satp, stimecmp, scountovf;
  uint64_t mip_software;   // bits of mip that software writes (SSIP, STIP without Sstc, SEIP's software part)
  uint8_t pmpcfg[kPmpEntries];
  uint64_t pmpaddr[kPmpEntries];
  PmpSegment pmp[kPmpSegments];
  unsigned pmp_segments;       // without the sentinel
  mutable unsigned pmp_recent; // segment of the last look-up
  // Counters 0 (cycle), 2 (instret), 3..31 (hpm): value = counter_base + (running ? clock : 0); see sysreg_counters.cpp.
  uint64_t counter_base[32];
  uint64_t hpmevent[32];
  int64_t counter_deadline[32];  // guest ns at which an hpm counter overflows and interrupts; INT64_MAX: it does not
  uint32_t counters_running;  // bit n: counter n counts now
  uint32_t counters_filtered; // bit n: it has privilege-mode filters

  std::atomic<uint32_t> counters_due;  // (any thread) bit n: counter n's overflow timer fired
  std::atomic<uint64_t> pending_pins;  // (any thread) mip bits driven by devices and timers
};

inline constexpr uint16_t x_slot(unsigned reg) { return static_cast<uint16_t>(offsetof(State, x) + 8 * reg); }
inline constexpr uint16_t f_slot(unsigned reg) { return static_cast<uint16_t>(offsetof(State, f) + 8 * reg); }
inline constexpr uint16_t kPcSlot = offsetof(State, pc);
inline constexpr uint16_t kReservationAddressSlot = offsetof(State, reservation_address);
inline constexpr uint16_t kReservationValueSlot = offsetof(State, reservation_value);
inline constexpr uint16_t kMstatusSlot = offsetof(State, mstatus);

}  // namespace lyre::riscv
