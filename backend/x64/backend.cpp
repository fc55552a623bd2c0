// X64Backend: entering translated code, and patching it.
#include <stdio.h>
#include <string.h>
#include <ucontext.h>

#include <atomic>

#include "backend/code/recover.h"
#include "backend/x64/compiler.h"
#include "backend/x64/x64.h"
#include "runtime/base/check.h"

namespace lyre::backend {
namespace x64 {
namespace {

constexpr RegMask kGprs = 0xffff & ~(mask_of(kRsp) | mask_of(kRbp));
constexpr RegMask kVectors = RegMask{0x7fff} << kFirstVector;  // the last is kCopyVector
constexpr RegMask kCalleeSaved = mask_of(kRbx) | mask_of(kR12) | mask_of(kR13) | mask_of(kR14) | mask_of(kR15);

class X64Backend final : public Backend {
 public:
  explicit X64Backend(Shared shared) : shared_(std::move(shared)) {
    shared_.regs.gprs = kGprs;
    shared_.regs.vectors = kVectors;
    shared_.regs.call_clobbered = (kGprs & ~kCalleeSaved) | kVectors;
    // Not pinned, and not asked for by shifts and divisions.
    shared_.regs.cheap = mask_of(kRsi) | mask_of(kRdi) | mask_of(kR8) | mask_of(kR9) | mask_of(kR10) | mask_of(kR11) | kVectors;
    shared_.regs.pinned = {kPinnedRegs, shared_.layout.pinned_slots.size()};
    shared_.thunks = emit_thunks(*shared_.memory, shared_.layout.pc_slot, shared_.layout.pinned_slots);
  }

  std::string_view name() const override { return "x64"; }
  std::unique_ptr<Compiler> make_compiler() override { return std::make_unique<X64Compiler>(shared_); }

  // The rounding mode and masked exceptions that translated code starts with.
  void prepare(ir::VcpuBlock& vcpu) override { vcpu.guest_mxcsr = 0x1f80; }

  Left run(ir::VcpuBlock& vcpu, const CompiledRegion& entry) override {
    using Enter = uint64_t (*)(ir::VcpuBlock*, const uint8_t*);
    const auto enter = reinterpret_cast<Enter>(shared_.memory->exec_at(shared_.thunks.enter));
    vcpu.leave = 0;
    const bool recover = enter(&vcpu, entry.code) != 0;
    Left left;
    if (recover) {
      left.from = shared_.memory->region_at(vcpu.exit_host_pc);
      LYRE_CHECK(left.from != nullptr, "a slow path left from code that no region owns");
      StatePoint point;
      LYRE_CHECK(left.from->states.find(static_cast<uint32_t>(vcpu.exit_host_pc - reinterpret_cast<uintptr_t>(left.from->code)), point),
                 "a slow path left from a place without a state point");
      recover_state(vcpu, *left.from, point, shared_.layout.pc_slot);
    } else if (vcpu.leave == static_cast<uint32_t>(ir::Leave::kDirect)) {
      left.from = shared_.memory->region_at(vcpu.exit_host_pc);
      LYRE_CHECK(left.from != nullptr, "an exit left from code that no region owns");
      const auto key = static_cast<uint32_t>(vcpu.exit_host_pc - reinterpret_cast<uintptr_t>(left.from->code));
      while (left.exit < left.from->exits.size() && left.from->exits[left.exit].key_offset != key) left.exit++;
      LYRE_CHECK(left.exit < left.from->exits.size(), "an exit left that its region does not list");
    }
    return left;
  }

  // A slow access has noted its return address, whose state point knows the instruction.
  Place place_of(const ir::VcpuBlock& vcpu, const void* signal_context, bool in_access) const override {
    const auto* context = static_cast<const ucontext_t*>(signal_context);
    const uint64_t host_pc = in_access ? vcpu.exit_host_pc : static_cast<uint64_t>(context->uc_mcontext.gregs[REG_RIP]);
    const CompiledRegion* region = shared_.memory->region_at(host_pc);
    if (!region) return {};
    Place place{true, region->start, false, region->start};
    StatePoint point;
    if (in_access && region->states.find(static_cast<uint32_t>(host_pc - reinterpret_cast<uintptr_t>(region->code)), point))
      place.exact = true, place.pc = region->start + static_cast<uint64_t>(int64_t{point.pc_offset});
    return place;
  }

