// Page walks, and the faults of addresses. See mmu.h.
#include "frontend/riscv/mmu.h"

#include "frontend/riscv/cpu.h"
#include "frontend/riscv/pmp.h"
#include "frontend/riscv/sysreg.h"
#include "runtime/base/bits.h"
#include "runtime/base/log.h"

namespace lyre::riscv {
namespace {

using frontend::Access;
using frontend::Translation;

namespace pte {
constexpr uint64_t kV = 1, kR = 2, kW = 4, kX = 8, kU = 16, kG = 32, kA = 64, kD = 128;
constexpr uint64_t kPbmt = uint64_t{3} << 61, kN = uint64_t{1} << 63, kReserved = low_mask(7) << 54;
constexpr unsigned kPpnShift = 10;
}  // namespace pte

constexpr unsigned kPhysicalBits = 56;

// What differs between the tables of the two widths (12.3 and 12.4). Entries of Sv32 have no bits above the page number, and addresses no unused ones.
struct Sv32 {
  static constexpr unsigned kIndexBits = 10, kEntryBytes = 4, kPpnBits = 22;
  static constexpr unsigned levels(uint64_t) { return 2; }
};
struct Sv39To57 {
  static constexpr unsigned kIndexBits = 9, kEntryBytes = 8, kPpnBits = 44;
  static constexpr unsigned levels(uint64_t satp) { return static_cast<unsigned>(satp >> 60) - 5; }  // modes 8, 9, 10
};

constexpr uint32_t access_fault_cause(Access access) {
  return access == Access::kFetch ? kInstructionAccess : access == Access::kLoad ? kLoadAccess : kStoreAccess;
}
constexpr uint32_t page_fault_cause(Access access) {
  return access == Access::kFetch ? kInstructionPageFault : access == Access::kLoad ? kLoadPageFault : kStorePageFault;
}
constexpr uint8_t needed_right(Access access) {
  return access == Access::kFetch ? kPmpExecute : access == Access::kLoad ? kPmpRead : kPmpWrite;
}

Translation fail(uint32_t cause, Gva address) {
  Translation result;
  result.fault.cause = cause, result.fault.value = address.value;
  return result;
}

// What the page rights allow under an mmu index, as PmpRights bits (12.3.2 steps 5 to 8). Fetches never use MXR or SUM.
uint8_t page_rights(uint64_t entry, unsigned mmu_index) {
  bool mxr = mmu_index & kMmuMxr;
  unsigned base = mmu_index & ~unsigned{kMmuMxr};
  uint8_t rights = 0;
  if (entry & pte::kR || (mxr && (entry & pte::kX))) rights |= kPmpRead;
  if (entry & pte::kW) rights |= kPmpWrite;
  if (entry & pte::kX) rights |= kPmpExecute;
  bool user_page = entry & pte::kU;
  if (base == kMmuUser) return user_page ? rights : 0;
  if (!user_page) return rights;
  return base == kMmuSupervisorSum ? rights & static_cast<uint8_t>(~kPmpExecute) : 0;
}

// The physical side: PMP, and rights as they hold for the whole reported page.
Translation finish(const State& state, Gva address, Gpa gpa, Access access, Privilege privilege, uint8_t rights, unsigned page_bits, bool global) {
  rights &= pmp_rights(state, gpa, privilege);
  if (!(rights & needed_right(access))) return fail(access_fault_cause(access), address);
  Translation result;
  result.ok = true;
  result.gpa = gpa;
  result.page_bits = static_cast<uint8_t>(pmp_uniform_bits(state, gpa, page_bits));
  result.readable = rights & kPmpRead, result.writable = rights & kPmpWrite, result.executable = rights & kPmpExecute;
  result.global = global;
  return result;
}

// Encodings that are reserved in a leaf or pointer (12.3.2 step 3, Svnapot, Svpbmt).
bool reserved_encoding(uint64_t entry, bool leaf, unsigned level, bool svnapot, bool pbmte) {
  if (entry & pte::kReserved) return true;
  if ((entry & pte::kPbmt) && (!pbmte || (entry & pte::kPbmt) == pte::kPbmt)) return true;
  if (!leaf) return entry & (pte::kN | pte::kPbmt | pte::kD | pte::kA | pte::kU);
  if (!(entry & pte::kN)) return false;
  return !svnapot || level != 0 || bits(entry, pte::kPpnShift, 4) != 8;  // only 64 KiB ranges are defined
}

template <typename Scheme>
class Walk {
 public:
  Walk(ir::VcpuBlock& vcpu, const RiscvCpu& cpu, Gva address, Access access, unsigned mmu_index)
      : vcpu_(vcpu), cpu_(cpu), state_(vcpu.as<State>()), address_(address), access_(access), mmu_index_(mmu_index) {}

