#include "runtime/base/guarded.h"

#include <ucontext.h>

#if !defined(__x86_64__)
#error "guarded access is written for x86-64 hosts"
#endif

// System V calls: rdi, rsi, rdx, rcx; result in rax. Each routine registers the instructions that may fault and where
// to go on from there: two distances from the table's own place, so that the table needs no relocation.
asm(R"(
  .pushsection .rodata.lyre_guard, "a"
  .balign 4
lyre_guard_table:
  .popsection
  .macro lyre_guard from, to, out
  .pushsection .rodata.lyre_guard, "a"
  .long \from - lyre_guard_table
  .long \to - lyre_guard_table
  .long \out - lyre_guard_table
  .popsection
  .endm

  .pushsection .text
  .type lyre_guarded_copy, @function
lyre_guarded_copy:
  mov %rdx, %rcx
1: rep movsb
2: mov %rcx, %rax
  ret
  lyre_guard 1b, 2b, 2b

  .type lyre_guarded_fill, @function
lyre_guarded_fill:
  mov %rdx, %rcx
  mov %esi, %eax
1: rep stosb
2: mov %rcx, %rax
  ret
  lyre_guard 1b, 2b, 2b

  .type lyre_guarded_length, @function
lyre_guarded_length:
  xor %eax, %eax
3: cmp %rsi, %rax
  je 4f
1: cmpb $0, (%rdi,%rax)
2: je 4f
  inc %rax
  jmp 3b
4: ret
5: mov $-1, %rax
  ret
  lyre_guard 1b, 2b, 5b

  .macro lyre_guarded_access size, load, value, cas
  .type lyre_guarded_load\size, @function
lyre_guarded_load\size:
1: \load
2: mov %rax, (%rsi)
  mov $1, %eax
  ret
  lyre_guard 1b, 2b, lyre_guarded_failed

  .type lyre_guarded_store\size, @function
lyre_guarded_store\size:
1: mov \value, (%rdi)
2: mov $1, %eax
  ret
  lyre_guard 1b, 2b, lyre_guarded_failed

  .type lyre_guarded_exchange\size, @function
lyre_guarded_exchange\size:
  mov (%rsi), %rax
1: lock \cas, (%rdi)
2: mov %rax, (%rsi)
  mov $1, %eax
  ret
  lyre_guard 1b, 2b, lyre_guarded_failed
  .endm

lyre_guarded_failed:
  xor %eax, %eax
  ret
  lyre_guarded_access 1, "movzbl (%rdi), %eax", %sil, "cmpxchg %dl"
  lyre_guarded_access 2, "movzwl (%rdi), %eax", %si, "cmpxchg %dx"
  lyre_guarded_access 4, "mov (%rdi), %eax", %esi, "cmpxchg %edx"
  lyre_guarded_access 8, "mov (%rdi), %rax", %rsi, "cmpxchg %rdx"
  .popsection

  .pushsection .rodata.lyre_guard, "a"
lyre_guard_end:
  .popsection
)");

extern "C" {
size_t lyre_guarded_copy(void*, const void*, size_t) noexcept;
size_t lyre_guarded_fill(void*, unsigned, size_t) noexcept;
int64_t lyre_guarded_length(const char*, size_t) noexcept;
int lyre_guarded_load1(uint64_t, uint64_t*) noexcept;
int lyre_guarded_load2(uint64_t, uint64_t*) noexcept;
int lyre_guarded_load4(uint64_t, uint64_t*) noexcept;
int lyre_guarded_load8(uint64_t, uint64_t*) noexcept;
int lyre_guarded_store1(uint64_t, uint64_t) noexcept;
int lyre_guarded_store2(uint64_t, uint64_t) noexcept;
int lyre_guarded_store4(uint64_t, uint64_t) noexcept;
int lyre_guarded_store8(uint64_t, uint64_t) noexcept;
int lyre_guarded_exchange1(uint64_t, uint64_t*, uint64_t) noexcept;
int lyre_guarded_exchange2(uint64_t, uint64_t*, uint64_t) noexcept;
int lyre_guarded_exchange4(uint64_t, uint64_t*, uint64_t) noexcept;
int lyre_guarded_exchange8(uint64_t, uint64_t*, uint64_t) noexcept;
extern const int32_t lyre_guard_table[] __attribute__((visibility("hidden")));
extern const int32_t lyre_guard_end[] __attribute__((visibility("hidden")));
}

namespace lyre {

size_t guarded_copy(void* to, const void* from, size_t bytes) noexcept { return lyre_guarded_copy(to, from, bytes); }
size_t guarded_fill(void* to, uint8_t value, size_t bytes) noexcept { return lyre_guarded_fill(to, value, bytes); }
int64_t guarded_length(const char* text, size_t limit) noexcept { return lyre_guarded_length(text, limit); }

bool guarded_load(uint64_t address, unsigned size, uint64_t& value) noexcept {
  switch (size) {
    case 1:
      return lyre_guarded_load1(address, &value);
    case 2:
      return lyre_guarded_load2(address, &value);
    case 4:
      return lyre_guarded_load4(address, &value);
    default:
      return lyre_guarded_load8(address, &value);
  }
}

bool guarded_store(uint64_t address, unsigned size, uint64_t value) noexcept {
  switch (size) {
    case 1:
      return lyre_guarded_store1(address, value);
    case 2:
      return lyre_guarded_store2(address, value);
    case 4:
      return lyre_guarded_store4(address, value);
    default:
      return lyre_guarded_store8(address, value);
  }
}

bool guarded_exchange(uint64_t address, unsigned size, uint64_t& expected, uint64_t desired) noexcept {
  switch (size) {
    case 1:
      return lyre_guarded_exchange1(address, &expected, desired);
    case 2:
      return lyre_guarded_exchange2(address, &expected, desired);
    case 4:
      return lyre_guarded_exchange4(address, &expected, desired);
    default:
      return lyre_guarded_exchange8(address, &expected, desired);
  }
}

bool guarded_redirect(void* context) noexcept {
  greg_t& rip = static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_RIP];
  const auto table = reinterpret_cast<intptr_t>(lyre_guard_table);
  for (const int32_t* row = lyre_guard_table; row < lyre_guard_end; row += 3) {
    if (rip < table + row[0] || rip >= table + row[1]) continue;
    rip = table + row[2];
    return true;
  }
  return false;
}

}  // namespace lyre