  // The registers of the faulting instruction are what a slow path would have saved; translated code is left by the thunk for that.
  bool redirect_fault(ir::VcpuBlock& vcpu, void* context) override {
    auto& machine = static_cast<ucontext_t*>(context)->uc_mcontext;
    const auto host_pc = static_cast<uint64_t>(machine.gregs[REG_RIP]);
    const CompiledRegion* region = shared_.memory->region_at(host_pc);
    StatePoint point;
    if (!region || !region->states.find(static_cast<uint32_t>(host_pc - reinterpret_cast<uintptr_t>(region->code)), point)) return false;
    static constexpr int kOrder[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                       REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
    for (unsigned k = 0; k < 16; k++) vcpu.save_gpr[k] = static_cast<uint64_t>(machine.gregs[kOrder[k]]);
    memcpy(vcpu.save_vector, machine.fpregs->_xmm, sizeof vcpu.save_vector);
    vcpu.leave = static_cast<uint32_t>(ir::Leave::kFault);
    machine.gregs[REG_RBX] = static_cast<greg_t>(host_pc);
    machine.gregs[REG_RIP] = reinterpret_cast<greg_t>(shared_.memory->exec_at(shared_.thunks.leave_fault));
    return true;
  }

  bool can_link() const override { return true; }

  // The jump first, then the guard that lets it be taken; the other way round when unlinking.
  void link(const CompiledRegion& from, const ExitSite& exit, const CompiledRegion& to, uint32_t mapping) override {
    jump_to(from, exit, static_cast<uint32_t>(to.code - (from.code + exit.jump_offset + 4)));
    if (exit.guard_offset) store_field(from.code + exit.guard_offset, mapping);
  }
  void unlink(const CompiledRegion& from, const ExitSite& exit) override {
    if (exit.guard_offset) store_field(from.code + exit.guard_offset, ir::kNoMapping);
    jump_to(from, exit, exit.unlinked_offset - (exit.jump_offset + 4));
  }

  // A five-byte jump over the first instruction, which is at least that long; entries are aligned, so one store does it.
  void poison(const CompiledRegion& region) override {
    uint8_t* code = shared_.memory->writable(region.code);
    auto* word = reinterpret_cast<std::atomic<uint64_t>*>(code);
    const uint32_t distance = region.restart_offset - 5;
    word->store((word->load(std::memory_order_relaxed) & 0xffffff0000000000) | uint64_t{distance} << 8 | 0xe9, std::memory_order_release);
  }

  // The restart stub is the last of the code; literals follow.
  std::string disassemble(const CompiledRegion& region) const override {
    if (shared_.options.disassemble)
      return shared_.options.disassemble({region.code, region.code_bytes}, reinterpret_cast<uintptr_t>(region.code),
                                         [this](uint64_t target) { return data_behind(target - reinterpret_cast<uintptr_t>(shared_.memory->exec_at(0))); },
                                         region.restart_offset + kCallBytes + kLeaveDataBytes);
    std::string text;
    char byte[4];
    for (uint8_t each : std::span<const uint8_t>(region.code, region.code_bytes)) snprintf(byte, sizeof byte, "%02x ", each), text += byte;
    return text;
  }

  void* evict_oldest_area(std::vector<CompiledRegion*>& regions) override { return shared_.memory->evict_oldest(regions); }
  void recycle_area(void* area) override { shared_.memory->recycle(*static_cast<CodeMemory::Area*>(area)); }
  void forget(const CompiledRegion& region) override { shared_.memory->forget(region); }
  uint64_t code_bytes_in_use() const override { return shared_.memory->bytes_in_use(); }

 private:
  void jump_to(const CompiledRegion& from, const ExitSite& exit, uint32_t distance) { store_field(from.code + exit.jump_offset, distance); }
  // Inside one aligned 8 bytes: a plain store of 4 is one access even where it is not 4-byte aligned.
  void store_field(const uint8_t* exec, uint32_t value) {
    uint8_t* field = shared_.memory->writable(exec);
    asm volatile("movl %1, %0" : "=m"(*reinterpret_cast<uint32_t*>(field)) : "r"(value) : "memory");
  }

  // What a stub that calls the thunk at `thunk` (offset in code memory) has behind the call.
  CallData data_behind(uint64_t thunk) const {
    const Thunks& t = shared_.thunks;
    if (thunk == t.leave_direct || thunk == t.leave_loop || thunk == t.leave_restart) return {0, kLeaveDataBytes};
    if (thunk == t.slow_load || thunk == t.slow_store || thunk == t.slow_rmw || thunk == t.slow_cmpxchg) return {kSlowResumeBytes, kSlowAccessDataBytes};
    if (thunk == t.slow_call || thunk == t.slow_call_fp) return {kSlowResumeBytes, kSlowCallDataBytes};
    return {};
  }

  static constexpr uint32_t kCallBytes = 5;
  Shared shared_;
};

}  // namespace
}  // namespace x64

Result<std::unique_ptr<Backend>> make_x64_backend(const GuestLayout& layout, const BackendOptions& options, const x64::HostFeatures& features) {
  LYRE_CHECK(layout.pinned_slots.size() <= std::size(x64::kPinnedRegs), "a guest pins at most five slots");
  auto memory = CodeMemory::create(options.code_bytes, options.direct_memory);
  if (!memory) return memory.error();
  x64::Shared shared{layout, options, features, {}, std::move(*memory), {}};
  return std::unique_ptr<Backend>(std::make_unique<x64::X64Backend>(std::move(shared)));
}

Result<std::unique_ptr<Backend>> make_x64_backend(const GuestLayout& layout, const BackendOptions& options) {
  return make_x64_backend(layout, options, x64::host_features());
}

}  // namespace lyre::backend
