// LinuxAbi: what the Linux layer (runtime/linux) must know of a guest's user-mode ABI that is not a table of numbers:
// registers at program start and at a system call, what its exceptions mean as signals, and the layout of its signal
// frame. One object per guest, stateless; any thread. Registers are those of a VcpuBlock whose state is precise.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "ir/abi.h"
#include "runtime/base/types.h"

namespace lyre::frontend {

class GuestCpu;

struct SyscallRegs {
  uint64_t number;
  uint64_t args[6];
};

// A signal as the kernel would send it for an exception. signal 0: the exception is a system call.
struct FaultSignal {
  int signal = 0;
  int code = 0;
  uint64_t address = 0;
};

// What goes into a signal frame besides registers. Addresses are the guest's.
struct SignalFrame {
  int signal = 0;
  uint64_t handler = 0, restorer = 0;        // restorer: where the handler returns to
  bool with_info = false;                    // SA_SIGINFO
  std::span<const std::byte> info;           // siginfo_t, 128 bytes
  uint64_t mask = 0;                         // to be restored
  uint64_t stack_base = 0, stack_bytes = 0;  // sigaltstack in force
  int32_t stack_flags = 0;
};

// The vDSO's code: position-independent, functions that keep stack and return address as they are at entry, and from
// trampoline_start on the signal trampoline, for which signal_frame_rules (DWARF call frame instructions) say where everything is.
struct VdsoSymbol {
  const char* name;
  uint32_t offset, bytes;
};
struct VdsoCode {
  std::vector<uint8_t> text;
  std::vector<VdsoSymbol> symbols;
  const char* version = "";  // of all symbols
  uint32_t elf_flags = 0;
  uint32_t trampoline_start = 0, sigreturn = 0;  // offsets in the text
  unsigned return_register = 0, stack_register = 0, signal_return_column = 0;  // DWARF numbers
  std::vector<uint8_t> signal_frame_rules;
};

class LinuxAbi {
 public:
  virtual ~LinuxAbi() = default;
  virtual uint16_t elf_machine() const = 0;
  virtual bool is_64bit() const = 0;
  virtual std::string uname_machine() const = 0;
  virtual uint32_t audit_arch() const = 0;  // AUDIT_ARCH_* of linux/audit.h
  virtual uint64_t hwcap(const GuestCpu& cpu) const = 0;
  virtual uint64_t page_bytes() const = 0;
  virtual std::string interpreter_note() const = 0;  // the usual PT_INTERP, for error texts

  // A thread of a Linux process from here on: user privilege and rights, registers zero.
  virtual void start(ir::VcpuBlock& vcpu, const GuestCpu& cpu, Gva entry, Gva stack) const = 0;
  virtual uint64_t pc(const ir::VcpuBlock& vcpu) const = 0;
  virtual uint64_t sp(const ir::VcpuBlock& vcpu) const = 0;
  // The new thread or process of clone: result 0, its own stack (unless 0) and thread pointer (if given).
  virtual void start_clone(ir::VcpuBlock& vcpu, uint64_t stack, bool set_tls, uint64_t tls) const = 0;

  virtual SyscallRegs syscall(const ir::VcpuBlock& vcpu) const = 0;
  // Where the program goes on after the system call that the pc is at.
  virtual uint64_t pc_after_syscall(const ir::VcpuBlock& vcpu) const = 0;
  // The system call is over: result, pc behind the instruction. Not called for one that is to be executed again.
  virtual void finish_syscall(ir::VcpuBlock& vcpu, int64_t result) const = 0;
  virtual FaultSignal signal_of(const ir::VcpuBlock& vcpu,
                                const ir::Fault& fault) const = 0;  // not for kHostMemoryFault

  // It is to be made (again): the inverse of finish_syscall, with this first argument, which the result has taken the place of.
  virtual void restart_syscall(ir::VcpuBlock& vcpu, uint64_t first_argument) const = 0;
  virtual int64_t syscall_result(const ir::VcpuBlock& vcpu) const = 0;

  // Sets of registers as ptrace and core dumps have them; the layout is the kernel's for the note type of that name.
  enum RegisterSet : uint8_t { kGeneral, kFloating };  // NT_PRSTATUS (the registers alone), NT_PRFPREG
  virtual size_t register_bytes(RegisterSet set) const = 0;
  // `bytes` has at least register_bytes(set).
  virtual void get_registers(const ir::VcpuBlock& vcpu, RegisterSet set, std::span<std::byte> bytes) const = 0;
  virtual void set_registers(ir::VcpuBlock& vcpu, RegisterSet set, std::span<const std::byte> bytes) const = 0;

  // Signal frames. frame_at: where one goes below `sp`. write_frame fills `frame` (frame_bytes of it) with the vCPU's
  // registers as they are and then sets them for the handler. read_frame is the inverse, for sigreturn; false: no frame
  // that the kernel would take.
  virtual uint64_t frame_bytes() const = 0;
  virtual uint64_t frame_at(uint64_t sp) const = 0;
  virtual void write_frame(ir::VcpuBlock& vcpu, const SignalFrame& signal, uint64_t address,
                           std::span<std::byte> frame) const = 0;
  virtual bool read_frame(ir::VcpuBlock& vcpu, std::span<const std::byte> frame, SignalFrame& signal) const = 0;

  // Registers as a core file has them (elf_gregset_t, elf_fpregset_t), in words of 8 bytes.
  virtual std::vector<uint64_t> core_registers(const ir::VcpuBlock& vcpu) const = 0;
  virtual std::vector<uint64_t> core_float_registers(const ir::VcpuBlock& vcpu) const = 0;

  virtual VdsoCode vdso() const = 0;
  // The vDSO's text is at [first, end): calls of the emulator's own are answered there. Before the first thread.
  virtual void place_vdso(GuestCpu& cpu, Gva first, Gva end) const = 0;
};

}  // namespace lyre::frontend
