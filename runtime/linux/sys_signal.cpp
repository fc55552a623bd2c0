// System calls about signals. Numbers, sets and siginfo are the host's; dispositions are kept here and followed by the
// host's.
#include <errno.h>
#include <signal.h>

#include "runtime/linux/safe_syscall.h"
#include "runtime/linux/syscall.h"

namespace lyre::linux_user {
namespace {

// struct sigaction of the generic ABI without SA_RESTORER.
struct GuestAction {
  uint64_t handler, flags, mask;
};

int64_t sys_rt_sigaction(SyscallCall& c) {
  const int signal = c.i(0);
  if (c[3] != sizeof(uint64_t)) return -EINVAL;
  if (signal < 1 || signal > static_cast<int>(kSignals)) return -EINVAL;
  GuestAction wanted{};
  if (c[1]) {
    if (signal == SIGKILL || signal == SIGSTOP) return -EINVAL;
    if (!c.memory.get(c[1], wanted)) return -EFAULT;
  }
  SignalTable& table = c.thread.signals();
  GuestAction before{};
  {
    std::lock_guard lock(table.mutex);
    SignalTable::Action& entry = table.actions[signal];
    before = {entry.handler, entry.flags, entry.mask};
    if (c[1]) {
      entry = {wanted.handler, wanted.flags, wanted.mask};
      if (const int64_t failed = set_host_action(signal, entry)) {
        entry = {before.handler, before.flags, before.mask};
        return failed;
      }
    }
  }
  if (c[2] && !c.memory.put(c[2], before)) return -EFAULT;
  return 0;
}

int64_t sys_rt_sigprocmask(SyscallCall& c) {
  if (c[3] != sizeof(uint64_t)) return -EINVAL;
  const uint64_t before = c.thread.mask();
  uint64_t wanted = before;
  if (c[1]) {
    uint64_t set = 0;
    if (!c.memory.get(c[1], set)) return -EFAULT;
    switch (c.i(0)) {
      case SIG_BLOCK:
        wanted |= set;
        break;
      case SIG_UNBLOCK:
        wanted &= ~set;
        break;
      case SIG_SETMASK:
        wanted = set;
        break;
      default:
        return -EINVAL;
    }
  }
  if (c[2] && !c.memory.put(c[2], before)) return -EFAULT;
  if (c[1]) c.thread.set_mask(wanted);
  return 0;
}

int64_t sys_rt_sigsuspend(SyscallCall& c) {
  if (c[1] != sizeof(uint64_t)) return -EINVAL;
  uint64_t set = 0;
  if (!c.memory.get(c[0], set)) return -EFAULT;
  c.thread.set_call_mask(set);
  return c.thread.call_host(host_number(Sys::rt_sigsuspend), reinterpret_cast<uint64_t>(&set), sizeof set);
}

int64_t sys_sigaltstack(SyscallCall& c) { return c.thread.sigaltstack(c[0], c[1]); }
int64_t sys_rt_sigreturn(SyscallCall& c) { return c.thread.sigreturn(); }

using Row = SyscallRow;
constexpr Row kRows[] = {
    Row::emulate(Sys::rt_sigaction, "gpwu", sys_rt_sigaction),
    Row::emulate(Sys::rt_sigprocmask, "dpwu", sys_rt_sigprocmask),
    Row::convert(Sys::rt_sigsuspend, "pu", sys_rt_sigsuspend),
    Row::emulate(Sys::sigaltstack, "pw", sys_sigaltstack),
    Row::emulate(Sys::rt_sigreturn, "", sys_rt_sigreturn),
    Row::pass(Sys::rt_sigpending, "wu"),
    Row::pass(Sys::rt_sigtimedwait, "pwpu"),
    Row::pass(Sys::rt_sigqueueinfo, "dgp"),
    Row::pass(Sys::rt_tgsigqueueinfo, "ddgp"),
    Row::pass(Sys::kill, "dg"),
    Row::pass(Sys::tkill, "dg"),
    Row::pass(Sys::tgkill, "ddg"),
    Row::pass(Sys::signalfd4, "fpux"),
    Row::pass(Sys::pidfd_send_signal, "fgpx"),
};

}  // namespace

std::span<const SyscallRow> signal_syscalls() { return kRows; }

}  // namespace lyre::linux_user
