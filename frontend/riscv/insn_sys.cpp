// System instructions: CSR access (Zicsr), environment calls, trap returns, wfi, address-translation fences (Svinval included).
//
// What a CSR access costs: registers without side effects are plain slots; sstatus and mstatus are read inline, their SIE/MIE bits set and cleared inline;
// time is the inline clock. Others call a helper. Rights sit in the state key where they can, so no check runs. A write that may change the key or the
// address space ends the region with an indirect exit, which finds the next block under the new key; writes of status leave only if the key did change.
#include "frontend/riscv/float_body.h"
#include "frontend/riscv/isa.h"
#include "frontend/riscv/linux_vdso.h"
#include "frontend/riscv/sysreg.h"
#include "frontend/riscv/trap.h"
#include "runtime/base/log.h"

namespace lyre::riscv {
namespace {

enum SysHelper : unsigned {
  kCsrRead = kSysHelpers, kCsrWrite, kCsrWriteContext, kCsrAccess, kStatusWrite, kRecheck, kEnvironmentCall, kMret, kSret, kWfi, kFlushTranslations, kFlushSpace,
  kCsrAccessNarrow, kFlushPageNarrow, kAskEmulator,
};

uint64_t helper_csr_read(ir::VcpuBlock* vcpu, uint64_t number) noexcept {
  return find_csr(static_cast<unsigned>(number))->read(*vcpu, static_cast<unsigned>(number));
}
uint64_t helper_csr_write(ir::VcpuBlock* vcpu, uint64_t number, uint64_t value) noexcept {
  find_csr(static_cast<unsigned>(number))->write(*vcpu, static_cast<unsigned>(number), value);
  return 0;
}

// The whole of one CSR instruction whose rights are known only now, or that modifies something else than it reads.
uint64_t helper_csr_access(ir::VcpuBlock* vcpu, uint64_t word, uint64_t operand) noexcept {
  unsigned number = word >> 20 & 0xfff, rs1 = word >> 15 & 31, kind = word >> 12 & 3;
  const Csr& csr = *find_csr(number);
  if (csr.allowed && !csr.allowed(*vcpu, number)) {
    vcpu->raise(kIllegalInstruction, word);
    return 0;
  }
  uint64_t old = csr.read(*vcpu, number);
  if (kind == 1 || rs1) {
    uint64_t base = kind != 1 && csr.read_for_modify ? csr.read_for_modify(*vcpu, number) : old;
    csr.write(*vcpu, number, kind == 1 ? operand : kind == 2 ? base | operand : base & ~operand);
  }
  return old;
}

uint64_t helper_csr_access_narrow(ir::VcpuBlock* vcpu, uint64_t word, uint64_t operand) noexcept {
  unsigned rd = word >> 7 & 31, rs1 = word >> 15 & 31, kind = word >> 12 & 3;
  uint64_t old = 0;
  if (!access_narrow(*vcpu, word >> 20 & 0xfff, kind, kind != 1 || rd, kind == 1 || rs1, operand, old)) vcpu->raise(kIllegalInstruction, word);
  return old;
}

// Returns the new mstatus. The instruction is complete: if the key changed, go on at the next one under the new key.
uint64_t helper_status_write(ir::VcpuBlock* vcpu, uint64_t value, uint64_t mask, uint64_t next_pc) noexcept {
  State& state = vcpu->as<State>();
  uint32_t before = state.cpu->state_key(*vcpu);
  uint64_t status = write_status(*vcpu, value, mask);
  if (state.cpu->state_key(*vcpu) != before) {
    state.pc = next_pc;
    vcpu->leave = static_cast<uint32_t>(ir::Leave::kRestart);
  }
  return status;
}

uint64_t helper_recheck(ir::VcpuBlock* vcpu) noexcept {
  recheck_interrupts(*vcpu);
  return 0;
}
// Does what the loop does for other exceptions, without leaving translated code for it.
uint64_t helper_environment_call(ir::VcpuBlock* vcpu, uint64_t cause, uint64_t pc) noexcept {
  if (log_on(kLogInt))
    log_line("cpu %u: %s at 0x%llx, value 0x0\n", vcpu->index, vcpu->as<State>().cpu->fault_name(static_cast<uint32_t>(cause)).c_str(),
             static_cast<unsigned long long>(pc));
  enter_trap(*vcpu, cause, 0, pc);
  return vcpu->as<State>().pc;
}
// An environment call of the vDSO; the system call that it is if the number is none of ours.
uint64_t helper_ask_emulator(ir::VcpuBlock* vcpu, uint64_t number, uint64_t argument) noexcept {
  if (number - kVdsoClock < kVdsoCallEnd - kVdsoClock) return static_cast<uint64_t>(vdso_call(number, argument));
  vcpu->raise(kEcallUser, 0);
  return argument;
}
uint64_t helper_mret(ir::VcpuBlock* vcpu) noexcept { return return_from_machine(*vcpu); }
uint64_t helper_sret(ir::VcpuBlock* vcpu) noexcept { return return_from_supervisor(*vcpu); }

uint64_t helper_wfi(ir::VcpuBlock* vcpu, uint64_t next_pc) noexcept {
  State& state = vcpu->as<State>();
  interrupts_pending(*vcpu);  // drops a stale comparator pin
  if (state.cpu->has_wakeup(*vcpu)) {
    recheck_interrupts(*vcpu);
    return 0;
  }
  state.pc = next_pc;
  vcpu->env->wait_for_interrupt();
  return 0;
}

uint64_t helper_flush_translations(ir::VcpuBlock* vcpu, uint64_t one_page, uint64_t address) noexcept {
  if (one_page) vcpu->env->flush_tlb_page(Gva{address});
  else vcpu->env->flush_tlb_all();
  return 0;
}

uint64_t helper_flush_space(ir::VcpuBlock* vcpu, uint64_t asid) noexcept {
  const uint64_t mask = vcpu->as<State>().cpu->asid_mask();  // in satp, which is the id of a space
  vcpu->env->flush_tlb_spaces(mask, asid * (mask & -mask) & mask);
  return 0;
}

// RV32: every form that the address of a page takes in a Gva (state.h).
uint64_t helper_flush_page_narrow(ir::VcpuBlock* vcpu, uint64_t address) noexcept {
  for (uint64_t upper : {uint64_t{0}, uint64_t{1}, uint64_t{0xffffffff}}) vcpu->env->flush_tlb_page(Gva{upper << 32 | (address & 0xffffffff)});
  return 0;
}

unsigned privilege_of(const Insn& i) { return i.key() & kKeyPrivilege; }

enum class CsrKind { kWrite, kSet, kClear };

I64 combine(Insn& i, CsrKind kind, I64 old, I64 operand) {
  return kind == CsrKind::kWrite ? operand : kind == CsrKind::kSet ? i.b.or_(old, operand) : i.b.andn(old, operand);
}

bool csr_exists(const Insn& i, const Csr* csr, unsigned number, bool writes) {
  if (!csr || !csr->needs.met_by(i.cpu.config().extensions) || privilege_of(i) < csr_privilege(number)) return false;
  if (writes && csr_read_only(number)) return false;
  if (number >= kPmpcfg0 && number < kPmpaddr0 && (number & 1) && !i.narrow()) return false;  // RV64 has the even ones only
  if (number == kSeed && !writes) return false;                              // reading entropy must be able to have an effect (Zkr)
  if ((csr->flags & kNeedsFloat) && (i.key() & kKeyFloatOff)) return false;
  if ((csr->flags & kTrapsVm) && (i.key() & kKeyTrapVm)) return false;
  unsigned whole = whole_csr(*csr, number);
  if (whole >= kCycle && whole <= kInstret && !(i.key() >> 8 & 1u << (whole - kCycle))) return false;
  return true;
}

Next access_slot(Insn& i, const Csr& csr, CsrKind kind, bool writes, I64 operand) {
  I64 old = i.b.get<ir::Type::kI64>(csr.slot);
  if (writes) {
    I64 value = combine(i, kind, old, operand);
    if (~csr.mask) value = i.b.and_(value, i.b.i64(csr.mask));  // WARL bits of slots read as zero
    i.b.set(csr.slot, value);
  }
  i.set_x(i.rd(), old);
  return Next::kContinue;
}

Next access_status(Insn& i, bool supervisor, CsrKind kind, bool writes, bool immediate, I64 operand) {
  I64 status = i.b.get<ir::Type::kI64>(kMstatusSlot);
  I64 old = supervisor ? i.b.and_(status, i.b.i64(i.cpu.sstatus_mask())) : status;
  if (!writes) {
    i.set_x(i.rd(), old);
    return Next::kContinue;
  }
  if (immediate && kind != CsrKind::kWrite) {  // of the bits that fit, SIE and MIE exist
    uint64_t enable = i.rs1() & (supervisor ? mstatus::kSie : mstatus::kSie | mstatus::kMie);
    I64 changed = combine(i, kind, status, i.b.i64(enable));
    i.set_x(i.rd(), old);
    i.b.set(kMstatusSlot, changed);
    if (kind == CsrKind::kSet && enable) i.b.call<ir::Type::kVoid>(kRecheck, {});
    return Next::kContinue;
  }
  I64 value = combine(i, kind, old, operand);
  i.set_x(i.rd(), old);
  I64 mask = i.b.i64(supervisor ? mstatus::kSstatusWrite : ~uint64_t{0});
  I64 next = i.next_pc();
  i.completed();
  I64 now = i.b.call<ir::Type::kI64>(kStatusWrite, {value.id, mask.id, next.id});
  i.b.set(kMstatusSlot, now);
  return Next::kContinue;
}

// time = ns / 100 (10 MHz), as a multiplication: floor(ns / 4 * ceil(2^66 / 25) / 2^66), exact for all 64-bit ns.
Next read_time_inline(Insn& i, bool upper_half) {
  I64 ns = i.b.clock_ns();
  I64 quarter = i.b.shr(ns, i.b.i64(2));
  I64 high = i.b.mulh_u(quarter, i.b.i64(0x28f5c28f5c28f5c3));
  I64 time = i.b.shr(high, i.b.i64(2));
  i.set_wrapped(i.rd(), upper_half ? i.b.shr(time, i.b.i64(32)) : time);
  return Next::kContinue;
}

Next csr_instruction(Insn& i, CsrKind kind, bool immediate) {
  unsigned number = i.csr();
  bool writes = kind == CsrKind::kWrite || i.rs1(), reads = kind != CsrKind::kWrite || i.rd();
  const Csr* csr = find_csr(number);
  if (!csr_exists(i, csr, number, writes)) return i.illegal();
  if (csr->flags & kNeedsFloat && writes) {
    if (Next next; !float_state_ready(i, next)) return next;
  }
  I64 operand = immediate ? i.b.i64(i.rs1()) : writes ? i.x(i.rs1()) : i.b.i64(0);
  if (csr->slot) return access_slot(i, *csr, kind, writes, operand);
  if (number == kSstatus || number == kMstatus) return access_status(i, number == kSstatus, kind, writes, immediate, operand);
  if (whole_csr(*csr, number) == kTime && i.cpu.config().timebase_hz == 10'000'000) return read_time_inline(i, csr->low != 0);

  bool context = writes && find_csr(whole_csr(*csr, number))->flags & kChangesContext;
  bool rights_in_key = number >= kCycle && number <= kInstret;
  if (i.narrow() || (csr->allowed && !rights_in_key) || csr->read_for_modify) {
    I64 word = i.b.i64(i.word);
    I64 old = i.b.call<ir::Type::kI64>(i.narrow() ? kCsrAccessNarrow : kCsrAccess, {word.id, operand.id});
    i.set_x(i.rd(), old);
  } else {
    I64 index = i.b.i64(number);
    I64 old = reads ? i.b.call<ir::Type::kI64>(kCsrRead, {index.id}) : I64{};
    I64 value = writes ? combine(i, kind, old, operand) : I64{};
    if (reads) i.set_x(i.rd(), old);
    if (writes) i.b.call<ir::Type::kVoid>(context ? kCsrWriteContext : kCsrWrite, {index.id, value.id});
  }
  if (!context) return Next::kContinue;
  i.completed();
  i.b.exit_indirect(i.next_pc());
  return Next::kEnded;
}

Next csrrw(Insn& i) { return csr_instruction(i, CsrKind::kWrite, false); }
Next csrrs(Insn& i) { return csr_instruction(i, CsrKind::kSet, false); }
Next csrrc(Insn& i) { return csr_instruction(i, CsrKind::kClear, false); }
Next csrrwi(Insn& i) { return csr_instruction(i, CsrKind::kWrite, true); }
Next csrrsi(Insn& i) { return csr_instruction(i, CsrKind::kSet, true); }
Next csrrci(Insn& i) { return csr_instruction(i, CsrKind::kClear, true); }

Next ecall(Insn& i) {
  if (i.key() & kKeyLinuxUser) {
    // A block of user mode is for one address: there is no other mapping that shares it.
    if (!i.cpu.in_vdso(i.context.pc)) return i.raise(kEcallUser, i.imm(0));
    I64 number = i.x(17), argument = i.x(10);
    i.set_x(10, i.b.call<ir::Type::kI64>(kAskEmulator, {number.id, argument.id}));
    return Next::kContinue;
  }
  I64 cause = i.b.i64(kEcallUser + privilege_of(i));
  I64 pc = i.pc();
  i.b.exit_indirect(i.b.call<ir::Type::kI64>(kEnvironmentCall, {cause.id, pc.id}));
  return Next::kEnded;
}
Next ebreak(Insn& i) { return i.raise(kBreakpoint, i.pc()); }

Next mret(Insn& i) {
  if (privilege_of(i) != static_cast<unsigned>(Privilege::kMachine)) return i.illegal();
  I64 target = i.b.call<ir::Type::kI64>(kMret, {});
  i.completed();
  i.b.exit_indirect(target);
  return Next::kEnded;
}
Next sret(Insn& i) {
  if (privilege_of(i) == static_cast<unsigned>(Privilege::kUser) || (i.key() & kKeyTrapSret)) return i.illegal();
  I64 target = i.b.call<ir::Type::kI64>(kSret, {});
  i.completed();
  i.b.exit_indirect(target);
  return Next::kEnded;
}
Next wfi(Insn& i) {
  if (i.key() & kKeyTrapWfi) return i.illegal();
  I64 next = i.next_pc();
  i.completed();
  i.b.call<ir::Type::kVoid>(kWfi, {next.id});
  return Next::kStop;
}

// One page: in all address spaces, which orders more than a fence of one ASID has to. sinval.vma takes effect at once, so its two fences have nothing left
// to do.
Next sfence_vma(Insn& i) {
  if (privilege_of(i) == static_cast<unsigned>(Privilege::kUser) || (i.key() & kKeyTrapVm)) return i.illegal();
  if (!i.rs1() && i.rs2()) {
    i.b.call<ir::Type::kVoid>(kFlushSpace, {i.x(i.rs2()).id});
  } else if (i.narrow() && i.rs1()) {
    i.b.call<ir::Type::kVoid>(kFlushPageNarrow, {i.x(i.rs1()).id});
  } else {
    I64 one_page = i.b.i64(i.rs1() != 0);
    I64 address = i.x(i.rs1());
    i.b.call<ir::Type::kVoid>(kFlushTranslations, {one_page.id, address.id});
  }
  i.completed();
  i.b.exit_indirect(i.next_pc());
  return Next::kEnded;
}
Next sfence_inval(Insn& i) { return privilege_of(i) == static_cast<unsigned>(Privilege::kUser) ? i.illegal() : Next::kContinue; }

constexpr Row kRows[] = {
    {csrrw, "csrrw", "cccccccccccc aaaaa 001 ddddd 1110011", "rd,csr,rs1", Ext::zicsr},
    {csrrs, "csrrs", "cccccccccccc aaaaa 010 ddddd 1110011", "rd,csr,rs1", Ext::zicsr},
    {csrrc, "csrrc", "cccccccccccc aaaaa 011 ddddd 1110011", "rd,csr,rs1", Ext::zicsr},
    {csrrwi, "csrrwi", "cccccccccccc iiiii 101 ddddd 1110011", "rd,csr,uimm5", Ext::zicsr},
    {csrrsi, "csrrsi", "cccccccccccc iiiii 110 ddddd 1110011", "rd,csr,uimm5", Ext::zicsr},
    {csrrci, "csrrci", "cccccccccccc iiiii 111 ddddd 1110011", "rd,csr,uimm5", Ext::zicsr},
    {ecall, "ecall", "000000000000 00000 000 00000 1110011", "", Ext::i},
    {ebreak, "ebreak", "000000000001 00000 000 00000 1110011", "", Ext::i},
    {sret, "sret", "0001000 00010 00000 000 00000 1110011", "", Ext::i},
    {mret, "mret", "0011000 00010 00000 000 00000 1110011", "", Ext::i},
    {wfi, "wfi", "0001000 00101 00000 000 00000 1110011", "", Ext::i},
    {sfence_vma, "sfence.vma", "0001001 bbbbb aaaaa 000 00000 1110011", "rs1,rs2", Ext::i},
    {sfence_vma, "sinval.vma", "0001011 bbbbb aaaaa 000 00000 1110011", "rs1,rs2", Ext::svinval},
    {sfence_inval, "sfence.w.inval", "0001100 00000 00000 000 00000 1110011", "", Ext::svinval},
    {sfence_inval, "sfence.inval.ir", "0001100 00001 00000 000 00000 1110011", "", Ext::svinval},
};

}  // namespace

std::span<const Row> rows_sys() { return kRows; }

HelperTable sys_helpers() {
  using namespace ir;
  static const HelperInfo kHelpers[] = {
      {"csr_read", helper_function(helper_csr_read), 0, 1},
      {"csr_write", helper_function(helper_csr_write), 0, 2},
      {"csr_write_context", helper_function(helper_csr_write), kReadsState | kWritesState, 2},
      {"csr_access", helper_function(helper_csr_access), kReadsState | kMayLeave, 2},
      {"status_write", helper_function(helper_status_write), kReadsState | kMayLeave, 3},
      {"recheck_interrupts", helper_function(helper_recheck), 0, 0},
      {"environment_call", helper_function(helper_environment_call), kReadsState | kWritesState, 2},
      {"mret", helper_function(helper_mret), kReadsState | kWritesState, 0},
      {"sret", helper_function(helper_sret), kReadsState | kWritesState, 0},
      {"wfi", helper_function(helper_wfi), kReadsState | kMayLeave, 1},
      {"flush_translations", helper_function(helper_flush_translations), kReadsState, 2},
      {"flush_space", helper_function(helper_flush_space), kReadsState, 1},
      {"csr_access_narrow", helper_function(helper_csr_access_narrow), kReadsState | kMayLeave, 2},
      {"flush_page_narrow", helper_function(helper_flush_page_narrow), kReadsState, 1},
      {"ask_emulator", helper_function(helper_ask_emulator), kReadsState | kMayLeave, 2},
  };
  return {kSysHelpers, kHelpers};
}

}  // namespace lyre::riscv
