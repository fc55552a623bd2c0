// Emitter: where rewriting passes put the new instructions of a region. Each goes through the local passes that are switched on
// (fold, fuse, number) against what has been emitted before, so that one forward walk does all of them. Everything emitted so far
// must dominate what is emitted now: true for a superblock, and for a prologue followed by one loop. Hot.
#pragma once
#include "ir/pass/pipeline.h"
#include "ir/pass/scratch.h"

namespace lyre::ir {

// emit()'s answer for an instruction without a value that folding removed.
inline constexpr ValueId kDropped = kNoId - 1;

class Emitter {
 public:
  Emitter(PassScratch& scratch, uint32_t passes);

  // Through the local passes; gives an earlier value, or the new instruction's, or kDropped.
  ValueId emit(Inst inst);
  ValueId append(const Inst& inst) {
    scratch_.insts.push_back(inst);
    return static_cast<ValueId>(scratch_.insts.size() - 1);
  }
  // For folding: a new instruction that is itself folded and numbered.
  ValueId emit(Op op, Type type, ValueId a, ValueId b = kNoId, uint8_t aux = 0);
  ValueId constant(Type type, uint64_t bits);

  const Inst& operator[](ValueId id) const { return scratch_.insts[id]; }
  uint32_t size() const { return static_cast<uint32_t>(scratch_.insts.size()); }
  bool is_constant(ValueId id) const { return scratch_.insts[id].op == Op::constant; }
  bool is_constant(ValueId id, uint64_t bits) const { return is_constant(id) && scratch_.insts[id].imm == bits; }
  uint32_t passes() const { return passes_; }
  // The emitted code ends here (an exit turned out to be always taken).
  bool ended() const { return !scratch_.insts.empty() && has(scratch_.insts.back().op, kTerminator); }

 private:
  PassScratch& scratch_;
  uint32_t passes_;
};

}  // namespace lyre::ir
