// RiscvCpu: one model with its features resolved. Immutable; shared by all vCPU threads. Instruction part: isa.h, isa.cpp, insn_*.cpp, disasm.cpp,
// cpu.cpp. Privileged part: trap.cpp (reset, delivery, interrupts, names), mmu.cpp (walk and faults of addresses), sysreg*.cpp, insn_sys.cpp.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "frontend/decode/decoder.h"
#include "frontend/guest_isa.h"
#include "frontend/linux_abi.h"
#include "frontend/riscv/debug.h"
#include "frontend/riscv/extensions.h"
#include "frontend/riscv/state.h"
#include "runtime/base/bits.h"

namespace lyre::riscv {

// RISC-V exception codes (Privileged ISA, table of mcause values): Fault::cause.
enum Cause : uint32_t {
  kInstructionMisaligned = 0, kInstructionAccess = 1, kIllegalInstruction = 2, kBreakpoint = 3, kLoadMisaligned = 4, kLoadAccess = 5,
  kStoreMisaligned = 6, kStoreAccess = 7, kEcallUser = 8, kEcallSupervisor = 9, kEcallMachine = 11, kInstructionPageFault = 12,
  kLoadPageFault = 13, kStorePageFault = 15,
};

// Bits of the state key: everything that changes generated code. state_key() (trap.cpp) builds it, bodies read it with Insn::key().
enum StateKeyBits : uint32_t {
  kKeyPrivilege = 3,        // Privilege
  kKeyFloatOff = 1 << 2,    // mstatus.FS is Off: floating-point instructions are illegal
  kKeyFloatDirty = 1 << 3,  // mstatus.FS is already Dirty: nothing to mark
  kKeyFrmShift = 4,         // three bits: frm, for instructions with dynamic rounding
  kKeyVectorOff = 1 << 7,
  // Rights at the current privilege, so that rows need no check at run time.
  kKeyCycle = 1 << 8, kKeyTime = 1 << 9, kKeyInstret = 1 << 10,  // counter may be read
  kKeyTrapVm = 1 << 11,       // S-mode under mstatus.TVM: satp, sfence.vma, sinval.vma are illegal
  kKeyTrapWfi = 1 << 12,      // wfi is illegal
  kKeyTrapSret = 1 << 13,     // sret is illegal
  kKeyCacheInvalShift = 14,   // two bits: effective CBIE: 0 cbo.inval is illegal, 1 it flushes, 3 it invalidates
  kKeyCacheClean = 1 << 16,   // cbo.clean and cbo.flush are allowed
  kKeyCacheZero = 1 << 17,    // cbo.zero is allowed
  kKeyLinuxUser = 1 << 18,    // user mode: accesses are direct, environment calls leave
};

// Guest helpers, by the file that owns them: each file numbers its own from its base and gives a table for RiscvCpu::helpers(). Unused numbers have no function.
enum HelperBase : unsigned {
  kTrapHelpers = 0,      // isa.cpp
  kSysHelpers = 8,       // insn_sys.cpp
  kFloatHelpers = 48,    // insn_f*.cpp
  kCryptoHelpers = 128,  // insn_k.cpp
  kCacheHelpers = 160,   // insn_cache.cpp
  kBitHelpers = 168,     // insn_b.cpp
  kHelperEnd = 240,
};
enum TrapHelper : unsigned {
  kHelperRaise = kTrapHelpers,  // (cause, tval)
  kHelperRaiseIf,               // (condition, cause, tval)
  kHelperInstructionFence,      // ()
};
struct HelperTable {
  unsigned base;
  std::span<const ir::HelperInfo> helpers;
};
HelperTable trap_helpers();
HelperTable sys_helpers();
HelperTable float_helpers();
HelperTable crypto_helpers();
HelperTable cache_helpers();
HelperTable bit_helpers();

struct RiscvConfig {
  std::string model;
  unsigned xlen = 64;  // one of Ext::rv32 and Ext::rv64 is among the extensions, too
  ExtSet extensions;
  unsigned satp_mode_max = 10;  // largest satp.MODE: 1 Sv32, 8 Sv39, 9 Sv48, 10 Sv57; 0: Bare only
  unsigned pmp_entries = kPmpEntries;
  unsigned cache_block_bytes = 64;  // Zicbom, Zicboz
  uint64_t timebase_hz = 10'000'000;
  uint64_t mvendorid = 0, marchid = 0, mimpid = 0;
};

struct Row;

class RiscvCpu final : public frontend::GuestCpu {
 public:
  explicit RiscvCpu(RiscvConfig config);
  const RiscvConfig& config() const { return config_; }
  bool has(Ext ext) const { return config_.extensions.has(ext); }
  // RV32: how state.h keeps 32-bit values. Both are the identity for RV64.
  bool narrow() const { return config_.xlen == 32; }
  uint64_t register_form(uint64_t value) const { return narrow() ? static_cast<uint64_t>(sign_extend(value, 32)) : value; }
  uint64_t address_form(uint64_t value) const { return narrow() ? value & 0xffffffff : value; }
  // Fields of satp as they stand in it (Privileged 12.1.11).
  uint64_t asid_mask() const { return narrow() ? uint64_t{0x1ff} << 22 : uint64_t{0xffff} << 44; }
  unsigned satp_mode(uint64_t satp) const { return static_cast<unsigned>(satp >> (narrow() ? 31 : 60)); }
  // Bit XLEN - 1 in register form: mcause.Interrupt, mstatus.SD.
  uint64_t top_bit() const { return ~uint64_t{0} << (config_.xlen - 1); }
  uint64_t sstatus_mask() const;  // bits of mstatus that reads of sstatus show
  // The row of a 32-bit word, or of a 16-bit one (low half); nullptr: illegal with this model's extensions.
  const Row* find_row(uint32_t word) const;

