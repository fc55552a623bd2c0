#include "runtime/linux/seccomp.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <memory>

#include "runtime/base/log.h"
#include "runtime/linux/own_files.h"
#include "runtime/linux/safe_syscall.h"
#include "runtime/linux/trace_peer.h"

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

// Listeners (SECCOMP_RET_USER_NOTIF) are the host kernel's. The guest's filter with a listener comes with a filter of
// ours in the host, which is only about system call numbers that the host has not: kNotifyNumber and the guest's number
// below it, with the guest's arguments. Making such a call is what notifies the supervisor; waiting, signals, ids,
// added descriptors and the listener's end are the kernel's. The supervisor's emulator gives it the guest's number and
// architecture, and answers "go on" by an error that nobody else uses: if there is no answer the call is not made.
namespace lyre::linux_user {
namespace {

constexpr uint32_t kNotifyNumber = 0x0c790000, kNotifyMask = 0xffff0000;
constexpr int32_t kGoOn = -4000;

constexpr size_t kMaxPathInstructions = 32768;  // MAX_INSNS_PER_PATH of kernel/seccomp.c
constexpr uint64_t kKnownFlags = SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_LOG | SECCOMP_FILTER_FLAG_SPEC_ALLOW |
                                 SECCOMP_FILTER_FLAG_TSYNC_ESRCH | SECCOMP_FILTER_FLAG_NEW_LISTENER |
                                 SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
constexpr int kSiCodeSeccomp = 1;  // SYS_SECCOMP
constexpr uint16_t kMaxErrno = 4095;

bool may_install() {
  if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1) return true;
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {};
  return host_syscall(SYS_capget, reinterpret_cast<uint64_t>(&header), reinterpret_cast<uint64_t>(data)) == 0 &&
         (data[0].effective >> CAP_SYS_ADMIN & 1);
}

int64_t read_program(SyscallCall& c, uint64_t address, std::vector<BpfInstruction>& program) {
  struct {
    uint16_t count;
    uint16_t pad[3];
    uint64_t instructions;
  } description;  // struct sock_fprog
  if (!c.memory.get(address, description)) return -EFAULT;
  if (!description.count || description.count > kBpfMaxInstructions) return -EINVAL;
  if (!may_install()) return -EACCES;
  program.resize(description.count);
  if (!c.memory.read(description.instructions, program.data(), program.size() * sizeof program[0])) return -EFAULT;
  return bpf_is_valid(program) ? 0 : -EINVAL;
}

int64_t set_strict(SyscallCall& c) { return c.thread.set_seccomp_mode(SECCOMP_MODE_STRICT, nullptr) ? 0 : -EINVAL; }

// The host's side of a filter with a listener; its descriptor or -errno.
int64_t make_listener(uint64_t flags) {
  BpfInstruction code[] = {{BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(SeccompData, number)},
                           {BPF_ALU | BPF_AND | BPF_K, 0, 0, kNotifyMask},
                           {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, kNotifyNumber},
                           {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_USER_NOTIF},
                           {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW}};
  const struct {
    uint16_t count;
    BpfInstruction* code;
  } program{std::size(code), code};
  return host_syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags & ~uint64_t{SECCOMP_FILTER_FLAG_LOG},
                      reinterpret_cast<uint64_t>(&program));
}

