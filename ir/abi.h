// The vCPU block: the one structure that translated code addresses, through one host register. Its layout is shared by emitted
// code, hosts and the runtime; nothing in it names a guest or a host. Guest state is a byte area that the guest's own struct overlays.
//
// Translated code holds `block + kBias` in its vCPU register, so that the first 256 bytes of guest state have 8-bit displacements.
// Ownership: the runtime; one per vCPU thread. Only fields marked (any thread) may be touched by others.
#pragma once
#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "ir/types.h"

namespace lyre::frontend {
class GuestEnv;
}

namespace lyre::ir {

// One guest page's translation, for loads and stores. tag == page address: hit; any low bit set: never hits. Misaligned accesses do
// not hit either: compared is address & (kPageMask | (size - 1)). host address = guest address + addend.
struct TlbEntry {
  uint64_t read_tag = ~uint64_t{0};
  uint64_t write_tag = ~uint64_t{0};  // does not hit for pages that hold translated code, clean pages, read-only pages
  uint64_t addend = 0;
  uint64_t page_info = 0;             // runtime's: physical page and flags
};
static_assert(sizeof(TlbEntry) == 32);

// Indirect-branch target cache: index = (pc >> 1) & (entries in use - 1). Hit: pc and key equal. An empty entry is
// all zero: no vCPU's key is 0, so it never hits, not even for pc 0.
struct JumpCacheEntry {
  uint64_t pc, key;
  uint64_t host;  // address of the code to jump to
  uint64_t pad;
};
inline constexpr unsigned kJumpCacheEntries = 16384;
inline constexpr unsigned kFewJumpCacheEntries = 1024;  // where a thread begins that may do little
inline constexpr unsigned kJumpCachePageEntries = 128;  // how many are noted together as used
// Code pages: slot (pc >> 12) & (kCodePages - 1) holds the mapping number under which that virtual page is known to this vCPU now;
// a cross-page edge was linked under one and compares. 0: none.
inline constexpr unsigned kCodePages = 1024;
inline constexpr uint32_t kNoMapping = 0xffffffff;  // in an unlinked edge: never equal to a slot

// Why translated code came back to the loop.
enum class Leave : uint32_t {
  kNone = 0,
  kDirect,     // unlinked direct exit: exit_host_pc identifies it; pc slot is set
  kIndirect,   // jump cache missed: pc slot is set
  kLoop,       // exit_loop, or a check that was asked to look up: pc slot is set
  kFault,      // `fault` is pending at the recovered pc
  kRestart,    // state is precise and the pc slot set; look up again (e.g. own code was overwritten)
};

// Fault::cause of an access that the host's own memory management refused (direct memory); aux: host signal << 16 | si_code, value: the address.
inline constexpr uint32_t kHostMemoryFault = 0xffffffff;
// Not the guest's: code memory is full. The thread passes a quiescent point and tries again.
inline constexpr uint32_t kNoCodeRoom = 0xfffffffe;

// A guest exception on its way to GuestCpu::deliver_fault; numbers are the guest's own.
struct Fault {
  uint32_t cause = 0;
  uint32_t aux = 0;
  uint64_t value = 0;   // e.g. faulting address
  uint64_t value2 = 0;
};

// Indices of the runtime's own helpers, the first of the helper table; a guest's helper k stands at kFirstGuestHelper + k.
enum RuntimeHelper : unsigned {
  kHelperSlowLoad,      // uint64_t (VcpuBlock*, address, memop)                 value widened to 64 bits as the MemOp says
  kHelperSlowStore,     // uint64_t (VcpuBlock*, address, value, memop)
  kHelperSlowRmw,       // uint64_t (VcpuBlock*, address, operand, memop | RmwKind << 16)
  kHelperSlowCmpxchg,   // uint64_t (VcpuBlock*, address, expected, desired, memop)
  kHelperClock,         // uint64_t (VcpuBlock*)                                guest ns, where the host has no inline clock
  kFirstGuestHelper = 16,
};
inline constexpr unsigned kHelperSlots = 256;
using HelperFunction = void (*)();  // cast to the real signature by who calls

inline constexpr size_t kStateBytes = 8192;
inline constexpr size_t kBias = 128;
inline constexpr unsigned kSpillSlots = 256;  // 8 bytes each
inline constexpr unsigned kSaveGprs = 16;
inline constexpr unsigned kSaveVectors = 16;

struct alignas(64) VcpuBlock {
  // In zeroed memory, which costs nothing until it is used: most of a block is its jump cache, and most threads of a
  // program take few indirect jumps.
  VcpuBlock() {}
  static void* operator new(size_t bytes);
  static void operator delete(void* block);

  // Guest state first: [block + offset] == [vcpu register - kBias + offset].
  std::byte state[kStateBytes] = {};

  // Hot runtime fields.
  std::atomic<uint32_t> exit_request{0};  // (any thread) nonzero: leave at the next check
  uint32_t leave = 0;                     // Leave; set by helpers and slow paths that must not return into the block
  uint64_t tlb_mask = 0;                  // (entries - 1) * sizeof(TlbEntry)
  TlbEntry* tlb = nullptr;
  uint64_t key = 1;                       // what JumpCacheEntry::key is compared with: state key and address-space number, not 0
  // Return stack: where it is empty, and the depth below which it is emptied before the next call. Who invalidates code under a vCPU or changes its
  // key stores return_base into return_top; around a helper call that may leave the host keeps the top there.
  uint64_t return_base = 0, return_limit = 0, return_top = 0;
  uint64_t insns = 0;                     // guest instructions completed in counted regions
  // Inline clock: ns = ((tsc * clock_mult) >> 32) + clock_base, products in 128 bits.
  uint64_t clock_mult = 0;
  int64_t clock_base = 0;
  uint32_t guest_mxcsr = 0x1f80;          // floating-point control/status of translated code, host's form
  uint32_t host_mxcsr = 0x1f80;

