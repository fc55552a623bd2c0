// System calls as rows: which call, what is done with it, the format of its arguments for -strace and for the
// conversion of pointers, its function. Rows stand in the file of their family (sys_*.cpp) beside the functions;
// syscall_table.cpp lists the families. Numbers are in syscall_names.def: a guest's ABI is a column there.
//
// Argument formats, one letter each: d signed, u unsigned, x hexadecimal, o octal, f descriptor, F directory
// descriptor, O flags of open, g signal, s path, l path whose last link is not followed, t other text, p address, b
// buffer that is read (its length is the next argument), w small structure that the kernel writes, W buffer that it
// writes (length next), v and V the same as arrays of iovec (count next). Pages of translated code under w, W and V are
// given back before the call.
#pragma once
#include <cstdint>
#include <span>

#include "runtime/linux/guest_memory.h"
#include "runtime/linux/process.h"
#include "runtime/linux/thread.h"

namespace lyre::linux_user {

enum class Sys : uint16_t {
#define LYRE_SYSCALL(name, generic, host) name,
#include "runtime/linux/syscall_names.def"
#undef LYRE_SYSCALL
  kCount
};

struct SyscallCall {
  Thread& thread;
  Process& process;
  const GuestMemory& memory;
  uint64_t number;
  uint64_t args[6];
  const SyscallRow* row;
  uint64_t operator[](unsigned k) const { return args[k]; }
  int i(unsigned k) const { return static_cast<int>(args[k]); }
};

enum class SyscallKind : uint8_t {
  kPass,     // the host's call with the guest's arguments: numbers, structures and flags are the same
  kConvert,  // the host's call, some of the arguments rewritten
  kEmulate,  // answered by us, for it is about the process itself
  kNone,     // ENOSYS on purpose; the row says why
};

using SyscallFunction = int64_t (*)(SyscallCall& call);

struct SyscallRow {
  Sys id;
  SyscallKind kind;
  char format[7] = {};
  SyscallFunction function = nullptr;  // kConvert, kEmulate
  const char* reason = nullptr;        // kNone

  static consteval SyscallRow pass(Sys id, const char* format) {
    return {id, SyscallKind::kPass, format, nullptr, nullptr};
  }
  static consteval SyscallRow convert(Sys id, const char* format, SyscallFunction function) {
    return {id, SyscallKind::kConvert, format, function, nullptr};
  }
  static consteval SyscallRow emulate(Sys id, const char* format, SyscallFunction function) {
    return {id, SyscallKind::kEmulate, format, function, nullptr};
  }
  static consteval SyscallRow none(Sys id, const char* format, const char* reason) {
    return {id, SyscallKind::kNone, format, nullptr, reason};
  }

 private:
  consteval SyscallRow(Sys id_, SyscallKind kind_, const char* format_, SyscallFunction function_, const char* reason_)
      : id(id_), kind(kind_), function(function_), reason(reason_) {
    for (unsigned k = 0; format_[k]; ++k) format[k] = format_[k];
  }
};

std::span<const SyscallRow> file_syscalls();
std::span<const SyscallRow> descriptor_syscalls();
std::span<const SyscallRow> io_uring_syscalls();
std::span<const SyscallRow> memory_syscalls();
std::span<const SyscallRow> process_syscalls();
std::span<const SyscallRow> signal_syscalls();
std::span<const SyscallRow> time_syscalls();
std::span<const SyscallRow> network_syscalls();
std::span<const SyscallRow> ipc_syscalls();
std::span<const SyscallRow> system_syscalls();
std::span<const std::span<const SyscallRow>> all_syscalls();

const char* syscall_name(Sys id);
int host_number(Sys id);          // -1: none
unsigned generic_number(Sys id);  // asm-generic/unistd.h

// A value, -errno, kRestart or kRegistersSet.
int64_t dispatch(SyscallCall& call);
// The host's call of that name, interruptible, with the guest's arguments after paths and written buffers have been
// seen to.
int64_t pass_on(SyscallCall& call);
// Whether a call, by its flags, follows a link at the end of its path (format s).
bool follows_last(const SyscallCall& call);

}  // namespace lyre::linux_user
