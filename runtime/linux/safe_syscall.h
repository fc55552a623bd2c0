// Host system calls for the guest. A signal for the guest that arrives before the kernel has been entered is not lost:
// the call is then not made, and kRestart is returned; the same when the kernel itself would start the call again after
// a handler. Threads: any.
#pragma once
#include <cstdint>

namespace lyre::linux_user {

// "Execute the guest's instruction again once signals have been delivered": no errno has this value (the kernel's
// ERESTARTSYS).
inline constexpr int64_t kRestart = -512;

// Any system call, at once; -errno on failure.
int64_t host_syscall(long number, uint64_t a = 0, uint64_t b = 0, uint64_t c = 0, uint64_t d = 0, uint64_t e = 0,
                     uint64_t f = 0) noexcept;

// The same, unless `*pending` is nonzero when the kernel would be entered: kRestart.
int64_t interruptible_syscall(const volatile int* pending, long number, uint64_t a, uint64_t b, uint64_t c, uint64_t d,
                              uint64_t e, uint64_t f) noexcept;

// Where interruptible_syscall() looks at `pending` for the last time, its `syscall` instruction, and where it gives up.
struct SafeCallPlaces {
  uint64_t begin, call, interrupted;
};
SafeCallPlaces safe_call_places() noexcept;

// For the signal handler: the call that `context` was interrupted in has not been made yet; it now returns kRestart.
void restart_if_before_syscall(void* context) noexcept;

}  // namespace lyre::linux_user
