// The list of all rows, exceptions raised by instructions, and the helpers behind them.
#include "frontend/riscv/isa.h"

namespace lyre::riscv {

namespace {

uint64_t helper_raise(ir::VcpuBlock* vcpu, uint64_t cause, uint64_t tval) noexcept {
  vcpu->raise(static_cast<uint32_t>(cause), tval);
  return 0;
}

uint64_t helper_raise_if(ir::VcpuBlock* vcpu, uint64_t condition, uint64_t cause, uint64_t tval) noexcept {
  if (condition) vcpu->raise(static_cast<uint32_t>(cause), tval);
  return 0;
}

uint64_t helper_instruction_fence(ir::VcpuBlock* vcpu) noexcept {
  vcpu->env->instruction_fence();
  return 0;
}

}  // namespace

HelperTable trap_helpers() {
  static const ir::HelperInfo kHelpers[] = {
      {"raise", ir::helper_function(helper_raise), ir::kMayLeave | ir::kReadsState, 2},
      {"raise_if", ir::helper_function(helper_raise_if), ir::kMayLeave | ir::kReadsState, 3},
      {"instruction_fence", ir::helper_function(helper_instruction_fence), 0, 0},
  };
  return {kTrapHelpers, kHelpers};
}

Next Insn::raise(Cause cause, I64 tval) {
  b.call<ir::Type::kVoid>(kHelperRaise, {imm(cause).id, tval.id});
  b.exit_loop();  // the call has left already
  return Next::kEnded;
}

void Insn::raise_if(I1 condition, Cause cause, I64 tval) {
  I64 flag = b.zext<ir::Type::kI64>(condition);
  b.call<ir::Type::kVoid>(kHelperRaiseIf, {flag.id, imm(cause).id, tval.id});
}

std::span<const std::span<const Row>> all_rows() {
  static const std::span<const Row> kFiles[] = {rows_i(), rows_m(), rows_a(), rows_c(), rows_b(), rows_k(), rows_cache(), rows_sys(), rows_float(), rows_float2(), rows_float_c()};
  return kFiles;
}

}  // namespace lyre::riscv
