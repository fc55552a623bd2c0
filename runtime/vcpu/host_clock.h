// Guest time read inline by translated code: ns = ((tsc * mult) >> 32) + base. Calibrated once per process against CLOCK_MONOTONIC on hosts
// whose time-stamp counter is invariant; elsewhere mult stays 0 and translated code calls kHelperClock.
#pragma once
#include "ir/abi.h"
#include "runtime/vcpu/clock.h"

namespace lyre::runtime {

// Fills clock_mult and clock_base for the clock as it runs now. Called on the vCPU's thread or while it is paused, again after each resume.
void set_inline_clock(ir::VcpuBlock& block, const VirtualClock& clock);

}  // namespace lyre::runtime
