#include "backend/x64/thunks.h"

#include <cstddef>

#include "runtime/base/bits.h"
#include "runtime/base/check.h"

namespace lyre::backend::x64 {
namespace {

using ir::VcpuBlock;

constexpr Reg kSaved[] = {kRax, kRcx, kRdx, kRbx, kRsi, kRdi, kR8, kR9, kR10, kR11, kR12, kR13, kR14, kR15};
constexpr Reg kCalleeSaved[] = {kRbp, kRbx, kR12, kR13, kR14, kR15};
constexpr Reg kArgs[] = {kRdi, kRsi, kRdx, kRcx, kR8, kR9};

Mem save_gpr(unsigned number) { return block_mem(offsetof(VcpuBlock, save_gpr) + 8 * number); }
Mem save_vector(unsigned number) { return block_mem(offsetof(VcpuBlock, save_vector) + 16 * number); }
Mem indexed(Mem mem, Reg index, unsigned scale_log2) {
  mem.index = index, mem.scale_log2 = static_cast<uint8_t>(scale_log2);
  return mem;
}

class ThunkEmitter {
 public:
  ThunkEmitter(CodeMemory& memory, uint16_t pc_slot, std::span<const uint16_t> pinned_slots)
      : memory_(memory), pc_slot_(pc_slot), pinned_slots_(pinned_slots) {
    as_.rebase(memory.write_at(0), CodeMemory::kAreaBytes);
  }

  Thunks run() {
    Thunks thunks;
    epilogue_ = begin();
    epilogue();
    leave_precise_ = begin();
    leave_precise();
    thunks.leave_flushed = begin();
    leave_flushed();
    leave_unrecovered_ = begin();
    leave_unrecovered();
    thunks.leave_direct = leave_with_pc(ir::Leave::kDirect);
    thunks.leave_loop = leave_with_pc(ir::Leave::kLoop);
    thunks.leave_restart = leave_with_pc(ir::Leave::kRestart);
    thunks.leave_indirect = leave_indirect();
    thunks.enter = enter(thunks.leave_indirect);
    thunks.leave_as_is = leave_as_is();
    thunks.leave_fault = begin();
    leave_fault();
    thunks.slow_load = slow_access(ir::kHelperSlowLoad);
    thunks.slow_store = slow_access(ir::kHelperSlowStore);
    thunks.slow_rmw = slow_access(ir::kHelperSlowRmw);
    thunks.slow_cmpxchg = slow_access(ir::kHelperSlowCmpxchg);
    thunks.slow_call = slow_call(false);
    thunks.slow_call_fp = slow_call(true);
    LYRE_CHECK(!as_.full(), "thunks do not fit their area");
    memory_.fixed_area().used = as_.at();
    return thunks;
  }

 private:
  uint64_t begin() {
    as_.nops((16 - (as_.at() & 15)) & 15);
    as_.ensure();
    return as_.at();
  }
  void jump(uint64_t thunk) { as_.jmp_back(static_cast<uint32_t>(thunk)); }
  Mem state(uint16_t slot) { return block_mem(slot); }

  void save_mxcsr(uint32_t VcpuBlock::*field) { as_.stmxcsr(Assembler::address(vcpu_field(field), 32)); }
  void load_mxcsr(uint32_t VcpuBlock::*field) { as_.ldmxcsr(Assembler::address(vcpu_field(field), 32)); }

