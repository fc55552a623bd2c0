#include "backend/interp/interp.h"

#include "backend/interp/areas.h"
#include "backend/interp/run.h"
#include "ir/text.h"
#include "runtime/base/check.h"
#include "runtime/base/guarded.h"

namespace lyre::backend {
namespace {

uint64_t bytes_of(const ir::Region& region) {
  return sizeof region + region.insts.size() * sizeof(ir::Inst) + region.pool.size() * sizeof(ir::ValueId) +
         region.snapshots.size() * sizeof(ir::Snapshot) + region.snapshot_entries.size() * sizeof(ir::SnapshotEntry);
}

class InterpCompiler final : public Compiler {
 public:
  explicit InterpCompiler(InterpAreas& areas) : areas_(areas) {}
  std::unique_ptr<CompiledRegion> compile(const ir::Region& region) override {
    auto made = std::make_unique<CompiledRegion>();
    made->start = region.start;
    made->state_key = region.state_key;
    made->guest_insns = region.guest_insns;
    made->ir = std::make_unique<ir::Region>(region);
    ir::Region& copy = *made->ir;
    if (copy.blocks.empty()) copy.blocks.push_back({0, static_cast<uint32_t>(copy.insts.size()), 0, false});
    for (ir::Inst& inst : copy.insts) {
      if (inst.op != ir::Op::exit_if && inst.op != ir::Op::exit_if_cmp && inst.op != ir::Op::exit_direct) continue;
      inst.args[3] = static_cast<uint32_t>(made->exits.size());  // unused by these operations; run() reports it
      ExitSite site;
      site.target = inst.target();
      site.hint = inst.op == ir::Op::exit_direct ? inst.aux : uint8_t{ir::kHintNone};
      made->exits.push_back(site);
    }
    made->code_bytes = made->hot_bytes = static_cast<uint32_t>(bytes_of(copy));
    if (!areas_.add(*made)) return nullptr;
    return made;
  }

 private:
  InterpAreas& areas_;
};

class InterpBackend final : public Backend {
 public:
  InterpBackend(const GuestLayout& layout, const BackendOptions& options) : layout_(layout), options_(options), areas_(options.code_bytes) {}
  std::string_view name() const override { return "interp"; }
  std::unique_ptr<Compiler> make_compiler() override { return std::make_unique<InterpCompiler>(areas_); }
  void prepare(ir::VcpuBlock&) override {}

  Left run(ir::VcpuBlock& vcpu, const CompiledRegion& entry) override {
    thread_local InterpScratch scratch;
    uint32_t host = __builtin_ia32_stmxcsr();
    vcpu.host_mxcsr = host;
    __builtin_ia32_ldmxcsr(vcpu.guest_mxcsr);
    Left left = InterpRun(layout_, options_, vcpu, entry, scratch).run();
    vcpu.guest_mxcsr = __builtin_ia32_stmxcsr();
    __builtin_ia32_ldmxcsr(host);
    return left;
  }

  Place place_of(const ir::VcpuBlock&, const void*, bool) const override { return {}; }  // the loop knows: every region is entered from there

  // Every access is a guarded one, which returns by itself.
  bool redirect_fault(ir::VcpuBlock&, void* context) override { return guarded_redirect(context); }

  // Nothing jumps from region to region here: every exit goes through the loop, so nobody holds an address of a retired region either.
  bool can_link() const override { return false; }
  void link(const CompiledRegion&, const ExitSite&, const CompiledRegion&, uint32_t) override {
    LYRE_CHECK(false, "the interpreter does not link");
  }
  void unlink(const CompiledRegion&, const ExitSite&) override {}
  void poison(const CompiledRegion&) override {}
  std::string disassemble(const CompiledRegion& region) const override { return ir::print(*region.ir); }

  void* evict_oldest_area(std::vector<CompiledRegion*>& regions) override { return areas_.evict_oldest(regions); }
  void recycle_area(void* area) override { areas_.recycle(area); }
  void forget(const CompiledRegion& region) override { areas_.remove(region); }
  uint64_t code_bytes_in_use() const override { return areas_.bytes_in_use(); }

 private:
  GuestLayout layout_;
  BackendOptions options_;
  InterpAreas areas_;
};

}  // namespace

std::unique_ptr<Backend> make_interp_backend(const GuestLayout& layout, const BackendOptions& options) {
  return std::make_unique<InterpBackend>(layout, options);
}

}  // namespace lyre::backend
