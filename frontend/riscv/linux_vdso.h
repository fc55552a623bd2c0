// Code of the riscv64 vDSO, and the call that its clock functions make. Cold but for vdso_call.
#pragma once
#include "frontend/linux_abi.h"

namespace lyre::riscv {

// What an environment call inside the vDSO asks with these numbers in a7, which Linux does not use: nanoseconds of
// clock a0, its resolution, the number of the processor (low half) and of its node. A negative answer: ask the kernel.
enum VdsoCall : uint64_t { kVdsoClock = 0x4c590000, kVdsoResolution, kVdsoProcessor, kVdsoCallEnd };
int64_t vdso_call(uint64_t number, uint64_t argument) noexcept;

// Offsets in the signal frame, from the stack pointer of the trampoline.
struct FrameOffsets {
  unsigned pc, x1, f0;
};
frontend::VdsoCode vdso_code(const FrameOffsets& frame);

}  // namespace lyre::riscv
