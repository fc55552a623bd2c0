// What a guest must provide: GuestCpu, one object per machine (model and features resolved; immutable, shared by all vCPU threads), and what
// it is given: GuestEnv, one per vCPU, implemented by the runtime. A guest keeps all its state in VcpuBlock::state.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ir/abi.h"
#include "ir/builder.h"
#include "runtime/base/result.h"
#include "runtime/base/types.h"

namespace lyre::frontend {

class GuestDebug;
class LinuxAbi;

enum class Access : uint8_t { kFetch, kLoad, kStore };

// Result of a guest page walk. A failed one carries the fault to deliver.
struct Translation {
  bool ok = false;
  Gpa gpa;                 // of the address asked for
  uint8_t page_bits = 12;  // size of the leaf that gives these rights (12, 21, 30, ...); below 12: valid for this access only, not cached
  bool readable = false, writable = false, executable = false;  // now, without another walk (writable only once the dirty bit is set)
  bool global = false;
  ir::Fault fault;
};

// The vCPU's surroundings. Called on the vCPU's own thread, from helpers, walks and delivery.
class GuestEnv {
 public:
  virtual ~GuestEnv() = default;
  // Guest physical memory for page walks; false: no RAM there (access fault). 8-byte aligned.
  virtual bool read_physical(Gpa address, unsigned size, uint64_t& value) = 0;
  // Compare-and-exchange of a page-table entry of `size` bytes; `expected` receives what was there. false: not writable RAM.
  virtual bool update_physical(Gpa address, unsigned size, uint64_t& expected, uint64_t desired, bool& done) = 0;

  // Translations changed. Cheap to call; take effect before the next guest instruction of this vCPU.
  virtual void flush_tlb_all() = 0;                 // all address spaces, global too
  virtual void flush_tlb_page(Gva page) = 0;        // in all address spaces
  // Address spaces whose id is `value` in the bits of `mask`; what is mapped as global stays.
  virtual void flush_tlb_spaces(uint64_t mask, uint64_t value) = 0;
  // The current address space or the rights in it (privilege, SUM, MXR, MPRV: `mmu_index`) changed; nothing is flushed. Ids are the guest's own.
  virtual void set_address_space(uint64_t id, unsigned mmu_index) = 0;
  virtual void state_key_changed() = 0;             // GuestCpu::state_key must be asked again
  // Recheck interrupts before the next instruction.
  virtual void interrupts_changed() = 0;

  virtual int64_t now_ns() = 0;
  // At `deadline_ns` guest time GuestCpu::timer_fired(vcpu, timer) runs on the timer thread; INT64_MAX disarms.
  virtual void set_timer(unsigned timer, int64_t deadline_ns) = 0;
  // Sleep until an interrupt pin changes or a request arrives; returns at the next opportunity. Sets Leave::kLoop.
  virtual void wait_for_interrupt() = 0;
  virtual uint64_t instructions_retired() = 0;
  // Translated code made from these bytes may be stale for this vCPU (fence.i): stores are tracked, so usually nothing to do.
  virtual void instruction_fence() = 0;
};

// The three ways on from one translated instruction.
enum class Next : uint8_t {
  kContinue,  // fall through to the next instruction
  kEnded,     // a terminator was built
  kStop,      // end the region after this instruction; the loop adds exit_direct to the next pc
};

// What translate_insn works with. Branches go through it, since the superblock's shape is the loop's business.
class InsnContext {
 public:
  InsnContext(ir::Builder& builder) : b(builder) {}
  ir::Builder& b;
  int64_t pc_offset = 0;    // of this instruction, bytes from the region's start
  Gva pc;                   // its guest address: for log text and page-crossing questions only, never for IR
  uint64_t state_key = 0;
  uint8_t length = 0;       // set by translate_insn: bytes of this instruction
  std::span<const uint8_t> bytes;  // what could be fetched from pc on, without a fault (at least 2)
  // Needs more bytes than there are: set, and return kEnded without building; the loop delivers the fetch fault or ends the region before it.
  bool truncated = false;

  // Conditional branch to pc + displacement, else fall through. Returns what translate_insn must return.
  Next branch_if(ir::I1 taken, int64_t displacement);
  // Unconditional direct jump; hint as ExitHint.
  Next jump(int64_t displacement, uint8_t hint);
  // Side exit to the next instruction, with the state as it is: an early end of this one.
  void leave_if(ir::I1 condition);
  // Jump to an address in a register.
  Next jump_indirect(ir::I64 target, uint8_t hint);

