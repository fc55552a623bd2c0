// The pass pipeline: raw frontend IR in, what hosts compile out. pipeline.cpp is the only place with an order.
#pragma once
#include <span>

#include "ir/abi.h"
#include "ir/region.h"

namespace lyre::ir {

struct PipelineOptions {
  bool optimise = true;           // off: state forwarding's snapshots only, nothing else
  bool form_loops = true;         // direct exits to the region's own start become a loop
  bool verify_each = false;
  std::span<const HelperInfo> helpers;         // flags decide what a call does to forwarded state
  std::span<const uint16_t> pinned_slots;      // always in snapshots: memory is stale for them
  uint16_t pc_slot = 0;
};
void run_pipeline(Region& region, const PipelineOptions& options);

}  // namespace lyre::ir
