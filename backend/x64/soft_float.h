// Floating-point operations for hosts without FMA3 or SSE4.1, called from translated code under the guest's control/status register, which they
// leave with the operation's sticky flags added. Values are bit patterns.
#pragma once
#include <cstdint>

#include "ir/abi.h"
#include "ir/types.h"

namespace lyre::backend::x64 {

using SoftFunction = uint64_t (*)(ir::VcpuBlock*, uint64_t, uint64_t, uint64_t) noexcept;
uint64_t soft_fma32(ir::VcpuBlock*, uint64_t a, uint64_t b, uint64_t c) noexcept;
uint64_t soft_fma64(ir::VcpuBlock*, uint64_t a, uint64_t b, uint64_t c) noexcept;
// Rounds its first argument to an integral value.
SoftFunction soft_round(bool is_double, ir::Rounding mode);

}  // namespace lyre::backend::x64
