// Dead code elimination: one backward scan marks what is needed, one forward scan closes the gaps and renumbers. Values that only a
// snapshot names are needed: a host must be able to find them. Parameters nobody reads go, with their arguments.
#include <algorithm>

#include "ir/pass/passes.h"

namespace lyre::ir {
namespace {

class Dce {
 public:
  Dce(Region& region, const PipelineOptions& options, PassScratch& scratch)
      : region_(region), options_(options), live_(scratch.live), snapshot_live_(scratch.snapshot_live), remap_(scratch.remap) {}

  void run() {
    live_.assign(region_.insts.size(), 0);
    snapshot_live_.assign(region_.snapshots.size(), 0);
    mark();
    compact();
  }

 private:
  bool is_root(const Inst& inst) const {
    const OpInfo& info = op_info(inst.op);
    if (info.properties & (kMemory | kExit | kTerminator)) return true;
    if (info.properties & kPure) return false;
    switch (inst.op) {
      case Op::nop: case Op::param: case Op::get: case Op::clock_ns: return false;
      case Op::call: case Op::call_if: {
        uint8_t flags = inst.imm < options_.helpers.size() ? options_.helpers[inst.imm].flags : 0;
        return !(flags & kPureHelper) || (flags & kMayLeave);
      }
      case Op::fence: case Op::set: case Op::count: return true;
      default: return !(inst.aux & kFlagsDead);  // floating point: flags are an effect
    }
  }

  void need(ValueId value) { live_[value] = 1; }

  void need_snapshot(SnapshotId id) {
    while (id != kNoId && !snapshot_live_[id]) {
      snapshot_live_[id] = 1;
      const Snapshot& snapshot = region_.snapshots[id];
      for (uint32_t i = 0; i < snapshot.entry_count; i++) need(region_.snapshot_entries[snapshot.first_entry + i].value);
      id = snapshot.parent;
    }
  }

  // Uses stand after definitions except around a back edge: an argument that a live parameter needs may stand further down, then
  // the scan is done again from there.
  void mark() {
    size_t from = region_.insts.size();
    while (from > 0) {
      size_t again = 0;
      for (size_t i = from; i-- > 0;) {
        const Inst& inst = region_.insts[i];
        if (!live_[i] && !is_root(inst)) continue;
        live_[i] = 1;
        if (inst.op == Op::param) {
          again = std::max(again, need_param(static_cast<ValueId>(i)));
          continue;
        }
        if (inst.snapshot != kNoId) need_snapshot(inst.snapshot);
        if (inst.op == Op::jump) continue;  // its arguments are needed if their parameters are
        unsigned count;
        const ValueId* args = region_.args_of(inst, count);
        for (unsigned k = 0; k < count; k++) need(args[k]);
      }
      from = again;
    }
  }

  // Marks what is passed to this parameter; gives where the scan must start again, or 0.
  size_t need_param(ValueId id) {
    BlockId block = 0;
    while (region_.blocks[block].end <= id) block++;
    size_t again = 0;
    for (const Block& from : region_.blocks) {
      const Inst& jump = region_.insts[from.end - 1];
      if (jump.op != Op::jump || jump.imm != block) continue;
      ValueId value = region_.pool[jump.args[0] + region_[id].imm];
      if (!live_[value] && value > id) again = std::max<size_t>(again, value + 1);
      need(value);
    }
    return again;
  }

  void compact() {
    drop_arguments();
    if (remap_.size() < region_.insts.size()) remap_.resize(region_.insts.size());
    uint32_t out = 0;
    for (BlockId b = 0; b < region_.blocks.size(); b++) {
      Block& block = region_.blocks[b];
      uint32_t first = out, params = 0;
      for (uint32_t i = block.first; i < block.end; i++) {
        if (!live_[i]) continue;
        remap_[i] = out;
        Inst& inst = region_.insts[out++] = region_.insts[i];
        if (inst.op == Op::param) inst.imm = params++;
      }
      block = {first, out, params, block.loop_header};
    }
    region_.insts.resize(out);
    for (Inst& inst : region_.insts) {
      unsigned count;
      ValueId* args = region_.args_of(inst, count);
      for (unsigned k = 0; k < count; k++) args[k] = remap_[args[k]];
    }
    for (size_t id = 0; id < region_.snapshots.size(); id++) {
      Snapshot& snapshot = region_.snapshots[id];
      if (!snapshot_live_[id]) snapshot.entry_count = 0;
      for (uint32_t i = 0; i < snapshot.entry_count; i++) {
        SnapshotEntry& entry = region_.snapshot_entries[snapshot.first_entry + i];
        entry.value = remap_[entry.value];
      }
    }
  }

  // Arguments of parameters that go.
  void drop_arguments() {
    for (const Block& from : region_.blocks) {
      Inst& jump = region_.insts[from.end - 1];
      if (jump.op != Op::jump) continue;
      const Block& to = region_.blocks[jump.imm];
      uint32_t kept = 0;
      for (uint32_t k = 0; k < jump.args[1]; k++)
        if (live_[to.first + k]) region_.pool[jump.args[0] + kept++] = region_.pool[jump.args[0] + k];
      jump.args[1] = kept;
    }
  }

  Region& region_;
  const PipelineOptions& options_;
  std::vector<uint8_t>& live_;
  std::vector<uint8_t>& snapshot_live_;
  std::vector<ValueId>& remap_;
};

}  // namespace

void dce(Region& region, const PipelineOptions& options, PassScratch& scratch) { Dce(region, options, scratch).run(); }

}  // namespace lyre::ir
