// The allocator's memory side: bindings of guest slots, homes, spill slots, calls.
#include <algorithm>

#include "backend/regalloc/allocator.h"
#include "runtime/base/check.h"

namespace lyre::backend {

using ir::kNoId;
using ir::Type;
using ir::ValueId;

// ---- bindings

void Allocator::unbind(uint16_t index) {
  SlotEntry& slot = slots_[index];
  if (slot.value == kNoId) return;
  uint16_t* link = &live_.values[slot.value].binding;
  while (*link != index) link = &slots_[*link].next_binding;
  *link = slot.next_binding;
  slot.next_binding = kNoSlot;
  slot.value = kNoId;
  if (!slot.changed) slot.changed = true, changed_.push_back(index);
}

void Allocator::bind(uint16_t offset, Type type, ValueId id) {
  uint16_t index = slots_.index_of(offset);
  unbind(index);
  SlotEntry& slot = slots_[index];
  slot.value = id;
  slot.type = type;
  slot.next_binding = live_.values[id].binding;
  live_.values[id].binding = index;
  if (!slot.changed) slot.changed = true, changed_.push_back(index);
}

void Allocator::apply_snapshot(ir::SnapshotId snapshot) {
  follow_snapshots(
      *region_, snapshot_, snapshot, chain_,
      [&](const ir::SnapshotEntry& entry) { bind(entry.slot, entry.type, live_.alias(entry.value)); },
      [&] {
        for (uint16_t s = 0; s < slots_.size(); s++) unbind(s);
      });
  snapshot_ = snapshot;
}

// ---- memory copies

void Allocator::disown(uint16_t index) {
  SlotEntry& slot = slots_[index];
  if (slot.owner == kNoId) return;
  ValueState& v = live_.values[slot.owner];
  slot.owner = kNoId;
  v.home = kNoSlot;
  mark(v);
}

void Allocator::own(uint16_t index, ValueId id) {
  disown(index);
  ValueState& v = live_.values[id];
  if (v.home != kNoSlot) slots_[v.home].owner = kNoId;
  v.home = index;
  slots_[index].owner = id;
  mark(v);
}

uint16_t Allocator::new_spill(ValueId id) {
  if (free_spills_.empty() && spills_used_ == kAllocatorSpills) {
    for (uint16_t s = 0; s < spills_used_; s++) {
      ValueState& owner = live_.values[spill_owner_[s]];
      if (owner.spill == s && !lives_now(spill_owner_[s])) drop_spill(owner);
    }
    LYRE_CHECK(!free_spills_.empty(), "a region keeps more values alive than there are spill slots");
  }
  uint16_t slot;
  if (!free_spills_.empty()) {
    slot = free_spills_.back();
    free_spills_.pop_back();
  } else {
    slot = static_cast<uint16_t>(spills_used_++);
  }
  spill_owner_[slot] = id;
  live_.values[id].spill = slot;
  mark(live_.values[id]);
  return slot;
}

void Allocator::drop_spill(ValueState& v) {
  if (v.spill == kNoSpill) return;
  free_spills_.push_back(v.spill);
  v.spill = kNoSpill;
}

void Allocator::store_copy(ValueId id) {
  ValueState& v = live_.values[id];
  for (uint16_t s = v.binding; s != kNoSlot; s = slots_[s].next_binding) {
    SlotEntry& slot = slots_[s];
    if (slot.type != v.type) continue;
    if (slot.owner != kNoId && slot.owner != id) {
      const ValueState& owner = live_.values[slot.owner];
      const bool loses_reg = owner.reg == kNoReg || (dropped_ & mask_of(owner.reg));
      if (lives_now(slot.owner) && loses_reg && owner.spill == kNoSpill) continue;
    }
    host_.emit_store({Place::kState, slot.type, slot.offset}, v.reg);
    own(s, id);
    return;
  }
  new_spill(id);
  host_.emit_store(place_of(v), v.reg);
}

void Allocator::rescue(ValueId id) {
  ValueState& v = live_.values[id];
  if (!lives_now(id) || v.reg != kNoReg || v.spill != kNoSpill || (v.flags & kIsConstant)) return;
  Place from = place_of(v);
  new_spill(id);
  host_.emit_copy(place_of(v), from);
}

void Allocator::get(ValueId id, uint16_t offset) {
  uint16_t index = slots_.index_of(offset);
  ValueState& v = live_.values[id];
  if (v.reg != kNoReg) return;  // a pinned slot at entry: its register has it, the slot's memory does not
  SlotEntry& slot = slots_[index];
  const bool needed = slot.owner != kNoId && lives_now(slot.owner) && live_.values[slot.owner].reg == kNoReg && live_.values[slot.owner].spill == kNoSpill;
  if (needed) {
    Reg reg = define(id);
    host_.emit_load(reg, {Place::kState, v.type, offset});
    return;
  }
  own(index, id);
}

void Allocator::set(ValueId id, uint16_t offset, Type type) {
  uint16_t index = slots_.index_of(offset);
  id = live_.alias(id);
  ValueState& v = live_.values[id];
  if (std::find(pinned_slots_.begin(), pinned_slots_.end(), offset) != pinned_slots_.end()) return bind(offset, type, id);
  if (slots_[index].owner != kNoId && slots_[index].owner != id) rescue(slots_[index].owner);
  Place to{Place::kState, type, offset};
  if (v.flags & kIsConstant) {
    host_.emit_store_constant(to, constant(id));
  } else {
    host_.emit_store(to, use(id));
  }
  if (slots_[index].owner != id) disown(index);
  unbind(index);
}

void Allocator::store_dirty_slots() {
  for (uint16_t s = 0; s < slots_.size(); s++) {
    ValueId id = slots_[s].value;
    if (id == kNoId) continue;
    ValueState& v = live_.values[id];
    if (v.home == s) continue;
    if (slots_[s].owner != kNoId) {
      rescue(slots_[s].owner);
      disown(s);
    }
    Place to{Place::kState, slots_[s].type, slots_[s].offset};
    if (v.flags & kIsConstant) {
      host_.emit_store_constant(to, constant(id));
    } else if (v.reg != kNoReg) {
      host_.emit_store(to, v.reg);
    } else {
      host_.emit_copy(to, place_of(v));
    }
    if (slots_[s].type == v.type && !(v.flags & kIsConstant) && v.home == kNoSlot) own(s, id);
  }
}

void Allocator::slots_will_be_written() {
  for (uint16_t s = 0; s < slots_.size(); s++) {
    if (slots_[s].owner != kNoId) rescue(slots_[s].owner);
    disown(s);
    unbind(s);
  }
  snapshot_ = kNoId;
}

// ---- calls

void Allocator::save_clobbered(RegMask clobbered) {
  dropped_ = clobbered;
  for (RegMask left = clobbered & ~free_ & ~temps_; left; left &= left - 1) {
    Reg reg = first_of(left);
    ValueId id = holder_[reg];
    if (is_scratch(id)) {
      unassign(reg);
      continue;
    }
    if (!lives_after(id)) continue;
    ValueState& v = live_.values[id];
    RegMask safe = free_ & ~clobbered & ~temps_ & class_mask(id);
    if (v.next_use != kNever && safe) {
      Reg to = (v.hint != kNoReg && (safe & mask_of(v.hint))) ? v.hint : first_of(safe);
      host_.emit_move(to, reg);
      unassign(reg);
      assign(id, to);
    } else if (!in_memory(v)) {
      store_copy(id);
    }
  }
  dropped_ = 0;
}

void Allocator::drop_clobbered(RegMask clobbered) {
  for (RegMask left = clobbered & ~free_ & ~temps_; left; left &= left - 1) unassign(first_of(left));
}

// ---- what exits and state points record

Location Allocator::location(ValueId id, uint16_t slot) const {
  Location at;
  const ValueState& v = live_.values[id];
  if (slot != kNoSlot && v.home == slot) {
    at.kind = LocationKind::kHome;
  } else if (v.flags & kIsConstant) {
    at.kind = LocationKind::kConstant;
    at.constant = constant(id);
  } else if (v.reg != kNoReg) {
    at.kind = is_vector(v.reg) ? LocationKind::kVector : LocationKind::kGpr;
    at.index = static_cast<uint8_t>(hw(v.reg));
  } else if (v.spill != kNoSpill) {
    at.kind = LocationKind::kSpill;
    at.spill = v.spill;
  } else {
    LYRE_CHECK(v.home != kNoSlot, "a value needed by a snapshot is nowhere");
    at.kind = LocationKind::kState;
    at.spill = slots_[v.home].offset;
    at.index = static_cast<uint8_t>(ir::type_bytes(v.type));
  }
  return at;
}

void Allocator::bound_slots(std::vector<BoundSlot>& out) {
  // start() met the pinned slots first: they are the first entries.
  const auto pinned = static_cast<uint16_t>(pinned_slots_.size());
  for (uint16_t s = 0; s < slots_.size(); s++) {
    const SlotEntry& slot = slots_[s];
    if (s < pinned) {
      Location at;
      if (slot.value != kNoId) {
        const ValueState& v = live_.values[slot.value];
        at = location(slot.value, v.reg != kNoReg ? kNoSlot : s);
      }
      out.push_back({slot.offset, Type::kI64, at});
    } else if (slot.value != kNoId && live_.values[slot.value].home != s) {
      out.push_back({slot.offset, slot.type, location(slot.value, s)});
    }
  }
}

void Allocator::changed_slots(std::vector<StateEntry>& out) {
  for (uint16_t s : changed_) {
    SlotEntry& slot = slots_[s];
    slot.changed = false;
    out.push_back({slot.offset, slot.type, slot.value == kNoId ? Location{} : location(slot.value, s)});
  }
  changed_.clear();
}

}  // namespace lyre::backend
