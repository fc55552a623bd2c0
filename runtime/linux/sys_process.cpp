// System calls about processes and threads: creating, executing, ending, waiting, identities, limits, scheduling.
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>

#include "runtime/linux/clone.h"
#include "runtime/linux/debugger.h"
#include "runtime/linux/exec.h"
#include "runtime/linux/limits.h"
#include "runtime/linux/safe_syscall.h"
#include "runtime/linux/seccomp.h"
#include "runtime/linux/syscall.h"
#include "runtime/linux/tracer.h"

namespace lyre::linux_user {
namespace {

// clone(flags, stack, parent_tid, tls, child_tid): the order of CONFIG_CLONE_BACKWARDS, which riscv has.
int64_t sys_clone(SyscallCall& c) {
  CloneRequest request;
  request.flags = c[0] & 0xffffff00u & ~uint64_t{CLONE_DETACHED};
  request.exit_signal = static_cast<int>(c[0] & 0xff);
  request.stack = c[1], request.parent_tid = c[2], request.tls = c[3], request.child_tid = c[4];
  request.pidfd = c[2];  // clone has one place for both
  if ((request.flags & CLONE_PIDFD) && (request.flags & CLONE_PARENT_SETTID)) return -EINVAL;
  return do_clone(c, request);
}

// struct clone_args (linux/sched.h): 8 words in its first version, then set_tid and its size, then cgroup.
int64_t sys_clone3(SyscallCall& c) {
  uint64_t words[11] = {};
  if (c[1] < 64) return -EINVAL;
  if (c[1] > 4096) return -E2BIG;
  const size_t bytes = std::min<size_t>(c[1], sizeof words);
  if (!c.memory.read(c[0], words, bytes)) return -EFAULT;
  for (uint64_t at = sizeof words; at < c[1]; ++at) {
    uint8_t more = 0;
    if (!c.memory.get(c[0] + at, more)) return -EFAULT;
    if (more) return -E2BIG;
  }
  CloneRequest request;
  request.flags = words[0], request.pidfd = words[1], request.child_tid = words[2], request.parent_tid = words[3];
  if (words[4] & ~uint64_t{0xff}) return -EINVAL;
  request.exit_signal = static_cast<int>(words[4]);
  if (request.flags & (CLONE_DETACHED | 0xff)) return -EINVAL;
  if ((request.flags & (CLONE_THREAD | CLONE_PARENT)) && request.exit_signal) return -EINVAL;
  if ((words[5] != 0) != (words[6] != 0)) return -EINVAL;
  request.stack = words[5] + words[6], request.tls = words[7];
  if (words[8] || words[9]) return -EPERM;  // chosen process numbers need rights in every namespace
  request.cgroup = words[10];
  return do_clone(c, request);
}

int64_t sys_exit(SyscallCall& c) { return do_exit(c); }
int64_t sys_exit_group(SyscallCall& c) {
  if (c.thread.debugger()) c.thread.debugger()->exits(c.i(0));
  return host_syscall(SYS_exit_group, c[0]);
}

int64_t sys_execve(SyscallCall& c) {
  auto path = c.memory.text(c[0]);
  return path ? do_exec(c, AT_FDCWD, *path, c[1], c[2], 0) : -EFAULT;
}
int64_t sys_execveat(SyscallCall& c) {
  auto path = c.memory.text(c[1]);
  return path ? do_exec(c, c.i(0), *path, c[2], c[3], c.i(4)) : -EFAULT;
}

int64_t sys_set_tid_address(SyscallCall& c) {
  if (c.thread.borrows()) return pass_on(c);
  c.thread.clear_child_tid = c[0];
  return host_syscall(SYS_gettid);
}

// What is about the machine's own registers or about memory that is not the guest's is answered here.
int64_t sys_prctl(SyscallCall& c) {
  switch (c.i(0)) {
    case PR_SET_PDEATHSIG:
    case PR_GET_PDEATHSIG:
    case PR_GET_DUMPABLE:
    case PR_SET_DUMPABLE:
    case PR_GET_KEEPCAPS:
    case PR_SET_KEEPCAPS:
    case PR_SET_NAME:
    case PR_GET_NAME:
    case PR_CAPBSET_READ:
    case PR_CAPBSET_DROP:
    case PR_GET_SECUREBITS:
    case PR_SET_SECUREBITS:
    case PR_SET_TIMERSLACK:
    case PR_GET_TIMERSLACK:
    case PR_SET_CHILD_SUBREAPER:
    case PR_GET_CHILD_SUBREAPER:
    case PR_SET_NO_NEW_PRIVS:
    case PR_GET_NO_NEW_PRIVS:
    case PR_GET_TID_ADDRESS:
    case PR_SET_THP_DISABLE:
    case PR_GET_THP_DISABLE:
    case PR_CAP_AMBIENT:
    case PR_SET_PTRACER:
    case PR_MCE_KILL:
    case PR_MCE_KILL_GET:
    case PR_TASK_PERF_EVENTS_DISABLE:
    case PR_TASK_PERF_EVENTS_ENABLE:
    case PR_SET_IO_FLUSHER:
    case PR_GET_IO_FLUSHER:
    case 0x53564d41 /* PR_SET_VMA */:
      if (c.i(0) == PR_GET_TID_ADDRESS) return c.memory.put(c[1], c.thread.clear_child_tid) ? 0 : -EFAULT;
      return pass_on(c);
    case PR_GET_SECCOMP:
      return prctl_get_seccomp(c);
    case PR_SET_SECCOMP:
      return prctl_set_seccomp(c);
    default:
      return -EINVAL;  // other processors' and 6.12's own answer for what it does not know
  }
}

int64_t own_limit(SyscallCall& c, int resource, uint64_t new_limit, uint64_t old_limit) {
  Limits& limits = c.thread.limits();
  const rlimit before = limits.get(resource);
  if (new_limit) {
    rlimit wanted;
    if (!c.memory.get(new_limit, wanted)) return -EFAULT;
    if (const int64_t refused = limits.set(resource, wanted)) return refused;
  }
  return !old_limit || c.memory.put(old_limit, before) ? 0 : -EFAULT;
}

int64_t sys_getrlimit(SyscallCall& c) {
  if (!c[1]) return -EFAULT;
  return Limits::holds(c.i(0)) ? own_limit(c, c.i(0), 0, c[1]) : pass_on(c);
}
int64_t sys_setrlimit(SyscallCall& c) {
  if (!c[1]) return -EFAULT;
  return Limits::holds(c.i(0)) ? own_limit(c, c.i(0), c[1], 0) : pass_on(c);
}
// Another process's are the host's business, but for those that would limit an emulator.
int64_t sys_prlimit64(SyscallCall& c) {
  if (!Limits::holds(c.i(1))) return pass_on(c);
  if (c.i(0) == 0 || c.i(0) == getpid()) return own_limit(c, c.i(1), c[2], c[3]);
  return c[2] ? -EPERM : pass_on(c);
}

// The host's personality bits for layout would change the emulator's: the guest's are kept, for it to read. Its domain is always plain Linux.
std::atomic<uint32_t> g_personality{0};
int64_t sys_personality(SyscallCall& c) {
  const auto wanted = static_cast<uint32_t>(c[0]);
  if (wanted == 0xffffffff) return g_personality;
  return (wanted & 0xff) == 0 ? g_personality.exchange(wanted) : -EINVAL;
}

using Row = SyscallRow;
constexpr Row kRows[] = {
    Row::emulate(Sys::clone, "xpwpw", sys_clone),
    Row::emulate(Sys::clone3, "pu", sys_clone3),
    Row::emulate(Sys::execve, "spp", sys_execve),
    Row::emulate(Sys::execveat, "Fsppx", sys_execveat),
    Row::emulate(Sys::exit, "d", sys_exit),
    Row::emulate(Sys::exit_group, "d", sys_exit_group),
    Row::emulate(Sys::set_tid_address, "p", sys_set_tid_address),
    Row::emulate(Sys::prctl, "dxxxx", sys_prctl),
    Row::emulate(Sys::getrlimit, "dw", sys_getrlimit),
    Row::emulate(Sys::setrlimit, "dp", sys_setrlimit),
    Row::emulate(Sys::prlimit64, "ddpw", sys_prlimit64),
    Row::emulate(Sys::personality, "x", sys_personality),
    Row::convert(Sys::wait4, "dwxw", sys_wait4),
    Row::convert(Sys::waitid, "ddwxw", sys_waitid),
    Row::pass(Sys::futex, "pdupxu"),
    Row::pass(Sys::futex_waitv, "puxpd"),
    Row::pass(Sys::futex_wake, "puux"),
    Row::pass(Sys::futex_wait, "puuxpd"),
    Row::pass(Sys::futex_requeue, "puuu"),
    Row::pass(Sys::set_robust_list, "pu"),
    Row::pass(Sys::get_robust_list, "dww"),
    Row::pass(Sys::getpid, ""),
    Row::pass(Sys::getppid, ""),
    Row::pass(Sys::gettid, ""),
    Row::pass(Sys::getuid, ""),
    Row::pass(Sys::geteuid, ""),
    Row::pass(Sys::getgid, ""),
    Row::pass(Sys::getegid, ""),
    Row::pass(Sys::setuid, "d"),
    Row::pass(Sys::setgid, "d"),
    Row::pass(Sys::setreuid, "dd"),
    Row::pass(Sys::setregid, "dd"),
    Row::pass(Sys::setresuid, "ddd"),
    Row::pass(Sys::getresuid, "www"),
    Row::pass(Sys::setresgid, "ddd"),
    Row::pass(Sys::getresgid, "www"),
    Row::pass(Sys::setfsuid, "d"),
    Row::pass(Sys::setfsgid, "d"),
    Row::pass(Sys::setpgid, "dd"),
    Row::pass(Sys::getpgid, "d"),
    Row::pass(Sys::getsid, "d"),
    Row::pass(Sys::setsid, ""),
    Row::pass(Sys::getgroups, "dw"),
    Row::pass(Sys::setgroups, "dp"),
    Row::pass(Sys::capget, "ww"),
    Row::pass(Sys::capset, "pp"),
    Row::pass(Sys::getrusage, "dw"),
    Row::pass(Sys::getcpu, "ww"),
    Row::pass(Sys::getpriority, "dd"),
    Row::pass(Sys::setpriority, "ddd"),
    Row::pass(Sys::sched_yield, ""),
    Row::pass(Sys::sched_setparam, "dp"),
    Row::pass(Sys::sched_getparam, "dw"),
    Row::pass(Sys::sched_setscheduler, "ddp"),
    Row::pass(Sys::sched_getscheduler, "d"),
    Row::pass(Sys::sched_setaffinity, "dup"),
    Row::pass(Sys::sched_getaffinity, "duw"),
    Row::pass(Sys::sched_get_priority_max, "d"),
    Row::pass(Sys::sched_get_priority_min, "d"),
    Row::pass(Sys::sched_rr_get_interval, "dw"),
    Row::pass(Sys::sched_setattr, "dpx"),
    Row::pass(Sys::sched_getattr, "dwux"),
    Row::pass(Sys::ioprio_set, "ddd"),
    Row::pass(Sys::ioprio_get, "dd"),
    Row::pass(Sys::unshare, "x"),
    Row::pass(Sys::setns, "fx"),
    Row::pass(Sys::pidfd_open, "dx"),
    Row::pass(Sys::pidfd_getfd, "ffx"),
    Row::pass(Sys::kcmp, "ddduu"),
    Row::pass(Sys::process_vm_readv, "dVupux"),
    Row::pass(Sys::process_vm_writev, "dvupux"),
    Row::convert(Sys::ptrace, "xdpp", sys_ptrace),
    Row::none(Sys::rseq, "puxx",
              "a sequence that is interrupted can not be restarted at its abort address from translated code yet"),
    Row::emulate(Sys::seccomp, "dxp", sys_seccomp),
};

}  // namespace

std::span<const SyscallRow> process_syscalls() { return kRows; }

}  // namespace lyre::linux_user
