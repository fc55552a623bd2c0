// A vCPU on the x86-64 host for tests of single regions: regions as text, state slots by offset, memory of tests/ir/guest_memory.h.
#pragma once
#include <cstring>
#include <memory>
#include <string_view>

#include "backend/code/disasm.h"
#include "backend/x64/x64.h"
#include "ir/pass/pipeline.h"
#include "ir/text.h"
#include "tests/ir/guest_memory.h"
#include "tests/support/catch.h"

namespace lyre::backend {

inline constexpr uint16_t kRigPc = 512;
inline constexpr uint16_t kRigPinned[] = {16, 8, 80, 88, 120};

struct X64Rig {
  explicit X64Rig(const x64::HostFeatures& features = x64::host_features(), bool spill_everything = false,
                  std::span<const ir::HelperInfo> guest_helpers = {})
      : helpers(guest_helpers), vcpu(std::make_unique<ir::VcpuBlock>()) {
    GuestLayout layout;
    layout.pc_slot = kRigPc;
    layout.pinned_slots = kRigPinned;
    layout.helpers = helpers;
    BackendOptions options;
    options.disassemble = disassemble_x64;
    options.code_bytes = 8 << 20;
    options.spill_everything = spill_everything;
    auto made = make_x64_backend(layout, options, features);
    REQUIRE(static_cast<bool>(made));
    backend = std::move(*made);
    compiler = backend->make_compiler();
    memory.attach(*vcpu);
    backend->prepare(*vcpu);
    vcpu->key = 1;
    for (size_t k = 0; k < helpers.size(); ++k) vcpu->helpers[ir::kFirstGuestHelper + k] = helpers[k].function;
  }
  std::unique_ptr<CompiledRegion> compile(ir::Region region, bool optimise = true) {
    ir::PipelineOptions options;
    options.optimise = optimise;
    options.helpers = helpers;
    options.pinned_slots = kRigPinned;
    options.pc_slot = kRigPc;
    ir::run_pipeline(region, options);
    return compiler->compile(region);
  }
  std::unique_ptr<CompiledRegion> compile(std::string_view text, bool optimise = true) {
    auto region = ir::parse(text);
    INFO((region ? "" : region.error().message));
    REQUIRE(static_cast<bool>(region));
    return compile(std::move(*region), optimise);
  }
  uint64_t get(unsigned slot) const {
    uint64_t value;
    memcpy(&value, vcpu->state + slot, sizeof value);
    return value;
  }
  void set(unsigned slot, uint64_t value) { memcpy(vcpu->state + slot, &value, sizeof value); }
  uint64_t pc() const { return get(kRigPc); }
  ir::Leave leave() const { return static_cast<ir::Leave>(vcpu->leave); }

  std::span<const ir::HelperInfo> helpers;
  std::unique_ptr<ir::VcpuBlock> vcpu;
  ir::TestMemory memory;
  std::unique_ptr<Backend> backend;
  std::unique_ptr<Compiler> compiler;
};

}  // namespace lyre::backend
