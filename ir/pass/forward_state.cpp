// State forwarding: reads and writes of state slots become SSA values, and every point that may leave gets a snapshot of what
// differs from memory, so that the hot path stores no guest register at all.
//
// Rules (hosts rely on them):
//  - a `get` of a pinned slot at the region's start is the value that arrives in its host register; the first snapshot of every chain
//    lists all pinned slots. Any other `get` loads from the state area, which is right for that slot at that point;
//  - a call whose helper looks at state (or may leave) has a snapshot, and the host stores it before the call. After it slots are
//    clean: a new chain starts with the pinned slots only. If the helper writes state, every value is forgotten and the pinned slots are
//    read again (by `get`: the host reloads their registers);
//  - in a loop (see loops.cpp) written slots are parameters of the header and in its first snapshot.
// One walk, linear, with a dense table of slots.
#include "ir/pass/emitter.h"
#include "ir/pass/passes.h"
#include "runtime/base/check.h"

namespace lyre::ir {
namespace {

class ForwardState {
 public:
  ForwardState(Region& region, const PipelineOptions& options, uint32_t passes, PassScratch& scratch)
      : region_(region), options_(options), scratch_(scratch), out_(scratch, passes), passes_(passes) {}

  void run() {
    LYRE_CHECK(region_.blocks.size() <= 1, "state forwarding takes a superblock");
    LYRE_CHECK(!region_.insts.empty(), "an empty region");
    scratch_.snapshots.clear();
    scratch_.entries.clear();
    const ValueId count = static_cast<ValueId>(region_.insts.size());
    if (scratch_.remap.size() < count) scratch_.remap.resize(count);
    remap_ = scratch_.remap.data();
    begin();
    const Inst* raw = region_.insts.data();
    for (ValueId i = 0; i < count && !ended(); i++) step(i, raw[i]);
    LYRE_CHECK(ended(), "a region without a terminator");
    finish();
  }

 private:
  SlotState& slot(uint64_t offset) { return scratch_.slot(offset); }
  bool known(const SlotState& state) const { return state.epoch == scratch_.epoch; }

  // A terminator has been emitted in the block that is being built.
  bool ended() const { return out_.size() > header_ && out_.ended(); }

  void forget_all() {
    if (++scratch_.epoch == 0) {
      for (SlotState& state : scratch_.slots) state.epoch = 0;
      scratch_.epoch = 1;
    }
  }

  void begin() {
    LoopPlan plan;
    if (passes_ & kPassLoops) plan = plan_loop(region_, options_, scratch_);
    forget_all();
    clear_changed();
    read_pinned();
    if (plan.form) begin_loop(plan);
    begin_chain();
    if (plan.form)
      for (uint16_t index : scratch_.loop_written) change(index);
  }

  void begin_loop(const LoopPlan& plan) {
    loop_ = true;
    if (!plan.rereads_state)
      for (uint16_t index : scratch_.loop_read) current(index);
    Inst jump = jump_to_header();
    region_.blocks.assign(2, {});
    out_.append(jump);
    header_ = out_.size();
    region_.blocks[0] = {0, header_, 0, false};
    uint32_t position = 0;
    for (uint16_t index : scratch_.loop_written) {
      SlotState& state = scratch_.slots[index];
      Inst param;
      param.op = Op::param, param.type = state.type, param.imm = position++;
      state.value = out_.append(param);
    }
    if (plan.rereads_state) {
      // Only parameters are known in the header: nothing else survives the back edge.
      forget_all();
      for (uint16_t index : scratch_.loop_written) scratch_.slots[index].epoch = scratch_.epoch;
    }
  }

  // A jump to block 1 with the current values of its parameters.
  Inst jump_to_header() {
    Inst jump;
    jump.op = Op::jump, jump.imm = 1;
    uint32_t first = static_cast<uint32_t>(region_.pool.size());
    size_t count = scratch_.loop_written.size();
    region_.pool.resize(first + count);
    for (size_t i = 0; i < count; i++) region_.pool[first + i] = loop_value(scratch_.loop_written[i], i);
    jump.args[0] = first, jump.args[1] = static_cast<uint32_t>(count);
    return jump;
  }
  // Of the parameter's type, which is the type that the slot had when the loop was entered.
  ValueId loop_value(uint16_t index, size_t position) {
    ValueId value = current(index);
    Type type = header_ ? out_[header_ + static_cast<ValueId>(position)].type : out_[value].type;
    return as_type(value, type);
  }

  // The slot's value, loaded if it is not known.
  ValueId current(uint16_t index) {
    SlotState& state = scratch_.slots[index];
    if (!known(state)) {
      Inst load;
      load.op = Op::get, load.type = state.type, load.imm = state.offset;
      state.value = out_.append(load);
      state.epoch = scratch_.epoch;
    }
    return state.value;
  }

  // The same bits as `type`: one slot may be read as i64 and as f64.
  ValueId as_type(ValueId value, Type type) {
    Type from = out_[value].type;
    if (from == type) return value;
    LYRE_CHECK(type_bits(from) == type_bits(type), "a state slot accessed with two widths");
    return out_.emit(Op::bitcast, type, value);
  }

  void read_pinned() {
    for (uint16_t offset : options_.pinned_slots) {
      uint16_t index = scratch_.index_of(offset);
      scratch_.slots[index].type = Type::kI64;
      current(index);
    }
  }

