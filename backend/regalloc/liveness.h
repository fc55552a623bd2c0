// Liveness: what the forward allocator must know before it starts, in two linear passes over a region.
//  - aliases: a truncation, or a widening whose upper bits are known to be zero, is the same register seen at another width, so it vanishes;
//  - next uses: after each operand, the position (instruction index) of that value's next use; around a loop, the back edge counts as a use of
//    everything that lives through it;
//  - snapshot life: the last position where a snapshot needs a value (no register needed for that, any location will do);
//  - register hints: values that end up in pinned slots.
// Register contents: integers narrower than 64 bits have undefined upper bits, except i1 (0 or 1) and results listed in clears_upper().
// Reused: run() clears, memory is kept. Hot (translation).
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "backend/regalloc/registers.h"
#include "backend/regalloc/slot_map.h"
#include "ir/abi.h"
#include "ir/region.h"

namespace lyre::backend {

inline constexpr uint32_t kNever = ~uint32_t{0};
inline constexpr uint16_t kNoSpill = 0xffff;
inline constexpr unsigned kMaxPinned = 5;

enum ValueFlags : uint8_t { kIsConstant = 1, kIsLoopLive = 2, kIsOperand = 4 };  // kIsOperand: of the instruction at hand

struct ValueState {
  uint32_t next_use = kNever;     // position of the next operand use
  int32_t snapshot_last = -1;     // last position whose snapshot needs the value
  uint16_t home = kNoSlot;        // dense slot whose memory holds the value now
  uint16_t spill = kNoSpill;      // spill slot that holds the value now
  uint16_t binding = kNoSlot;     // first slot bound to the value
  Reg reg = kNoReg;
  Reg hint = kNoReg;
  ir::Type type = ir::Type::kVoid;
  uint8_t flags = 0;
};

class Liveness {
 public:
  // helpers: of the guest layout; pinned slot k lives in pinned_regs[k].
  void run(const ir::Region& region, std::span<const ir::HelperInfo> helpers, std::span<const uint16_t> pinned_slots, std::span<const Reg> pinned_regs);

  // The instruction's snapshot matters to the host (calls that look at no state carry one too).
  bool uses_snapshot(const ir::Inst& inst) const { return inst.snapshot != ir::kNoId && (inst.op != ir::Op::call || (call_flags(inst) & kStateFlags)); }
  uint8_t call_flags(const ir::Inst& inst) const { return inst.imm < helpers_.size() ? helpers_[inst.imm].flags : uint8_t{0}; }
  static constexpr uint8_t kStateFlags = ir::kReadsState | ir::kWritesState | ir::kMayLeave;

  ir::ValueId alias(ir::ValueId id) const { return alias_[id]; }
  bool skipped(ir::ValueId id) const { return alias_[id] != id; }  // removed, an alias, or dead
  // Index of operand k's "next use after this one".
  uint32_t next_after_inline(uint32_t inst, unsigned k) const { return next_[inst * 4 + k]; }
  uint32_t next_after_pool(uint32_t pool_index) const { return next_[inst_count_ * 4 + pool_index]; }

  std::vector<ValueState> values;             // instructions, then kMaxPinned stand-ins for pinned slots without a get, then kScratchValues
  static constexpr unsigned kScratchValues = 4;
  ir::ValueId first_scratch() const { return inst_count_ + kMaxPinned; }
  ir::ValueId pinned_entry[kMaxPinned] = {};  // value that pinned register k holds at entry

  // The loop, if there is one: header block's first instruction and the back edge's position.
  bool has_loop = false;
  ir::BlockId loop_block = 0;
  uint32_t loop_first = 0, loop_back = 0;
  std::vector<ir::ValueId> loop_live;         // defined before the loop, used by instructions in it (constants left out)

 private:
  void find_loop(const ir::Region& region);
  void forward(const ir::Region& region, std::span<const uint16_t> pinned_slots, std::span<const Reg> pinned_regs);
  void backward(const ir::Region& region);
  void use(ir::ValueId id, uint32_t position, uint32_t& next);
  void take_snapshot(const ir::Region& region, uint32_t position, ir::SnapshotId snapshot);
  void bind(uint16_t offset, ir::ValueId id);
  void unbind_all();

  std::span<const ir::HelperInfo> helpers_;
  std::span<const uint16_t> pinned_slots_;
  std::span<const Reg> pinned_regs_;
  std::vector<ir::ValueId> alias_;
  std::vector<uint32_t> next_;
  uint32_t inst_count_ = 0;
  SlotMap slots_;
  std::vector<ir::SnapshotId> chain_;
  ir::SnapshotId snapshot_ = ir::kNoId;
  int32_t last_position_ = -1;
};

}  // namespace lyre::backend
