// The superblock: check first, instructions in sequence, side exits for conditional branches, one terminator last.
//
// A branch back to the start is turned round, so that the way back is the terminator and the way out the side exit: a pass makes a loop of it. Others
// back end the region. Forward
// jumps are straightened. The region ends where a limit is reached, before an instruction that can not be fetched, and before a third page.
#include "frontend/translate_loop.h"

#include <algorithm>
#include <cstring>

#include "runtime/base/check.h"

namespace lyre::frontend {

namespace {

constexpr size_t kMaxPages = 2;        // touched by one region
constexpr unsigned kMaxInsnBytes = 16;

// Guest code around the current pc: the bytes of one page, asked for once, and a buffer for instructions that cross into the next.
class CodeWindow {
 public:
  explicit CodeWindow(CodeReader& reader) : reader_(reader) {}
  // Bytes from `pc` to the end of its page; empty: the fetch faults.
  std::span<const uint8_t> at(Gva pc) {
    if (pc.value - start_.value >= bytes_.size()) {
      start_ = pc;
      bytes_ = reader_.code_at(pc);
    }
    return bytes_.subspan(bytes_.empty() ? 0 : pc.value - start_.value);
  }
  // `head`, and as many bytes of the next page as an instruction may need; empty: the next page can not be fetched.
  std::span<const uint8_t> across(std::span<const uint8_t> head, Gva next_page, unsigned max_bytes) {
    size_t count = head.size();
    LYRE_CHECK(count < max_bytes && max_bytes <= kMaxInsnBytes, "a guest asked for more bytes than an instruction has");
    std::memcpy(buffer_, head.data(), count);
    std::span<const uint8_t> tail = reader_.code_at(next_page);
    if (tail.empty()) return {};
    size_t more = std::min<size_t>(tail.size(), max_bytes - count);
    std::memcpy(buffer_ + count, tail.data(), more);
    return {buffer_, count + more};
  }

