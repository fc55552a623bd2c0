// Helpers of the IR tests: regions as text, passes on them, comparison without caring about indentation.
#pragma once
#include <string>
#include <string_view>

#include "ir/pass/pipeline.h"
#include "ir/text.h"
#include "ir/verify.h"
#include "tests/support/catch.h"

namespace lyre::ir {

inline Region region_of(std::string_view text) {
  Result<Region> parsed = parse(text);
  INFO((parsed ? "" : parsed.error().message));
  REQUIRE(static_cast<bool>(parsed));
  return std::move(*parsed);
}

// The lines between the braces, without leading blanks.
inline std::string body(std::string_view text) {
  std::string result;
  while (!text.empty()) {
    size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    while (!line.empty() && line.front() == ' ') line.remove_prefix(1);
    if (line.empty() || line == "}" || line.starts_with("region")) continue;
    result += std::string(line) + '\n';
  }
  return result;
}

inline uint64_t no_function(VcpuBlock*) noexcept { return 0; }
// Helpers that the texts of these tests call, by number.
enum TestHelper : unsigned { kPlain, kReader, kWriter, kLeaver, kPureOne };
inline const HelperInfo kTestHelpers[] = {
    {"plain", helper_function(no_function), 0, 1},
    {"reader", helper_function(no_function), kReadsState, 0},
    {"writer", helper_function(no_function), kReadsState | kWritesState, 0},
    {"leaver", helper_function(no_function), kReadsState | kWritesState | kMayLeave, 0},
    {"pure", helper_function(no_function), kPureHelper, 1},
};
inline const uint16_t kTestPinned[] = {8, 16};
inline constexpr uint16_t kTestPcSlot = 512;

inline PipelineOptions test_options(uint32_t passes) {
  PipelineOptions options;
  options.passes = passes;
  options.optimise = passes != 0;
  options.verify_each = true;
  options.helpers = kTestHelpers;
  options.pc_slot = kTestPcSlot;
  return options;
}

inline std::string after_passes(std::string_view text, const PipelineOptions& options) {
  Region region = region_of(text);
  run_pipeline(region, options);
  return body(print(region));
}
inline void check_passes(std::string_view before, uint32_t passes, std::string_view after) {
  CHECK(after_passes(before, test_options(passes)) == body(after));
}

}  // namespace lyre::ir