 private:
  friend class TranslateLoop;
  // Snapshots of exits stand for the point after this instruction: pc_offset is the next one in sequence (a call's return address), this one counted.
  void at_end();
  uint32_t insn_index_ = 0;
  int64_t next_offset_ = 0;      // where the loop goes on after kContinue, when not the next instruction
  bool redirected_ = false;
  class TranslateLoop* loop_ = nullptr;
};

struct CpuModel {
  std::string name;
  std::string description;
};

class GuestCpu {
 public:
  virtual ~GuestCpu() = default;
  virtual std::string_view guest_name() const = 0;  // "riscv64"
  virtual std::string isa_string() const = 0;
  virtual std::vector<std::string> isa_extensions() const = 0;
  virtual std::string mmu_type() const = 0;
  virtual uint64_t timebase_hz() const = 0;

  // Layout that the engine needs.
  virtual uint16_t pc_slot() const = 0;                              // i64
  virtual std::span<const uint16_t> pinned_slots() const = 0;        // at most 5, hottest first: i64 slots kept in host registers between regions
  virtual std::span<const ir::HelperInfo> helpers() const = 0;
  virtual std::string slot_name(uint16_t offset) const = 0;          // for IR text and reports
  virtual unsigned min_insn_bytes() const = 0;                       // 2 with compressed instructions
  virtual unsigned max_insn_bytes() const = 0;

  // vCPU life. reset() sets architectural reset state, pc included. Called with the vCPU not running.
  virtual void reset(ir::VcpuBlock& vcpu, unsigned index, Gva pc) const = 0;
  // Everything that changes generated code, from the state: privilege, FS, ... (bits 0..31 are the guest's; the engine adds its own above).
  virtual uint32_t state_key(const ir::VcpuBlock& vcpu) const = 0;
  virtual uint64_t address_space(const ir::VcpuBlock& vcpu) const = 0;  // id of the current one, data accesses
  virtual unsigned mmu_index(const ir::VcpuBlock& vcpu) const = 0;      // rights under which data accesses are done
  virtual unsigned fetch_mmu_index(const ir::VcpuBlock& vcpu) const = 0;
  // Not 0: code of the current privilege is expected in pages that are mapped alike in all address spaces of this number (a kernel's global pages, or
  // no translation at all). What is known of its code is then kept when the address space changes; a page that is not global ends that for good.
  virtual unsigned global_space(const ir::VcpuBlock&) const { return 0; }

  // Translation of one instruction into IR. Never fails: what is not valid becomes IR that raises the guest's illegal-instruction fault.
  virtual Next translate_insn(InsnContext& context) const = 0;
  // Page walk with the guest's rights, A/D updates included. mmu_index as above.
  virtual Translation walk(ir::VcpuBlock& vcpu, Gva address, Access access, unsigned mmu_index) const = 0;
  // Faults that the engine finds itself; the walk gives its own.
  virtual ir::Fault misaligned_fault(Gva address, Access access) const = 0;
  virtual ir::Fault access_fault(Gva address, Access access) const = 0;   // nothing at that physical address

  // On the vCPU's thread, state precise, pc slot = faulting instruction; afterwards pc = handler.
  virtual void deliver_fault(ir::VcpuBlock& vcpu, const ir::Fault& fault) const = 0;
  // Takes the most urgent enabled interrupt, if any (pc = handler); false: none.
  virtual bool deliver_interrupt(ir::VcpuBlock& vcpu) const = 0;
  virtual bool has_wakeup(const ir::VcpuBlock& vcpu) const = 0;  // wait_for_interrupt may return
  // (any thread) an input pin or timer changed; atomic on the state. Returns whether the vCPU should look.
  virtual bool set_irq(ir::VcpuBlock& vcpu, unsigned input, bool level) const = 0;
  virtual bool timer_fired(ir::VcpuBlock& vcpu, unsigned timer) const = 0;

  virtual std::string registers(const ir::VcpuBlock& vcpu) const = 0;   // `info registers`, -d cpu
  virtual std::string fault_name(uint32_t cause) const = 0;             // -d int
  virtual const GuestDebug* debug() const { return nullptr; }  // null: no debugger can be attached
  virtual const GuestDebug* user_debug() const { return nullptr; }  // of a program: registers that it has itself
  // One instruction as text, with its length in bytes (0: not valid).
  virtual std::string disassemble(std::span<const uint8_t> bytes, Gva pc, unsigned& length) const = 0;
};

// Models and features of one guest; the list of guests is frontend/guests.cpp, one row each.
struct GuestInfo {
  std::string_view name;
  std::span<const CpuModel> (*models)();
  std::span<const CpuModel> (*features)();
  // model empty: the default. features: "zba=on", "sstc=off", "+zba", "-zba".
  Result<std::unique_ptr<GuestCpu>> (*create)(std::string_view model, std::span<const std::string> features);
  const LinuxAbi& (*linux_abi)();  // user mode; null: system mode only
};
std::span<const GuestInfo> guests();
const GuestInfo* find_guest(std::string_view name);

}  // namespace lyre::frontend