int64_t set_filter(SyscallCall& c, uint64_t flags, uint64_t address) {
  if (flags & ~kKnownFlags) return -EINVAL;
  const bool listener = flags & SECCOMP_FILTER_FLAG_NEW_LISTENER;
  if (listener && (flags & SECCOMP_FILTER_FLAG_TSYNC) && !(flags & SECCOMP_FILTER_FLAG_TSYNC_ESRCH)) return -EINVAL;
  if (!listener && (flags & SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV)) return -EINVAL;
  std::vector<BpfInstruction> program;
  if (const int64_t failed = read_program(c, address, program)) return failed;
  if (c.thread.seccomp_mode() == SECCOMP_MODE_STRICT) return -EINVAL;
  size_t total = bpf_kernel_length(program);
  for (const SeccompFilter* each = c.thread.filters(); each; each = each->previous)
    total += bpf_kernel_length(each->program) + 4;
  if (total > kMaxPathInstructions) return -ENOMEM;
  auto made = std::make_unique<SeccompFilter>();
  made->previous = c.thread.filters();
  made->program = std::move(program);
  made->log = flags & SECCOMP_FILTER_FLAG_LOG;
  made->listener = listener;
  if (!(flags & SECCOMP_FILTER_FLAG_TSYNC)) {
    const int64_t fd = listener ? make_listener(flags) : 0;
    if (fd >= 0) c.thread.set_seccomp_mode(SECCOMP_MODE_FILTER, made.release());
    return fd;
  }
  // All threads or none: each must have the same filters as this one or older ones of the same chain.
  int other = 0;
  int64_t result = 0;
  c.process.with_threads([&](std::span<Thread* const> threads) {
    // Not a process that borrows this memory, and none besides itself for one that does.
    auto is_ours = [&](const Thread* each) { return each == &c.thread || (!each->borrows() && !c.thread.borrows()); };
    for (Thread* each : threads) {
      if (each == &c.thread || !is_ours(each) || each->seccomp_mode() == SECCOMP_MODE_DISABLED) continue;
      bool older = false;
      for (const SeccompFilter* f = c.thread.filters(); f && !older; f = f->previous) older = f == each->filters();
      if (each->seccomp_mode() != SECCOMP_MODE_FILTER || !older) {
        other = each->tid();
        return;
      }
    }
    if (listener && (result = make_listener(flags)) < 0) return;
    const SeccompFilter* filter = made.release();
    for (Thread* each : threads)
      if (is_ours(each)) each->set_seccomp_mode(SECCOMP_MODE_FILTER, filter);
  });
  if (!other) return result;
  return flags & SECCOMP_FILTER_FLAG_TSYNC_ESRCH ? -ESRCH : other;
}

int64_t action_available(SyscallCall& c, uint64_t flags, uint64_t address) {
  if (flags) return -EINVAL;
  uint32_t action = 0;
  if (!c.memory.get(address, action)) return -EFAULT;
  switch (action) {
    case SECCOMP_RET_KILL_PROCESS:
    case SECCOMP_RET_KILL_THREAD:
    case SECCOMP_RET_TRAP:
    case SECCOMP_RET_ERRNO:
    case SECCOMP_RET_TRACE:
    case SECCOMP_RET_LOG:
    case SECCOMP_RET_ALLOW:
      return 0;
    case SECCOMP_RET_USER_NOTIF:
      return host_syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, reinterpret_cast<uint64_t>(&action));
    default:
      return -EOPNOTSUPP;
  }
}

}  // namespace

int64_t sys_seccomp(SyscallCall& c) {
  const auto operation = static_cast<unsigned>(c[0]);
  const auto flags = static_cast<uint64_t>(static_cast<uint32_t>(c[1]));
  switch (operation) {
    case SECCOMP_SET_MODE_STRICT:
      return flags || c[2] ? -EINVAL : set_strict(c);
    case SECCOMP_SET_MODE_FILTER:
      return set_filter(c, flags, c[2]);
    case SECCOMP_GET_ACTION_AVAIL:
      return action_available(c, flags, c[2]);
    case SECCOMP_GET_NOTIF_SIZES:
      return pass_on(c);
    default:
      return -EINVAL;
  }
}

bool is_listener_ioctl(uint64_t request) {
  return static_cast<uint32_t>(request) == SECCOMP_IOCTL_NOTIF_RECV ||
         static_cast<uint32_t>(request) == SECCOMP_IOCTL_NOTIF_SEND;
}

int64_t listener_ioctl(SyscallCall& c) {
  if (static_cast<uint32_t>(c[1]) == SECCOMP_IOCTL_NOTIF_RECV) {
    seccomp_notif notification;
    if (!c.memory.get(c[2], notification)) return -EFAULT;
    if (const int64_t failed = c.thread.call_host(SYS_ioctl, c[0], c[1], reinterpret_cast<uint64_t>(&notification));
        failed < 0)
      return failed;
    if ((static_cast<uint32_t>(notification.data.nr) & kNotifyMask) == kNotifyNumber) {
      notification.data.nr &= static_cast<int>(~kNotifyMask);
      notification.data.arch = c.process.abi().audit_arch();
      // The place is in its area, if this process may look there.
      notification.data.instruction_pointer = 0;
      if (const uint64_t area = find_area(static_cast<pid_t>(notification.pid)))
        peer_read(static_cast<pid_t>(notification.pid),
                  area + offsetof(TraceArea, call_info) + offsetof(TraceSyscallInfo, pc),
                  &notification.data.instruction_pointer, sizeof notification.data.instruction_pointer);
    }
    return c.memory.put(c[2], notification) ? 0 : -EFAULT;
  }
  seccomp_notif_resp answer;
  if (!c.memory.get(c[2], answer)) return -EFAULT;
  if (answer.flags == SECCOMP_USER_NOTIF_FLAG_CONTINUE) {
    if (answer.error || answer.val) return -EINVAL;
    answer.flags = 0, answer.error = kGoOn;
  }
  return c.thread.call_host(SYS_ioctl, c[0], c[1], reinterpret_cast<uint64_t>(&answer));
}