  // SysV: rdi = vCPU block, rsi = code. The stack is aligned for calls from translated code.
  //
  // From here down stands the return stack, entries of (host return address, guest pc); the stack pointer is its top. The lowest entry is for a guest
  // pc that no instruction set with an even pc has; another one returns there as it would anyway.
  uint64_t enter(uint64_t leave_indirect) {
    uint64_t offset = begin();
    for (Reg reg : kCalleeSaved) as_.push(Assembler::r64(reg));
    as_.alu_ri(kSub, true, kRsp, 8);
    as_.lea_rm(true, kRbp, {kRdi, kNoReg, 0, static_cast<int32_t>(ir::kBias)});
    as_.push_imm(-1);
    as_.push_imm(0);
    const uint32_t field = as_.lea_rip(kRax);
    as_.patch(field, static_cast<uint32_t>(leave_indirect));
    as_.store(8, {kRsp, kNoReg, 0, 0}, kRax);
    as_.store(8, vcpu_field(&VcpuBlock::return_base), kRsp);
    as_.lea_rm(true, kRax, {kRsp, kNoReg, 0, -kReturnStackBytes});
    as_.store(8, vcpu_field(&VcpuBlock::return_limit), kRax);
    save_mxcsr(&VcpuBlock::host_mxcsr);
    load_mxcsr(&VcpuBlock::guest_mxcsr);
    for (size_t k = 0; k < pinned_slots_.size(); k++) as_.load(true, kPinnedRegs[k], state(pinned_slots_[k]));
    as_.jmp(Assembler::r64(kRsi));
    return offset;
  }

  // rax = result of enter.
  void epilogue() {
    as_.load(true, kRsp, vcpu_field(&VcpuBlock::return_base));
    as_.alu_ri(kAdd, true, kRsp, 24);
    for (size_t k = std::size(kCalleeSaved); k-- > 0;) as_.pop(Assembler::r64(kCalleeSaved[k]));
    as_.ret();
  }
  // Pinned slots are in their registers, all else is stored.
  void leave_precise() {
    for (size_t k = 0; k < pinned_slots_.size(); k++) as_.store(8, state(pinned_slots_[k]), kPinnedRegs[k]);
    flush();
  }
  void leave_flushed() { flush(); }
  void flush() {
    save_mxcsr(&VcpuBlock::guest_mxcsr);
    load_mxcsr(&VcpuBlock::host_mxcsr);
    as_.zero(kRax);
    jump(epilogue_);
  }
  // From a slow path that did not return: rbx = its return address; registers are in the save area, the host's control register is loaded.
  void leave_unrecovered() {
    as_.store(8, vcpu_field(&VcpuBlock::exit_host_pc), kRbx);
    as_.mov_ri(kRax, 1);
    jump(epilogue_);
  }
  // The same from an access itself: nothing was pushed, and the control register is still the guest's.
  void leave_fault() {
    save_mxcsr(&VcpuBlock::guest_mxcsr);
    load_mxcsr(&VcpuBlock::host_mxcsr);
    as_.store(8, vcpu_field(&VcpuBlock::exit_host_pc), kRbx);
    as_.mov_ri(kRax, 1);
    jump(epilogue_);
  }
  uint64_t leave_with_pc(ir::Leave why) {
    uint64_t offset = begin();
    as_.pop(Assembler::r64(kRax));
    as_.store(8, vcpu_field(&VcpuBlock::exit_host_pc), kRax);
    as_.load(true, kRcx, {kRax, kNoReg, 0, 0});
    as_.store(8, state(pc_slot_), kRcx);
    as_.store_imm(4, vcpu_field(&VcpuBlock::leave), static_cast<int32_t>(why));
    jump(leave_precise_);
    return offset;
  }
  uint64_t leave_indirect() {
    uint64_t offset = begin();
    as_.store(8, state(pc_slot_), kRax);
    as_.store_imm(4, vcpu_field(&VcpuBlock::leave), static_cast<int32_t>(ir::Leave::kIndirect));
    jump(leave_precise_);
    return offset;
  }
  // A helper may have said why already.
  uint64_t leave_as_is() {
    uint64_t offset = begin();
    as_.alu_mi(kCmp, false, vcpu_field(&VcpuBlock::leave), 0);
    as_.jcc_back(kCcNe, static_cast<uint32_t>(leave_precise_));
    as_.store_imm(4, vcpu_field(&VcpuBlock::leave), static_cast<int32_t>(ir::Leave::kLoop));
    jump(leave_precise_);
    return offset;
  }

