// Linux on riscv64: system call registers (a7, a0..a5), the signal frame of arch/riscv (asm/ucontext.h,
// asm/sigcontext.h), AT_HWCAP letters.
#include "frontend/linux_abi.h"

#include <signal.h>

#include <cstring>

#include "frontend/riscv/cpu.h"
#include "frontend/riscv/fp_helpers.h"
#include "frontend/riscv/linux_vdso.h"
#include "frontend/riscv/sysreg.h"

namespace lyre::riscv {
namespace {

using frontend::FaultSignal;
using frontend::SignalFrame;
using frontend::SyscallRegs;

constexpr unsigned kRa = 1, kSp = 2, kTp = 4, kA0 = 10, kA1 = 11, kA2 = 12, kA7 = 17;

// struct rt_sigframe { siginfo_t info; struct ucontext uc; }. ucontext: flags, link, stack, mask padded to 1024 bits,
// then sigcontext aligned to 16: pc and x1..x31, then a union of floating-point states of 528 bytes, whose last 12
// bytes are a reserved word and the header that ends the list of extended contexts (zero).
struct Frame {
  uint8_t info[128];
  uint64_t flags, link;
  uint64_t stack_base;
  int32_t stack_flags, pad;
  uint64_t stack_bytes;
  uint64_t mask;
  uint8_t unused[120];
  uint64_t align;
  uint64_t pc, x[31];
  uint64_t f[32];
  uint32_t fcsr;
  uint32_t rest[64];
  uint32_t reserved;
  uint32_t end_magic, end_size;
};
static_assert(offsetof(Frame, pc) == 128 + 176 && offsetof(Frame, f) == 128 + 432 &&
              offsetof(Frame, reserved) == 128 + 432 + 516 && sizeof(Frame) == 1088);

class RiscvLinux final : public frontend::LinuxAbi {
 public:
  uint16_t elf_machine() const override { return 243; }  // EM_RISCV
  bool is_64bit() const override { return true; }
  std::string uname_machine() const override { return "riscv64"; }
  uint32_t audit_arch() const override { return 0xc0000000u | elf_machine(); }  // 64 bits, little-endian
  uint64_t page_bytes() const override { return 4096; }
  std::string interpreter_note() const override { return "/lib/ld-linux-riscv64-lp64d.so.1"; }

  // Letters of the single-letter extensions that user mode may use.
  uint64_t hwcap(const frontend::GuestCpu& cpu) const override {
    const auto& riscv = static_cast<const RiscvCpu&>(cpu);
    uint64_t bits = 0;
    for (Ext ext : {Ext::i, Ext::m, Ext::a, Ext::f, Ext::d, Ext::c})
      if (riscv.has(ext)) bits |= uint64_t{1} << (kExtInfo[static_cast<unsigned>(ext)].name[0] - 'a');
    return bits;
  }

  void start(ir::VcpuBlock& vcpu, const frontend::GuestCpu& cpu, Gva entry, Gva stack) const override {
    cpu.reset(vcpu, vcpu.index, entry);
    State& state = vcpu.as<State>();
    state.linux_user = true;
    state.privilege = Privilege::kUser;
    // What the kernel lets user programs do: counters, cache-block operations; floating point without marking it dirty,
    // as nobody looks.
    state.mstatus |= mstatus::kFs | mstatus::kSd;
    state.mcounteren = state.scounteren = 7;
    state.menvcfg = state.senvcfg = envcfg::kCbie | envcfg::kCbcfe | envcfg::kCbze;
    state.x[kSp] = stack.value;
  }
  uint64_t pc(const ir::VcpuBlock& vcpu) const override { return vcpu.as<State>().pc; }
  uint64_t sp(const ir::VcpuBlock& vcpu) const override { return vcpu.as<State>().x[kSp]; }

  void start_clone(ir::VcpuBlock& vcpu, uint64_t stack, bool set_tls, uint64_t tls) const override {
    State& state = vcpu.as<State>();
    if (stack) state.x[kSp] = stack;
    if (set_tls) state.x[kTp] = tls;
    state.reservation_address = ~uint64_t{0};
    finish_syscall(vcpu, 0);
  }

  SyscallRegs syscall(const ir::VcpuBlock& vcpu) const override {
    const State& state = vcpu.as<State>();
    SyscallRegs regs;
    regs.number = state.x[kA7];
    for (unsigned k = 0; k < 6; ++k) regs.args[k] = state.x[kA0 + k];
    return regs;
  }
  uint64_t pc_after_syscall(const ir::VcpuBlock& vcpu) const override {
    return vcpu.as<State>().pc + 4;  // ecall has no short form
  }
  void finish_syscall(ir::VcpuBlock& vcpu, int64_t result) const override {
    State& state = vcpu.as<State>();
    state.x[kA0] = static_cast<uint64_t>(result);
    state.pc = pc_after_syscall(vcpu);
  }

  void restart_syscall(ir::VcpuBlock& vcpu, uint64_t first_argument) const override {
    State& state = vcpu.as<State>();
    state.x[kA0] = first_argument;
    state.pc -= 4;
  }
  int64_t syscall_result(const ir::VcpuBlock& vcpu) const override {
    return static_cast<int64_t>(vcpu.as<State>().x[kA0]);
  }

