#include "runtime/linux/tracer.h"

#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <new>

#include "runtime/base/log.h"
#include "runtime/linux/safe_syscall.h"
#include "runtime/linux/signal_map.h"
#include "runtime/linux/trace_peer.h"

namespace lyre::linux_user {
namespace {

enum Request : uint32_t {  // linux/ptrace.h; PTRACE_GETREGS and its like, SINGLESTEP and PEEKUSR are not for riscv64:
                           // EIO
  kTraceMe = 0,
  kPeekText = 1,
  kPeekData = 2,
  kPokeText = 4,
  kPokeData = 5,
  kCont = 7,
  kKill = 8,
  kAttach = 16,
  kDetach = 17,
  kSyscall = 24,
  kSetOptions = 0x4200,
  kGetEventMessage = 0x4201,
  kGetSigInfo = 0x4202,
  kSetSigInfo = 0x4203,
  kGetRegSet = 0x4204,
  kSetRegSet = 0x4205,
  kSeize = 0x4206,
  kInterrupt = 0x4207,
  kListen = 0x4208,
  kPeekSigInfo = 0x4209,
  kGetSigMask = 0x420a,
  kSetSigMask = 0x420b,
  kGetSyscallInfo = 0x420e,
};

// Options that the kernel acts on, and those that are the tracee's emulator's.
constexpr uint32_t kHostOptions = PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE |
                                  PTRACE_O_TRACEVFORKDONE | PTRACE_O_TRACEEXIT | PTRACE_O_EXITKILL;
constexpr uint32_t kOwnOptions = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEEXEC | PTRACE_O_TRACESECCOMP;
constexpr int kEventStop = 128;  // PTRACE_EVENT_STOP
constexpr unsigned kMostSignals = 64;

constexpr bool raised_by_faults(int signal) {
  return signal == SIGSEGV || signal == SIGBUS || signal == SIGILL || signal == SIGFPE || signal == SIGTRAP;
}

enum class Stop : uint8_t {
  kNone,       // runs, as far as the guest knows
  kPublished,  // in the tracee's area
  kEvent,      // the host's: within a call
  kGroup,      // the host's
};

struct Tracee {
  uint64_t area = 0;  // 0: not known yet
  Stop stop = Stop::kNone;
  uint32_t code = 0;
  bool told = false;      // host options are set
  bool attached = false;  // by this process, which its emulator has not been told
  bool seized = false;
  uint32_t options = 0;
  uint64_t exec_former = 0;  // the thread's number before it executed
};

std::mutex g_mutex;
std::map<pid_t, Tracee>* g_tracees = nullptr;  // of this process's threads; made when the first one comes

std::map<pid_t, Tracee>& tracees() {
  if (!g_tracees) g_tracees = new std::map<pid_t, Tracee>;
  return *g_tracees;
}

int64_t host_ptrace(long request, pid_t pid, uint64_t address = 0, uint64_t data = 0) {
  return host_syscall(SYS_ptrace, static_cast<uint64_t>(request), static_cast<uint64_t>(pid), address, data);
}
int64_t host_ptrace(long request, pid_t pid, uint64_t address, void* data) {
  return host_ptrace(request, pid, address, reinterpret_cast<uint64_t>(data));
}

template <typename T>
bool get(pid_t tid, const Tracee& tracee, size_t offset, T& value) {
  return tracee.area && peer_get(tid, tracee.area + offset, value);
}
template <typename T>
bool put(pid_t tid, const Tracee& tracee, size_t offset, const T& value) {
  return tracee.area && peer_put(tid, tracee.area + offset, value);
}
#define AREA(field) offsetof(TraceArea, field)

// The area is known from here on, if the tracee has come so far as to have one.
bool find(pid_t tid, Tracee& tracee) {
  if (!tracee.area) tracee.area = find_area(tid);
  if (tracee.area && std::exchange(tracee.attached, false)) {
    put(tid, tracee, AREA(seized), uint32_t{tracee.seized});
    put(tid, tracee, AREA(options), tracee.options);
    put(tid, tracee, AREA(traced), uint32_t{1});
    peer_put(tid, tracee.area + AREA(watch) + kWatchTraceByte, uint8_t{1});
  }
  return tracee.area;
}

// Once the tracee can be spoken to: the kernel shall say when it executes, for its emulator is another one then.
void tell(pid_t tid, Tracee& tracee) {
  uint32_t options = 0;
  if (tracee.told || !get(tid, tracee, AREA(options), options)) return;
  tracee.told = host_ptrace(PTRACE_SETOPTIONS, tid, 0, (options & kHostOptions) | PTRACE_O_TRACEEXEC) == 0;
}

// Makes the stopped tracee leave what it is in and look at its area, with a precise state.
void call_attention(pid_t tid, Tracee& tracee) {
  struct {
    uint64_t exit_request, begin, call, interrupted;
  } places;
  static_assert(AREA(call_interrupted) - AREA(exit_request) == 24);
  user_regs_struct regs;
  if (!get(tid, tracee, AREA(exit_request), places) || host_ptrace(PTRACE_GETREGS, tid, 0, &regs) < 0) return;
  constexpr uint64_t kSyscallBytes = 2;
  const auto result = static_cast<int64_t>(regs.rax);
  if (regs.rip >= places.begin && regs.rip <= places.call) {
    regs.rip = places.interrupted;
    host_ptrace(PTRACE_SETREGS, tid, 0, &regs);
  } else if (regs.rip == places.call + kSyscallBytes && static_cast<int64_t>(regs.orig_rax) >= 0 &&
             (result == -512 || result == -513 || result == -514 || result == -516)) {
    // The kernel would make the call again, or end it if a handler ran: the guest's side decides, as the kernel would.
    put(tid, tracee, AREA(restart), static_cast<int32_t>(-result));
    regs.rax = static_cast<uint64_t>(kRestart), regs.orig_rax = ~uint64_t{0};
    host_ptrace(PTRACE_SETREGS, tid, 0, &regs);
  }
  peer_put(tid, tracee.area + AREA(pending) + offsetof(TraceArea::Pending, attention), uint8_t{1});
  peer_put(tid, places.exit_request, uint32_t{1});
}

void go_on(pid_t tid, int signal = 0) { host_ptrace(PTRACE_CONT, tid, 0, static_cast<uint64_t>(signal)); }

bool visible(Tracee& tracee, Stop stop, uint32_t code) { return tracee.stop = stop, tracee.code = code, true; }

bool event_stop(pid_t tid, Tracee& tracee, int signal, int event) {
  switch (event) {
    case PTRACE_EVENT_EXEC: {
      unsigned long former = 0;
      host_ptrace(PTRACE_GETEVENTMSG, tid, 0, &former);
      if (const auto moved = tracees().find(static_cast<pid_t>(former));
          moved != tracees().end() && moved->first != tid)
        tracees().erase(moved);
      tracee.area = 0, tracee.exec_former = former;
      if (!find_peer(tid)) {
        LYRE_UNIMP("process %d has executed a program of the host, which can not be traced\n", tid);
        host_ptrace(PTRACE_DETACH, tid, 0, uint64_t{0});
        tracees().erase(tid);
      } else {
        go_on(tid);
      }
      return false;
    }
    case kEventStop:
      if (signal != SIGTRAP) return visible(tracee, Stop::kGroup, static_cast<uint32_t>(signal | event << 8));
      if (find(tid, tracee)) {  // otherwise it begins, and says so itself
        put(tid, tracee, AREA(interrupt), uint32_t{1});
        call_attention(tid, tracee);
      }
      go_on(tid);
      return false;
    default:
      return visible(tracee, Stop::kEvent, static_cast<uint32_t>(signal | event << 8));
  }
}

bool signal_stop(pid_t tid, Tracee& tracee, int signal) {
  SigInfo info;
  if (host_ptrace(PTRACE_GETSIGINFO, tid, 0, &info) == -EINVAL)
    return visible(tracee, Stop::kGroup, static_cast<uint32_t>(signal));
  if (!find(tid, tracee)) {
    // It begins: what the host says of that the emulator there says itself, and nothing else has reached the guest.
    go_on(tid, signal == SIGSTOP || signal == SIGTRAP ? 0 : signal);
    return false;
  }
  tell(tid, tracee);
  int32_t pass = 0;
  if (get(tid, tracee, AREA(pass_signal), pass) && pass == signal) {
    put(tid, tracee, AREA(pass_signal), int32_t{0});
    go_on(tid, signal);
    return false;
  }
  if (raised_by_faults(signal)) {  // the handler there knows what is the guest's
    go_on(tid, signal);
    return false;
  }
  const bool stop = signal == SIGSTOP;
  put(tid, tracee, stop ? AREA(incoming_stop_info) : AREA(incoming_info), info);
  put(tid, tracee, stop ? AREA(incoming_stop) : AREA(incoming), static_cast<int32_t>(signal));
  call_attention(tid, tracee);
  // The kernel keeps what comes next until this one has been delivered.
  uint64_t mask = ~uint64_t{0};
  for (int each : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP}) mask &= ~(uint64_t{1} << (each - 1));
  if (!stop) host_ptrace(static_cast<long>(kSetSigMask), tid, sizeof mask, &mask);
  go_on(tid);
  return false;
}

// One stop that the kernel reports; false: it was not the guest's, and the tracee goes on. `code`: of the status that
// the guest gets.
bool examine(pid_t tid, uint32_t status_code, uint32_t& code) {
  std::lock_guard lock(g_mutex);
  user_regs_struct regs;
  code = status_code;
  if (host_ptrace(PTRACE_GETREGS, tid, 0, &regs) < 0) return true;  // stopped as a job is, or another thread's tracee
  Tracee& tracee = tracees()[tid];
  if (tracee.stop != Stop::kNone) return code = tracee.code, true;  // seen by WNOWAIT
  const int signal = static_cast<int>(status_code & 0xff), event = static_cast<int>(status_code >> 8);
  bool seen = false;
  if (event == 0 && signal == SIGTRAP && regs.rax == kTraceMagic && peer_get(tid, regs.rdi + AREA(code), code)) {
    tracee.area = regs.rdi;
    tell(tid, tracee);
    seen = visible(tracee, Stop::kPublished, code);
  } else if (event) {
    seen = event_stop(tid, tracee, signal, event);
  } else {
    seen = signal_stop(tid, tracee, signal);
  }
  if (seen) code = tracee.code;
  return seen;
}

void forget(pid_t tid) {
  std::lock_guard lock(g_mutex);
  if (g_tracees) g_tracees->erase(tid);
}

// ---- requests

int64_t attach(SyscallCall& c, bool seize) {
  const pid_t pid = c.i(1);
  const auto options = static_cast<uint32_t>(c[3]);
  if (seize && (c[2] || (c[3] & ~uint64_t{kHostOptions | kOwnOptions}))) return -EIO;
  if (host_syscall(SYS_kill, static_cast<uint64_t>(pid), 0) == -ESRCH) return -ESRCH;
  if (!find_peer(pid)) {
    LYRE_UNIMP("process %d is not one of this emulator's, or not open to this one: it can not be traced\n", pid);
    return -EPERM;
  }
  // One that has only just been forked or executed is let come so far that it can be spoken to.
  for (int tries = 0; tries < 1000 && !find_area(pid); ++tries) usleep(1000);
  const int64_t failed = seize ? host_ptrace(PTRACE_SEIZE, pid, 0, (options & kHostOptions) | PTRACE_O_TRACEEXEC)
                               : host_ptrace(PTRACE_ATTACH, pid);
  if (failed < 0) return failed;
  std::lock_guard lock(g_mutex);
  Tracee& tracee = tracees()[pid] = {};
  tracee.told = seize, tracee.attached = true, tracee.seized = seize, tracee.options = seize ? options : 0;
  find(pid, tracee);  // if it has begun; otherwise at its first stop
  return 0;
}

int64_t trace_me(SyscallCall& c) {
  if (!find_peer(getppid())) {
    LYRE_UNIMP("the parent, process %d, is not one of this emulator's: it can not trace\n", getppid());
    return -EPERM;
  }
  const int64_t failed = host_ptrace(PTRACE_TRACEME, 0);
  if (failed == 0) c.thread.become_traced(false, 0);
  return failed;
}

int64_t set_options(pid_t tid, Tracee& tracee, uint64_t wanted) {
  if (wanted & ~uint64_t{kHostOptions | kOwnOptions}) return -EINVAL;
  if (const int64_t failed = host_ptrace(PTRACE_SETOPTIONS, tid, 0, (wanted & kHostOptions) | PTRACE_O_TRACEEXEC);
      failed < 0)
    return failed;
  tracee.told = true;
  return put(tid, tracee, AREA(options), static_cast<uint32_t>(wanted)) ? 0 : -ESRCH;
}

int64_t event_message(SyscallCall& c, pid_t tid, Tracee& tracee) {
  uint64_t message = 0;
  if (tracee.stop == Stop::kPublished) {
    get(tid, tracee, AREA(message), message);
    if (tracee.code >> 8 == PTRACE_EVENT_EXEC) message = tracee.exec_former;
  } else if (const int64_t failed = host_ptrace(PTRACE_GETEVENTMSG, tid, 0, &message); failed < 0) {
    return failed;
  }
  return c.memory.put(c[3], message) ? 0 : -EFAULT;
}

int64_t sig_info(SyscallCall& c, pid_t tid, Tracee& tracee, bool set) {
  SigInfo info;
  if (set && !c.memory.get(c[3], info)) return -EFAULT;
  if (tracee.stop != Stop::kPublished) {
    const int64_t failed = host_ptrace(set ? PTRACE_SETSIGINFO : PTRACE_GETSIGINFO, tid, 0, &info);
    if (failed < 0) return failed;
  } else if (!(set ? put(tid, tracee, AREA(info), info) : get(tid, tracee, AREA(info), info))) {
    return -ESRCH;
  }
  return set || c.memory.put(c[3], info) ? 0 : -EFAULT;
}

int64_t register_set(SyscallCall& c, pid_t tid, Tracee& tracee, bool set) {
  iovec where;
  if (!c.memory.get(c[3], where)) return -EFAULT;
  const bool general = c[2] == NT_PRSTATUS;
  if (!general && c[2] != NT_PRFPREG) return -EINVAL;
  const frontend::LinuxAbi& abi = c.process.abi();
  const size_t all = abi.register_bytes(general ? frontend::LinuxAbi::kGeneral : frontend::LinuxAbi::kFloating);
  const size_t offset = general ? AREA(general) : AREA(floating);
  if (where.iov_len % 8) return -EINVAL;  // whole registers
  const size_t bytes = std::min(where.iov_len, all);
  std::byte image[kTraceFloatBytes];
  const auto address = reinterpret_cast<uint64_t>(where.iov_base);
  if (set) {
    uint32_t changed = 0;
    if (!c.memory.read(address, image, bytes)) return -EFAULT;
    if (!peer_write(tid, tracee.area + offset, image, bytes) || !get(tid, tracee, AREA(changed), changed))
      return -ESRCH;
    put(tid, tracee, AREA(changed), changed | (general ? kTraceGeneral : kTraceFloating));
  } else {
    if (!tracee.area || !peer_read(tid, tracee.area + offset, image, bytes)) return -ESRCH;
    if (!c.memory.write(address, image, bytes)) return -EFAULT;
  }
  where.iov_len = bytes;
  return c.memory.put(c[3], where) ? 0 : -EFAULT;
}

int64_t sig_mask(SyscallCall& c, pid_t tid, Tracee& tracee, bool set) {
  uint64_t mask = 0;
  if (c[2] != sizeof mask) return -EINVAL;
  if (set) {
    uint32_t changed = 0;
    if (!c.memory.get(c[3], mask)) return -EFAULT;
    return put(tid, tracee, AREA(mask), mask) && get(tid, tracee, AREA(changed), changed) &&
                   put(tid, tracee, AREA(changed), changed | kTraceMask)
               ? 0
               : -ESRCH;
  }
  if (!get(tid, tracee, AREA(mask), mask)) return -ESRCH;
  return c.memory.put(c[3], mask) ? 0 : -EFAULT;
}

int64_t syscall_info(SyscallCall& c, pid_t tid, Tracee& tracee) {
  TraceSyscallInfo info;
  if (!get(tid, tracee, AREA(call_info), info)) return -ESRCH;
  constexpr uint8_t kEntry = 1, kExit = 2, kSeccomp = 3;
  size_t all = offsetof(TraceSyscallInfo, entry);
  if (info.op == kEntry) all += offsetof(decltype(info.entry), seccomp_data);
  if (info.op == kSeccomp) all += offsetof(decltype(info.entry), seccomp_data) + sizeof info.entry.seccomp_data;
  if (info.op == kExit) all += offsetof(decltype(info.exit), is_error) + 1;
  const size_t bytes = std::min<uint64_t>(all, c[2]);
  return c.memory.write(c[3], &info, bytes) ? static_cast<int64_t>(all) : -EFAULT;
}

// Memory of the guest there: everything else in that process is its emulator's.
bool is_guests(pid_t tid, uint64_t address) {
  const auto process = find_peer(tid);
  uint64_t bounds[2];
  static_assert(offsetof(TraceProcess, top) - offsetof(TraceProcess, lowest) == 8);
  return process && peer_get(tid, *process + offsetof(TraceProcess, lowest), bounds) && address >= bounds[0] &&
         address <= bounds[1] - 8;
}

int64_t resume(pid_t tid, Tracee& tracee, uint32_t request, uint64_t data) {
  if (data > kMostSignals) return -EIO;
  const int signal = static_cast<int>(data);
  const bool published = tracee.stop == Stop::kPublished;
  if (published) {
    put(tid, tracee, AREA(resume_signal), signal);
    if (signal && static_cast<uint32_t>(signal) != tracee.code) {
      SigInfo info;  // as from the tracer (ptrace_signal)
      info.signo = signal;
      info.rest[0] = static_cast<uint32_t>(getpid()) | uint64_t{geteuid()} << 32;
      put(tid, tracee, AREA(info), info);
    }
  }
  put(tid, tracee, AREA(stop_at_calls), uint32_t{request == kSyscall});
  tracee.stop = Stop::kNone;
  if (request != kDetach) return host_ptrace(PTRACE_CONT, tid, 0, uint64_t{0});
  put(tid, tracee, AREA(traced), uint32_t{0});
  peer_put(tid, tracee.area + AREA(watch) + kWatchTraceByte, uint8_t{0});
  const int64_t failed = host_ptrace(PTRACE_DETACH, tid, 0, published ? 0 : data);
  tracees().erase(tid);
  return failed;
}

int64_t request_of_stopped(SyscallCall& c, uint32_t request, pid_t tid, Tracee& tracee) {
  switch (request) {
    case kPeekText:
    case kPeekData: {
      uint64_t word = 0;
      if (!is_guests(tid, c[2]) || host_ptrace(PTRACE_PEEKDATA, tid, c[2], &word) < 0) return -EIO;
      return c.memory.put(c[3], word) ? 0 : -EFAULT;
    }
    case kPokeText:
    case kPokeData:
      if (!is_guests(tid, c[2]) || host_ptrace(PTRACE_POKEDATA, tid, c[2], c[3]) < 0) return -EIO;
      note_written(tid, c[2], sizeof(uint64_t));
      return 0;
    case kCont:
    case kSyscall:
    case kDetach:
      return resume(tid, tracee, request, c[3]);
    case kListen: {
      if (tracee.stop != Stop::kGroup || tracee.code >> 8 != kEventStop) return -EIO;
      tracee.stop = Stop::kNone;
      return host_ptrace(static_cast<long>(kListen), tid);
    }
    case kSetOptions:
      return set_options(tid, tracee, c[3]);
    case kGetEventMessage:
      return event_message(c, tid, tracee);
    case kGetSigInfo:
    case kSetSigInfo:
      return sig_info(c, tid, tracee, request == kSetSigInfo);
    case kGetRegSet:
    case kSetRegSet:
      return register_set(c, tid, tracee, request == kSetRegSet);
    case kGetSigMask:
    case kSetSigMask:
      return sig_mask(c, tid, tracee, request == kSetSigMask);
    case kPeekSigInfo:
      c.memory.space().about_to_write(c[3], kPageSize);
      return host_ptrace(static_cast<long>(request), tid, c[2], c[3]);
    case kGetSyscallInfo:
      return syscall_info(c, tid, tracee);
    default:
      return -EIO;
  }
}

}  // namespace