  void change(uint16_t index) {
    SlotState& state = scratch_.slots[index];
    if (state.changed) return;
    state.changed = true;
    scratch_.changed.push_back(index);
  }
  void clear_changed() {
    for (uint16_t index : scratch_.changed) scratch_.slots[index].changed = false;
    scratch_.changed.clear();
  }
  // From here on memory is right for all but the pinned slots.
  void begin_chain() {
    clear_changed();
    last_snapshot_ = kNoId;
    for (uint16_t offset : options_.pinned_slots) change(scratch_.index_of(offset));
  }

  SnapshotId snapshot(SnapshotId raw_id) {
    LYRE_CHECK(raw_id < region_.snapshots.size(), "an operation that may leave has no snapshot");
    const Snapshot& raw = region_.snapshots[raw_id];
    if (scratch_.changed.empty() && last_snapshot_ != kNoId) {
      const Snapshot& last = scratch_.snapshots[last_snapshot_];
      if (last.pc_offset == raw.pc_offset && last.insn_index == raw.insn_index) return last_snapshot_;
    }
    Snapshot made;
    made.parent = last_snapshot_;
    made.first_entry = static_cast<uint32_t>(scratch_.entries.size());
    made.entry_count = static_cast<uint32_t>(scratch_.changed.size());
    made.pc_offset = raw.pc_offset;
    made.insn_index = raw.insn_index;
    for (uint16_t index : scratch_.changed) {
      SlotState& state = scratch_.slots[index];
      scratch_.entries.push_back({state.offset, state.type, state.value});
      state.changed = false;
    }
    scratch_.changed.clear();
    scratch_.snapshots.push_back(made);
    return last_snapshot_ = static_cast<SnapshotId>(scratch_.snapshots.size() - 1);
  }

  void step(ValueId id, const Inst& raw) {
    switch (raw.op) {
      case Op::nop: return;
      case Op::get: remap_[id] = read(raw); return;
      case Op::set: write(raw); return;
      case Op::call: case Op::call_if: remap_[id] = call(raw); return;
      case Op::exit_direct:
        if (loop_ && raw.target() == 0) {
          out_.append(jump_to_header());
          return;
        }
        break;
      default: break;
    }
    Inst inst = raw;
    const OpInfo& info = op_info(raw.op);
    for (unsigned i = 0; i < info.args; i++) inst.args[i] = remap_[raw.args[i]];
    inst.snapshot = info.properties & (kMemory | kExit) ? snapshot(raw.snapshot) : kNoId;
    remap_[id] = out_.emit(inst);
  }

  ValueId read(const Inst& raw) {
    uint16_t index = scratch_.index_of(raw.imm);
    SlotState& state = scratch_.slots[index];
    if (!known(state)) state.type = raw.type;
    return as_type(current(index), raw.type);
  }

  void write(const Inst& raw) {
    uint16_t index = scratch_.index_of(raw.imm);
    SlotState& state = scratch_.slots[index];
    ValueId value = remap_[raw.args[0]];
    if (known(state) && state.value == value) return;
    state.epoch = scratch_.epoch;
    state.value = value;
    state.type = raw.type;
    change(index);
  }

  ValueId call(const Inst& raw) {
    Inst inst = raw;
    ValueId* args = region_.pool.data() + raw.args[0];
    for (uint32_t i = 0; i < raw.args[1]; i++) args[i] = remap_[args[i]];
    LYRE_CHECK(raw.imm < options_.helpers.size(), "a call of a helper that the guest does not have");
    uint8_t flags = options_.helpers[raw.imm].flags;
    bool looks = flags & (kReadsState | kWritesState | kMayLeave);
    LYRE_CHECK(raw.op == Op::call || !looks, "call_if of a helper that touches guest state");
    if (raw.op == Op::call_if && (passes_ & kPassFold) && out_.is_constant(args[0], 0)) return args[1];
    inst.snapshot = looks ? snapshot(raw.snapshot) : kNoId;
    ValueId result = out_.emit(inst);
    if (flags & kWritesState) {
      forget_all();
      read_pinned();
    }
    if (looks) begin_chain();
    return result;
  }

  void finish() {
    out_.finish(region_);
    region_.snapshots.swap(scratch_.snapshots);
    region_.snapshot_entries.swap(scratch_.entries);
    if (!loop_) region_.blocks.assign(1, {});
    Block& last = region_.blocks.back();
    last.first = header_;
    last.end = static_cast<uint32_t>(region_.insts.size());
    last.loop_header = loop_;
    last.param_count = loop_ ? static_cast<uint32_t>(scratch_.loop_written.size()) : 0;
    // An always taken exit may have cut off the back edge; then the header is an ordinary block.
    if (loop_ && region_.insts.back().op != Op::jump) last.loop_header = false;
  }

  Region& region_;
  const PipelineOptions& options_;
  PassScratch& scratch_;
  Emitter out_;
  uint32_t passes_;
  ValueId* remap_ = nullptr;
  SnapshotId last_snapshot_ = kNoId;
  bool loop_ = false;
  uint32_t header_ = 0;  // first instruction of the loop's block
};

}  // namespace

void forward_state(Region& region, const PipelineOptions& options, uint32_t passes, PassScratch& scratch) {
  ForwardState(region, options, passes, scratch).run();
}

}  // namespace lyre::ir