int64_t prctl_set_seccomp(SyscallCall& c) {
  if (c[1] == SECCOMP_MODE_STRICT) return set_strict(c);
  if (c[1] == SECCOMP_MODE_FILTER) return set_filter(c, 0, c[2]);
  return -EINVAL;
}
int64_t prctl_get_seccomp(SyscallCall& c) { return c.thread.seccomp_mode(); }

SeccompVerdict run_filters(const SeccompFilter* newest, const SeccompData& data) {
  SeccompVerdict verdict{SECCOMP_RET_ALLOW, 0, nullptr};
  for (const SeccompFilter* each = newest; each; each = each->previous) {
    const uint32_t value = run_bpf(each->program, data);
    const uint32_t action = value & SECCOMP_RET_ACTION_FULL;
    // Signed: KILL_PROCESS is the lowest number and comes first.
    if (static_cast<int32_t>(action) < static_cast<int32_t>(verdict.action))
      verdict = {action, static_cast<uint16_t>(value & SECCOMP_RET_DATA), each};
  }
  return verdict;
}

// ---- before a call of this thread's

bool Thread::set_seccomp_mode(int mode, const SeccompFilter* newest) {
  const int now = seccomp_mode();
  if (now && now != mode) return false;
  filters_.store(newest, std::memory_order_release);
  area_.seccomp_mode = static_cast<uint32_t>(mode), area_.seccomp_filters = 0;
  for (const SeccompFilter* each = newest; each; each = each->previous) ++area_.seccomp_filters;
  seccomp_mode_.store(static_cast<uint8_t>(mode), std::memory_order_release);
  if (mode) area_.watch.fetch_or(kWatchSeccomp, std::memory_order_release);
  return true;
}

static SigInfo killed_by(int signal) {
  SigInfo info;
  info.signo = signal, info.code = SI_KERNEL;
  return info;
}

bool Thread::seccomp_allows(frontend::SyscallRegs& regs, int64_t& result, bool after_tracer) {
  const SyscallRow* row = process_.row(regs.number);
  if (seccomp_mode() == SECCOMP_MODE_STRICT) {
    if (row && (row->id == Sys::read || row->id == Sys::write || row->id == Sys::exit || row->id == Sys::rt_sigreturn))
      return true;
    return end_by_seccomp(SIGKILL), result = kRegistersSet, false;
  }
  SeccompData data{
      static_cast<int32_t>(regs.number), process_.abi().audit_arch(), process_.abi().pc_after_syscall(*block_), {}};
  for (unsigned k = 0; k < 6; ++k) data.args[k] = regs.args[k];
  const SeccompVerdict verdict = run_filters(filters_.load(std::memory_order_acquire), data);
  if (verdict.action == SECCOMP_RET_ALLOW) return true;
  if (verdict.from->log || (verdict.action != SECCOMP_RET_ERRNO && verdict.action != SECCOMP_RET_TRACE &&
                            verdict.action != SECCOMP_RET_TRAP))
    LYRE_GUEST_ERROR("seccomp: system call %d at 0x%llx: action 0x%x\n", data.number,
                     static_cast<unsigned long long>(data.instruction_pointer), verdict.action);
  // Any number may be asked for, ours too (kRestart, kRegistersSet): none is taken for what it means here.
  auto finish = [&](int64_t value) {
    process_.abi().finish_syscall(*block_, value);
    result = kRegistersSet;
    return false;
  };
  switch (verdict.action) {
    case SECCOMP_RET_LOG:
      return true;
    case SECCOMP_RET_ERRNO:
      return finish(-std::min<int64_t>(verdict.data, kMaxErrno));
    case SECCOMP_RET_TRACE:
      if (after_tracer) return true;  // the tracer has had its say
      if (!traced() || !(area_.options & PTRACE_O_TRACESECCOMP)) return result = -ENOSYS, false;  // nobody asks
      // Its answer, and then the filters again, for it may have made another call of it.
      return trace_seccomp(regs, verdict.data, result) && seccomp_allows(regs, result, true);
    case SECCOMP_RET_USER_NOTIF: {
      // Nobody listens, or it is no number that any kernel has.
      if (!verdict.from->listener || (static_cast<uint32_t>(data.number) & kNotifyMask)) return result = -ENOSYS, false;
      area_.call_info.pc = data.instruction_pointer;
      result = call_host(static_cast<long>(kNotifyNumber | (static_cast<uint32_t>(data.number) & ~kNotifyMask)),
                         regs.args[0], regs.args[1], regs.args[2], regs.args[3], regs.args[4], regs.args[5]);
      return result == kGoOn || (result != kRestart && finish(result));
    }
    case SECCOMP_RET_TRAP: {
      process_.abi().finish_syscall(*block_, static_cast<int64_t>(regs.args[0]));
      SigInfo info;
      info.signo = SIGSYS, info.code = kSiCodeSeccomp, info.error = verdict.data;
      info.rest[0] = data.instruction_pointer;
      info.rest[1] = static_cast<uint32_t>(data.number) | uint64_t{data.arch} << 32;
      deliver(info, true);
      set_mask(mask_);
      return result = kRegistersSet, false;
    }
    case SECCOMP_RET_KILL_THREAD:
      if (!borrows_ && process_.thread_count() > 1) return end_by_seccomp(SIGSYS), result = kRegistersSet, false;
      [[fallthrough]];
    default:  // KILL_PROCESS, and what nobody knows
      die_by_signal(killed_by(SIGSYS));
  }
}

