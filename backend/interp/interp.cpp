#include "backend/interp/interp.h"

#include "backend/interp/run.h"
#include "ir/text.h"
#include "runtime/base/check.h"

namespace lyre::backend {
namespace {

class InterpCompiler final : public Compiler {
 public:
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
    return made;
  }
};

class InterpBackend final : public Backend {
 public:
  explicit InterpBackend(const GuestLayout& layout) : layout_(layout) {}
  std::string_view name() const override { return "interp"; }
  std::unique_ptr<Compiler> make_compiler() override { return std::make_unique<InterpCompiler>(); }
  void prepare(ir::VcpuBlock&) override {}

  Left run(ir::VcpuBlock& vcpu, const CompiledRegion& entry) override {
    thread_local InterpScratch scratch;
    uint32_t host = __builtin_ia32_stmxcsr();
    vcpu.host_mxcsr = host;
    __builtin_ia32_ldmxcsr(vcpu.guest_mxcsr);
    Left left = InterpRun(layout_, vcpu, entry, scratch).run();
    vcpu.guest_mxcsr = __builtin_ia32_stmxcsr();
    __builtin_ia32_ldmxcsr(host);
    return left;
  }

  // Nothing jumps from region to region here: every exit goes through the loop, so nobody holds an address of a retired region either.
  bool can_link() const override { return false; }
  void link(const CompiledRegion&, const ExitSite&, const CompiledRegion&, uint32_t) override {
    LYRE_CHECK(false, "the interpreter does not link");
  }
  void unlink(const CompiledRegion&, const ExitSite&) override {}
  void poison(const CompiledRegion&) override {}
  std::string disassemble(const CompiledRegion& region) const override { return ir::print(*region.ir); }

 private:
  GuestLayout layout_;
};

}  // namespace

std::unique_ptr<Backend> make_interp_backend(const GuestLayout& layout, const BackendOptions&) {
  return std::make_unique<InterpBackend>(layout);
}

}  // namespace lyre::backend
