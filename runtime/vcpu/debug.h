// What a debugger asks of vCPUs: where they stop, and how each goes on. DebugPoints is what the vCPUs of a machine
// share; DebugVcpus is the debugger's side.
//
// Invariants: no block starts at or contains a breakpoint, so translated code comes back to the loop there; the loop
// asks before it looks a block up. Pages with watchpoints never hit in the soft TLB; the slow path asks. Without a
// debugger the loop tests one flag, translated code nothing. Threads: everything here is changed only while every vCPU
// is paused. `stopped` is called on a vCPU's thread, which then pauses itself.
#pragma once
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "frontend/guest_debug.h"
#include "runtime/base/types.h"

namespace lyre::runtime {

enum class WatchKind : uint8_t { kStore = 1, kLoad = 2, kAccess = 3 };  // bits: what it sees

struct Watchpoint {
  Gva address;
  uint64_t bytes = 0;
  WatchKind kind = WatchKind::kAccess;
  bool operator==(const Watchpoint&) const = default;
};

enum class DebugAction : uint8_t { kRun, kStep, kHold };

struct DebugStop {
  enum class Why : uint8_t { kStep, kBreakpoint, kWatchpoint } why = Why::kStep;
  Watchpoint watchpoint;
};

struct DebugPoints {
  bool attached = false;
  std::vector<uint64_t> breakpoints;  // sorted
  std::vector<Watchpoint> watchpoints;
  uint64_t address_mask = ~uint64_t{0};
  std::function<void(unsigned cpu, const DebugStop& stop)> stopped;

  bool breaks_at(uint64_t pc) const;
  bool watches_page(Gva address) const;
  const Watchpoint* find(Gva address, unsigned bytes, bool store) const;  // null: none
};

// All but attach() while every vCPU is paused.
class DebugVcpus {
 public:
  virtual ~DebugVcpus() = default;
  virtual const frontend::GuestDebug& guest() const = 0;
  virtual unsigned count() const = 0;
  // Before the first start too: registers then are those of reset.
  virtual void attach(std::function<void(unsigned cpu, const DebugStop& stop)> stopped) = 0;
  virtual void detach() = 0;  // no points, everybody runs
  virtual void set_breakpoints(std::vector<uint64_t> addresses) = 0;
  virtual void set_watchpoints(std::vector<Watchpoint> watchpoints) = 0;
  virtual void set_action(unsigned cpu, DebugAction action) = 0;  // of the next resume
  virtual bool waiting(unsigned cpu) const = 0;                   // for an interrupt
  virtual bool read_register(unsigned cpu, unsigned number, uint64_t& value) = 0;
  virtual bool write_register(unsigned cpu, unsigned number, uint64_t value) = 0;
  // Memory as the vCPU sees it (or guest physical). Written code is translated anew. False: not all of it is there.
  virtual bool read_memory(unsigned cpu, uint64_t address, bool physical, std::span<uint8_t> bytes) = 0;
  virtual bool write_memory(unsigned cpu, uint64_t address, bool physical, std::span<const uint8_t> bytes) = 0;
};

}  // namespace lyre::runtime
