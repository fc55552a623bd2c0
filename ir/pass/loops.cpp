// Loop planning: a superblock whose last exit goes to its own start becomes a loop inside the region, so that registers live in host
// registers around the back edge. forward_state does the rewriting; this decides, in one scan of the raw instructions.
//
// Shape made: block 0 loads the slots and jumps; block 1 is the loop, with one parameter per slot that is written anywhere in it. From
// the header on such a slot is described by its parameter: after the first iteration memory is stale.
#include "ir/pass/passes.h"

namespace lyre::ir {
namespace {

constexpr size_t kMaxParams = 24;  // more would only be spilled

enum : uint8_t { kRead = 1, kWritten = 2 };

}  // namespace

LoopPlan plan_loop(const Region& region, const PipelineOptions& options, PassScratch& scratch) {
  LoopPlan plan;
  const Inst& last = region.insts.back();
  if (last.op != Op::exit_direct || last.target() != 0 || last.aux != kHintNone) return plan;
  // The header must keep the loop interruptible.
  if (region.insts.front().op != Op::check) return plan;
  scratch.loop_written.clear();
  scratch.loop_read.clear();
  scratch.loop_seen.clear();
  auto note = [&](uint64_t offset, Type type, uint8_t what) {
    uint16_t index = scratch.index_of(offset);
    if (scratch.loop_seen.size() <= index) scratch.loop_seen.resize(scratch.slots.size(), 0);
    uint8_t& seen = scratch.loop_seen[index];
    if (!(seen & what)) (what == kWritten ? scratch.loop_written : scratch.loop_read).push_back(index);
    if (!seen) scratch.slots[index].type = type;
    seen |= what;
  };
  for (const Inst& inst : region.insts) {
    if (inst.op == Op::get) note(inst.imm, inst.type, kRead);
    else if (inst.op == Op::set) note(inst.imm, inst.type, kWritten);
    else if (inst.op == Op::call && inst.imm < options.helpers.size() && (options.helpers[inst.imm].flags & kWritesState)) plan.rereads_state = true;
  }
  // A helper that writes state may change any pinned slot, and pinned slots are never read from memory again by themselves.
  if (plan.rereads_state)
    for (uint16_t offset : options.pinned_slots) note(offset, Type::kI64, kWritten);
  size_t kept = 0;
  for (uint16_t index : scratch.loop_read)
    if (!(scratch.loop_seen[index] & kWritten)) scratch.loop_read[kept++] = index;
  scratch.loop_read.resize(kept);
  plan.form = scratch.loop_written.size() <= kMaxParams;
  return plan;
}

}  // namespace lyre::ir
