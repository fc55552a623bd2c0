// Allocator: forward register allocation over straight-line code with known next uses (second-chance binpacking), driven by the host's emitter as it
// goes: one walk both allocates and emits. Host-neutral: it asks an AllocHost for moves, loads and stores.
//
// One instruction, as the host sees it:
//   begin(i)            operands in registers are protected, next uses advanced, the snapshot (if any) becomes current
//   claim / use_fixed   fixed registers first: they may move other values
//   use / memory_of     operands in registers, or as memory operands
//   temp                scratch registers, until end()
//   release()           operands whose life ends here give up their registers, so that a result may take one
//   define / redefine   the result
//   end()
// Flags of the host are clobbered only by constants being loaded, so hosts get all operands before they compare.
//
// Where a value is: a register, and/or memory (its home: the state slot that it is the current content of; or a spill slot), or a constant. A value
// evicted while some slot holds it by the current snapshot is stored to that very slot: from then on it needs no store at exits. This is right since
// snapshots only move forward in straight-line code; at a loop header enter_loop() drops homes that an iteration could overwrite.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "backend/backend.h"
#include "backend/regalloc/liveness.h"
#include "backend/regalloc/parallel_move.h"

namespace lyre::backend {

// Spill slots that the allocator hands out; the rest are the host's, for exits.
inline constexpr unsigned kExitSpills = 16;
inline constexpr unsigned kAllocatorSpills = ir::kSpillSlots - kExitSpills;

// A slot's content at an exit.
struct BoundSlot {
  uint16_t offset;
  ir::Type type;
  Location location;
};

class Allocator {
 public:
  Allocator(AllocHost& host, const HostRegs& regs, Liveness& liveness) : host_(host), regs_(regs), live_(liveness) {}
  void start(const ir::Region& region, std::span<const uint16_t> pinned_slots, bool spill_everything);

  void begin(uint32_t position, const ir::Inst& inst);
  void end();

  // Values.
  Reg use(ir::ValueId id) { return use(id, class_mask(id)); }
  Reg use(ir::ValueId id, RegMask allowed);
  Reg use_fixed(ir::ValueId id, Reg reg);   // a copy of the value in `reg`, which the instruction may overwrite
  Reg use_scratch(ir::ValueId id, RegMask allowed = ~RegMask{0});  // a copy in a register that may be overwritten
  Reg temp(RegMask allowed);
  Reg temp_gpr() { return temp(regs_.gprs); }
  Reg temp_vector() { return temp(regs_.vectors); }
  void claim(Reg reg);                      // `reg` becomes scratch until end()
  void free_temp(Reg reg);                  // before end()
  Reg define(ir::ValueId id, RegMask allowed = ~RegMask{0});
  void define_as(ir::ValueId id, Reg temp); // the scratch register becomes the result
  Reg redefine(ir::ValueId id, ir::ValueId source);  // the result's register, holding `source` (copied if that lives on); the source is consumed
  void release();

  bool bound(uint16_t offset) { return slots_[slots_.index_of(offset)].value != ir::kNoId; }  // the snapshot lists the slot
  Reg hint(ir::ValueId id) const { return state(id).hint; }
  bool is_free(Reg reg) const { return free_ & mask_of(reg) & ~locked_; }
  bool in_reg(ir::ValueId id) const { return state(id).reg != kNoReg; }
  Reg reg_of(ir::ValueId id) const { return state(id).reg; }
  bool dies(ir::ValueId id) const { return !lives_after(live_.alias(id)); }
  bool is_constant(ir::ValueId id) const { return state(id).flags & kIsConstant; }
  uint64_t constant(ir::ValueId id) const;  // zero-extended from the value's type
  // A memory operand instead of a register: the value is only in memory and not used again.
  bool memory_of(ir::ValueId id, ir::Type as, Place& place) const;
  ir::Type type_of(ir::ValueId id) const { return state(id).type; }
  RegMask class_mask(ir::ValueId id) const { return in_vector(state(id).type) ? regs_.vectors : regs_.gprs; }

  // State access.
  void get(ir::ValueId id, uint16_t offset);                      // lazily: the value's home is the slot
  void set(ir::ValueId id, uint16_t offset, ir::Type type);       // direct store (unoptimised regions)
  void store_dirty_slots();                                       // every bound slot's memory becomes current
  void slots_will_be_written();                                   // by a helper, after store_dirty_slots(): memory is all there is
  void bound_slots(std::vector<BoundSlot>& out);                  // what is not in its home, pinned slots always
  void changed_slots(std::vector<StateEntry>& out);               // since the last call

