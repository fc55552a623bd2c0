// ptrace between guest processes: what the tracee's emulator and the tracer's share.
//
// Underneath is the host's ptrace: the guest's PTRACE_TRACEME, ATTACH and SEIZE are the host's, so that waiting,
// SIGCHLD, adoption of children, exit and the death of either side are the kernel's business. What a stop of the host
// means is the two emulators':
//
//  - A stop that belongs to the guest at a place of its program (before and after a system call, delivery of a signal,
//  exec, interruption, the first stop of a
//    new child) is published: the tracee fills its thread's TraceArea (wait code, siginfo, registers in the guest's
//    layout, ...) and executes one `int3`, with a magic number in rax and the area's address in rdi (tracee.cpp). The
//    tracer's wait knows that stop by its registers, hands the guest the status of the area, and reads and writes the
//    area for the requests that follow (tracer.cpp). Resuming it is a host PTRACE_CONT.
//  - Events inside a system call (fork, vfork, clone, vfork done, exit) and group stops are the host's own stops. The
//  area holds the registers of the call.
//  - At the delivery of a host signal the tracer puts the signal into the area, makes the tracee leave translated code
//  or the system call that it is in, and
//    goes on without the signal: the tracee publishes it where the guest's state is precise. What the emulator itself
//    raises (a store to a page of translated code), and what it wants the kernel to do (end it, stop it), passes.
//  - Everything else is answered by going on, unseen by the guest.
//
// A tracer that is not one of ours never meets an `int3`: only one of ours sets `traced`, and only to a parent of ours
// PTRACE_TRACEME is granted.
//
// The tracer finds the area of a thread that has not published anything yet through the list at g_trace_process, whose
// place in the executable is the same in both processes; a process is known for one of ours by the inode of what it has
// mapped (trace_peer.cpp).
//
// Writers: fields of the tracee are written by its thread; fields of the tracer while the tracee is stopped, but for
// those marked (running), which are single stores of a byte or word. Nothing of it costs anything in translated code; a
// system call tests `watch`, once, for this and for seccomp.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "runtime/linux/sig_info.h"

namespace lyre::linux_user {

inline constexpr uint64_t kTraceMagic = 0x6c79'7265'7472'6163;
inline constexpr size_t kTraceGeneralBytes = 512, kTraceFloatBytes = 1024;

// What a system call is looked at for besides.
enum : uint32_t { kWatchSeccomp = 1, kWatchTrace = 1u << 16 };
inline constexpr size_t kWatchTraceByte = 2;  // the byte of `watch` that tracers write

// struct ptrace_syscall_info of linux/ptrace.h, the largest form.
struct TraceSyscallInfo {
  uint8_t op = 0, pad[3] = {};  // PTRACE_SYSCALL_INFO_*
  uint32_t arch = 0;
  uint64_t pc = 0, sp = 0;
  union {
    struct {
      uint64_t number, args[6];
      uint32_t seccomp_data;
    } entry = {};
    struct {
      int64_t value;
      uint8_t is_error;
    } exit;
  };
};
static_assert(offsetof(TraceSyscallInfo, entry) == 24);

struct TraceArea {
  uint64_t magic = kTraceMagic;
  std::atomic<TraceArea*> next{nullptr};
  std::atomic<int32_t> tid{0};

  std::atomic<uint32_t> watch{0};  // kWatch*; byte kWatchTraceByte: the tracer's (running)
  // What ends an interruptible host call before it is made; tested as one word.
  struct alignas(4) Pending {
    volatile uint8_t noted = 0;      // a signal in the thread's own note
    volatile uint8_t attention = 0;  // the tracer's (running)
    uint8_t unused[2] = {};
  } pending;
  std::atomic<uint32_t>* exit_request = nullptr;  // of the vCPU block
  // The host call that signals may interrupt (safe_syscall.cpp): its first place, the `syscall`, where it goes instead.
  uint64_t call_begin = 0, call = 0, call_interrupted = 0;

  // The tracer's.
  uint32_t traced = 0, seized = 0, options = 0;  // PTRACE_O_* as the guest gave them
  uint32_t stop_at_calls = 0;                    // resumed by PTRACE_SYSCALL
  uint32_t interrupt = 0;                        // with attention: publish PTRACE_EVENT_STOP
  int32_t incoming = 0, incoming_stop = 0;       // with attention: signals to be delivered, SIGSTOP apart
  SigInfo incoming_info, incoming_stop_info;
  int32_t restart =
      0;  // the call that was left for it would have ended with this (positive): ERESTARTSYS or one of its kind

  // For /proc: the thread's dispositions (SignalTable::actions) and its seccomp.
  uint64_t actions = 0;
  uint32_t seccomp_mode = 0, seccomp_filters = 0;

  // The tracee's: the next host stop for this signal is the kernel's to act on; the first stop of a new tracee is due.
  int32_t pass_signal = 0;
  uint32_t first_stop = 0;

  // The stop.
  uint32_t code = 0;  // as in the status of wait: status >> 8
  uint64_t message = 0;
  SigInfo info;
  uint64_t mask = 0;  // that in force; also without a tracer, for /proc
  TraceSyscallInfo call_info;
  alignas(16) std::byte general[kTraceGeneralBytes] = {};
  alignas(16) std::byte floating[kTraceFloatBytes] = {};
  // How it goes on, written by the tracer.
  int32_t resume_signal = 0;
  uint32_t changed = 0;  // kTraceGeneral, ...
};
enum : uint32_t { kTraceGeneral = 1, kTraceFloating = 2, kTraceMask = 4 };

// What a process's files in /proc show of the guest: addresses there.
struct ShownProcess {
  uint64_t program = 0, program_bytes = 0;  // the text of its name
  uint64_t arguments = 0, arguments_end = 0, environment = 0, environment_end = 0, auxv = 0, auxv_end = 0;
  uint64_t stack_low = 0, stack_high = 0, vdso = 0, vdso_end = 0;  // of the guest
  uint64_t table = 0;                                              // head of the table of mappings (proc_maps.cpp)
};

// One in each process.
struct TraceProcess {
  uint64_t magic = kTraceMagic;
  std::atomic<TraceArea*> first{nullptr};
  uint64_t lowest = 0, top = 0;  // where the guest's memory is
  uint32_t machine = 0;          // ELF machine of the guest
  ShownProcess shown;
  // Memory that a tracer has written: translated code of it is stale. Beyond kRanges: anywhere.
  static constexpr uint32_t kRanges = 64;
  std::atomic<uint32_t> written{0};
  struct Range {
    uint64_t address, bytes;
  } ranges[kRanges] = {};
};
extern TraceProcess g_trace_process;

}  // namespace lyre::linux_user
