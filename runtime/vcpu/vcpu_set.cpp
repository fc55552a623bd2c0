#include "runtime/vcpu/vcpu_set.h"

#include "frontend/guest_isa.h"
#include "runtime/accel/translated.h"

namespace lyre::runtime {
namespace {

std::vector<CpuModelInfo> listed(std::string_view guest, std::span<const frontend::CpuModel> (*frontend::GuestInfo::*list)()) {
  std::vector<CpuModelInfo> infos;
  if (const frontend::GuestInfo* found = frontend::find_guest(guest))
    for (const frontend::CpuModel& model : (found->*list)()) infos.push_back({model.name, model.description});
  return infos;
}

}  // namespace

std::vector<CpuModelInfo> cpu_models(std::string_view guest) { return listed(guest, &frontend::GuestInfo::models); }
std::vector<CpuModelInfo> cpu_features(std::string_view guest) { return listed(guest, &frontend::GuestInfo::features); }

Result<std::unique_ptr<VcpuSet>> VcpuSet::create(const CpuConfig& config, PhysicalMap& memory, VirtualClock& clock, TimerService& timers) {
  if (config.accel != "tcg" && config.accel != "interp") return Error{"there is no accelerator called '" + config.accel + "' (tcg, interp)"};
  return make_translated_vcpus(config, memory, clock, timers);
}

}  // namespace lyre::runtime