  void save_all() {
    for (Reg reg : kSaved) as_.store(8, save_gpr(reg), reg);
    as_.ensure();
    for (unsigned k = 0; k < 16; k++) as_.movaps(Assembler::address(save_vector(k), 128), Assembler::x(vector_reg(k)));
    as_.ensure();
  }
  void restore_all() {
    for (Reg reg : kSaved) as_.load(true, reg, save_gpr(reg));
    as_.ensure();
    for (unsigned k = 0; k < 16; k++) as_.movaps(Assembler::x(vector_reg(k)), Assembler::address(save_vector(k), 128));
    as_.ensure();
  }
  // field = (word >> shift) & 15.
  void word_field(Reg dst, unsigned shift) {
    as_.mov_rr(false, dst, kR12);
    as_.shift_ri(kShr, false, dst, shift);
    as_.alu_ri(kAnd, false, dst, 15);
  }
  void call_helper_field(size_t offset) { as_.call(Assembler::address(block_mem(offset), 64)); }
  void clear_upper_of_result() {
    as_.test_ri(false, kR12, static_cast<int32_t>(SlowWord::kDst32));
    uint32_t wide = as_.jcc_near(kCcE);
    as_.mov_rr(false, kRax, kRax);
    as_.bind_near(wide);
  }
  // rcx = result register's number; flags ZF clear: a vector register.
  void store_result() {
    uint32_t general = as_.jcc_near(kCcE);
    as_.shift_ri(kShl, false, kRcx, 4);
    as_.store(8, indexed(save_vector(0), kRcx, 0), kRax);
    as_.store_imm(8, indexed(block_mem(offsetof(VcpuBlock, save_vector) + 8), kRcx, 0), 0);
    uint32_t done = as_.jmp_near();
    as_.bind_near(general);
    as_.store(8, indexed(save_gpr(0), kRcx, 3), kRax);
    as_.bind_near(done);
  }
  // dst = the value operand of an access.
  void load_value(Reg dst) {
    word_field(kRax, SlowWord::kValue);
    as_.load(true, dst, indexed(save_gpr(0), kRax, 3));
    as_.test_ri(false, kR12, static_cast<int32_t>(SlowWord::kValueVector));
    uint32_t general = as_.jcc_near(kCcE);
    as_.shift_ri(kShl, false, kRax, 4);
    as_.load(true, dst, indexed(save_vector(0), kRax, 0));
    as_.bind_near(general);
    as_.test_ri(false, kR12, static_cast<int32_t>(SlowWord::kValueImm));
    uint32_t done = as_.jcc_near(kCcE);
    as_.rm(true, 0x63, dst, {kRbx, kNoReg, 0, 13});  // movsxd
    as_.bind_near(done);
  }

  // Called from a cold stub: [rsp] = address of `jmp resume`, the SlowWord data 5 bytes behind it. Every register but the result's survives.
  uint64_t slow_access(unsigned helper) {
    uint64_t offset = begin();
    save_all();
    as_.load(true, kRbx, {kRsp, kNoReg, 0, 0});
    as_.store(8, vcpu_field(&VcpuBlock::exit_host_pc), kRbx);  // for reports
    as_.load(false, kR12, {kRbx, kNoReg, 0, 5});
    word_field(kRax, SlowWord::kBase);
    as_.load(true, kRsi, indexed(save_gpr(0), kRax, 3));
    as_.rm(true, 0x63, kRax, {kRbx, kNoReg, 0, 9});
    as_.alu_rr(kAdd, true, kRsi, kRax);
    as_.lea_rm(true, kRdi, {kRbp, kNoReg, 0, -static_cast<int32_t>(ir::kBias)});
    Reg memop = kRdx;
    if (helper == ir::kHelperSlowStore || helper == ir::kHelperSlowRmw) load_value(kRdx), memop = kRcx;
    if (helper == ir::kHelperSlowCmpxchg) load_value(kRcx), as_.load(true, kRdx, save_gpr(kRax)), memop = kR8;
    as_.mov_rr(false, memop, kR12);
    as_.alu_ri(kAnd, false, memop, 0x7ff);
    if (helper == ir::kHelperSlowRmw) {
      word_field(kRax, SlowWord::kKind);
      as_.shift_ri(kShl, false, kRax, 16);
      as_.alu_rr(kOr, false, memop, kRax);
    }
    save_mxcsr(&VcpuBlock::guest_mxcsr);
    load_mxcsr(&VcpuBlock::host_mxcsr);
    as_.alu_ri(kSub, true, kRsp, 8);
    call_helper_field(offsetof(VcpuBlock, helpers) + 8 * helper);
    as_.alu_ri(kAdd, true, kRsp, 8);
    as_.alu_mi(kCmp, false, vcpu_field(&VcpuBlock::leave), 0);
    as_.jcc_back(kCcNe, static_cast<uint32_t>(leave_unrecovered_));
    load_mxcsr(&VcpuBlock::guest_mxcsr);
    if (helper != ir::kHelperSlowStore) {
      clear_upper_of_result();
      word_field(kRcx, SlowWord::kDst);
      as_.test_ri(false, kR12, static_cast<int32_t>(SlowWord::kDstVector));
      store_result();
    }
    restore_all();
    as_.ret();
    return offset;
  }

