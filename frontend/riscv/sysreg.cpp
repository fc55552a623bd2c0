// The CSR table and the accessors that belong to no other file. See sysreg.h.
#include "frontend/riscv/sysreg.h"

#include <sys/random.h>

#include <algorithm>
#include <array>

#include "frontend/riscv/cpu.h"
#include "frontend/riscv/trap.h"
#include "runtime/base/bits.h"

namespace lyre::riscv {
namespace {

State& state_of(ir::VcpuBlock& vcpu) { return vcpu.as<State>(); }
bool has(const State& state, Ext ext) { return state.cpu->has(ext); }

// Status. Privileged 3.1.6: FS exists with F, VS with V; MPP is WARL over U, S, M.
uint64_t status_mask(const State& state) {
  using namespace mstatus;
  return kSie | kMie | kSpie | kMpie | kSpp | kMpp | kMprv | kSum | kMxr | kTvm | kTw | kTsr | (has(state, Ext::f) ? kFs : 0) | (has(state, Ext::v) ? kVs : 0);
}
uint64_t read_mstatus(ir::VcpuBlock& vcpu, unsigned) { return state_of(vcpu).mstatus; }
uint64_t read_sstatus(ir::VcpuBlock& vcpu, unsigned) { return state_of(vcpu).mstatus & state_of(vcpu).cpu->sstatus_mask(); }
void write_mstatus(ir::VcpuBlock& vcpu, unsigned, uint64_t value) { write_status(vcpu, value, ~uint64_t{0}); }
void write_sstatus(ir::VcpuBlock& vcpu, unsigned, uint64_t value) { write_status(vcpu, value, mstatus::kSstatusWrite); }

uint64_t read_misa(ir::VcpuBlock& vcpu, unsigned) { return state_of(vcpu).misa; }
void ignore_write(ir::VcpuBlock&, unsigned, uint64_t) {}
uint64_t read_zero(ir::VcpuBlock&, unsigned) { return 0; }

uint64_t read_identity(ir::VcpuBlock& vcpu, unsigned number) {
  const State& state = state_of(vcpu);
  const RiscvConfig& config = state.cpu->config();
  switch (number) {
    case kMvendorid: return config.mvendorid;
    case kMarchid: return config.marchid;
    case kMimpid: return config.mimpid;
    case kMhartid: return state.hart_id;
    default: return 0;
  }
}

// Delegation (3.1.8). Environment calls from M-mode can not be delegated, nor can M-level interrupts.
constexpr uint64_t kDelegableExceptions = 0xb3ff;
uint64_t read_medeleg(ir::VcpuBlock& vcpu, unsigned) { return state_of(vcpu).medeleg; }
void write_medeleg(ir::VcpuBlock& vcpu, unsigned, uint64_t value) { state_of(vcpu).medeleg = value & kDelegableExceptions; }
uint64_t overflow_bit(const State& state) { return has(state, Ext::sscofpmf) ? kLcofip : 0; }
uint64_t read_mideleg(ir::VcpuBlock& vcpu, unsigned) { return state_of(vcpu).mideleg; }
void write_mideleg(ir::VcpuBlock& vcpu, unsigned, uint64_t value) {
  State& state = state_of(vcpu);
  state.mideleg = value & (kSsip | kStip | kSeip | overflow_bit(state));
  recheck_interrupts(vcpu);
}

// Interrupt enables and pending bits (3.1.9, 12.1.3). The S-mode views show what is delegated.
uint64_t read_mie(ir::VcpuBlock& vcpu, unsigned) { return state_of(vcpu).mie; }
uint64_t read_sie(ir::VcpuBlock& vcpu, unsigned) { return state_of(vcpu).mie & state_of(vcpu).mideleg; }
void set_enables(ir::VcpuBlock& vcpu, uint64_t value, uint64_t mask) {
  State& state = state_of(vcpu);
  mask &= kSsip | kMsip | kStip | kMtip | kSeip | kMeip | overflow_bit(state);
  state.mie = (state.mie & ~mask) | (value & mask);
  recheck_interrupts(vcpu);
}
void write_mie(ir::VcpuBlock& vcpu, unsigned, uint64_t value) { set_enables(vcpu, value, ~uint64_t{0}); }
void write_sie(ir::VcpuBlock& vcpu, unsigned, uint64_t value) { set_enables(vcpu, value, state_of(vcpu).mideleg); }

uint64_t read_mip(ir::VcpuBlock& vcpu, unsigned) { return interrupts_pending(vcpu); }
uint64_t read_sip(ir::VcpuBlock& vcpu, unsigned) { return interrupts_pending(vcpu) & state_of(vcpu).mideleg; }
// 3.1.9: read-modify-write instructions on mip work on SEIP's software-writable bit, not on what the controller drives.
uint64_t read_mip_software(ir::VcpuBlock& vcpu, unsigned) {
  return (interrupts_pending(vcpu) & ~kSeip) | (state_of(vcpu).mip_software & kSeip);
}
void set_pending(ir::VcpuBlock& vcpu, uint64_t value, uint64_t mask) {
  State& state = state_of(vcpu);
  state.mip_software = (state.mip_software & ~(mask & kSeip)) | (value & mask & kSeip);
  mask &= ~kSeip;
  state.pending_pins.fetch_and(~(mask & ~value), std::memory_order_acq_rel);
  state.pending_pins.fetch_or(mask & value, std::memory_order_acq_rel);
  recheck_interrupts(vcpu);
}
void write_mip(ir::VcpuBlock& vcpu, unsigned, uint64_t value) {
  const State& state = state_of(vcpu);
  uint64_t timer = state.menvcfg & envcfg::kStce ? 0 : kStip;  // Sstc: STIP is read-only while stimecmp drives it
  set_pending(vcpu, value, kSsip | kSeip | timer | overflow_bit(state));
}
void write_sip(ir::VcpuBlock& vcpu, unsigned, uint64_t value) {
  const State& state = state_of(vcpu);
  set_pending(vcpu, value, (kSsip | overflow_bit(state)) & state.mideleg);
}

uint64_t read_mcounteren(ir::VcpuBlock& vcpu, unsigned) { return state_of(vcpu).mcounteren; }
uint64_t read_scounteren(ir::VcpuBlock& vcpu, unsigned) { return state_of(vcpu).scounteren; }
void write_mcounteren(ir::VcpuBlock& vcpu, unsigned, uint64_t value) {
  state_of(vcpu).mcounteren = value & 0xffffffff;
  context_changed(vcpu);
}
void write_scounteren(ir::VcpuBlock& vcpu, unsigned, uint64_t value) {
  state_of(vcpu).scounteren = value & 0xffffffff;
  context_changed(vcpu);
}

// Environment configuration (3.1.18, 12.1.10). CBIE 2 is reserved: keeps the old value.
uint64_t merge_envcfg(uint64_t old, uint64_t value, uint64_t mask) {
  if ((value & envcfg::kCbie) == 2 << 4) mask &= ~envcfg::kCbie;
  return (old & ~mask) | (value & mask);
}
uint64_t low_envcfg_mask(const State& state) {
  return envcfg::kFiom | (has(state, Ext::zicbom) ? envcfg::kCbie | envcfg::kCbcfe : 0) | (has(state, Ext::zicboz) ? envcfg::kCbze : 0);
}
uint64_t read_menvcfg(ir::VcpuBlock& vcpu, unsigned) { return state_of(vcpu).menvcfg; }
void write_menvcfg(ir::VcpuBlock& vcpu, unsigned, uint64_t value) {
  State& state = state_of(vcpu);
  uint64_t old = state.menvcfg;
  uint64_t mask = low_envcfg_mask(state) | (has(state, Ext::svadu) ? envcfg::kAdue : 0) | (has(state, Ext::svpbmt) ? envcfg::kPbmte : 0) |
                  (has(state, Ext::sstc) ? envcfg::kStce : 0);
  state.menvcfg = merge_envcfg(old, value, mask);
  uint64_t changed = old ^ state.menvcfg;
  if (changed & (envcfg::kAdue | envcfg::kPbmte)) vcpu.env->flush_tlb_all();
  if (changed & envcfg::kStce) rearm_stimecmp(vcpu);
  context_changed(vcpu);
}
bool senvcfg_allowed(const ir::VcpuBlock& vcpu, unsigned) {
  const State& state = vcpu.as<State>();
  return state.privilege == Privilege::kMachine || !has(state, Ext::smstateen) || (state.mstateen0 & stateen::kEnvcfg);
}
uint64_t read_senvcfg(ir::VcpuBlock& vcpu, unsigned) { return state_of(vcpu).senvcfg; }
void write_senvcfg(ir::VcpuBlock& vcpu, unsigned, uint64_t value) {
  State& state = state_of(vcpu);
  state.senvcfg = merge_envcfg(state.senvcfg, value, low_envcfg_mask(state));
  context_changed(vcpu);
}

// Smstateen: of the bits that this implementation has state for, ENVCFG and SE0. sstateen0 controls nothing here: read-only zero.
uint64_t read_mstateen(ir::VcpuBlock& vcpu, unsigned number) { return number == kMstateen0 ? state_of(vcpu).mstateen0 : 0; }
void write_mstateen(ir::VcpuBlock& vcpu, unsigned number, uint64_t value) {
  if (number == kMstateen0) state_of(vcpu).mstateen0 = value & (stateen::kEnvcfg | stateen::kSe0);
}
bool sstateen_allowed(const ir::VcpuBlock& vcpu, unsigned number) {
  const State& state = vcpu.as<State>();
  return state.privilege == Privilege::kMachine || (number == kSstateen0 && (state.mstateen0 & stateen::kSe0));
}

// satp (12.1.11): a write with an unsupported MODE has no effect at all. RV64: ASID 16 bits, PPN 44; RV32: one bit of MODE, 9 and 22.
uint64_t read_satp(ir::VcpuBlock& vcpu, unsigned) { return state_of(vcpu).satp; }
void write_satp(ir::VcpuBlock& vcpu, unsigned, uint64_t value) {
  State& state = state_of(vcpu);
  const RiscvCpu& cpu = *state.cpu;
  unsigned mode = cpu.satp_mode(value), lowest = cpu.narrow() ? 1 : 8;
  if (mode != 0 && (mode < lowest || mode > cpu.config().satp_mode_max)) return;
  state.satp = mode ? value : 0;
  context_changed(vcpu);
}

// Zkr: two bits of status (ES16 = 2) and 16 of entropy, one fresh sample a read; S and U by mseccfg (unprivileged ISA, "Entropy Source").
bool seed_allowed(const ir::VcpuBlock& vcpu, unsigned) {
  const State& state = vcpu.as<State>();
  if (state.privilege == Privilege::kMachine) return true;
  return state.mseccfg & (state.privilege == Privilege::kSupervisor ? seccfg::kSseed : seccfg::kUseed);
}
uint64_t read_seed(ir::VcpuBlock&, unsigned) {
  uint16_t entropy;
  if (getrandom(&entropy, sizeof entropy, 0) != sizeof entropy) return uint64_t{1} << 30;  // WAIT
  return uint64_t{2} << 30 | entropy;
}

#define LYRE_SLOT(field) static_cast<uint16_t>(offsetof(State, field))
constexpr uint64_t kAll = ~uint64_t{0};
constexpr uint8_t kContext = kChangesContext;

constexpr Csr make(uint16_t number, const char* name, Needs needs, uint8_t flags, decltype(Csr::read) read, decltype(Csr::write) write,
                   decltype(Csr::allowed) allowed = nullptr, uint16_t count = 1, decltype(Csr::read_for_modify) modify = nullptr) {
  Csr csr{};
  csr.number = number, csr.needs = needs, csr.flags = flags, csr.read = read, csr.write = write, csr.allowed = allowed;
  csr.read_for_modify = modify, csr.count = count;
  decode::copy_text(csr.name, name);
  return csr;
}
// RV32: the upper half of `low`.
constexpr Csr upper(uint16_t number, const char* name, Needs needs, uint16_t low, uint16_t count = 1) {
  Csr csr = make(number, name, needs && Ext::rv32, 0, nullptr, nullptr, nullptr, count);
  csr.low = low;
  return csr;
}
constexpr Csr plain(uint16_t number, const char* name, uint16_t slot, uint64_t mask) {
  Csr csr = make(number, name, Ext::zicsr, 0, nullptr, nullptr);
  csr.slot = slot, csr.mask = mask;
  return csr;
}

constexpr Csr kRows[] = {
    // number, name, extension, flags, read, write, allowed, count
    make(kFflags, "fflags", Ext::f, kNeedsFloat, read_fflags, write_fflags),
    make(kFrm, "frm", Ext::f, kNeedsFloat | kContext, read_frm, write_frm),
    make(kFcsr, "fcsr", Ext::f, kNeedsFloat | kContext, read_fcsr, write_fcsr),
    make(kSeed, "seed", Ext::zkr, 0, read_seed, ignore_write, seed_allowed),
    make(kCycle, "cycle", Ext::zicntr, kWide, read_counter, nullptr, counter_allowed),
    make(kTime, "time", Ext::zicntr, kWide, read_time, nullptr, counter_allowed),
    make(kInstret, "instret", Ext::zicntr, kWide, read_counter, nullptr, counter_allowed),
    make(kHpmcounter3, "hpmcounter3", Ext::zihpm, kWide, read_counter, nullptr, counter_allowed, kHpmCounters),

    make(kSstatus, "sstatus", Ext::zicsr, kContext, read_sstatus, write_sstatus),
    make(kCsrSie, "sie", Ext::zicsr, 0, read_sie, write_sie),
    plain(kStvec, "stvec", LYRE_SLOT(stvec), ~uint64_t{2}),
    make(kScounteren, "scounteren", Ext::zicsr, kContext, read_scounteren, write_scounteren),
    make(kSenvcfg, "senvcfg", Ext::zicsr, kContext, read_senvcfg, write_senvcfg, senvcfg_allowed),
    make(kSstateen0, "sstateen0", Ext::smstateen, 0, read_zero, ignore_write, sstateen_allowed, 4),
    plain(kSscratch, "sscratch", LYRE_SLOT(sscratch), kAll),
    plain(kSepc, "sepc", LYRE_SLOT(sepc), ~uint64_t{1}),
    plain(kScause, "scause", LYRE_SLOT(scause), kAll),
    plain(kStval, "stval", LYRE_SLOT(stval), kAll),
    make(kSip, "sip", Ext::zicsr, 0, read_sip, write_sip),
    make(kStimecmp, "stimecmp", Ext::sstc, kWide, read_stimecmp, write_stimecmp, stimecmp_allowed),
    make(kSatp, "satp", Ext::zicsr, kContext | kTrapsVm, read_satp, write_satp),
    make(kScountovf, "scountovf", Ext::sscofpmf, 0, read_scountovf, nullptr),

    make(kMvendorid, "mvendorid", Ext::zicsr, 0, read_identity, nullptr),
    make(kMarchid, "marchid", Ext::zicsr, 0, read_identity, nullptr),
    make(kMimpid, "mimpid", Ext::zicsr, 0, read_identity, nullptr),
    make(kMhartid, "mhartid", Ext::zicsr, 0, read_identity, nullptr),
    make(kMconfigptr, "mconfigptr", Ext::zicsr, 0, read_identity, nullptr),
    make(kMstatus, "mstatus", Ext::zicsr, kContext, read_mstatus, write_mstatus),
    make(kMisa, "misa", Ext::zicsr, 0, read_misa, ignore_write),
    make(kMedeleg, "medeleg", Ext::zicsr, 0, read_medeleg, write_medeleg),
    make(kMideleg, "mideleg", Ext::zicsr, 0, read_mideleg, write_mideleg),
    make(kCsrMie, "mie", Ext::zicsr, 0, read_mie, write_mie),
    plain(kMtvec, "mtvec", LYRE_SLOT(mtvec), ~uint64_t{2}),
    make(kMcounteren, "mcounteren", Ext::zicsr, kContext, read_mcounteren, write_mcounteren),
    make(kMenvcfg, "menvcfg", Ext::zicsr, kContext | kWide, read_menvcfg, write_menvcfg),
    make(kMstateen0, "mstateen0", Ext::smstateen, kWide, read_mstateen, write_mstateen, nullptr, 4),
    make(kMcountinhibit, "mcountinhibit", Ext::zicsr, 0, read_mcountinhibit, write_mcountinhibit),
    make(kMhpmevent3, "mhpmevent3", Ext::zicsr, kWide, read_mhpmevent, write_mhpmevent, nullptr, kHpmCounters),
    plain(kMscratch, "mscratch", LYRE_SLOT(mscratch), kAll),
    plain(kMepc, "mepc", LYRE_SLOT(mepc), ~uint64_t{1}),
    plain(kMcause, "mcause", LYRE_SLOT(mcause), kAll),
    plain(kMtval, "mtval", LYRE_SLOT(mtval), kAll),
    make(kMip, "mip", Ext::zicsr, 0, read_mip, write_mip, nullptr, 1, read_mip_software),
    make(kPmpcfg0, "pmpcfg0", Ext::zicsr, 0, read_pmpcfg, write_pmpcfg, nullptr, 16),
    make(kPmpaddr0, "pmpaddr0", Ext::zicsr, 0, read_pmpaddr, write_pmpaddr, nullptr, 64),
    make(kMseccfg, "mseccfg", Ext::zicsr, kWide, read_mseccfg, write_mseccfg),
    make(kMcycle, "mcycle", Ext::zicsr, kWide, read_counter, write_counter),
    make(kMinstret, "minstret", Ext::zicsr, kWide, read_counter, write_counter),
    make(kMhpmcounter3, "mhpmcounter3", Ext::zicsr, kWide, read_counter, write_counter, nullptr, kHpmCounters),

    upper(kCycleh, "cycleh", Ext::zicntr, kCycle),
    upper(kTimeh, "timeh", Ext::zicntr, kTime),
    upper(kInstreth, "instreth", Ext::zicntr, kInstret),
    upper(kHpmcounter3h, "hpmcounter3h", Ext::zihpm, kHpmcounter3, kHpmCounters),
    upper(kStimecmph, "stimecmph", Ext::sstc, kStimecmp),
    upper(kMenvcfgh, "menvcfgh", Ext::zicsr, kMenvcfg),
    upper(kMstateen0h, "mstateen0h", Ext::smstateen, kMstateen0, 4),
    upper(kMhpmevent3h, "mhpmevent3h", Ext::sscofpmf, kMhpmevent3, kHpmCounters),
    upper(kMseccfgh, "mseccfgh", Ext::zicsr, kMseccfg),
    upper(kMcycleh, "mcycleh", Ext::zicsr, kMcycle),
    upper(kMinstreth, "minstreth", Ext::zicsr, kMinstret),
    upper(kMhpmcounter3h, "mhpmcounter3h", Ext::zicsr, kMhpmcounter3, kHpmCounters),
    // Their fields are all zero here, and their lower halves are stored as RV32 has them.
    make(kMstatush, "mstatush", Ext::rv32, 0, read_zero, ignore_write),
    make(kMedelegh, "medelegh", Ext::rv32, 0, read_zero, ignore_write),
};
#undef LYRE_SLOT

constexpr auto kIndex = [] {
  std::array<uint8_t, 4096> index{};
  for (size_t row = 0; row < std::size(kRows); ++row)
    for (unsigned i = 0; i < kRows[row].count; ++i) index[kRows[row].number + i] = static_cast<uint8_t>(row + 1);
  return index;
}();
static_assert(std::size(kRows) < 255);

}  // namespace

const Csr* find_csr(unsigned number) {
  unsigned row = number < kIndex.size() ? kIndex[number] : 0;
  return row ? &kRows[row - 1] : nullptr;
}
std::span<const Csr> csr_rows() { return kRows; }

bool access_narrow(ir::VcpuBlock& vcpu, unsigned number, unsigned kind, bool reads, bool writes, uint64_t operand, uint64_t& old) {
  constexpr uint64_t kLowHalf = 0xffffffff;
  const Csr& named = *find_csr(number);
  const unsigned whole_number = whole_csr(named, number);
  const Csr& csr = *find_csr(whole_number);
  if (csr.allowed && !csr.allowed(vcpu, whole_number)) return false;
  const bool wide = csr.flags & kWide, high = named.low != 0;
  const uint64_t whole = reads || (writes && wide) ? csr.read(vcpu, whole_number) : 0;
  old = static_cast<uint64_t>(sign_extend(high ? whole >> 32 : whole, 32));
  if (!writes) return true;
  const uint64_t base = kind != 1 && csr.read_for_modify ? csr.read_for_modify(vcpu, whole_number) : old;
  uint64_t value = (kind == 1 ? operand : kind == 2 ? base | operand : base & ~operand) & kLowHalf;
  if (wide) value = high ? value << 32 | (whole & kLowHalf) : (whole & ~kLowHalf) | value;
  csr.write(vcpu, whole_number, value);
  return true;
}

uint64_t write_status(ir::VcpuBlock& vcpu, uint64_t value, uint64_t mask) {
  State& state = state_of(vcpu);
  uint64_t old = state.mstatus;
  mask &= status_mask(state);
  if (bits(value, mstatus::kMppShift, 2) == 2) mask &= ~mstatus::kMpp;
  uint64_t status = ((old & ~mask) | (value & mask)) & ~state.cpu->top_bit();
  if ((status & mstatus::kFs) == mstatus::kFs || (status & mstatus::kVs) == mstatus::kVs) status |= state.cpu->top_bit();
  state.mstatus = status;
  uint64_t changed = old ^ status;
  using namespace mstatus;
  if (changed & (kMprv | kMpp | kSum | kMxr)) vcpu.env->set_address_space(state.cpu->address_space(vcpu), state.cpu->mmu_index(vcpu));
  if (changed & (kFs | kVs | kTvm | kTw | kTsr)) vcpu.env->state_key_changed();
  if (changed & status & (kSie | kMie)) recheck_interrupts(vcpu);
  return status;
}

}  // namespace lyre::riscv
