// The SBI of our own: machine-mode firmware for RISC-V boards, assembled when a machine is loaded (RISC-V Supervisor
// Binary Interface 2.0). Serves when no other firmware is installed, or with -bios builtin for the fastest boot.
// Extensions: BASE, TIME, IPI, RFENCE, HSM, SRST, DBCN, PMU (fixed counters) and the legacy timer, console and shutdown
// calls. Hart 0 goes on to the next stage, the others wait for hart_start. Cold.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "runtime/base/types.h"

namespace lyre::machine {

struct SbiConfig {
  unsigned xlen = 64;
  Gpa base;                // where it is loaded, the start of RAM
  uint64_t ram_bytes = 0;  // from base: where the supervisor's buffers may be
  unsigned harts = 1;
  Gpa next;  // entered in S-mode with a0 = hart, a1 = device tree as passed on by the reset ROM
  Gpa clint, sswi, uart, test;
  bool sstc = false;  // the harts have stimecmp
};

struct SbiImage {
  std::vector<std::byte> bytes;  // code, then zeros
  uint64_t region = 0;           // what the supervisor cannot touch: bytes from base, a power of two
};
SbiImage make_sbi(const SbiConfig& config);

}  // namespace lyre::machine