  // asm/ptrace.h: struct user_regs_struct is pc and x1..x31; struct __riscv_d_ext_state is f0..f31 and fcsr.
  size_t register_bytes(RegisterSet set) const override { return set == kGeneral ? 32 * 8 : 33 * 8; }
  void get_registers(const ir::VcpuBlock& vcpu, RegisterSet set, std::span<std::byte> bytes) const override {
    const State& state = vcpu.as<State>();
    if (set == kGeneral) {
      std::memcpy(bytes.data(), &state.pc, 8);
      std::memcpy(bytes.data() + 8, state.x + 1, 31 * 8);
    } else {
      const uint64_t fcsr = state.fflags | flags_from_mxcsr(vcpu.guest_mxcsr) | state.frm << 5;
      std::memcpy(bytes.data(), state.f, 32 * 8);
      std::memcpy(bytes.data() + 32 * 8, &fcsr, 8);
    }
  }
  void set_registers(ir::VcpuBlock& vcpu, RegisterSet set, std::span<const std::byte> bytes) const override {
    State& state = vcpu.as<State>();
    if (set == kGeneral) {
      std::memcpy(&state.pc, bytes.data(), 8);
      state.pc &= ~uint64_t{1};
      std::memcpy(state.x + 1, bytes.data() + 8, 31 * 8);
      state.reservation_address = ~uint64_t{0};
    } else {
      uint32_t fcsr = 0;
      std::memcpy(state.f, bytes.data(), 32 * 8);
      std::memcpy(&fcsr, bytes.data() + 32 * 8, sizeof fcsr);
      state.fflags = fcsr & 31;
      state.frm = fcsr >> 5 & 7;
      vcpu.guest_mxcsr = kMxcsrNearest | mxcsr_rounding(state.frm);
    }
  }

  // arch/riscv/kernel/traps.c.
  FaultSignal signal_of(const ir::VcpuBlock& vcpu, const ir::Fault& fault) const override {
    const uint64_t pc = vcpu.as<State>().pc;
    switch (fault.cause) {
      case kEcallUser:
        return {};
      case kBreakpoint:
        return {SIGTRAP, TRAP_BRKPT, pc};
      case kLoadMisaligned:
      case kStoreMisaligned:
      case kInstructionMisaligned:
        return {SIGBUS, BUS_ADRALN, fault.cause == kInstructionMisaligned ? pc : fault.value};
      case kInstructionAccess:
      case kLoadAccess:
      case kStoreAccess:
        return {SIGSEGV, SEGV_ACCERR, fault.value};
      default:
        return {SIGILL, ILL_ILLOPC, pc};
    }
  }

  static uint32_t fcsr(const ir::VcpuBlock& vcpu) {
    const State& state = vcpu.as<State>();
    return static_cast<uint32_t>(state.fflags | flags_from_mxcsr(vcpu.guest_mxcsr) | state.frm << 5);
  }

  uint64_t frame_bytes() const override { return sizeof(Frame); }
  uint64_t frame_at(uint64_t sp) const override { return (sp - sizeof(Frame)) & ~uint64_t{15}; }

  void write_frame(ir::VcpuBlock& vcpu, const SignalFrame& signal, uint64_t address,
                   std::span<std::byte> out) const override {
    State& state = vcpu.as<State>();
    Frame frame{};
    std::memcpy(frame.info, signal.info.data(), sizeof frame.info);
    frame.stack_base = signal.stack_base, frame.stack_flags = signal.stack_flags,
    frame.stack_bytes = signal.stack_bytes;
    frame.mask = signal.mask;
    frame.pc = state.pc;
    std::memcpy(frame.x, state.x + 1, sizeof frame.x);
    std::memcpy(frame.f, state.f, sizeof frame.f);
    frame.fcsr = fcsr(vcpu);
    std::memcpy(out.data(), &frame, sizeof frame);
    state.x[kRa] = signal.restorer;
    state.x[kSp] = address;
    state.x[kA0] = static_cast<uint64_t>(signal.signal);
    state.x[kA1] = address + offsetof(Frame, info);
    state.x[kA2] = address + offsetof(Frame, flags);
    state.pc = signal.handler;
    state.reservation_address = ~uint64_t{0};
  }

  bool read_frame(ir::VcpuBlock& vcpu, std::span<const std::byte> in, SignalFrame& signal) const override {
    Frame frame;
    std::memcpy(&frame, in.data(), sizeof frame);
    if (frame.reserved || frame.end_magic || frame.end_size) return false;
    State& state = vcpu.as<State>();
    state.pc = frame.pc & ~uint64_t{1};
    std::memcpy(state.x + 1, frame.x, sizeof frame.x);
    std::memcpy(state.f, frame.f, sizeof frame.f);
    state.fflags = frame.fcsr & 31;
    state.frm = frame.fcsr >> 5 & 7;
    vcpu.guest_mxcsr = kMxcsrNearest | mxcsr_rounding(state.frm);
    state.reservation_address = ~uint64_t{0};
    signal.mask = frame.mask;
    signal.stack_base = frame.stack_base, signal.stack_flags = frame.stack_flags,
    signal.stack_bytes = frame.stack_bytes;
    return true;
  }

  // pc in the place of x0; f0..f31 and fcsr.
  std::vector<uint64_t> core_registers(const ir::VcpuBlock& vcpu) const override {
    const State& state = vcpu.as<State>();
    std::vector<uint64_t> values(state.x, state.x + 32);
    values[0] = state.pc;
    return values;
  }
  std::vector<uint64_t> core_float_registers(const ir::VcpuBlock& vcpu) const override {
    const State& state = vcpu.as<State>();
    std::vector<uint64_t> values(state.f, state.f + 32);
    values.push_back(fcsr(vcpu));
    return values;
  }

  frontend::VdsoCode vdso() const override {
    return vdso_code({offsetof(Frame, pc), offsetof(Frame, x), offsetof(Frame, f)});
  }
  void place_vdso(frontend::GuestCpu& cpu, Gva first, Gva end) const override {
    static_cast<RiscvCpu&>(cpu).set_vdso(first, end);
  }
};

}  // namespace

const frontend::LinuxAbi& linux_abi() {
  static const RiscvLinux abi;
  return abi;
}

}  // namespace lyre::riscv
