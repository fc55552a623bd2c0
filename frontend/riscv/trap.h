// Traps and interrupts of a RISC-V hart: entry, return, and which interrupt is due. RISC-V Privileged ISA, 3.1.6 to 3.1.9, 3.3.2 and the S-mode
// counterparts. All on the hart's own thread.
#pragma once
#include <cstdint>

#include "frontend/riscv/state.h"
#include "ir/abi.h"

namespace lyre::riscv {

inline constexpr uint64_t kInterruptCause = uint64_t{1} << 63;  // mcause.Interrupt, in causes as these functions take and give them

// mip as software reads it: pins, latches, and the stimecmp comparison where Sstc drives STIP.
uint64_t interrupts_pending(ir::VcpuBlock& vcpu);
// The cause (with kInterruptCause) that is to be taken now, or 0: none. Cause 0 is no interrupt, so 0 is free.
uint64_t interrupt_due(ir::VcpuBlock& vcpu);
// Some enabled bit of mie may now be deliverable: asks the runtime to look before the next instruction, if anything is pending.
void recheck_interrupts(ir::VcpuBlock& vcpu);

// Enters the handler of `cause` (delegation included): epc, cause, tval, status stack, pc := handler.
void enter_trap(ir::VcpuBlock& vcpu, uint64_t cause, uint64_t tval, uint64_t epc);
// mret and sret: restore the status stack; return the pc to go to.
uint64_t return_from_machine(ir::VcpuBlock& vcpu);
uint64_t return_from_supervisor(ir::VcpuBlock& vcpu);

// Privilege or anything else that the state key or mmu index shows has changed: tells the runtime.
void context_changed(ir::VcpuBlock& vcpu);

}  // namespace lyre::riscv
