// The allocator around a loop: the header fixes where parameters and values that live through the loop are; the back edge puts them there again.
#include <algorithm>

#include "backend/regalloc/allocator.h"
#include "runtime/base/check.h"

namespace lyre::backend {

using ir::kNoId;
using ir::Type;
using ir::ValueId;

namespace {
constexpr unsigned kKeepFree = 3;  // registers of a class that a header leaves for the loop's own work
}

void Allocator::place_param(ValueId param, ValueId arg) {
  ValueState& v = live_.values[param];
  const ValueState& a = live_.values[arg];
  if (free_in_class(param) > kKeepFree) {
    Reg reg = take(class_mask(param), v.hint);
    if (a.reg != kNoReg) {
      host_.emit_move(reg, a.reg);
    } else {
      load(arg, reg);
    }
    assign(param, reg);
    return;
  }
  new_spill(param);
  if (a.flags & kIsConstant) {
    host_.emit_store_constant(place_of(v), constant(arg));
  } else if (a.reg != kNoReg) {
    host_.emit_store(place_of(v), a.reg);
  } else {
    host_.emit_copy(place_of(v), place_of(a));
  }
}

// A home that an iteration may overwrite is no home: the slot changes in the loop.
void Allocator::settle_homes() {
  for (uint16_t s = 0; s < slots_.size(); s++) {
    ValueId owner = slots_[s].owner;
    if (owner == kNoId || slots_[s].value == owner || slots_[s].value == kNoId) continue;
    ValueState& v = live_.values[owner];
    if (lives_now(owner) && v.reg == kNoReg && v.spill == kNoSpill) {
      if (free_in_class(owner) > kKeepFree) {
        Reg reg = take(class_mask(owner), v.hint);
        load(owner, reg);
        assign(owner, reg);
      } else {
        rescue(owner);
      }
    }
    disown(s);
  }
}

void Allocator::enter_loop(const ir::Region& region, std::span<const ValueId> args, const ir::Block& header) {
  for (unsigned k = 0; k < Liveness::kScratchValues; k++) drop_scratch(k);
  auto wanted = [&](ValueId param) { return live_.values[param].next_use != kNever || live_.values[param].snapshot_last >= 0; };
  // Arguments that end here hand over their registers; the others are copied while registers last, nearest use first being the order of parameters.
  for (unsigned k = 0; k < args.size(); k++) {
    ValueId param = header.first + k, arg = live_.alias(args[k]);
    Reg reg = live_.values[arg].reg;
    if (!wanted(param) || reg == kNoReg || lives_after(arg)) continue;
    unassign(reg);
    assign(param, reg);
    // Another parameter may get the same argument: it finds it here.
    for (unsigned other = k + 1; other < args.size(); other++) {
      if (live_.alias(args[other]) == arg && wanted(header.first + other)) {
        place_param(header.first + other, param);
      }
    }
  }
  for (unsigned k = 0; k < args.size(); k++) {
    ValueId param = header.first + k;
    const ValueState& v = live_.values[param];
    if (wanted(param) && v.reg == kNoReg && v.spill == kNoSpill) place_param(param, live_.alias(args[k]));
  }
  end();
  for (uint32_t i = header.first; i < header.end; i++) {
    if (live_.uses_snapshot(region.insts[i])) {
      apply_snapshot(region.insts[i].snapshot);
      break;
    }
  }
  position_++;
  settle_homes();
  for (ValueId id : live_.loop_live) {
    ValueState& v = live_.values[id];
    if (v.reg != kNoReg || !in_memory(v) || free_in_class(id) <= kKeepFree + 1) continue;
    Reg reg = take(class_mask(id), v.hint);
    load(id, reg);
    assign(id, reg);
  }
  locked_ = 0;
  header_.clear();
  for (unsigned k = 0; k < args.size(); k++) {
    const ValueState& v = live_.values[header.first + k];
    header_.push_back({header.first + k, v.reg, v.spill});
  }
  for (RegMask left = (regs_.gprs | regs_.vectors) & ~free_; left; left &= left - 1) {
    Reg reg = first_of(left);
    ValueId id = holder_[reg];
    if (id >= header.first && id < header.first + args.size()) continue;
    if (!lives_now(id) || (live_.values[id].flags & kIsConstant)) {
      unassign(reg);
      continue;
    }
    header_.push_back({id, reg, kNoSpill});
  }
}

// The back edge writes parameters that live in memory. A parameter's old value that is still wanted from there goes elsewhere first.
void Allocator::save_overwritten_params(std::span<const ValueId> args) {
  // "Elsewhere" is no parameter's place, dead as the old value of that one may be by now.
  auto is_place = [&](uint16_t spill) {
    return std::any_of(header_.begin(), header_.end(), [&](const HeaderPlace& place) { return place.reg == kNoReg && place.spill == spill; });
  };
  std::erase_if(free_spills_, is_place);
  for (unsigned k = 0; k < args.size(); k++) {
    ValueId source = live_.alias(args[k]);
    ValueState& v = live_.values[source];
    if (source == header_[k].id || v.reg != kNoReg || v.spill == kNoSpill) continue;
    bool overwritten = std::any_of(header_.begin(), header_.begin() + static_cast<ptrdiff_t>(args.size()),
                                   [&](const HeaderPlace& place) { return place.reg == kNoReg && place.spill == v.spill; });
    if (!overwritten) continue;
    Place from = place_of(v);
    v.spill = kNoSpill;  // stays taken: it is the parameter's place
    new_spill(source);
    host_.emit_copy(place_of(v), from);
  }
}

void Allocator::close_loop(const ir::Region&, std::span<const ValueId> args) {
  for (unsigned k = 0; k < Liveness::kScratchValues; k++) drop_scratch(k);
  save_overwritten_params(args);
  for (unsigned k = 0; k < args.size(); k++) {
    const HeaderPlace& to = header_[k];
    if (to.reg != kNoReg || to.spill == kNoSpill) continue;
    ValueId source = live_.alias(args[k]);
    const ValueState& v = live_.values[source];
    const Type param_type = live_.values[to.id].type;
    Place place{Place::kSpill, in_vector(param_type) ? param_type : Type::kI64, to.spill};
    if (v.flags & kIsConstant) {
      host_.emit_store_constant(place, constant(source));
    } else if (v.reg != kNoReg) {
      host_.emit_store(place, v.reg);
    } else if (v.spill != to.spill) {
      host_.emit_copy(place, place_of(v));
    }
  }
  moves_.clear();
  for (size_t k = 0; k < header_.size(); k++) {
    if (header_[k].reg == kNoReg) continue;
    ValueId source = k < args.size() ? live_.alias(args[k]) : header_[k].id;
    if (Reg from = live_.values[source].reg; from != kNoReg) moves_.add(header_[k].reg, from);
  }
  moves_.emit(host_);
  for (size_t k = 0; k < header_.size(); k++) {
    if (header_[k].reg == kNoReg) continue;
    ValueId source = k < args.size() ? live_.alias(args[k]) : header_[k].id;
    if (live_.values[source].reg == kNoReg) load(source, header_[k].reg);
  }
}

}  // namespace lyre::backend
