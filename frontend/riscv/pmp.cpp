// PMP registers, their WARL rules, and the check. See pmp.h.
#include "frontend/riscv/pmp.h"

#include <algorithm>
#include <bit>

#include "frontend/riscv/cpu.h"
#include "frontend/riscv/sysreg.h"
#include "runtime/base/bits.h"

namespace lyre::riscv {
namespace {

constexpr uint8_t kRights = 7, kMatch = 3 << 3, kLock = 1 << 7;
constexpr uint8_t kOff = 0 << 3, kTor = 1 << 3, kNa4 = 2 << 3, kNapot = 3 << 3;
constexpr unsigned kGrain = 10;  // granularity 2^(G + 2) bytes
constexpr uint64_t kAddressMask = low_mask(54);

// Rights of an entry for M-mode and for S/U under mseccfg.MML: the truth table of Smepmp, indexed by L R W X (L highest, X lowest).
struct RightsPair {
  uint8_t machine, user;
};
constexpr RightsPair kMmlRights[16] = {
    {0, 0}, {0, kPmpExecute}, {kPmpRead | kPmpWrite, kPmpRead}, {kPmpRead | kPmpWrite, kPmpRead | kPmpWrite},
    {0, kPmpRead}, {0, kPmpRead | kPmpExecute}, {0, kPmpRead | kPmpWrite}, {0, kPmpRead | kPmpWrite | kPmpExecute},
    {0, 0}, {kPmpExecute, 0}, {kPmpExecute, kPmpExecute}, {kPmpRead | kPmpExecute, kPmpExecute},
    {kPmpRead, 0}, {kPmpRead | kPmpExecute, 0}, {kPmpRead | kPmpWrite, 0}, {kPmpRead, kPmpRead},
};

RightsPair rights_of(uint8_t config, bool mml) {
  if (!mml) return {config & kLock ? static_cast<uint8_t>(config & kRights) : kRights, static_cast<uint8_t>(config & kRights)};
  return kMmlRights[(config & kLock ? 8 : 0) | (config & kPmpRead ? 4 : 0) | (config & kPmpWrite ? 2 : 0) | (config & kPmpExecute ? 1 : 0)];
}

struct Range {
  uint64_t low = 0, high = 0;  // [low, high) in bytes; empty: the entry is off or matches nothing
};
Range range_of(const State& state, unsigned entry) {
  uint64_t address = state.pmpaddr[entry];
  switch (state.pmpcfg[entry] & kMatch) {
    case kTor: {
      Range range;
      range.low = entry ? align_down(state.pmpaddr[entry - 1], uint64_t{1} << kGrain) << 2 : 0;
      range.high = align_down(address, uint64_t{1} << kGrain) << 2;
      return range.low < range.high ? range : Range{};
    }
    case kNapot: {
      address |= low_mask(kGrain - 1);
      unsigned ones = static_cast<unsigned>(std::countr_one(address));
      uint64_t low = (address & ~low_mask(ones)) << 2;
      return {low, low + (uint64_t{1} << (ones + 3))};
    }
    default: return {};
  }
}

// Without a match S and U have nothing (entries are implemented); M has all, unless Smepmp's MMWP takes it, or MML its execution.
RightsPair unmatched(const State& state) {
  if (state.mseccfg & seccfg::kMmwp) return {0, 0};
  return {static_cast<uint8_t>(state.mseccfg & seccfg::kMml ? kPmpRead | kPmpWrite : kRights), 0};
}

// Cuts the address space at every bound of an entry and gives each piece the rights of the first entry that covers it; neighbours that agree are joined.
void decode_entries(State& state) {
  Range ranges[kPmpEntries];
  uint64_t bounds[1 + 2 * kPmpEntries] = {0};
  size_t count = 1;
  for (unsigned i = 0; i < kPmpEntries; ++i) {
    ranges[i] = range_of(state, i);
    if (ranges[i].low == ranges[i].high) continue;
    bounds[count++] = ranges[i].low;
    bounds[count++] = ranges[i].high;
  }
  std::sort(bounds, bounds + count);
  state.pmp_segments = 0;
  for (size_t at = 0; at < count; ++at) {
    if (at && bounds[at] == bounds[at - 1]) continue;
    RightsPair rights = unmatched(state);
    for (unsigned i = 0; i < kPmpEntries; ++i)
      if (bounds[at] - ranges[i].low < ranges[i].high - ranges[i].low) {
        rights = rights_of(state.pmpcfg[i], state.mseccfg & seccfg::kMml);
        break;
      }
    PmpSegment segment{bounds[at], rights.user, rights.machine};
    const PmpSegment* last = state.pmp_segments ? &state.pmp[state.pmp_segments - 1] : nullptr;
    if (last && last->user_rights == segment.user_rights && last->machine_rights == segment.machine_rights) continue;
    state.pmp[state.pmp_segments++] = segment;
  }
  state.pmp[state.pmp_segments] = {~uint64_t{0}, 0, 0};
  state.pmp_recent = 0;
}

const PmpSegment& segment_of(const State& state, uint64_t address) {
  const PmpSegment* recent = &state.pmp[state.pmp_recent];
  if (address >= recent[0].low && address < recent[1].low) return *recent;
  const PmpSegment* after =
      std::upper_bound(state.pmp, state.pmp + state.pmp_segments, address, [](uint64_t value, const PmpSegment& s) { return value < s.low; });
  state.pmp_recent = static_cast<unsigned>(after - state.pmp - 1);
  return after[-1];
}

bool locked(const State& state, unsigned entry) { return (state.pmpcfg[entry] & kLock) && !(state.mseccfg & seccfg::kRlb); }

// One pmpcfg byte. 3.7.1: locked entries ignore writes; R=0 W=1 is reserved without MML; NA4 can not be chosen with G >= 1.
// Smepmp: under MML, rules that let M-mode execute can not be added while RLB is clear.
void write_config(State& state, unsigned entry, uint8_t value) {
  if (locked(state, entry)) return;
  value &= kRights | kMatch | kLock;
  uint8_t old = state.pmpcfg[entry];
  if ((value & kMatch) == kNa4) value = static_cast<uint8_t>((value & ~kMatch) | (old & kMatch));
  bool mml = state.mseccfg & seccfg::kMml;
  if (!mml && (value & (kPmpRead | kPmpWrite)) == kPmpWrite) value &= static_cast<uint8_t>(~kPmpWrite);
  if (mml && !(state.mseccfg & seccfg::kRlb) && (rights_of(value, true).machine & kPmpExecute)) return;
  state.pmpcfg[entry] = value;
}

}  // namespace

uint8_t pmp_rights(const State& state, Gpa address, Privilege privilege) {
  const PmpSegment& segment = segment_of(state, address.value);
  return privilege == Privilege::kMachine ? segment.machine_rights : segment.user_rights;
}

unsigned pmp_uniform_bits(const State& state, Gpa address, unsigned bits) {
  const PmpSegment* segment = &segment_of(state, address.value);
  for (; bits > kPageBits; --bits) {
    uint64_t low = align_down(address.value, uint64_t{1} << bits), last = low + low_mask(bits);
    if (low >= segment[0].low && last < segment[1].low) break;
  }
  return bits;
}

void reset_pmp(State& state) {
  for (unsigned i = 0; i < kPmpEntries; ++i) state.pmpcfg[i] = 0, state.pmpaddr[i] = 0;
  decode_entries(state);
}

// RV64: pmpcfg0, pmpcfg2, ... hold eight entries each, and odd numbers do not exist (insn_sys.cpp); RV32: each holds four. Entries beyond the implemented
// ones read as zero.
uint64_t read_pmpcfg(ir::VcpuBlock& vcpu, unsigned number) {
  const State& state = vcpu.as<State>();
  unsigned first = (number - kPmpcfg0) * 4;
  uint64_t value = 0;
  for (unsigned i = 0; i < state.cpu->config().xlen / 8 && first + i < kPmpEntries; ++i) value |= uint64_t{state.pmpcfg[first + i]} << 8 * i;
  return value;
}
void write_pmpcfg(ir::VcpuBlock& vcpu, unsigned number, uint64_t value) {
  State& state = vcpu.as<State>();
  unsigned first = (number - kPmpcfg0) * 4;
  for (unsigned i = 0; i < state.cpu->config().xlen / 8 && first + i < kPmpEntries; ++i) write_config(state, first + i, static_cast<uint8_t>(value >> 8 * i));
  decode_entries(state);
  vcpu.env->flush_tlb_all();
}

// 3.7.1: with G = 10, bits G-2:0 read as ones in NAPOT mode, bits G-1:0 as zeros in OFF and TOR mode; what was written is kept.
uint64_t read_pmpaddr(ir::VcpuBlock& vcpu, unsigned number) {
  const State& state = vcpu.as<State>();
  unsigned entry = number - kPmpaddr0;
  if (entry >= kPmpEntries) return 0;
  if ((state.pmpcfg[entry] & kMatch) == kNapot) return state.pmpaddr[entry] | low_mask(kGrain - 1);
  return state.pmpaddr[entry] & ~low_mask(kGrain);
}
void write_pmpaddr(ir::VcpuBlock& vcpu, unsigned number, uint64_t value) {
  State& state = vcpu.as<State>();
  unsigned entry = number - kPmpaddr0;
  if (entry >= kPmpEntries || locked(state, entry)) return;
  // A locked TOR entry locks its lower bound too.
  if (entry + 1 < kPmpEntries && locked(state, entry + 1) && (state.pmpcfg[entry + 1] & kMatch) == kTor) return;
  state.pmpaddr[entry] = value & kAddressMask;
  decode_entries(state);
  vcpu.env->flush_tlb_all();
}

// mseccfg (3.1.19, Smepmp): MML and MMWP are sticky; RLB stays clear while any entry is locked. SSEED and USEED come with Zkr.
uint64_t read_mseccfg(ir::VcpuBlock& vcpu, unsigned) { return vcpu.as<State>().mseccfg; }
void write_mseccfg(ir::VcpuBlock& vcpu, unsigned, uint64_t value) {
  State& state = vcpu.as<State>();
  uint64_t result = 0;
  if (state.cpu->has(Ext::zkr)) result |= value & (seccfg::kUseed | seccfg::kSseed);
  if (state.cpu->has(Ext::smepmp)) {
    result |= (state.mseccfg | value) & (seccfg::kMml | seccfg::kMmwp);
    bool any_locked = false;
    for (uint8_t config : state.pmpcfg) any_locked |= (config & kLock) != 0;
    if ((state.mseccfg & seccfg::kRlb) || !any_locked) result |= value & seccfg::kRlb;
  }
  bool changed = result != state.mseccfg;
  state.mseccfg = result;
  if (!changed) return;
  decode_entries(state);
  vcpu.env->flush_tlb_all();
}

}  // namespace lyre::riscv
