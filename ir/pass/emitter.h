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

  // Through the local passes, which may change `inst`; gives an earlier value, or the new instruction's, or kDropped.
  ValueId emit(Inst& inst);
  ValueId append(const Inst& inst) {
    if (size_ == scratch_.insts.size()) grow();
    insts_[size_] = inst;
    return size_++;
  }
  // For folding: a new instruction that is itself folded and numbered.
  ValueId emit(Op op, Type type, ValueId a, ValueId b = kNoId, uint8_t aux = 0);
  ValueId constant(Type type, uint64_t bits);

  const Inst& operator[](ValueId id) const { return insts_[id]; }
  uint32_t size() const { return size_; }
  bool is_constant(ValueId id) const { return insts_[id].op == Op::constant; }
  bool is_constant(ValueId id, uint64_t bits) const { return is_constant(id) && insts_[id].imm == bits; }
  uint32_t passes() const { return passes_; }
  // The emitted code ends here (an exit turned out to be always taken).
  bool ended() const { return size_ && has(insts_[size_ - 1].op, kTerminator); }
  // Gives the region what has been emitted; its old array becomes scratch memory.
  void finish(Region& region);

 private:
  void grow();
  PassScratch& scratch_;
  // The scratch array is kept as large as it ever was; these say what is filled.
  Inst* insts_;
  uint32_t size_ = 0;
  uint32_t passes_;
};

}  // namespace lyre::ir
