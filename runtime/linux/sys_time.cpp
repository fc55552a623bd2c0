// System calls about time. Structures of 64-bit guests are the host's.
#include <errno.h>

#include "runtime/linux/syscall.h"

namespace lyre::linux_user {
namespace {

using Row = SyscallRow;
constexpr Row kRows[] = {
    Row::pass(Sys::clock_gettime, "dw"),
    Row::pass(Sys::clock_settime, "dp"),
    Row::pass(Sys::clock_getres, "dw"),
    Row::pass(Sys::clock_nanosleep, "dxpw"),
    Row::pass(Sys::clock_adjtime, "dw"),
    Row::pass(Sys::nanosleep, "pw"),
    Row::pass(Sys::gettimeofday, "ww"),
    Row::pass(Sys::settimeofday, "pp"),
    Row::pass(Sys::adjtimex, "w"),
    Row::pass(Sys::times, "w"),
    Row::pass(Sys::getitimer, "dw"),
    Row::pass(Sys::setitimer, "dpw"),
    Row::pass(Sys::timer_create, "dpw"),
    Row::pass(Sys::timer_gettime, "dw"),
    Row::pass(Sys::timer_getoverrun, "d"),
    Row::pass(Sys::timer_settime, "dxpw"),
    Row::pass(Sys::timer_delete, "d"),
    Row::pass(Sys::timerfd_create, "dx"),
    Row::pass(Sys::timerfd_settime, "fxpw"),
    Row::pass(Sys::timerfd_gettime, "fw"),
    Row::none(Sys::restart_syscall, "",
              "calls that the kernel would restart this way end with EINTR here, as they do when a handler has run"),
};

}  // namespace

std::span<const SyscallRow> time_syscalls() { return kRows; }

}  // namespace lyre::linux_user