 private:
  CodeReader& reader_;
  Gva start_;
  std::span<const uint8_t> bytes_;
  uint8_t buffer_[kMaxInsnBytes];
};

// Page spans grow to the hull of what was translated on each page: at most one a page.
void add_span(ir::Region& region, Gva start, uint32_t bytes) {
  if (!region.spans.empty()) {  // nearly always: the next instruction in the page of the last
    ir::Region::Span& last = region.spans.back();
    if (last.start.value + last.bytes == start.value && ((last.start.value ^ (start.value + bytes - 1)) & kPageMask) == 0) {
      last.bytes += bytes;
      return;
    }
  }
  while (bytes) {
    uint32_t here = static_cast<uint32_t>(std::min<uint64_t>(bytes, kPageSize - (start.value & ~kPageMask)));
    ir::Region::Span* same_page = nullptr;
    for (ir::Region::Span& span : region.spans)
      if ((span.start.value & kPageMask) == (start.value & kPageMask)) same_page = &span;
    if (!same_page) {
      region.spans.push_back({start, here});
    } else {
      uint64_t end = std::max(same_page->start.value + same_page->bytes, start.value + here);
      same_page->start.value = std::min(same_page->start.value, start.value);
      same_page->bytes = static_cast<uint32_t>(end - same_page->start.value);
    }
    start = start + here;
    bytes -= here;
  }
}

bool touches(const ir::Region& region, Gva address) {
  return std::any_of(region.spans.begin(), region.spans.end(),
                     [&](const ir::Region::Span& span) { return ((span.start.value ^ address.value) & kPageMask) == 0; });
}

// !cond. A compare that was appended last has no other use yet and is turned in place.
ir::I1 inverted(ir::Builder& b, ir::I1 cond) {
  ir::Region& region = b.region();
  ir::Inst& inst = region[cond.id];
  if (inst.op == ir::Op::cmp && cond.id + 1 == region.insts.size()) {
    inst.aux = static_cast<uint8_t>(ir::invert(static_cast<ir::Cond>(inst.aux)));
    return cond;
  }
  return b.not_(cond);
}

}  // namespace

void InsnContext::at_end() { b.at(static_cast<int32_t>(pc_offset + length), insn_index_ + 1); }

Next InsnContext::branch_if(ir::I1 taken, int64_t displacement) {
  int64_t next = pc_offset + length, target = pc_offset + displacement;
  if (target == next) return Next::kContinue;
  if (target == 0) {
    ir::I1 leave = inverted(b, taken);
    at_end();
    b.exit_if(leave, next);
    b.exit_direct(0);
    return Next::kEnded;
  }
  at_end();
  b.exit_if(taken, target);
  // Behind a loop's branch back the way is taken once per loop, and from the loop's own region: going on here would translate it twice.
  if (displacement > 0 && ++loop_->side_exits_ <= loop_->limits_.max_side_exits) return Next::kContinue;
  b.exit_direct(next);
  return Next::kEnded;
}

Next InsnContext::jump(int64_t displacement, uint8_t hint) {
  int64_t target = pc_offset + displacement;
  if (loop_->limits_.follow_jumps && hint == ir::kHintNone && displacement >= length) {
    next_offset_ = target;
    redirected_ = true;
    return Next::kContinue;
  }
  at_end();
  b.exit_direct(target, hint);
  return Next::kEnded;
}

void InsnContext::leave_if(ir::I1 condition) {
  at_end();
  b.exit_if(condition, pc_offset + length);
  b.at(static_cast<int32_t>(pc_offset), insn_index_);
}

Next InsnContext::jump_indirect(ir::I64 target, uint8_t hint) {
  at_end();
  b.exit_indirect(target, hint);
  return Next::kEnded;
}

bool TranslateLoop::translate(Gva pc, uint64_t state_key, CodeReader& code, const TranslateLimits& limits, ir::Region& region, Gva& fault_address) {
  region.clear();
  region.start = pc;
  region.state_key = state_key;
  limits_ = limits;
  side_exits_ = 0;

  ir::Builder b(region);
  b.at(0, 0);
  if (limits.counted) b.count_insns();
  b.check(0);
  CodeWindow window(code);
  InsnContext context(b);
  context.state_key = state_key;
  context.loop_ = this;
  Gva last_pc = pc;
  int64_t offset = 0;
  uint32_t insns = 0;
  Next next = Next::kContinue;
  while (next == Next::kContinue && insns < limits.max_insns) {
    Gva at = pc + static_cast<uint64_t>(offset);
    if (insns && !limits.stops.empty() && std::binary_search(limits.stops.begin(), limits.stops.end(), at.value)) break;
    bool same_page = ((at.value ^ last_pc.value) & kPageMask) == 0;
    if (!same_page && !touches(region, at) && (limits.stay_in_page || region.spans.size() >= kMaxPages)) break;
    last_pc = at;
    context.bytes = window.at(at);
    if (context.bytes.empty()) {
      if (insns) break;
      fault_address = at;
      return false;
    }
    b.at(static_cast<int32_t>(offset), insns);
    context.pc_offset = offset, context.pc = at, context.insn_index_ = insns;
    context.truncated = context.redirected_ = false;
    next = cpu_.translate_insn(context);
    if (context.truncated) {
      Gva next_page = at + context.bytes.size();
      if (insns && (limits.stay_in_page || (region.spans.size() >= kMaxPages && !touches(region, next_page)))) break;
      context.bytes = window.across(context.bytes, next_page, cpu_.max_insn_bytes());
      if (context.bytes.empty()) {
        if (insns) break;
        fault_address = next_page;
        return false;
      }
      context.truncated = false;
      next = cpu_.translate_insn(context);
      LYRE_CHECK(!context.truncated, "an instruction is longer than the guest's longest");
    }
    add_span(region, at, context.length);
    region.guest_bytes += context.length;
    ++insns;
    offset = context.redirected_ ? context.next_offset_ : offset + context.length;
  }
  if (next != Next::kEnded || context.truncated) {
    b.at(static_cast<int32_t>(offset), insns);
    b.exit_direct(offset);
  }
  region.guest_insns = insns;
  region.blocks.push_back({0, static_cast<uint32_t>(region.insts.size()), 0, false});
  return true;
}

}  // namespace lyre::frontend
