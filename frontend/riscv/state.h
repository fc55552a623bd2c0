// The RISC-V hart's state, overlaid on VcpuBlock::state. x0..x31 come first so that translated code reaches them with 8-bit displacements.
// Slots (x, f, pc) are what IR may get and set; everything else is reached through helpers only. pending_pins is the one field other threads write.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "ir/types.h"

namespace lyre::riscv {

enum class Privilege : uint8_t { kUser = 0, kSupervisor = 1, kMachine = 3 };
inline constexpr unsigned kPmpEntries = 16;
inline constexpr unsigned kHpmCounters = 29;  // mhpmcounter3..31

struct State {
  uint64_t x[32];
  uint64_t f[32];          // f32 NaN-boxed
  uint64_t pc;
  uint64_t reservation_address;  // LR: guest physical would be exact; virtual address of the last LR, ~0: none
  uint64_t reservation_value;    // SC compares this with memory (documented ABA; see insn_a.cpp)
  uint32_t fflags;         // sticky flags that do not sit in the host's control register
  uint32_t frm;
  uint32_t fp_flags_in_host;  // 1: translated code may have raised flags in guest_mxcsr since fflags was merged

  // Privileged state. Written by the hart's own thread only.
  Privilege privilege;
  bool wfi;
  uint64_t hart_id;
  uint64_t mstatus, misa, medeleg, mideleg, mie, mtvec, mscratch, mepc, mcause, mtval, mcounteren, mcountinhibit, menvcfg, mseccfg;
  uint64_t stvec, sscratch, sepc, scause, stval, scounteren, senvcfg, satp, stimecmp, scountovf;
  uint64_t mip_software;   // bits of mip that software writes (SSIP, STIP without Sstc, SEIP's software part)
  uint64_t pmpcfg[kPmpEntries / 8];
  uint64_t pmpaddr[kPmpEntries];
  uint64_t mhpmevent[kHpmCounters], mhpmcounter[kHpmCounters];
  int64_t cycle_offset, instret_offset;
  uint64_t tselect, tdata[3];

  std::atomic<uint64_t> pending_pins;  // (any thread) mip bits driven by devices and timers
};

inline constexpr uint16_t x_slot(unsigned reg) { return static_cast<uint16_t>(offsetof(State, x) + 8 * reg); }
inline constexpr uint16_t f_slot(unsigned reg) { return static_cast<uint16_t>(offsetof(State, f) + 8 * reg); }
inline constexpr uint16_t kPcSlot = offsetof(State, pc);
inline constexpr uint16_t kReservationAddressSlot = offsetof(State, reservation_address);
inline constexpr uint16_t kReservationValueSlot = offsetof(State, reservation_value);

}  // namespace lyre::riscv
