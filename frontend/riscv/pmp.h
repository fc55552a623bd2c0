// Physical memory protection: 16 entries, OFF/TOR/NAPOT with a granularity of 4 KiB (G = 10), lock bits, and the Smepmp rules under mseccfg.
// RISC-V Privileged 3.7 and "Smepmp". With that granularity no entry splits a page, so a page's rights are those of any byte of it.
#pragma once
#include <cstdint>

#include "frontend/riscv/state.h"
#include "runtime/base/types.h"

namespace lyre::riscv {

enum PmpRights : uint8_t { kPmpRead = 1, kPmpWrite = 2, kPmpExecute = 4 };

// Rights at a physical address for accesses made as `privilege`. Hot: page walks ask for every table entry.
uint8_t pmp_rights(const State& state, Gpa address, Privilege privilege);
// Largest size_bits <= bits such that the aligned block of that size around `address` has one set of rights.
unsigned pmp_uniform_bits(const State& state, Gpa address, unsigned bits);
void reset_pmp(State& state);

}  // namespace lyre::riscv
