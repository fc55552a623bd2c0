// System calls on open descriptors: reading and writing, polling, epoll, ioctl, asynchronous I/O. The emulator's own
// descriptors are not the guest's to close: to it they are not open.
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>

#include <algorithm>

#include "runtime/linux/mem_files.h"
#include "runtime/linux/own_files.h"
#include "runtime/linux/proc_names.h"
#include "runtime/linux/safe_syscall.h"
#include "runtime/linux/seccomp.h"
#include "runtime/linux/syscall.h"

namespace lyre::linux_user {
namespace {

int64_t sys_close(SyscallCall& c) { return is_own_file(c.i(0)) ? -EBADF : pass_on(c); }
int64_t sys_dup3(SyscallCall& c) { return is_own_file(c.i(0)) || is_own_file(c.i(1)) ? -EBADF : pass_on(c); }

// The ranges between our own.
int64_t sys_close_range(SyscallCall& c) {
  auto first = static_cast<unsigned>(c[0]);
  const auto last = static_cast<unsigned>(c[1]);
  if (first > last) return -EINVAL;
  int64_t result = 0;
  for (const int own : own_files()) {
    const auto middle = static_cast<unsigned>(own);
    if (middle < first || middle > last) continue;
    if (first < middle) result = host_syscall(SYS_close_range, first, middle - 1, c[2]);
    if (result != 0 || middle == last) return result;
    first = middle + 1;
  }
  return host_syscall(SYS_close_range, first, last, c[2]);
}

int64_t sys_ioctl(SyscallCall& c) { return is_listener_ioctl(c[1]) ? listener_ioctl(c) : pass_on(c); }

int64_t sys_getdents64(SyscallCall& c) {
  for (;;) {
    const int64_t bytes = pass_on(c);
    if (bytes <= 0) return bytes;
    // None left is no end: the next ones are asked for.
    if (const int64_t left = hide_own_descriptors(c.process, c.i(0), c[1], bytes)) return left;
  }
}

// struct epoll_event is packed on x86-64 and nowhere else.
struct GenericEvent {
  uint32_t events, pad;
  uint64_t data;
};

int64_t sys_epoll_ctl(SyscallCall& c) {
  epoll_event host{};
  if (c.i(1) != EPOLL_CTL_DEL) {
    GenericEvent guest{};
    if (!c.memory.get(c[3], guest)) return -EFAULT;
    host.events = guest.events, host.data.u64 = guest.data;
  }
  return host_syscall(SYS_epoll_ctl, c[0], c[1], c[2], reinterpret_cast<uint64_t>(&host));
}

// The mask under which a call waits, noted for handlers that end it. False: it can not be read.
bool note_mask(SyscallCall& c, uint64_t address) {
  uint64_t mask = 0;
  if (!address) return true;
  if (!c.memory.get(address, mask)) return false;
  c.thread.set_call_mask(mask);
  return true;
}

int64_t wait_for_events(SyscallCall& c, long number) {
  const int wanted = c.i(2);
  if (wanted <= 0 || wanted > (1 << 24)) return -EINVAL;
  const uint64_t top = c.memory.space().top();
  if (c[1] >= top || static_cast<uint64_t>(wanted) * sizeof(GenericEvent) > top - c[1]) return -EFAULT;
  if (!note_mask(c, c[4])) return -EFAULT;
  // As many as a sensible caller asks for at once.
  epoll_event host[256];
  const auto room = static_cast<uint64_t>(std::min(wanted, 256));
  const int64_t count = c.thread.call_host(number, c[0], reinterpret_cast<uint64_t>(host), room, c[3], c[4], c[5]);
  for (int64_t k = 0; k < count; ++k) {
    const GenericEvent guest{host[k].events, 0, host[k].data.u64};
    if (!c.memory.put(c[1] + static_cast<uint64_t>(k) * sizeof guest, guest)) return -EFAULT;
  }
  return count;
}
int64_t sys_epoll_pwait(SyscallCall& c) { return wait_for_events(c, SYS_epoll_pwait); }
int64_t sys_epoll_pwait2(SyscallCall& c) { return wait_for_events(c, host_number(Sys::epoll_pwait2)); }

int64_t sys_ppoll(SyscallCall& c) {
  if (!note_mask(c, c[3])) return -EFAULT;
  c.memory.space().about_to_write(c[0], 8 * std::min<uint64_t>(c[1], 4096));
  return pass_on(c);
}
int64_t sys_pselect6(SyscallCall& c) {
  uint64_t mask[2];
  if (c[5]) {
    if (!c.memory.get(c[5], mask)) return -EFAULT;
    if (!note_mask(c, mask[0])) return -EFAULT;
  }
  return pass_on(c);
}

using Row = SyscallRow;
constexpr Row kRows[] = {
    Row::pass(Sys::read, "fWu"),
    Row::convert(Sys::write, "fbu", sys_write),
    Row::pass(Sys::readv, "fVu"),
    Row::convert(Sys::writev, "fvu", sys_writev),
    Row::pass(Sys::pread64, "fWux"),
    Row::convert(Sys::pwrite64, "fbux", sys_pwrite64),
    Row::pass(Sys::preadv, "fVuxx"),
    Row::convert(Sys::pwritev, "fvuxx", sys_pwritev),
    Row::pass(Sys::preadv2, "fVuxxx"),
    Row::convert(Sys::pwritev2, "fvuxxx", sys_pwritev),
    Row::pass(Sys::lseek, "fdd"),
    Row::convert(Sys::close, "f", sys_close),
    Row::convert(Sys::close_range, "uux", sys_close_range),
    Row::pass(Sys::dup, "f"),
    Row::convert(Sys::dup3, "ffx", sys_dup3),
    Row::pass(Sys::fcntl, "fdw"),
    Row::convert(Sys::ioctl, "fxw", sys_ioctl),
    Row::pass(Sys::flock, "fx"),
    Row::pass(Sys::ftruncate, "fu"),
    Row::pass(Sys::fallocate, "fxuu"),
    Row::pass(Sys::fsync, "f"),
    Row::pass(Sys::fdatasync, "f"),
    Row::pass(Sys::sync_file_range, "fuux"),
    Row::pass(Sys::fadvise64, "fuud"),
    Row::pass(Sys::readahead, "fuu"),
    Row::convert(Sys::getdents64, "fWu", sys_getdents64),
    Row::pass(Sys::pipe2, "wx"),
    Row::pass(Sys::sendfile, "ffwu"),
    Row::pass(Sys::splice, "fwfwux"),
    Row::pass(Sys::tee, "ffux"),
    Row::pass(Sys::vmsplice, "fvux"),
    Row::pass(Sys::copy_file_range, "fwfwux"),
    Row::pass(Sys::cachestat, "fpwx"),
    Row::pass(Sys::eventfd2, "ux"),
    Row::pass(Sys::epoll_create1, "x"),
    Row::convert(Sys::epoll_ctl, "fdfp", sys_epoll_ctl),
    Row::convert(Sys::epoll_pwait, "fpddpu", sys_epoll_pwait),
    Row::convert(Sys::epoll_pwait2, "fpdppu", sys_epoll_pwait2),
    Row::convert(Sys::ppoll, "puppu", sys_ppoll),
    Row::convert(Sys::pselect6, "dwwwpp", sys_pselect6),
    Row::pass(Sys::io_setup, "uw"),
    Row::pass(Sys::io_destroy, "x"),
    Row::pass(Sys::io_submit, "xdp"),
    Row::pass(Sys::io_cancel, "xpw"),
    Row::pass(Sys::io_getevents, "xddpp"),
    Row::pass(Sys::io_pgetevents, "xddppp"),
};

}  // namespace

std::span<const SyscallRow> descriptor_syscalls() { return kRows; }

}  // namespace lyre::linux_user