// This thread alone ends; the last one takes the process along, as killed.
void Thread::end_by_seccomp(int signal) {
  if (borrows_ || process_.thread_count() == 1) die_by_signal(killed_by(signal));
  end(0);
}

// ---- across exec

namespace {
struct SavedHead {
  uint64_t magic;
  uint32_t count;
  uint16_t log, listener;
};
constexpr uint64_t kMagic = 0x6c797265'73656363;
}  // namespace

int save_filters(const SeccompFilter* newest) {
  if (!newest) return -1;
  std::vector<const SeccompFilter*> chain;
  for (; newest; newest = newest->previous) chain.push_back(newest);
  std::vector<char> bytes;
  auto append = [&](const void* from, size_t count) {
    const auto* first = static_cast<const char*>(from);
    bytes.insert(bytes.end(), first, first + count);
  };
  for (auto each = chain.rbegin(); each != chain.rend(); ++each) {
    const SavedHead head{kMagic, static_cast<uint32_t>((*each)->program.size()), (*each)->log, (*each)->listener};
    append(&head, sizeof head);
    append((*each)->program.data(), (*each)->program.size() * sizeof(BpfInstruction));
  }
  const int low = memfd_create("filters", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (low < 0) return -2;
  const int fd = raise_file(low);
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t wrote = write(fd, bytes.data() + done, bytes.size() - done);
    if (wrote <= 0) return close(fd), -2;
    done += static_cast<size_t>(wrote);
  }
  if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) return close(fd), -2;
  return fd;
}

bool load_filters(int fd, const SeccompFilter*& newest) {
  const bool sealed = fcntl(fd, F_GET_SEALS) >= 0 && (fcntl(fd, F_GET_SEALS) & F_SEAL_WRITE);
  bool good = sealed;
  off_t at = 0;
  const SeccompFilter* chain = nullptr;
  SavedHead head{};
  for (ssize_t got; good && (got = pread(fd, &head, sizeof head, at)) != 0;
       at += static_cast<off_t>(head.count * sizeof(BpfInstruction))) {
    good = got == sizeof head && head.magic == kMagic && head.count && head.count <= kBpfMaxInstructions;
    if (!good) break;
    at += static_cast<off_t>(sizeof head);
    auto made = std::make_unique<SeccompFilter>();
    made->program.resize(head.count);
    made->log = head.log, made->listener = head.listener;
    made->previous = chain;
    const size_t bytes = head.count * sizeof(BpfInstruction);
    good = pread(fd, made->program.data(), bytes, at) == static_cast<ssize_t>(bytes) && bpf_is_valid(made->program);
    if (good) chain = made.release();
  }
  close(fd);
  if (good && chain) newest = chain;
  return good && chain;
}

}  // namespace lyre::linux_user
