// System V and POSIX inter-process communication.
#include <errno.h>
#include <string.h>
#include <sys/sem.h>

#include "runtime/linux/safe_syscall.h"
#include "runtime/linux/syscall.h"

namespace lyre::linux_user {
namespace {

// struct semid64_ds of asm-generic has no holes beside its times, the host's has (asm-generic/sembuf.h, x86's
// asm/sembuf.h).
struct GenericSemaphores {
  uint8_t permissions[48];
  int64_t operated, changed;
  uint64_t count, unused[2];
};
struct HostSemaphores {
  uint8_t permissions[48];
  int64_t operated, hole1, changed, hole2;
  uint64_t count, unused[2];
};

int64_t sys_semctl(SyscallCall& c) {
  const int command = c.i(2);
  const int plain = command & ~0x100;  // IPC_64
  const long number = host_number(Sys::semctl);
  if (plain != IPC_STAT && plain != IPC_SET && plain != SEM_STAT && plain != 20 /* SEM_STAT_ANY */) return pass_on(c);
  HostSemaphores host{};
  GenericSemaphores guest{};
  if (plain == IPC_SET) {
    if (!c.memory.get(c[3], guest)) return -EFAULT;
    static_assert(sizeof host.permissions == sizeof guest.permissions);
    memcpy(host.permissions, guest.permissions, sizeof host.permissions);
  }
  const int64_t result = host_syscall(number, c[0], c[1], c[2], reinterpret_cast<uint64_t>(&host));
  if (result < 0 || plain == IPC_SET) return result;
  memcpy(guest.permissions, host.permissions, sizeof guest.permissions);
  guest.operated = host.operated, guest.changed = host.changed, guest.count = host.count;
  return c.memory.put(c[3], guest) ? result : -EFAULT;
}

using Row = SyscallRow;
constexpr Row kRows[] = {
    Row::pass(Sys::msgget, "xx"),          Row::pass(Sys::msgctl, "ddw"),
    Row::pass(Sys::msgrcv, "dWudx"),       Row::pass(Sys::msgsnd, "dbux"),
    Row::pass(Sys::semget, "xdx"),         Row::convert(Sys::semctl, "dddx", sys_semctl),
    Row::pass(Sys::semop, "dpu"),          Row::pass(Sys::semtimedop, "dpup"),
    Row::pass(Sys::shmget, "xux"),         Row::pass(Sys::shmctl, "ddw"),
    Row::pass(Sys::mq_open, "txop"),       Row::pass(Sys::mq_unlink, "t"),
    Row::pass(Sys::mq_timedsend, "fbuup"), Row::pass(Sys::mq_timedreceive, "fWuwp"),
    Row::pass(Sys::mq_notify, "fp"),       Row::pass(Sys::mq_getsetattr, "fpw"),
};

}  // namespace

std::span<const SyscallRow> ipc_syscalls() { return kRows; }

}  // namespace lyre::linux_user
