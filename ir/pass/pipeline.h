// The pass pipeline: raw frontend IR in, what hosts compile out. pipeline.cpp is the only place with an order.
#pragma once
#include <span>

#include "ir/abi.h"
#include "ir/region.h"

namespace lyre::ir {

// The local passes, one bit each, so that a bug can be bisected. State forwarding always runs: hosts need its snapshots.
enum Pass : uint32_t {
  kPassLoops = 1,          // loops.cpp
  kPassFold = 2,           // fold*.cpp
  kPassFuseAddress = 4,    // fuse_address.cpp
  kPassFuseCompare = 8,    // fuse_compare.cpp
  kPassValueNumber = 16,   // value_number.cpp
  kPassDce = 32,           // dce.cpp
  kAllPasses = 63,
};

struct PipelineOptions {
  bool forward = true;            // off: the region stays as the frontend built it (get and set on the state area); only the
                                  // interpreter runs such regions
  bool optimise = true;           // off: state forwarding's snapshots only, nothing else
  bool form_loops = true;         // direct exits to the region's own start become a loop
  bool verify_each = false;
  uint32_t passes = kAllPasses;   // which of the optimising ones
  std::span<const HelperInfo> helpers;         // flags decide what a call does to forwarded state
  std::span<const uint16_t> pinned_slots;      // always in snapshots: memory is stale for them
  uint16_t pc_slot = 0;
};
// Allocates nothing in steady state: scratch memory is the calling thread's and is reused.
void run_pipeline(Region& region, const PipelineOptions& options);

}  // namespace lyre::ir