  // 12.3.2, "Virtual Address Translation Process".
  Translation run() {
    constexpr unsigned kIndexBits = Scheme::kIndexBits, kEntryBytes = Scheme::kEntryBytes, kPpnBits = Scheme::kPpnBits;
    constexpr bool kIsSv32 = kEntryBytes == 4;
    unsigned levels = Scheme::levels(state_.satp);
    unsigned va_bits = kPageBits + kIndexBits * levels;
    if (!kIsSv32 && sign_extend(address_.value, va_bits) != static_cast<int64_t>(address_.value)) return fail(page_fault_cause(access_), address_);
    uint64_t table = bits(state_.satp, 0, kPpnBits) << kPageBits;
    bool pbmte = state_.menvcfg & envcfg::kPbmte, svnapot = cpu_.has(Ext::svnapot);
    bool global = false;
    for (unsigned level = levels; level-- > 0;) {
      Gpa at{table + bits(address_.value, kPageBits + kIndexBits * level, kIndexBits) * kEntryBytes};
      uint64_t entry;
      if (!(pmp_rights(state_, at, Privilege::kSupervisor) & kPmpRead) || !vcpu_.env->read_physical(at, kEntryBytes, entry))
        return fail(access_fault_cause(access_), address_);
    again:
      if (!(entry & pte::kV) || (entry & (pte::kR | pte::kW)) == pte::kW) return fail(page_fault_cause(access_), address_);
      bool leaf = entry & (pte::kR | pte::kX);
      if (reserved_encoding(entry, leaf, level, svnapot, pbmte)) return fail(page_fault_cause(access_), address_);
      global |= (entry & pte::kG) != 0;
      if (!leaf) {
        table = bits(entry, pte::kPpnShift, kPpnBits) << kPageBits;
        continue;
      }
      uint8_t rights = page_rights(entry, mmu_index_);
      if (!(rights & needed_right(access_))) return fail(page_fault_cause(access_), address_);
      uint64_t base = bits(entry, pte::kPpnShift, kPpnBits) << kPageBits;
      unsigned page_bits = kPageBits + kIndexBits * level;
      if (base & low_mask(page_bits) & ~low_mask(kPageBits)) return fail(page_fault_cause(access_), address_);  // misaligned superpage
      if (entry & pte::kN) page_bits = 16;
      uint64_t wanted = entry | pte::kA | (access_ == Access::kStore ? pte::kD : 0);
      if (wanted != entry) {
        switch (set_accessed(at, entry, wanted)) {
          case Update::kDone: entry = wanted; break;
          case Update::kChanged: goto again;  // step 9: somebody else wrote the entry meanwhile; `entry` is what is there now
          case Update::kPageFault: return fail(page_fault_cause(access_), address_);
          case Update::kAccessFault: return fail(access_fault_cause(access_), address_);
        }
      }
      if (!(entry & pte::kD)) rights &= static_cast<uint8_t>(~kPmpWrite);  // the first store walks again
      Gpa gpa{(base & ~low_mask(page_bits)) | (address_.value & low_mask(page_bits))};
      Privilege privilege = mmu_index_ == kMmuUser || mmu_index_ == (kMmuUser | kMmuMxr) ? Privilege::kUser : Privilege::kSupervisor;
      return finish(state_, address_, gpa, access_, privilege, rights, page_bits, global);
    }
    return fail(page_fault_cause(access_), address_);  // a pointer at the last level
  }