  // Called from a cold stub of call_if or clock_ns. The helper touches no guest state and does not leave.
  uint64_t slow_call(bool host_fp) {
    uint64_t offset = begin();
    save_all();
    as_.load(true, kRbx, {kRsp, kNoReg, 0, 0});
    if (host_fp) save_mxcsr(&VcpuBlock::guest_mxcsr), load_mxcsr(&VcpuBlock::host_mxcsr);
    as_.lea_rm(true, kRdi, {kRbp, kNoReg, 0, -static_cast<int32_t>(ir::kBias)});
    for (unsigned k = 0; k < kSlowCallArgs; k++) {
      // Arguments past the count read register 0: harmless.
      Reg arg = kArgs[k + 1];
      as_.rm0f(false, 0xb6, kRax, {kRbx, kNoReg, 0, static_cast<int32_t>(9 + k)});
      as_.mov_rr(false, kR10, kRax);
      as_.alu_ri(kAnd, false, kR10, 15);
      as_.load(true, arg, indexed(save_gpr(0), kR10, 3));
      as_.test_ri(false, kRax, 0x80);
      uint32_t general = as_.jcc_near(kCcE);
      as_.shift_ri(kShl, false, kR10, 4);
      as_.load(true, arg, indexed(save_vector(0), kR10, 0));
      as_.bind_near(general);
      as_.ensure();
    }
    as_.rm0f(false, 0xb7, kRax, {kRbx, kNoReg, 0, 5});
    as_.alu_ri(kSub, true, kRsp, 8);
    as_.call(Assembler::address(indexed(block_mem(offsetof(VcpuBlock, helpers)), kRax, 3), 64));
    as_.alu_ri(kAdd, true, kRsp, 8);
    if (host_fp) load_mxcsr(&VcpuBlock::guest_mxcsr);
    as_.rm0f(false, 0xb6, kRdx, {kRbx, kNoReg, 0, 8});
    as_.test_ri(false, kRdx, 0x40);
    uint32_t none = as_.jcc_near(kCcNe);
    as_.mov_rr(false, kRcx, kRdx);
    as_.alu_ri(kAnd, false, kRcx, 15);
    as_.test_ri(false, kRdx, 0x80);
    store_result();
    as_.bind_near(none);
    restore_all();
    as_.ret();
    return offset;
  }

  CodeMemory& memory_;
  uint16_t pc_slot_;
  std::span<const uint16_t> pinned_slots_;
  Assembler as_;
  uint64_t epilogue_ = 0, leave_precise_ = 0, leave_unrecovered_ = 0;
};

}  // namespace

Thunks emit_thunks(CodeMemory& memory, uint16_t pc_slot, std::span<const uint16_t> pinned_slots) {
  return ThunkEmitter(memory, pc_slot, pinned_slots).run();
}

}  // namespace lyre::backend::x64
