// Zicbom, Zicboz, Zicbop, Zihintntl, Zimop: cache blocks, hints and may-be-operations. There is no cache to manage: what is left of a cbo instruction is its
// rights (menvcfg, senvcfg) and the address check.
#include "frontend/riscv/isa.h"
#include "frontend/riscv/sysreg.h"

namespace lyre::riscv {

using ir::Type;

namespace {

enum CacheHelper : unsigned { kHelperCboCheck = kCacheHelpers };

// Every enabled level between this privilege and machine mode must allow the instruction (CMO extensions 1.0.1, "Control and status register state"):
// `field` is its bits in xenvcfg; nonzero allows. cbo.inval as a flush, which CBIE = 01 asks for, is the same thing here.
uint64_t helper_cbo_check(ir::VcpuBlock* vcpu, uint64_t address, uint64_t field, uint64_t word, uint64_t zero) noexcept {
  State& state = vcpu->as<State>();
  bool allowed = state.privilege == Privilege::kMachine || state.menvcfg & field;
  if (state.privilege == Privilege::kUser) allowed = allowed && state.senvcfg & field;
  if (!allowed) {
    vcpu->raise(kIllegalInstruction, word);
    return 0;
  }
  if (zero) return 0;  // its stores check for themselves
  // Management operations need a load or a store to be permitted, and fault as stores ("Effect of address translation and protection").
  unsigned index = state.cpu->mmu_index(*vcpu);
  if (state.cpu->walk(*vcpu, Gva{address}, frontend::Access::kLoad, index).ok) return 0;
  frontend::Translation as_store = state.cpu->walk(*vcpu, Gva{address}, frontend::Access::kStore, index);
  if (!as_store.ok) {
    vcpu->fault = as_store.fault;
    vcpu->leave = static_cast<uint32_t>(ir::Leave::kFault);
  }
  return 0;
}

void check(Insn& i, uint64_t field, bool zero) {
  // A Linux process may use them all; its own loads and stores find out about the address.
  if (i.key() & kKeyLinuxUser) return;
  // Machine mode is always allowed.
  if (zero && (i.key() & kKeyPrivilege) == static_cast<uint32_t>(Privilege::kMachine)) return;
  i.b.call<Type::kVoid>(kHelperCboCheck, {i.x(i.rs1()).id, i.b.i64(field).id, i.b.i64(i.word).id, i.imm(zero).id});
}

Next cbo_inval(Insn& i) {
  check(i, envcfg::kCbie, false);
  return Next::kContinue;
}
Next cbo_clean(Insn& i) {
  check(i, envcfg::kCbcfe, false);
  return Next::kContinue;
}
Next cbo_zero(Insn& i) {
  check(i, envcfg::kCbze, true);
  unsigned block = i.cpu.config().cache_block_bytes;
  I64 base = i.b.and_(i.x(i.rs1()), i.imm(-static_cast<int64_t>(block))), zero = i.imm(0);
  ir::MemOp op;
  op.size_log2 = 3;
  for (unsigned at = 0; at < block; at += 8) i.b.store(base, zero, op, static_cast<int32_t>(at));
  return Next::kContinue;
}

Next hint(Insn&) { return Next::kContinue; }

// Zimop: without an extension that gives them a meaning they write zero.
Next mop(Insn& i) {
  i.set_x(i.rd(), i.imm(0));
  return Next::kContinue;
}

constexpr Row kRows[] = {
    {cbo_inval, "cbo.inval", "000000000000 aaaaa 010 00000 0001111", "(rs1)", Ext::zicbom},
    {cbo_clean, "cbo.clean", "000000000001 aaaaa 010 00000 0001111", "(rs1)", Ext::zicbom},
    {cbo_clean, "cbo.flush", "000000000010 aaaaa 010 00000 0001111", "(rs1)", Ext::zicbom},
    {cbo_zero, "cbo.zero", "000000000100 aaaaa 010 00000 0001111", "(rs1)", Ext::zicboz},
    {hint, "prefetch.i", "iiiiiii 00000 aaaaa 110 00000 0010011", "poff(rs1)", Ext::zicbop},
    {hint, "prefetch.r", "iiiiiii 00001 aaaaa 110 00000 0010011", "poff(rs1)", Ext::zicbop},
    {hint, "prefetch.w", "iiiiiii 00011 aaaaa 110 00000 0010011", "poff(rs1)", Ext::zicbop},
    {hint, "ntl.p1", "0000000 00010 00000 000 00000 0110011", "", Ext::zihintntl},
    {hint, "ntl.pall", "0000000 00011 00000 000 00000 0110011", "", Ext::zihintntl},
    {hint, "ntl.s1", "0000000 00100 00000 000 00000 0110011", "", Ext::zihintntl},
    {hint, "ntl.all", "0000000 00101 00000 000 00000 0110011", "", Ext::zihintntl},
    {hint, "c.ntl.p1", "100 1 00000 00010 10", "", Ext::zihintntl && Ext::zca},
    {hint, "c.ntl.pall", "100 1 00000 00011 10", "", Ext::zihintntl && Ext::zca},
    {hint, "c.ntl.s1", "100 1 00000 00100 10", "", Ext::zihintntl && Ext::zca},
    {hint, "c.ntl.all", "100 1 00000 00101 10", "", Ext::zihintntl && Ext::zca},
    {mop, "mop.r", "1n00nn0111nn aaaaa 100 ddddd 1110011", "rd,rs1,mop_r", Ext::zimop},
    {mop, "mop.rr", "1n00nn1 bbbbb aaaaa 100 ddddd 1110011", "rd,rs1,rs2,mop_rr", Ext::zimop},
};

}  // namespace

std::span<const Row> rows_cache() { return kRows; }

HelperTable cache_helpers() {
  static const ir::HelperInfo kHelpers[] = {{"cbo_check", ir::helper_function(helper_cbo_check), ir::kMayLeave | ir::kReadsState, 4}};
  return {kCacheHelpers, kHelpers};
}

}  // namespace lyre::riscv
