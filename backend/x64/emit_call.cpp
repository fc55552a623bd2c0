// Helper calls. A call on the hot path stores what the helper may look at and lets C++ have its registers; a cold one (call_if, clock) goes through a
// thunk that saves every register.
#include <algorithm>

#include "backend/x64/compiler.h"
#include "runtime/base/check.h"

namespace lyre::backend::x64 {

using ir::Type;
using ir::VcpuBlock;

namespace {
constexpr Reg kArgRegs[] = {kRsi, kRdx, kRcx, kR8, kR9};
}

void X64Compiler::move_args(std::span<const ValueId> args) {
  LYRE_CHECK(args.size() <= std::size(kArgRegs), "a helper takes five arguments at most");
  moves_.clear();
  for (size_t k = 0; k < args.size(); k++) {
    const Location at = ra_.location_of(args[k]);
    if (at.kind == LocationKind::kGpr) moves_.add(kArgRegs[k], at.index);
  }
  moves_.emit(*this);
  for (size_t k = 0; k < args.size(); k++) {
    const Location at = ra_.location_of(args[k]);
    if (at.kind != LocationKind::kGpr) load_location(kArgRegs[k], at, 0, type_of(args[k]));
  }
  as_.lea_rm(true, kRdi, block_mem(0));
}

void X64Compiler::emit_call(ValueId id, const Inst& inst) {
  const uint8_t flags = live_.call_flags(inst);
  const bool looks = flags & Liveness::kStateFlags;
  std::span<const ValueId> args(region_->pool.data() + inst.args[0], inst.args[1]);
  // Narrow arguments are passed whole: what IR types as i64 has 64 bits, bits of floats are zero-extended by the move.
  for (ValueId arg : args) {
    if (!ra_.is_constant(arg)) ra_.use(arg);
  }
  if (flags & ir::kMayLeave) {
    if (!ra_.bound(shared_.layout.pc_slot)) {
      const int32_t pc_offset = region_->snapshots[inst.snapshot].pc_offset;
      emit_store_constant({Place::kState, Type::kI64, shared_.layout.pc_slot}, region_->start.value + static_cast<uint64_t>(int64_t{pc_offset}));
    }
  }
  if (looks) {
    ra_.store_dirty_slots();
    if (flags & ir::kWritesState) ra_.slots_will_be_written();
  }
  for (unsigned k = 0; k < Liveness::kScratchValues; k++) ra_.drop_scratch(k);
  ra_.save_clobbered(shared_.regs.call_clobbered);
  if (flags & ir::kHostFp) {
    as_.stmxcsr(Assembler::address(vcpu_field(&VcpuBlock::guest_mxcsr), 32));
    as_.ldmxcsr(Assembler::address(vcpu_field(&VcpuBlock::host_mxcsr), 32));
  }
  as_.ensure();
  move_args(args);
  // It may change the key or what code pages are mapped to: the return stack's entries are not to outlive that.
  const bool may_empty = flags & (ir::kMayLeave | ir::kWritesState);
  if (may_empty) as_.store(8, vcpu_field(&VcpuBlock::return_top), kRsp);
  as_.rm(false, 0xff, 2, block_mem(offsetof(VcpuBlock, helpers) + 8 * (ir::kFirstGuestHelper + inst.imm)));  // call
  if (may_empty) as_.load(true, kRsp, vcpu_field(&VcpuBlock::return_top));
  ra_.drop_clobbered(shared_.regs.call_clobbered);
  if (flags & ir::kHostFp) as_.ldmxcsr(Assembler::address(vcpu_field(&VcpuBlock::guest_mxcsr), 32));
  if (flags & ir::kMayLeave) {
    as_.alu_mi(kCmp, false, vcpu_field(&VcpuBlock::leave), 0);
    jcc_thunk(kCcNe, shared_.thunks.leave_flushed);
  }
  take_result(id, inst.type);
}

// A C++ call's result from rax.
void X64Compiler::take_result(ValueId id, Type type) {
  if (type == Type::kVoid) return;
  ra_.claim(kRax);
  if (in_vector(type)) {
    Reg dst = ra_.define(id);
    type == Type::kF32 ? as_.movd(as_.x(dst), as_.r32(kRax)) : as_.movq(as_.x(dst), as_.r64(kRax));
  } else {
    if (type == Type::kI1) as_.alu_ri(kAnd, false, kRax, 1);
    ra_.define_as(id, kRax);
  }
}

// An operation that this host has no instruction for. The function runs under the guest's floating-point control register.
void X64Compiler::call_soft(ValueId id, const Inst& inst, uint64_t (*function)(VcpuBlock*, uint64_t, uint64_t, uint64_t) noexcept) {
  unsigned count;
  const ValueId* args = region_->args_of(inst, count);
  for (unsigned k = 0; k < count; k++) ra_.use(args[k]);
  for (unsigned k = 0; k < Liveness::kScratchValues; k++) ra_.drop_scratch(k);
  ra_.save_clobbered(shared_.regs.call_clobbered);
  move_args({args, count});
  as_.mov_ri(kRax, reinterpret_cast<uintptr_t>(function));
  as_.call(as_.r64(kRax));
  ra_.drop_clobbered(shared_.regs.call_clobbered);
  take_result(id, inst.type);
}

void X64Compiler::emit_call_if(ValueId id, const Inst& inst) {
  const ValueId* pool = region_->pool.data() + inst.args[0];
  std::span<const ValueId> args(pool + 2, inst.args[1] - 2);
  LYRE_CHECK(args.size() <= kSlowCallArgs, "a helper takes five arguments at most");
  ColdSlow slow{};
  for (size_t k = 0; k < args.size(); k++) {
    Reg reg = ra_.use(args[k]);
    slow.data[4 + k] = static_cast<uint8_t>(hw(reg) | (is_vector(reg) ? 0x80u : 0u));
  }
  const bool nan_check = pool[0] + 1 == id && fuses_with_call(pool[0]);
  Reg test = nan_check ? kNoReg : ra_.use(pool[0]);
  uint8_t result = 0x40;
  Reg dst = kNoReg;
  if (inst.type != Type::kVoid) {
    dst = ra_.redefine(id, pool[1]);
    result = static_cast<uint8_t>(hw(dst) | (is_vector(dst) ? 0x80u : 0u));
  }
  if (nan_check) {
    as_.sse(inst.type == Type::kF64 ? 0x66 : 0, 0x2e, dst, dst);  // ucomis
    slow.fixup = as_.jcc_far(kCcP);
  } else {
    as_.test_rr(false, test, test);
    slow.fixup = as_.jcc_far(kCcNe);
  }
  slow.resume = as_.at();
  slow.thunk = live_.call_flags(inst) & ir::kHostFp ? shared_.thunks.slow_call_fp : shared_.thunks.slow_call;
  const auto index = static_cast<uint16_t>(ir::kFirstGuestHelper + inst.imm);
  memcpy(slow.data, &index, 2);
  slow.data[2] = static_cast<uint8_t>(args.size());
  slow.data[3] = result;
  slow.data_bytes = kSlowCallDataBytes;
  cold_slow_.push_back(slow);
}

// ns = ((tsc * clock_mult) >> 32) + clock_base; a multiplier of 0 says that the host has no usable counter.
void X64Compiler::emit_clock(ValueId id) {
  ra_.claim(kRax);
  ra_.claim(kRdx);
  ColdSlow slow{};
  as_.alu_mi(kCmp, true, vcpu_field(&VcpuBlock::clock_mult), 0);
  slow.fixup = as_.jcc_far(kCcE);
  as_.byte(0x0f), as_.byte(0x31);  // rdtsc
  as_.shift_ri(kShl, true, kRdx, 32);
  as_.alu_rr(kOr, true, kRax, kRdx);
  as_.rm(true, 0xf7, 4, vcpu_field(&VcpuBlock::clock_mult));  // mul
  as_.shrd(as_.r64(kRax), as_.r64(kRdx), 32);
  as_.alu_rm(kAdd, true, kRax, vcpu_field(&VcpuBlock::clock_base));
  slow.resume = as_.at();
  slow.thunk = shared_.thunks.slow_call_fp;
  const uint16_t index = ir::kHelperClock;
  memcpy(slow.data, &index, 2);
  slow.data[3] = kRax;
  slow.data_bytes = kSlowCallDataBytes;
  cold_slow_.push_back(slow);
  ra_.define_as(id, kRax);
}

}  // namespace lyre::backend::x64