  // Leaving and faults.
  uint64_t exit_host_pc = 0;  // return address of the stub or slow path that left: key of the host-pc map
  Fault fault;

  frontend::GuestEnv* env = nullptr;
  void* owner = nullptr;      // runtime's vCPU object
  unsigned index = 0;

  HelperFunction helpers[kHelperSlots] = {};
  uint64_t save_gpr[kSaveGprs] = {};                    // all host registers, by number, at a slow path
  alignas(16) uint64_t save_vector[kSaveVectors][2] = {};
  uint64_t spill[kSpillSlots] = {};
  uint32_t code_pages[kCodePages] = {};
  uint32_t jump_mask = (kJumpCacheEntries - 1) * sizeof(JumpCacheEntry);  // of entries in use
  uint32_t jump_conflicts = 0;
  uint64_t jumps_used[kJumpCacheEntries / kJumpCachePageEntries / 64] = {};  // one bit for kJumpCachePageEntries
  JumpCacheEntry jump_cache[kJumpCacheEntries];  // not initialised: zero from operator new

  // Where code for guest `pc` under the present key is, for indirect exits.
  void remember_jump(uint64_t pc, const void* host) {
    static_assert(sizeof(JumpCacheEntry) == 32);
    const auto entry = static_cast<unsigned>((pc << 4 & jump_mask) / sizeof(JumpCacheEntry)), page = entry / kJumpCachePageEntries;
    if (jump_mask < (kJumpCacheEntries - 1) * sizeof(JumpCacheEntry) && jump_cache[entry].key == key && jump_cache[entry].pc != pc &&
        ++jump_conflicts > jump_mask / sizeof(JumpCacheEntry) / 2)
      use_jump_entries(4 * (jump_mask / static_cast<unsigned>(sizeof(JumpCacheEntry)) + 1));  // what is there hits no more
    jumps_used[page / 64] |= uint64_t{1} << (page % 64);
    jump_cache[entry] = {pc, key, reinterpret_cast<uint64_t>(host), 0};
  }
  // How many entries are in use: a power of two. More of them cost memory, fewer cost conflicts; few become more by themselves.
  void use_jump_entries(unsigned count) {
    jump_mask = (std::min(count, kJumpCacheEntries) - 1) * static_cast<uint32_t>(sizeof(JumpCacheEntry));
    jump_conflicts = 0;
  }
  // Returns go by the jump cache, which knows keys and mappings, until calls have filled the stack again.
  void empty_return_stack() { return_top = return_base; }
  // Everything through which this vCPU could enter a retired region.
  void forget_jumps() {
    for (unsigned page = 0; page < kJumpCacheEntries / kJumpCachePageEntries; ++page)
      if (jumps_used[page / 64] >> (page % 64) & 1)
        std::fill_n(jump_cache + page * kJumpCachePageEntries, kJumpCachePageEntries, JumpCacheEntry{});
    for (uint64_t& word : jumps_used) word = 0;
    empty_return_stack();
  }

  template <typename State>
  State& as() {
    static_assert(sizeof(State) <= kStateBytes);
    return *reinterpret_cast<State*>(state);
  }
  template <typename State>
  const State& as() const {
    return *reinterpret_cast<const State*>(state);
  }
  // Helpers and slow paths: the instruction faults; translated code is left with a precise state.
  void raise(const Fault& pending) {
    fault = pending;
    leave = static_cast<uint32_t>(Leave::kFault);
  }
  void raise(uint32_t cause, uint64_t value, uint64_t value2 = 0, uint32_t aux = 0) { raise({cause, aux, value, value2}); }
};

// What a helper does to guest state, and how it may end. Functions are noexcept and take (VcpuBlock*, up to 5 x uint64_t).
// The call's snapshot is stored before the call if any of kReadsState, kWritesState, kMayLeave is set. Before a kMayLeave call the pc slot
// is stored too: what IR set it to, else the address of the instruction; afterwards the host leaves it alone, so a helper may change it.
enum HelperFlags : uint8_t {
  kReadsState = 1,    // dirty slots and pinned registers are written to the state area before the call
  kWritesState = 2,   // values of slots are read again after it (implies kReadsState)
  kMayLeave = 4,      // may set VcpuBlock::leave: the block is left after the call with a precise state (implies kReadsState)
  kPureHelper = 8,    // result depends on arguments only
  kHostFp = 16,       // uses host floating point: the host's control/status register is switched around the call
};
struct HelperInfo {
  const char* name;
  HelperFunction function;
  uint8_t flags;
  uint8_t args;
};

template <typename... Args>
HelperFunction helper_function(uint64_t (*function)(VcpuBlock*, Args...) noexcept) {
  return reinterpret_cast<HelperFunction>(reinterpret_cast<void (*)()>(function));  // by way of the type that casts silently
}

}  // namespace lyre::ir
