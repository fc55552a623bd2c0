// The local passes: each looks at one instruction about to be emitted and at what stands before it. One file each; the emitter
// calls them. Arguments of the instruction are already new values.
#pragma once
#include "ir/pass/emitter.h"

namespace lyre::ir {

// Constant folding, identities, strength reduction. May rewrite `inst` in place and emit helpers before it.
// Returns an existing value that is equal, kDropped, or kNoId: emit `inst`.
ValueId fold(Emitter& out, Inst& inst);

// load/store(x + constant) -> displacement.
void fuse_address(const Emitter& out, Inst& inst);

// exit_if(cmp) -> exit_if_cmp, select(cmp) -> select_cmp.
void fuse_compare(const Emitter& out, Inst& inst);

// An earlier equal pure instruction of `insts`, or kNoId (then the caller must append `inst` next, as number `size`).
ValueId value_number(PassScratch& scratch, const Inst* insts, uint32_t size, const Inst& inst);

}  // namespace lyre::ir
