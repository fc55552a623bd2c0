// What the code cache and the translator need of their surroundings, so that a machine's vCPUs and a Linux process's
// threads share them: who may be inside translated code, where the guest's code bytes are, and how stores to them
// become visible. Implemented by Vcpu and PageFlags (system mode), by runtime/linux's threads and address space (user
// mode, where a "physical" address is the guest's address itself).
#pragma once
#include <cstdint>

#include "frontend/guest_isa.h"
#include "runtime/base/types.h"

namespace lyre::runtime {

struct FetchEntry;

// A thread that runs translated code. (any thread)
class CodeUser {
 public:
  virtual ~CodeUser() = default;
  // Quiescence: even while outside translated code and without pointers to blocks.
  virtual uint64_t epoch() const = 0;
  // Jump cache and return stack are cleared before this thread runs on.
  virtual void request_forget() = 0;
  // Stores to the page must no longer hit a cached translation.
  virtual void drop_writes(Gpa page) = 0;
};

// Memory that code is translated from. (any thread; called with the cache's mutex held)
class CodeMemorySource {
 public:
  virtual ~CodeMemorySource() = default;
  virtual bool has_code(Gpa address) const = 0;  // lock-free
  // From here on stores to the page are seen. True: some may have been under way unseen, so that the page is compared
  // once more after a grace period.
  virtual bool watch(Gpa page) = 0;
  virtual void unwatch(Gpa page) = 0;
  // Host memory of guest bytes for comparing them later; null: never compared (user mode: they may go at any time).
  virtual const uint8_t* bytes(Gpa address, uint64_t size) const = 0;
};

// Where a translator finds a page of code: the fetching thread's own view. (that thread)
class CodeFetcher {
 public:
  virtual ~CodeFetcher() = default;
  // The page of `pc`; null: fetch fault, in `fault`.
  virtual const FetchEntry* fetch_page(Gva pc, ir::Fault& fault) = 0;
};

}  // namespace lyre::runtime