int64_t sys_ptrace(SyscallCall& c) {
  const auto request = static_cast<uint32_t>(c[0]);
  const pid_t tid = c.i(1);
  if (request == kTraceMe) return trace_me(c);
  if (request == kAttach || request == kSeize) return attach(c, request == kSeize);
  std::lock_guard lock(g_mutex);
  if (!g_tracees || !g_tracees->contains(tid)) return -ESRCH;
  Tracee& tracee = tracees()[tid];
  if (request == kKill) return host_ptrace(PTRACE_KILL, tid);
  if (request == kInterrupt) return host_ptrace(static_cast<long>(kInterrupt), tid);  // EIO where it was not seized
  if (tracee.stop == Stop::kNone) return -ESRCH;
  return request_of_stopped(c, request, tid, tracee);
}

int64_t sys_wait4(SyscallCall& c) {
  int status = 0;
  rusage usage;
  for (;;) {
    const int64_t pid = c.thread.call_host(SYS_wait4, c[0], reinterpret_cast<uint64_t>(&status), c[2],
                                           reinterpret_cast<uint64_t>(&usage));
    if (pid <= 0) return pid;
    if (WIFSTOPPED(status)) {
      uint32_t code = 0;
      if (!examine(static_cast<pid_t>(pid), static_cast<uint32_t>(status) >> 8, code)) continue;
      status = static_cast<int>(code << 8 | 0x7f);
    } else if (!WIFCONTINUED(status)) {
      if (WIFSIGNALED(status)) status = (status & ~0x7f) | guest_signal(WTERMSIG(status));
      forget(static_cast<pid_t>(pid));
    }
    if (c[1] && !c.memory.put(c[1], status)) return -EFAULT;
    if (c[3] && !c.memory.put(c[3], usage)) return -EFAULT;
    return pid;
  }
}

