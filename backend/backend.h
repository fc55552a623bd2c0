// What a host must provide: compile a region after the passes, and run it. x64 and the IR interpreter are ordinary hosts.
// Threads: a Backend is shared by all vCPU threads; a Compiler is one thread's (it owns reused buffers).
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "backend/code/disasm.h"
#include "backend/code/state_table.h"
#include "ir/abi.h"
#include "ir/region.h"
#include "runtime/base/result.h"
#include "runtime/base/types.h"

namespace lyre::backend {

// What the host must know of the guest, as data: a backend names no guest.
struct GuestLayout {
  uint16_t pc_slot = 0;
  std::span<const uint16_t> pinned_slots;           // at most 5
  std::span<const ir::HelperInfo> helpers;          // guest helper k is called through VcpuBlock::helpers[kFirstGuestHelper + k]
};

// A direct exit that can be linked. Offsets are bytes from the region's code start; all patched fields lie inside one aligned 8 bytes.
struct ExitSite {
  uint32_t jump_offset = 0;    // of the rel32 field of the jump; linked: goes to the target's entry
  uint32_t guard_offset = 0;   // of the imm32 of the mapping compare, kNoMapping while unlinked; 0: none (target inside a page of the region)
  uint32_t unlinked_offset = 0;  // where the jump goes while unlinked
  uint32_t key_offset = 0;     // VcpuBlock::exit_host_pc minus code start, when this exit left unlinked
  int64_t target = 0;          // guest address, bytes from the region's start
  uint8_t hint = 0;            // ExitHint
};

struct CompiledRegion {
  Gva start;
  uint64_t state_key = 0;
  uint8_t* code = nullptr;     // executable address of the entry (interpreter: null)
  uint32_t code_bytes = 0;     // whole extent, cold part included
  uint32_t hot_bytes = 0;
  uint32_t restart_offset = 0; // host's: code that leaves with kRestart, for poison()
  uint32_t guest_insns = 0;
  std::vector<ExitSite> exits;
  StateTable states;
  std::unique_ptr<ir::Region> ir;          // kept by the interpreter, and with -d for reports
  void* owner = nullptr;                   // the runtime's translation block
};

class Compiler {
 public:
  virtual ~Compiler() = default;
  // Compiles `region` (optimised, verified). nullptr: no room in code memory (the caller evicts and tries again).
  // The result's code is complete but not yet reachable.
  virtual std::unique_ptr<CompiledRegion> compile(const ir::Region& region) = 0;
};

class Backend {
 public:
  virtual ~Backend() = default;
  virtual std::string_view name() const = 0;
  virtual std::unique_ptr<Compiler> make_compiler() = 0;
  // Fills the host's part of a vCPU block (nothing for the interpreter).
  virtual void prepare(ir::VcpuBlock& vcpu) = 0;
  // Runs from `entry` until translated code leaves; VcpuBlock::leave says why, state and pc slot are precise. For Leave::kDirect `exit` is the exit's
  // index in `*from`, the region that left (may differ from `entry` after chaining; found through the host-pc map).
  struct Left {
    const CompiledRegion* from = nullptr;
    uint32_t exit = 0;
  };
  virtual Left run(ir::VcpuBlock& vcpu, const CompiledRegion& entry) = 0;
  // Direct memory: a SIGSEGV or SIGBUS handler was entered with `context` (ucontext_t) on this vCPU's thread. True: the fault is a guest access of translated
  // code, which will leave with Leave::kFault and a precise state when the handler returns; the caller has put the fault into VcpuBlock::fault. Takes no
  // lock, allocates nothing.
  virtual bool redirect_fault(ir::VcpuBlock& vcpu, void* context) = 0;

  // For reports: where the thread that `vcpu` runs on is, from its signal context (ucontext_t). Called in that thread's signal handler.
  struct Place {
    bool known = false;  // false: not in translated code and not in an access that it makes
    Gva block;           // start of the region
    bool exact = false;  // `pc` is the instruction's address
    Gva pc;
  };
  // in_access: the thread is in a slow load or store.
  virtual Place place_of(const ir::VcpuBlock& vcpu, const void* signal_context, bool in_access) const = 0;

  // Linking; safe while other vCPUs run the code. mapping: number for the guard, ignored where the exit has none.
  virtual bool can_link() const = 0;
  virtual void link(const CompiledRegion& from, const ExitSite& exit, const CompiledRegion& to, uint32_t mapping) = 0;
  virtual void unlink(const CompiledRegion& from, const ExitSite& exit) = 0;
  // Makes the entry of a region that is being retired leave to the loop (kRestart), for vCPUs that still hold its address.
  virtual void poison(const CompiledRegion& region) = 0;
  virtual std::string disassemble(const CompiledRegion& region) const = 0;  // -d out_asm

  // Eviction. Takes the oldest full code area out of use and lists the regions in it (retired ones too); null: there is none. When nobody can be
  // inside any of them any more the runtime destroys the CompiledRegions and gives the area back.
  virtual void* evict_oldest_area(std::vector<CompiledRegion*>& regions) = 0;
  virtual void recycle_area(void* area) = 0;
  // A retired region that nobody can be inside any more is about to be destroyed: the host-pc map and its area's list drop it.
  virtual void forget(const CompiledRegion& region) = 0;
  virtual uint64_t code_bytes_in_use() const = 0;
};

struct BackendOptions {
  uint64_t code_bytes = 0;      // 0: default
  // User mode: a guest address is a host address and accesses are plain ones, without TLB; code memory is private, so that a forked child has its own.
  bool direct_memory = false;
  bool keep_ir = false;         // for -d and failure reports
  bool spill_everything = false;  // debugging: every value to memory
  decltype(&disassemble_x64) disassemble = nullptr;  // of host code; null: bytes are shown (a program need not link the disassembler)
};
// "x64" or "interp". Error: the host does not allow executable memory.
Result<std::unique_ptr<Backend>> make_backend(std::string_view name, const GuestLayout& layout, const BackendOptions& options);

}  // namespace lyre::backend
