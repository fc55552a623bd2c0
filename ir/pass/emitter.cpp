#include "ir/pass/emitter.h"

#include "ir/pass/local.h"

namespace lyre::ir {

PassScratch& pass_scratch() {
  thread_local PassScratch scratch;
  return scratch;
}

uint16_t PassScratch::new_slot(uint64_t offset) {
  slot_index[offset] = static_cast<uint16_t>(slots.size());
  slots.emplace_back().offset = static_cast<uint16_t>(offset);
  return slot_index[offset];
}

Emitter::Emitter(PassScratch& scratch, uint32_t passes) : scratch_(scratch), insts_(scratch.insts.data()), passes_(passes) {
  if (++scratch.number_stamp == 0) {
    scratch.numbers.fill({});
    scratch.number_stamp = 1;
  }
}

void Emitter::grow() {
  scratch_.insts.resize(scratch_.insts.size() * 2 + 256);
  insts_ = scratch_.insts.data();
}

void Emitter::finish(Region& region) {
  scratch_.insts.resize(size_);
  region.insts.swap(scratch_.insts);
}

ValueId Emitter::emit(Inst& inst) {
  if (passes_ & kPassFold) {
    ValueId same = fold(*this, inst);
    if (same != kNoId) return same;
  }
  if (passes_ & kPassFuseCompare) fuse_compare(*this, inst);
  if ((passes_ & kPassFuseAddress) && has(inst.op, kMemory)) fuse_address(*this, inst);
  if ((passes_ & kPassValueNumber) && has(inst.op, kPure)) {
    ValueId same = value_number(scratch_, insts_, size_, inst);
    if (same != kNoId) return same;
  }
  return append(inst);
}

ValueId Emitter::emit(Op op, Type type, ValueId a, ValueId b, uint8_t aux) {
  Inst inst;
  inst.op = op, inst.type = type, inst.aux = aux;
  inst.args[0] = a, inst.args[1] = b;
  return emit(inst);
}

ValueId Emitter::constant(Type type, uint64_t bits) {
  Inst inst;
  inst.op = Op::constant, inst.type = type, inst.imm = bits;
  return emit(inst);
}

}  // namespace lyre::ir