  // Linux user mode: environment calls at these addresses may be questions to the emulator (linux_vdso.h). Before the first thread.
  void set_vdso(Gva first, Gva end) { vdso_first_ = first.value, vdso_end_ = end.value; }
  bool in_vdso(Gva pc) const { return pc.value >= vdso_first_ && pc.value < vdso_end_; }

  // cpu.cpp
  std::string_view guest_name() const override;
  std::string isa_string() const override;
  std::vector<std::string> isa_extensions() const override;
  std::string mmu_type() const override;
  uint64_t timebase_hz() const override { return config_.timebase_hz; }
  uint16_t pc_slot() const override { return kPcSlot; }
  std::span<const uint16_t> pinned_slots() const override;
  std::span<const ir::HelperInfo> helpers() const override { return helpers_; }
  std::string slot_name(uint16_t offset) const override;
  unsigned min_insn_bytes() const override { return has(Ext::zca) ? 2 : 4; }
  unsigned max_insn_bytes() const override { return 4; }
  frontend::Next translate_insn(frontend::InsnContext& context) const override;
  std::string disassemble(std::span<const uint8_t> bytes, Gva pc, unsigned& length) const override;  // disasm.cpp

  // trap.cpp
  void reset(ir::VcpuBlock& vcpu, unsigned index, Gva pc) const override;
  uint32_t state_key(const ir::VcpuBlock& vcpu) const override;
  void deliver_fault(ir::VcpuBlock& vcpu, const ir::Fault& fault) const override;
  bool deliver_interrupt(ir::VcpuBlock& vcpu) const override;
  bool has_wakeup(const ir::VcpuBlock& vcpu) const override;
  bool set_irq(ir::VcpuBlock& vcpu, unsigned input, bool level) const override;
  bool timer_fired(ir::VcpuBlock& vcpu, unsigned timer) const override;
  std::string registers(const ir::VcpuBlock& vcpu) const override;
  std::string fault_name(uint32_t cause) const override;

  const frontend::GuestDebug* debug() const override { return &debug_; }
  const frontend::GuestDebug* user_debug() const override { return &user_debug_; }

  // mmu.cpp
  uint64_t address_space(const ir::VcpuBlock& vcpu) const override;
  unsigned mmu_index(const ir::VcpuBlock& vcpu) const override;
  unsigned fetch_mmu_index(const ir::VcpuBlock& vcpu) const override;
  unsigned global_space(const ir::VcpuBlock& vcpu) const override;
  frontend::Translation walk(ir::VcpuBlock& vcpu, Gva address, frontend::Access access, unsigned mmu_index) const override;
  ir::Fault misaligned_fault(Gva address, frontend::Access access) const override;
  ir::Fault access_fault(Gva address, frontend::Access access) const override;

 private:
  RiscvConfig config_;
  uint64_t vdso_first_ = 0, vdso_end_ = 0;
  RiscvDebug debug_{*this}, user_debug_{*this, true};
  std::vector<ir::HelperInfo> helpers_;
  decode::Decoder wide_;        // 32-bit words
  decode::Decoder compressed_;  // 16-bit words
  std::vector<const Row*> wide_rows_, compressed_rows_;
};

const frontend::LinuxAbi& linux_abi();  // of 64 bits (linux_abi.cpp)
// Models, features and creation of one width for frontend/guests.cpp (extensions.cpp).
std::span<const frontend::CpuModel> models(unsigned xlen);
std::span<const frontend::CpuModel> feature_list(unsigned xlen);
Result<std::unique_ptr<RiscvCpu>> create_riscv_cpu(std::string_view model, std::span<const std::string> features, unsigned xlen = 64);

}  // namespace lyre::riscv