  // Calls: every value in `clobbered` that lives on gets another register or a copy in memory; the registers keep their contents until
  // drop_clobbered(), so that arguments can be moved from them.
  void save_clobbered(RegMask clobbered);
  void drop_clobbered(RegMask clobbered);
  Location location_of(ir::ValueId id) const { return location(live_.alias(id), kNoSlot); }

  // Loop.
  void enter_loop(const ir::Region& region, std::span<const ir::ValueId> args, const ir::Block& header);
  void close_loop(const ir::Region& region, std::span<const ir::ValueId> args);

  // Scratch values: things worth keeping in a register but free to drop (TLB entry pointers). k < Liveness::kScratchValues.
  Reg scratch(unsigned k) const { return live_.values[live_.first_scratch() + k].reg; }
  void keep_scratch(unsigned k, Reg temp);
  void drop_scratch(unsigned k);
  void lock(Reg reg) { locked_ |= mask_of(reg); }

  uint32_t position() const { return position_; }
  unsigned spills_used() const { return spills_used_; }

 private:
  ValueState& state(ir::ValueId id) { return live_.values[live_.alias(id)]; }
  const ValueState& state(ir::ValueId id) const { return live_.values[live_.alias(id)]; }
  bool lives_after(ir::ValueId id) const {
    const ValueState& v = live_.values[id];
    return v.next_use != kNever || v.snapshot_last > static_cast<int32_t>(position_);
  }
  bool lives_now(ir::ValueId id) const {
    const ValueState& v = live_.values[id];
    return v.next_use != kNever || v.snapshot_last >= static_cast<int32_t>(position_) || (v.flags & kIsOperand);
  }
  // The register can not be given away: a later use, or the snapshot of this very instruction.
  bool keeps(ir::ValueId id) const {
    const ValueState& v = live_.values[id];
    return v.next_use != kNever || v.snapshot_last >= static_cast<int32_t>(position_);
  }
  bool used_once(ir::ValueId id) const {  // as an operand of the instruction at hand
    unsigned uses = 0;
    for (unsigned k = 0; k < operand_count_; k++) uses += live_.alias(operands_[k]) == id;
    return uses <= 1;
  }
  bool is_scratch(ir::ValueId id) const { return id >= live_.first_scratch(); }
  bool in_memory(const ValueState& v) const { return v.home != kNoSlot || v.spill != kNoSpill || (v.flags & kIsConstant); }

  Reg take(RegMask allowed, Reg hint = kNoReg);
  void evict(Reg reg);
  void displace(Reg reg);                       // the occupant goes elsewhere, its value stays reachable
  void store_copy(ir::ValueId id);              // memory gets a copy: home or spill slot
  void load(ir::ValueId id, Reg reg);           // constant or memory copy into reg
  void assign(ir::ValueId id, Reg reg);
  void unassign(Reg reg);
  void mark(const ValueState& value);
  void bind(uint16_t offset, ir::Type type, ir::ValueId id);
  void unbind(uint16_t slot);
  void apply_snapshot(ir::SnapshotId snapshot);
  void disown(uint16_t slot);                   // its memory is about to be overwritten
  void own(uint16_t slot, ir::ValueId id);
  uint16_t new_spill(ir::ValueId id);
  void drop_spill(ValueState& value);
  Place place_of(const ValueState& value) const;
  Location location(ir::ValueId id, uint16_t slot) const;
  void place_param(ir::ValueId param, ir::ValueId arg);
  void settle_homes();
  void rescue(ir::ValueId id);                  // its home is about to be lost: another copy, if it has none
  unsigned free_in_class(ir::ValueId id) const { return static_cast<unsigned>(std::popcount(free_ & class_mask(id))); }
  void save_overwritten_params(std::span<const ir::ValueId> args);

  AllocHost& host_;
  const HostRegs& regs_;
  Liveness& live_;
  const ir::Region* region_ = nullptr;
  std::span<const uint16_t> pinned_slots_;
  bool spill_everything_ = false;
  uint32_t position_ = 0;
  const ir::ValueId* operands_ = nullptr;
  unsigned operand_count_ = 0;

  ir::ValueId holder_[64];      // what a register holds; kNoId: scratch of this instruction
  RegMask free_ = 0, locked_ = 0, temps_ = 0;
  RegMask dropped_ = 0;         // registers whose contents are about to be lost
  SlotMap slots_;
  std::vector<uint16_t> changed_;
  std::vector<ir::SnapshotId> chain_;
  ir::SnapshotId snapshot_ = ir::kNoId;

  ir::ValueId spill_owner_[ir::kSpillSlots];
  unsigned spills_used_ = 0;
  std::vector<uint16_t> free_spills_;

  struct HeaderPlace {
    ir::ValueId id;
    Reg reg;
    uint16_t spill;
  };
  std::vector<HeaderPlace> header_;
  ParallelMove moves_;
};

}  // namespace lyre::backend
