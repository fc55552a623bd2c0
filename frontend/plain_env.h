// PlainEnv: surroundings of a guest without privileged machinery: no page walks, nothing to flush, no timers, a clock that stands still. User mode, tools and
// tests derive from it what they need.
#pragma once
#include "frontend/guest_isa.h"

namespace lyre::frontend {

class PlainEnv : public GuestEnv {
 public:
  bool read_physical(Gpa, unsigned, uint64_t&) override { return false; }
  bool update_physical(Gpa, unsigned, uint64_t&, uint64_t, bool&) override { return false; }
  void flush_tlb_all() override {}
  void flush_tlb_page(Gva) override {}
  void flush_tlb_spaces(uint64_t, uint64_t) override {}
  void set_address_space(uint64_t, unsigned) override {}
  void state_key_changed() override {}
  void interrupts_changed() override {}
  int64_t now_ns() override { return 0; }
  void set_timer(unsigned, int64_t) override {}
  void wait_for_interrupt() override {}
  uint64_t instructions_retired() override { return static_cast<uint64_t>(now_ns()); }
  void instruction_fence() override {}
};

}  // namespace lyre::frontend
