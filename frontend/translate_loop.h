// The only translation loop: fetches guest bytes, asks the guest for IR one instruction at a time, and decides the superblock's shape
// (where it ends, which branches are followed). Produces raw IR: check first, get/set for every register access, one terminator last.
#pragma once
#include <cstdint>

#include "frontend/guest_isa.h"
#include "ir/region.h"

namespace lyre::frontend {

// Where guest code bytes come from; the runtime's is its code TLB. Valid during one translate().
class CodeReader {
 public:
  virtual ~CodeReader() = default;
  // Bytes of guest code from `address` to the end of its page (or fewer), or an empty span if a fetch there faults.
  virtual std::span<const uint8_t> code_at(Gva address) = 0;
};

struct TranslateLimits {
  unsigned max_insns = 64;
  unsigned max_side_exits = 2;  // more makes longer blocks that overlap more: 1.41 instructions translated for each of a long program at 6
  bool follow_jumps = true;      // straighten forward direct jumps
  bool stay_in_page = false;
  std::span<const uint64_t> stops;  // sorted addresses that a region does not run over (breakpoints)
  bool counted = false;          // count completed instructions in VcpuBlock::insns, exact wherever a guest can look
};

class TranslateLoop {
 public:
  explicit TranslateLoop(const GuestCpu& cpu) : cpu_(cpu) {}
  // Fills `region` (cleared first). False: the very first instruction can not be fetched (the caller delivers the fetch fault at `fault_address`).
  bool translate(Gva pc, uint64_t state_key, CodeReader& code, const TranslateLimits& limits, ir::Region& region, Gva& fault_address);

 private:
  friend class InsnContext;
  const GuestCpu& cpu_;
  TranslateLimits limits_;
  unsigned side_exits_ = 0;
};

}  // namespace lyre::frontend
