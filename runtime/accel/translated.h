// The vCPUs of a machine run by the translator (accel tcg) or by the IR interpreter (accel interp): same loop, another host backend.
#pragma once
#include <memory>

#include "runtime/vcpu/vcpu_set.h"

namespace lyre::runtime {

Result<std::unique_ptr<VcpuSet>> make_translated_vcpus(const CpuConfig& config, PhysicalMap& memory, VirtualClock& clock, TimerService& timers);

}  // namespace lyre::runtime
