// Rebuilding the precise guest state at a slow call that did not return: from the region's state log and the host registers that the slow path saved.
// Host-neutral; allocation-free. Cold.
#pragma once
#include "backend/backend.h"

namespace lyre::backend {

// Writes every slot that is not in its home: reads vcpu.save_gpr, save_vector and spill. Sets the pc slot.
void recover_state(ir::VcpuBlock& vcpu, const CompiledRegion& region, const StatePoint& point, uint16_t pc_slot);

}  // namespace lyre::backend
