// System calls about sockets. asm-generic guests have the host's numbers for families, options and messages.
#include <errno.h>

#include "runtime/linux/syscall.h"

namespace lyre::linux_user {
namespace {

// struct msghdr: name, name length, iovec, count, control, control length, flags. What the kernel will write gives its
// code pages back first.
int64_t sys_recvmsg(SyscallCall& c) {
  uint64_t header[7];
  if (c.memory.get(c[1], header)) {
    AddressSpace& space = c.memory.space();
    space.about_to_write(c[1], sizeof header);
    space.about_to_write(header[0], header[1] & 0xffffffff);
    space.about_to_write(header[4], header[5]);
    for (uint64_t k = 0; k < header[3] && k < 1024; ++k) {
      uint64_t each[2];
      if (!c.memory.get(header[2] + 16 * k, each)) break;
      space.about_to_write(each[0], each[1]);
    }
  }
  return pass_on(c);
}

using Row = SyscallRow;
constexpr Row kRows[] = {
    Row::pass(Sys::socket, "ddd"),       Row::pass(Sys::socketpair, "dddw"),
    Row::pass(Sys::bind, "fpu"),         Row::pass(Sys::listen, "fd"),
    Row::pass(Sys::accept, "fww"),       Row::pass(Sys::accept4, "fwwx"),
    Row::pass(Sys::connect, "fpu"),      Row::pass(Sys::getsockname, "fww"),
    Row::pass(Sys::getpeername, "fww"),  Row::pass(Sys::sendto, "fbuxpu"),
    Row::pass(Sys::recvfrom, "fWuxww"),  Row::pass(Sys::setsockopt, "fddpu"),
    Row::pass(Sys::getsockopt, "fddww"), Row::pass(Sys::shutdown, "fd"),
    Row::pass(Sys::sendmsg, "fpx"),      Row::convert(Sys::recvmsg, "fpx", sys_recvmsg),
    Row::pass(Sys::sendmmsg, "fwux"),    Row::pass(Sys::recvmmsg, "fwuxw"),
};

}  // namespace

std::span<const SyscallRow> network_syscalls() { return kRows; }

}  // namespace lyre::linux_user
