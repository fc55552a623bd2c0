// Access to memory that may not be there: guest memory in user mode, where a guest address is a host address. These few
// routines are the only C++ that touches it. A fault inside one of them is sent to the routine's own way out by
// guarded_redirect(), which the SIGSEGV and SIGBUS handler calls; a fault anywhere else is a bug of ours. Nothing here
// allocates, locks or keeps state, so it may be called from a signal handler. Threads: any.
#pragma once
#include <cstddef>
#include <cstdint>

namespace lyre {

// Bytes that could not be copied; the copy went up to the first byte that faults.
size_t guarded_copy(void* to, const void* from, size_t bytes) noexcept;
size_t guarded_fill(void* to, uint8_t value, size_t bytes) noexcept;
// Length of the string at `text`, at most `limit`; -1: a fault before its end.
int64_t guarded_length(const char* text, size_t limit) noexcept;

// One access of 1, 2, 4 or 8 bytes, a single instruction. False: it faulted. Values are zero-extended.
bool guarded_load(uint64_t address, unsigned size, uint64_t& value) noexcept;
bool guarded_store(uint64_t address, unsigned size, uint64_t value) noexcept;
// Locked compare-and-exchange; `expected` receives what was there.
bool guarded_exchange(uint64_t address, unsigned size, uint64_t& expected, uint64_t desired) noexcept;

// `context` is the ucontext_t of a SIGSEGV or SIGBUS handler. True: the fault was in one of the routines, which now
// returns with failure.
bool guarded_redirect(void* context) noexcept;

}  // namespace lyre