int64_t sys_waitid(SyscallCall& c) {
  siginfo_t info;
  rusage usage;
  for (;;) {
    memset(&info, 0, sizeof info);
    const int64_t result = c.thread.call_host(SYS_waitid, c[0], c[1], reinterpret_cast<uint64_t>(&info), c[3],
                                              reinterpret_cast<uint64_t>(&usage));
    if (result == kRestart) return result;
    if (info.si_pid && (info.si_code == CLD_TRAPPED || info.si_code == CLD_STOPPED)) {
      uint32_t code = 0;
      if (!examine(info.si_pid, static_cast<uint32_t>(info.si_status), code)) continue;
      info.si_status = static_cast<int>(code);
    } else if (info.si_pid && (info.si_code == CLD_KILLED || info.si_code == CLD_DUMPED)) {
      info.si_status = guest_signal(info.si_status);
      if (!(c[3] & WNOWAIT)) forget(info.si_pid);
    } else if (info.si_pid && info.si_code != CLD_CONTINUED && !(c[3] & WNOWAIT)) {
      forget(info.si_pid);
    }
    // The kernel writes them whatever the result is.
    if (c[4] && info.si_pid && !c.memory.put(c[4], usage)) return -EFAULT;
    if (c[2] && !c.memory.put(c[2], info)) return -EFAULT;
    return result;
  }
}

void lock_tracees() { g_mutex.lock(); }
void unlock_tracees(bool child) {
  if (child) g_tracees = nullptr;  // what it was is the parent's
  g_mutex.unlock();
}

}  // namespace lyre::linux_user
