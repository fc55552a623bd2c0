#include "ir/pass/pipeline.h"

#include <cstdio>

#include "ir/pass/passes.h"
#include "ir/text.h"
#include "ir/verify.h"
#include "runtime/base/check.h"

namespace lyre::ir {
namespace {

void verify_after(const char* pass, const Region& region, const PipelineOptions& options, bool forwarded) {
  std::string error = verify(region, {forwarded, options.helpers});
  if (error.empty()) return;
  std::fprintf(stderr, "%s\n%s is not valid: %s\n", print(region).c_str(), pass, error.c_str());
  LYRE_CHECK(false, "invalid IR");
}

}  // namespace

void run_pipeline(Region& region, const PipelineOptions& options) {
  if (options.verify_each) verify_after("the frontend's IR", region, options, false);
  if (!options.forward) {
    if (region.blocks.empty()) region.blocks.push_back({0, static_cast<uint32_t>(region.insts.size()), 0, false});
    return;
  }
  PassScratch& scratch = pass_scratch();
  uint32_t passes = options.optimise ? options.passes : 0;
  if (!options.form_loops) passes &= ~uint32_t{kPassLoops};
  forward_state(region, options, passes, scratch);
  if (options.verify_each) verify_after("IR after forward_state", region, options, true);
  if (passes & kPassDce) {
    dce(region, options, scratch);
    if (options.verify_each) verify_after("IR after dce", region, options, true);
  }
}

}  // namespace lyre::ir
