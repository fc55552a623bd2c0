// The passes over whole regions. pipeline.cpp calls them in order; tests call them alone.
#pragma once
#include "ir/pass/pipeline.h"
#include "ir/pass/scratch.h"

namespace lyre::ir {

// Raw superblock (get, set, snapshots with a pc only) -> SSA over state slots with full snapshots; the local passes of
// `passes` run on the way, and with kPassLoops a superblock that ends by jumping to its start becomes a loop.
void forward_state(Region& region, const PipelineOptions& options, uint32_t passes, PassScratch& scratch);

// Whether the raw superblock should become a loop; fills scratch.loop_written and loop_read.
struct LoopPlan {
  bool form = false;
  bool rereads_state = false;  // a helper writes slots: what is only read can not be loaded once before the loop
};
LoopPlan plan_loop(const Region& region, const PipelineOptions& options, PassScratch& scratch);

// Removes instructions whose value nobody needs, closes the gaps.
void dce(Region& region, const PipelineOptions& options, PassScratch& scratch);

}  // namespace lyre::ir
