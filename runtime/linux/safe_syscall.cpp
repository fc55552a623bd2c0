#include "runtime/linux/safe_syscall.h"

#include <ucontext.h>

// rdi = pending, rsi = number, rdx, rcx, r8, r9, [rsp + 8], [rsp + 16] = arguments. The registers that the kernel takes
// are loaded before the test, so that between test and `syscall` there is nothing; from _begin to _call inclusive the
// handler sends the thread to _interrupted.
asm(R"(
  .pushsection .text
  .type lyre_interruptible_syscall, @function
lyre_interruptible_syscall:
  push %rbx
  mov %rdi, %rbx
  mov %rsi, %rax
  mov %rdx, %rdi
  mov %rcx, %rsi
  mov %r8, %rdx
  mov %r9, %r10
  mov 16(%rsp), %r8
  mov 24(%rsp), %r9
lyre_syscall_begin:
  cmpl $0, (%rbx)
  jne lyre_syscall_interrupted
lyre_syscall_call:
  syscall
  pop %rbx
  ret
lyre_syscall_interrupted:
  mov $-512, %rax
  pop %rbx
  ret
  .popsection
)");

extern "C" {
int64_t lyre_interruptible_syscall(const volatile int*, long, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
                                   uint64_t) noexcept;
extern const char lyre_syscall_begin[] __attribute__((visibility("hidden")));
extern const char lyre_syscall_call[] __attribute__((visibility("hidden")));
extern const char lyre_syscall_interrupted[] __attribute__((visibility("hidden")));
}

namespace lyre::linux_user {

int64_t host_syscall(long number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f) noexcept {
  int64_t result;
  register uint64_t r10 asm("r10") = d;
  register uint64_t r8 asm("r8") = e;
  register uint64_t r9 asm("r9") = f;
  asm volatile("syscall"
               : "=a"(result)
               : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
               : "rcx", "r11", "memory");
  return result;
}

int64_t interruptible_syscall(const volatile int* pending, long number, uint64_t a, uint64_t b, uint64_t c, uint64_t d,
                              uint64_t e, uint64_t f) noexcept {
  return lyre_interruptible_syscall(pending, number, a, b, c, d, e, f);
}

SafeCallPlaces safe_call_places() noexcept {
  return {reinterpret_cast<uint64_t>(lyre_syscall_begin), reinterpret_cast<uint64_t>(lyre_syscall_call),
          reinterpret_cast<uint64_t>(lyre_syscall_interrupted)};
}

void restart_if_before_syscall(void* context) noexcept {
  greg_t& rip = static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_RIP];
  if (rip >= reinterpret_cast<greg_t>(lyre_syscall_begin) && rip <= reinterpret_cast<greg_t>(lyre_syscall_call))
    rip = reinterpret_cast<greg_t>(lyre_syscall_interrupted);
}

}  // namespace lyre::linux_user
