#include "backend/regalloc/allocator.h"

#include <algorithm>

#include "runtime/base/bits.h"
#include "runtime/base/check.h"

namespace lyre::backend {

using ir::kNoId;
using ir::Type;
using ir::ValueId;

void Allocator::start(const ir::Region& region, std::span<const uint16_t> pinned_slots, bool spill_everything) {
  region_ = &region, pinned_slots_ = pinned_slots, spill_everything_ = spill_everything;
  free_ = regs_.gprs | regs_.vectors;
  locked_ = temps_ = 0;
  slots_.clear();
  changed_.clear();
  free_spills_.clear();
  spills_used_ = 0;
  snapshot_ = kNoId;
  operand_count_ = 0;
  position_ = 0;
  for (unsigned k = 0; k < Liveness::kScratchValues; k++) live_.values[live_.first_scratch() + k].reg = kNoReg;
  for (unsigned k = 0; k < pinned_slots.size(); k++) {
    ValueId id = live_.pinned_entry[k];
    bind(pinned_slots[k], Type::kI64, id);
    assign(id, regs_.pinned[k]);
  }
  locked_ = 0;
}

void Allocator::begin(uint32_t position, const ir::Inst& inst) {
  position_ = position;
  unsigned count = 0;
  operands_ = region_->args_of(inst, count);
  operand_count_ = count;
  bool pool = ir::op_info(inst.op).args == ir::kVariableArgs;
  if (live_.uses_snapshot(inst)) apply_snapshot(inst.snapshot);
  for (unsigned k = 0; k < count; k++) {
    ValueState& v = state(operands_[k]);
    v.next_use = pool ? live_.next_after_pool(inst.args[0] + k) : live_.next_after_inline(position, k);
    v.flags |= kIsOperand;
  }
  if (spill_everything_) {
    for (RegMask left = (regs_.gprs | regs_.vectors) & ~free_; left; left &= left - 1) evict(first_of(left));
  }
  for (unsigned k = 0; k < count; k++) {
    Reg reg = state(operands_[k]).reg;
    if (reg != kNoReg) locked_ |= mask_of(reg);
  }
}

void Allocator::release() {
  for (unsigned k = 0; k < operand_count_; k++) {
    ValueId id = live_.alias(operands_[k]);
    ValueState& v = live_.values[id];
    v.flags &= static_cast<uint8_t>(~kIsOperand);
    if (lives_after(id)) continue;
    if (v.reg != kNoReg) unassign(v.reg);
    drop_spill(v);
  }
  operand_count_ = 0;
}

void Allocator::end() {
  release();
  for (RegMask left = temps_; left; left &= left - 1) holder_[first_of(left)] = kNoId;
  free_ |= temps_;
  temps_ = locked_ = 0;
}

uint64_t Allocator::constant(ValueId id) const {
  ValueId real = live_.alias(id);
  const ir::Inst& inst = region_->insts[real];
  uint64_t bits = inst.op == ir::Op::guest_pc ? region_->start.value + inst.imm : inst.imm;
  return bits & low_mask(ir::type_bits(inst.type));
}

Place Allocator::place_of(const ValueState& v) const {
  if (v.spill != kNoSpill) return {Place::kSpill, in_vector(v.type) ? v.type : Type::kI64, v.spill};
  return {Place::kState, v.type, slots_[v.home].offset};
}

bool Allocator::memory_of(ValueId id, Type as, Place& place) const {
  const ValueState& v = state(id);
  if (v.reg != kNoReg || v.next_use != kNever || (v.flags & kIsConstant) || !in_memory(v)) return false;
  place = place_of(v);
  return ir::type_bits(place.type) >= ir::type_bits(as) && ir::type_bits(as) >= 32;
}

// ---- registers

void Allocator::mark(const ValueState& v) {
  for (uint16_t s = v.binding; s != kNoSlot; s = slots_[s].next_binding) {
    if (!slots_[s].changed) slots_[s].changed = true, changed_.push_back(s);
  }
}

void Allocator::assign(ValueId id, Reg reg) {
  ValueState& v = live_.values[id];
  holder_[reg] = id;
  v.reg = reg;
  free_ &= ~mask_of(reg);
  locked_ |= mask_of(reg);
  mark(v);
}

void Allocator::unassign(Reg reg) {
  ValueState& v = live_.values[holder_[reg]];
  v.reg = kNoReg;
  holder_[reg] = kNoId;
  free_ |= mask_of(reg);
  locked_ &= ~mask_of(reg);
  mark(v);
}

void Allocator::evict(Reg reg) {
  ValueId id = holder_[reg];
  if (!is_scratch(id) && lives_now(id) && !in_memory(live_.values[id])) store_copy(id);
  unassign(reg);
}

Reg Allocator::take(RegMask allowed, Reg hint) {
  allowed &= ~(locked_ | temps_);
  if (hint != kNoReg && (allowed & mask_of(hint))) {
    if (!(free_ & mask_of(hint)) && !lives_now(holder_[hint])) unassign(hint);
    if (free_ & mask_of(hint)) return hint;
  }
  if (RegMask free = allowed & free_) return first_of(free & regs_.cheap ? free & regs_.cheap : free);
  Reg best = kNoReg;
  uint64_t best_score = 0;
  for (RegMask left = allowed; left; left &= left - 1) {
    Reg reg = first_of(left);
    ValueId id = holder_[reg];
    if (is_scratch(id) || !lives_now(id)) {
      unassign(reg);
      return reg;
    }
    // The furthest next use goes; among like ones, what is in memory already.
    uint64_t score = uint64_t{live_.values[id].next_use} * 2 + (in_memory(live_.values[id]) ? 9 : 1);
    if (score > best_score) best_score = score, best = reg;
  }
  LYRE_CHECK(best != kNoReg, "an instruction asks for more registers than the host has");
  evict(best);
  return best;
}

void Allocator::displace(Reg reg) {
  if (free_ & mask_of(reg)) return;
  LYRE_CHECK(!(temps_ & mask_of(reg)), "a fixed register is asked for twice");
  ValueId id = holder_[reg];
  bool was_locked = locked_ & mask_of(reg);
  if (is_scratch(id) || !lives_now(id)) return unassign(reg);
  RegMask others = class_mask(id) & free_ & ~(temps_ | locked_) & ~mask_of(reg);
  if (!others && !was_locked) return evict(reg);
  Reg other = kNoReg;
  if (others) {
    other = first_of(others & regs_.cheap ? others & regs_.cheap : others);
  } else {
    locked_ |= mask_of(reg);
    other = take(class_mask(id));
  }
  host_.emit_move(other, reg);
  unassign(reg);
  assign(id, other);
  if (!was_locked) locked_ &= ~mask_of(other);
}

void Allocator::claim(Reg reg) {
  displace(reg);
  free_ &= ~mask_of(reg);
  temps_ |= mask_of(reg);
  holder_[reg] = kNoId;
}

Reg Allocator::temp(RegMask allowed) {
  Reg reg = take(allowed);
  free_ &= ~mask_of(reg);
  temps_ |= mask_of(reg);
  holder_[reg] = kNoId;
  return reg;
}

void Allocator::free_temp(Reg reg) {
  temps_ &= ~mask_of(reg);
  free_ |= mask_of(reg);
}

void Allocator::load(ValueId id, Reg reg) {
  const ValueState& v = live_.values[id];
  if (v.flags & kIsConstant) {
    host_.emit_constant(reg, constant(id), v.type);
  } else {
    LYRE_CHECK(in_memory(v), "a value is used that is nowhere");
    host_.emit_load(reg, place_of(v));
  }
}

Reg Allocator::use(ValueId id, RegMask allowed) {
  id = live_.alias(id);
  ValueState& v = live_.values[id];
  if (v.reg != kNoReg && (allowed & mask_of(v.reg))) {
    locked_ |= mask_of(v.reg);
    return v.reg;
  }
  Reg reg = take(allowed & class_mask(id), v.hint);
  if (v.reg != kNoReg) {
    host_.emit_move(reg, v.reg);
    unassign(v.reg);
  } else {
    load(id, reg);
  }
  assign(id, reg);
  return reg;
}

Reg Allocator::use_fixed(ValueId id, Reg reg) {
  id = live_.alias(id);
  ValueState& v = live_.values[id];
  if (v.reg == reg && !keeps(id) && used_once(id)) {
    unassign(reg);
    free_ &= ~mask_of(reg);
    temps_ |= mask_of(reg);
    return reg;
  }
  Reg from = v.reg;
  claim(reg);
  if (from == reg) {
    // It was moved away to make room; the copy that the instruction may overwrite is still here.
    return reg;
  }
  if (v.reg != kNoReg) {
    host_.emit_move(reg, v.reg);
  } else {
    load(id, reg);
  }
  return reg;
}

Reg Allocator::use_scratch(ValueId id, RegMask allowed) {
  id = live_.alias(id);
  ValueState& v = live_.values[id];
  if (v.reg != kNoReg && (allowed & mask_of(v.reg)) && !keeps(id) && used_once(id)) {
    Reg reg = v.reg;
    unassign(reg);
    free_ &= ~mask_of(reg);
    temps_ |= mask_of(reg);
    return reg;
  }
  Reg reg = temp(allowed & class_mask(id));
  if (v.reg != kNoReg) {
    host_.emit_move(reg, v.reg);
  } else {
    load(id, reg);
  }
  return reg;
}

Reg Allocator::define(ValueId id, RegMask allowed) {
  Reg reg = take(allowed & class_mask(id), state(id).hint);
  assign(id, reg);
  return reg;
}

void Allocator::define_as(ValueId id, Reg temp) {
  temps_ &= ~mask_of(temp);
  assign(id, temp);
}

Reg Allocator::redefine(ValueId id, ValueId source) {
  source = live_.alias(source);
  ValueState& v = live_.values[source];
  if (v.reg != kNoReg && !lives_after(source)) {
    Reg reg = v.reg;
    unassign(reg);
    assign(id, reg);
    return reg;
  }
  Reg from = v.reg;
  Reg reg = take(class_mask(id), state(id).hint);
  if (from != kNoReg) {
    host_.emit_move(reg, from);
  } else {
    load(source, reg);
  }
  assign(id, reg);
  return reg;
}

void Allocator::keep_scratch(unsigned k, Reg temp) {
  drop_scratch(k);
  temps_ &= ~mask_of(temp);
  assign(live_.first_scratch() + k, temp);
}

void Allocator::drop_scratch(unsigned k) {
  if (Reg reg = scratch(k); reg != kNoReg) unassign(reg);
}

}  // namespace lyre::backend