 private:
  enum class Update { kDone, kChanged, kPageFault, kAccessFault };
  Update set_accessed(Gpa at, uint64_t& entry, uint64_t wanted) {
    if (!(state_.menvcfg & envcfg::kAdue)) return Update::kPageFault;  // Svade
    if (!(pmp_rights(state_, at, Privilege::kSupervisor) & kPmpWrite)) return Update::kAccessFault;
    bool done = false;
    if (!vcpu_.env->update_physical(at, Scheme::kEntryBytes, entry, wanted, done)) return Update::kAccessFault;
    return done ? Update::kDone : Update::kChanged;
  }

  ir::VcpuBlock& vcpu_;
  const RiscvCpu& cpu_;
  const State& state_;
  Gva address_;
  Access access_;
  unsigned mmu_index_;
};

// The same way through the tables for a debugger, which has every right and leaves no trace.
template <typename Scheme>
bool look_up(ir::VcpuBlock& vcpu, Gva address, Gpa& result) {
  const State& state = vcpu.as<State>();
  const unsigned levels = Scheme::levels(state.satp), va_bits = kPageBits + Scheme::kIndexBits * levels;
  if (Scheme::kEntryBytes == 8 && sign_extend(address.value, va_bits) != static_cast<int64_t>(address.value)) return false;
  uint64_t table = bits(state.satp, 0, Scheme::kPpnBits) << kPageBits;
  for (unsigned level = levels; level-- > 0;) {
    const unsigned shift = kPageBits + Scheme::kIndexBits * level;
    uint64_t entry;
    if (!vcpu.env->read_physical(Gpa{table + bits(address.value, shift, Scheme::kIndexBits) * Scheme::kEntryBytes}, Scheme::kEntryBytes, entry)) return false;
    if (!(entry & pte::kV)) return false;
    const uint64_t base = bits(entry, pte::kPpnShift, Scheme::kPpnBits) << kPageBits;
    if (entry & (pte::kR | pte::kX)) {
      const unsigned page_bits = entry & pte::kN ? 16 : shift;
      result = Gpa{(base & ~low_mask(page_bits)) | (address.value & low_mask(page_bits))};
      return true;
    }
    table = base;
  }
  return false;
}

unsigned index_of(Privilege privilege, uint64_t status) {
  if (privilege == Privilege::kMachine) return kMmuMachine;
  unsigned mxr = status & mstatus::kMxr ? unsigned{kMmuMxr} : 0;
  if (privilege == Privilege::kUser) return kMmuUser | mxr;
  return (status & mstatus::kSum ? kMmuSupervisorSum : kMmuSupervisor) | mxr;
}

Translation translate(ir::VcpuBlock& vcpu, const RiscvCpu& cpu, Gva address, Access access, unsigned mmu_index) {
  const State& state = vcpu.as<State>();
  bool machine = mmu_index == kMmuMachine;
  if (cpu.narrow()) {
    address = Gva{cpu.address_form(address.value)};
    if (!machine && state.satp) return Walk<Sv32>(vcpu, cpu, address, access, mmu_index).run();
  } else if (!machine && state.satp >> 60) {
    return Walk<Sv39To57>(vcpu, cpu, address, access, mmu_index).run();
  }
  if (address.value >> kPhysicalBits) return fail(access_fault_cause(access), address);
  Privilege privilege = machine ? Privilege::kMachine : (mmu_index & ~unsigned{kMmuMxr}) == kMmuUser ? Privilege::kUser : Privilege::kSupervisor;
  return finish(state, address, Gpa{address.value}, access, privilege, kPmpRead | kPmpWrite | kPmpExecute, kPageBits, true);
}

void log_walk(const ir::VcpuBlock& vcpu, Gva address, Access access, unsigned mmu_index, const Translation& result) {
  constexpr const char* kAccess[] = {"fetch", "load", "store"};
  auto hex = [](uint64_t value) { return static_cast<unsigned long long>(value); };
  if (result.ok)
    log_line("cpu %u: %s of 0x%llx under index %u: 0x%llx, 2^%u bytes, %c%c%c%s\n", vcpu.index, kAccess[static_cast<unsigned>(access)], hex(address.value),
             mmu_index, hex(result.gpa.value), result.page_bits, result.readable ? 'r' : '-', result.writable ? 'w' : '-', result.executable ? 'x' : '-',
             result.global ? " global" : "");
  else
    log_line("cpu %u: %s of 0x%llx under index %u: fault %u\n", vcpu.index, kAccess[static_cast<unsigned>(access)], hex(address.value), mmu_index,
             result.fault.cause);
}

}  // namespace

bool RiscvDebug::physical(ir::VcpuBlock& vcpu, Gva address, Gpa& result) const {
  const State& state = vcpu.as<State>();
  address = Gva{cpu_.address_form(address.value)};
  if (cpu_.mmu_index(vcpu) != kMmuMachine && state.satp)
    return cpu_.narrow() ? look_up<Sv32>(vcpu, address, result) : look_up<Sv39To57>(vcpu, address, result);
  result = Gpa{address.value};
  return true;
}

// satp as a whole names an address space; Bare ones share 0, as M-mode has.
uint64_t RiscvCpu::address_space(const ir::VcpuBlock& vcpu) const { return vcpu.as<State>().satp; }

unsigned RiscvCpu::mmu_index(const ir::VcpuBlock& vcpu) const {
  const State& state = vcpu.as<State>();
  Privilege privilege = state.privilege;
  if (state.mstatus & mstatus::kMprv) privilege = static_cast<Privilege>(bits(state.mstatus, mstatus::kMppShift, 2));  // only M-mode has it set (3.1.6.3)
  return index_of(privilege, state.mstatus);
}

unsigned RiscvCpu::fetch_mmu_index(const ir::VcpuBlock& vcpu) const {
  switch (vcpu.as<State>().privilege) {
    case Privilege::kMachine: return kMmuMachine;
    case Privilege::kSupervisor: return kMmuSupervisor;
    default: return kMmuUser;
  }
}

// A change of satp's mode takes effect at once, without sfence.vma (12.1.11): one number for each.
unsigned RiscvCpu::global_space(const ir::VcpuBlock& vcpu) const {
  const State& state = vcpu.as<State>();
  switch (state.privilege) {
    case Privilege::kMachine: return 1;
    case Privilege::kSupervisor: return 2 + satp_mode(state.satp);
    default: return 0;
  }
}

Translation RiscvCpu::walk(ir::VcpuBlock& vcpu, Gva address, Access access, unsigned mmu_index) const {
  Translation result = translate(vcpu, *this, address, access, mmu_index);
  if (__builtin_expect(log_on(kLogMmu), false)) log_walk(vcpu, address, access, mmu_index, result);
  return result;
}

ir::Fault RiscvCpu::misaligned_fault(Gva address, Access access) const {
  ir::Fault fault;
  fault.cause = access == Access::kFetch ? kInstructionMisaligned : access == Access::kLoad ? kLoadMisaligned : kStoreMisaligned;
  fault.value = address_form(address.value);
  return fault;
}

ir::Fault RiscvCpu::access_fault(Gva address, Access access) const {
  ir::Fault fault;
  fault.cause = access_fault_cause(access);
  fault.value = address_form(address.value);
  return fault;
}

}  // namespace lyre::riscv
