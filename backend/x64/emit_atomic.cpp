// Atomic accesses with the host's locked instructions; acquire and release cost nothing on x86. Misaligned ones always miss the TLB probe: the slow path
// raises the fault.
#include "backend/x64/compiler.h"

namespace lyre::backend::x64 {

using ir::RmwKind;
using ir::Type;

// The low op.size() bytes of reg, widened to the type as the memory operation says.
void X64Compiler::extend_result(Reg reg, const Inst& inst) {
  const ir::MemOp op = inst.mem();
  const bool w = wide(inst.type);
  if (op.size() == 8) return;
  if (op.size() == 4) {
    if (op.sign_extend && w) {
      as_.movsx(4, true, reg, reg);
    } else {
      as_.mov_rr(false, reg, reg);
    }
  } else if (op.sign_extend) {
    as_.movsx(op.size(), w, reg, reg);
  } else {
    as_.movzx(op.size(), reg, reg);
  }
}

void X64Compiler::emit_rmw(ValueId id, const Inst& inst) {
  const auto kind = static_cast<RmwKind>(inst.aux);
  if (kind != RmwKind::kSwap && kind != RmwKind::kAdd) return emit_rmw_loop(id, inst);
  const ir::MemOp op = inst.mem();
  ra_.use(inst.args[0]);
  Reg value = ra_.use_scratch(inst.args[1]);
  Reg page = ra_.temp_gpr();
  Probe at = probe(inst.args[0], inst, true, page, !ra_.dies(inst.args[0]));
  ra_.changed_slots(entries_);
  const unsigned bytes = op.size();
  access_here(inst);
  if (kind == RmwKind::kAdd) as_.byte(0xf0);
  if (bytes == 2) as_.byte(0x66);
  if (kind == RmwKind::kAdd) {
    as_.rm0f_byte(bytes == 8, bytes == 1 ? 0xc0 : 0xc1, value, at.host, bytes == 1);
  } else {
    as_.rm(bytes == 8, bytes == 1 ? 0x86 : 0x87, value, at.host, bytes == 1);
  }
  extend_result(value, inst);
  uint32_t word = hw(value) << SlowWord::kValue | hw(value) << SlowWord::kDst | static_cast<uint32_t>(kind) << SlowWord::kKind;
  if (inst.type != Type::kI64) word |= SlowWord::kDst32;
  slow_access(at, inst, shared_.thunks.slow_rmw, word, 0);
  ra_.define_as(id, value);
}

// old = [m]; do { new = f(old, value) } while (!cmpxchg)
void X64Compiler::emit_rmw_loop(ValueId id, const Inst& inst) {
  const auto kind = static_cast<RmwKind>(inst.aux);
  const ir::MemOp op = inst.mem();
  const unsigned bytes = op.size();
  const bool w = bytes == 8;
  const RegMask others = shared_.regs.gprs & ~mask_of(kRax);
  const bool min_max = kind >= RmwKind::kMinS;
  const bool is_signed = kind == RmwKind::kMinS || kind == RmwKind::kMaxS;
  ra_.claim(kRax);
  ra_.use(inst.args[0], others);
  Reg value = ra_.use(inst.args[1], others);
  Reg next = ra_.temp(others), page = ra_.temp(others);
  // Comparisons of less than 32 bits see widened values.
  Reg compared = value, old = kRax;
  if (min_max && bytes < 4) compared = ra_.temp(others), old = ra_.temp(others);
  Probe at = probe(inst.args[0], inst, true, page, false);
  ra_.changed_slots(entries_);
  auto widen = [&](Reg dst, Reg src) { is_signed ? as_.movsx(bytes, false, dst, src) : as_.movzx(bytes, dst, src); };
  if (compared != value) widen(compared, value);
  access_here(inst);
  if (bytes < 4) {
    as_.rm0f(false, bytes == 1 ? 0xb6 : 0xb7, kRax, at.host);
  } else {
    as_.load(w, kRax, at.host);
  }
  const uint32_t again = as_.at();
  if (min_max) {
    if (old != kRax) widen(old, kRax);
    as_.mov_rr(w, next, compared);
    as_.alu_rr(kCmp, w, old, compared);
    const bool keep_less = kind == RmwKind::kMinS || kind == RmwKind::kMinU;
    as_.cmov(keep_less ? (is_signed ? kCcL : kCcB) : (is_signed ? kCcG : kCcA), w, next, old);
  } else {
    as_.mov_rr(w, next, kRax);
    as_.alu_rr(kind == RmwKind::kAnd ? kAnd : kind == RmwKind::kOr ? kOr : kXor, w, next, value);
  }
  access_here(inst);
  as_.byte(0xf0);
  if (bytes == 2) as_.byte(0x66);
  as_.rm0f_byte(w, bytes == 1 ? 0xb0 : 0xb1, next, at.host, bytes == 1);
  as_.jcc_back(kCcNe, again);
  extend_result(kRax, inst);
  uint32_t word = hw(value) << SlowWord::kValue | hw(kRax) << SlowWord::kDst | static_cast<uint32_t>(kind) << SlowWord::kKind;
  if (inst.type != Type::kI64) word |= SlowWord::kDst32;
  slow_access(at, inst, shared_.thunks.slow_rmw, word, 0);
  ra_.define_as(id, kRax);
}

void X64Compiler::emit_cmpxchg(ValueId id, const Inst& inst) {
  const unsigned bytes = inst.mem().size();
  const RegMask others = shared_.regs.gprs & ~mask_of(kRax);
  ra_.use_fixed(inst.args[1], kRax);
  ra_.use(inst.args[0], others);
  Reg desired = ra_.use(inst.args[2], others);
  Reg page = ra_.temp(others);
  Probe at = probe(inst.args[0], inst, true, page, false);
  ra_.changed_slots(entries_);
  access_here(inst);
  as_.byte(0xf0);
  if (bytes == 2) as_.byte(0x66);
  as_.rm0f_byte(bytes == 8, bytes == 1 ? 0xb0 : 0xb1, desired, at.host, bytes == 1);
  extend_result(kRax, inst);
  uint32_t word = hw(desired) << SlowWord::kValue | hw(kRax) << SlowWord::kDst;
  if (inst.type != Type::kI64) word |= SlowWord::kDst32;
  slow_access(at, inst, shared_.thunks.slow_cmpxchg, word, 0);
  ra_.define_as(id, kRax);
}

// x86 keeps all orders but store-load. A locked instruction on a line of our own is a full fence and cheaper than mfence.
void X64Compiler::emit_fence(const Inst& inst) {
  if (!(inst.aux & ir::kFenceStoreLoad)) return;
  as_.byte(0xf0);
  as_.alu_mi(kOr, false, block_mem(offsetof(ir::VcpuBlock, save_gpr) + 8 * 5), 0);
}

}  // namespace lyre::backend::x64
