#include "backend/regalloc/liveness.h"

#include "runtime/base/check.h"

namespace lyre::backend {
namespace {
using ir::Inst;
using ir::kNoId;
using ir::Op;
using ir::Type;
using ir::ValueId;

// A 32-bit result that leaves the upper half of its register zero on every host (hosts keep to this).
bool clears_upper(Op op) {
  switch (op) {
    case Op::param:
    case Op::call:
    case Op::call_if:
    case Op::trunc:
    case Op::zext:
    case Op::nop: return false;
    default: return true;
  }
}
bool may_vanish(const Inst& inst) {
  if (ir::has(inst.op, ir::kPure) || inst.op == Op::get) return true;
  return in_vector(inst.type) && (inst.aux & ir::kFlagsDead) && ir::op_info(inst.op).properties == 0;
}
}  // namespace

void Liveness::run(const ir::Region& region, std::span<const ir::HelperInfo> helpers, std::span<const uint16_t> pinned_slots,
                   std::span<const Reg> pinned_regs) {
  helpers_ = helpers, pinned_slots_ = pinned_slots, pinned_regs_ = pinned_regs;
  inst_count_ = static_cast<uint32_t>(region.insts.size());
  values.assign(inst_count_ + kMaxPinned + kScratchValues, ValueState{});
  alias_.resize(inst_count_ + kMaxPinned);
  next_.resize(inst_count_ * 4 + region.pool.size());
  slots_.clear();
  loop_live.clear();
  snapshot_ = kNoId, last_position_ = -1;
  find_loop(region);
  forward(region, pinned_slots, pinned_regs);
  backward(region);
}

void Liveness::find_loop(const ir::Region& region) {
  has_loop = false;
  for (ir::BlockId id = 0; id < region.blocks.size(); id++) {
    const ir::Block& block = region.blocks[id];
    if (block.first == block.end) continue;
    const Inst& last = region.insts[block.end - 1];
    if (last.op != Op::jump) continue;
    auto target = static_cast<ir::BlockId>(last.imm);
    if (target == id + 1) continue;
    LYRE_CHECK(target <= id && !has_loop, "a host takes straight-line regions with one back edge at most");
    has_loop = true, loop_block = target, loop_first = region.blocks[target].first, loop_back = block.end - 1;
  }
}

void Liveness::bind(uint16_t offset, ValueId id) {
  SlotEntry& slot = slots_[slots_.index_of(offset)];
  if (slot.value != kNoId) values[slot.value].snapshot_last = std::max(values[slot.value].snapshot_last, last_position_);
  slot.value = id;
}

void Liveness::unbind_all() {
  for (uint16_t s = 0; s < slots_.size(); s++) bind(slots_[s].offset, kNoId);
}

void Liveness::take_snapshot(const ir::Region& region, uint32_t position, ir::SnapshotId snapshot) {
  follow_snapshots(
      region, snapshot_, snapshot, chain_,
      [&](const ir::SnapshotEntry& entry) {
        ValueId id = alias_[entry.value];
        bind(entry.slot, id);
        for (size_t k = 0; k < pinned_slots_.size(); k++) {
          if (pinned_slots_[k] == entry.slot && values[id].hint == kNoReg) values[id].hint = pinned_regs_[k];
        }
      },
      [&] { unbind_all(); });
  snapshot_ = snapshot;
  last_position_ = static_cast<int32_t>(position);
}

// Aliases, what pinned registers hold at entry, and snapshot life.
void Liveness::forward(const ir::Region& region, std::span<const uint16_t> pinned_slots, std::span<const Reg> pinned_regs) {
  ValueId pinned_now[kMaxPinned];
  for (unsigned k = 0; k < kMaxPinned; k++) {
    ValueId id = inst_count_ + k;
    alias_[id] = pinned_entry[k] = pinned_now[k] = id;
    values[id].type = Type::kI64;
  }
  // The first get of a pinned slot takes the stand-in's place.
  bool fresh[kMaxPinned];
  std::fill(fresh, fresh + kMaxPinned, true);
  uint32_t first_block_end = region.blocks.empty() ? inst_count_ : region.blocks[0].end;
  for (uint32_t i = 0; i < first_block_end; i++) {
    const Inst& inst = region.insts[i];
    if (inst.op == Op::call || inst.op == Op::set) break;
    if (inst.op != Op::get || inst.type != Type::kI64) continue;
    for (unsigned k = 0; k < pinned_slots.size(); k++) {
      if (pinned_slots[k] == inst.imm && fresh[k]) fresh[k] = false, pinned_entry[k] = pinned_now[k] = i;
    }
  }
  for (unsigned k = 0; k < pinned_slots.size(); k++) {
    values[pinned_entry[k]].hint = pinned_regs[k];
    bind(pinned_slots[k], pinned_entry[k]);
  }
  for (uint32_t i = 0; i < inst_count_; i++) {
    const Inst& inst = region.insts[i];
    ValueState& value = values[i];
    if (inst.op == Op::param && !(has_loop && i >= loop_first)) continue;  // the jump's argument
    alias_[i] = i;
    value.type = inst.type;
    switch (inst.op) {
      case Op::nop: alias_[i] = kNoId; continue;
      case Op::jump:
        if (has_loop && (i == loop_back || inst.imm == loop_block)) break;
        for (uint32_t k = 0; k < inst.args[1]; k++) alias_[region.blocks[inst.imm].first + k] = alias_[region.pool[inst.args[0] + k]];
        break;
      case Op::constant:
      case Op::guest_pc: value.flags |= kIsConstant; break;
      case Op::trunc:
        if (inst.type != Type::kI1) alias_[i] = alias_[inst.args[0]];
        break;
      case Op::zext: {
        ValueId source = alias_[inst.args[0]];
        Type from = region.insts[inst.args[0]].type;
        bool clean = from == Type::kI1 || (from == Type::kI32 && source < inst_count_ && values[source].type == Type::kI32 &&
                                           clears_upper(region.insts[source].op));
        if (clean) alias_[i] = source;
        break;
      }
      case Op::get:
        for (unsigned k = 0; k < pinned_slots.size(); k++) {
          if (pinned_slots[k] == inst.imm && pinned_now[k] != kNoId) alias_[i] = pinned_now[k];
        }
        break;
      case Op::set: {
        ValueId held = kNoId;
        for (unsigned k = 0; k < pinned_slots.size(); k++) {
          if (pinned_slots[k] == inst.imm) held = pinned_now[k] = alias_[inst.args[0]];
        }
        last_position_ = static_cast<int32_t>(i);
        bind(static_cast<uint16_t>(inst.imm), held);
        break;
      }
      default: break;
    }
    if (uses_snapshot(inst)) {
      take_snapshot(region, i, inst.snapshot);
      if (inst.op == Op::call && (call_flags(inst) & ir::kWritesState)) {
        unbind_all();
        snapshot_ = kNoId;
        std::fill(pinned_now, pinned_now + kMaxPinned, kNoId);
      }
    }
    if (has_loop && i == loop_back) {
      for (uint16_t s = 0; s < slots_.size(); s++) {
        ValueId id = slots_[s].value;
        if (id != kNoId && (id < loop_first || id >= inst_count_)) values[id].snapshot_last = static_cast<int32_t>(i);
      }
    }
  }
  unbind_all();
}

void Liveness::use(ValueId id, uint32_t position, uint32_t& next) {
  id = alias_[id];
  ValueState& value = values[id];
  next = value.next_use;
  if (has_loop && next == kNever && position >= loop_first && position <= loop_back && (id < loop_first || id >= inst_count_)) {
    next = loop_back;
    if (!(value.flags & (kIsConstant | kIsLoopLive))) {
      value.flags |= kIsLoopLive;
      loop_live.push_back(id);
    }
  }
  value.next_use = position;
}

void Liveness::backward(const ir::Region& region) {
  for (uint32_t i = inst_count_; i-- > 0;) {
    const Inst& inst = region.insts[i];
    if (alias_[i] != i || inst.op == Op::param) continue;
    const ValueState& value = values[i];
    if (value.next_use == kNever && value.snapshot_last < 0 && may_vanish(inst)) {
      alias_[i] = kNoId;
      continue;
    }
    unsigned count = ir::op_info(inst.op).args;
    if (count == ir::kVariableArgs) {
      const bool renames = inst.op == Op::jump && !(has_loop && (i == loop_back || inst.imm == loop_block));
      for (uint32_t k = renames ? 0 : inst.args[1]; k-- > 0;) use(region.pool[inst.args[0] + k], i, next_[inst_count_ * 4 + inst.args[0] + k]);
    } else {
      for (unsigned k = count; k-- > 0;) use(inst.args[k], i, next_[i * 4 + k]);
    }
  }
}

}  // namespace lyre::backend
