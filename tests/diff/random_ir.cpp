// Hosts against each other on random IR. The reference is the interpreter on IR as generated; against it stand the interpreter and the other
// hosts on forwarded and on optimised IR. A failure is made as short as it can be and printed whole, with one line that repeats it.
//   LYRE_RANDOM_SEED=n     only this region       LYRE_RANDOM_REGIONS=n  how many       LYRE_RANDOM_HOSTS=interp,x64
//   LYRE_RANDOM_LENGTH=n   at most so many guest instructions (for failures that end the process, where it can not be shortened here)
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sstream>

#include "backend/backend.h"
#include "ir/pass/pipeline.h"
#include "ir/text.h"
#include "runtime/base/check.h"
#include "tests/diff/random_ir_generator.h"
#include "tests/ir/guest_memory.h"
#include "tests/support/catch.h"

namespace lyre::diff {
namespace {

using namespace ir;

// One way to run a region.
struct Way {
  std::string host;
  bool forward = true;
  uint32_t passes = kAllPasses;
  bool spill_everything = false;
  std::string name() const {
    std::string mode = !forward ? "raw" : passes == 0 ? "forwarded" : passes == kAllPasses ? "optimised" : "passes " + std::to_string(passes);
    return host + ", " + mode + (spill_everything ? ", all values spilled" : "");
  }
};

struct Outcome {
  std::vector<std::byte> state, memory;
  uint32_t leave = 0;
  Fault fault;
  uint32_t flags = 0;
  bool operator==(const Outcome& other) const {
    return state == other.state && memory == other.memory && leave == other.leave && fault.cause == other.fault.cause && fault.aux == other.fault.aux &&
           fault.value == other.fault.value && fault.value2 == other.fault.value2 && flags == other.flags;
  }
};

// One backend with a vCPU; made anew now and then, since code memory is not given back here.
class Runner {
 public:
  explicit Runner(const Way& way) : way_(way), vcpu_(std::make_unique<VcpuBlock>()) {
    layout_.pc_slot = kPcSlot;
    layout_.pinned_slots = kPinnedSlots;
    layout_.helpers = helpers();
    backend::BackendOptions options;
    options.keep_ir = true;
    options.spill_everything = way.spill_everything;
    auto made = backend::make_backend(way.host, layout_, options);
    if (!made) return;
    backend_ = std::move(*made);
    compiler_ = backend_->make_compiler();
    memory_.attach(*vcpu_);
    for (size_t i = 0; i < helpers().size(); i++) vcpu_->helpers[kFirstGuestHelper + i] = helpers()[i].function;
    backend_->prepare(*vcpu_);
  }
  bool exists() const { return backend_ != nullptr; }

  Region prepared(const Region& raw) const {
    Region region = raw;
    PipelineOptions options;
    options.forward = way_.forward;
    options.optimise = way_.passes != 0;
    options.passes = way_.passes;
    options.verify_each = true;
    options.helpers = helpers();
    options.pinned_slots = kPinnedSlots;
    options.pc_slot = kPcSlot;
    run_pipeline(region, options);
    return region;
  }

  // Runs until the region is left for another place. A region left for its own start is entered again: a way without loops does that.
  Outcome run(const Region& raw, uint64_t seed, bool compare_flags) {
    Region region = prepared(raw);
    auto compiled = compiler_->compile(region);
    REQUIRE(compiled);
    reset(seed);
    uint64_t pc;
    do {
      auto left = backend_->run(*vcpu_, *compiled);
      if (vcpu_->leave == static_cast<uint32_t>(Leave::kDirect)) {
        REQUIRE(left.from == compiled.get());
        REQUIRE(left.exit < compiled->exits.size());
      }
      std::memcpy(&pc, vcpu_->state + kPcSlot, sizeof pc);
    } while (vcpu_->leave == static_cast<uint32_t>(Leave::kDirect) && pc == raw.start.value);
    Outcome outcome;
    outcome.state.assign(vcpu_->state, vcpu_->state + kComparedState);
    outcome.memory.assign(memory_.base, memory_.base + TestMemory::kBytes);
    outcome.leave = vcpu_->leave;
    outcome.fault = vcpu_->fault;
    outcome.flags = compare_flags ? vcpu_->guest_mxcsr & 0x3d : 0;  // all but the denormal flag, which guests do not have
    backend_->forget(*compiled);
    runs_++;
    return outcome;
  }
  bool worn() const { return runs_ > 2000; }
  const std::byte* state() const { return vcpu_->state; }

  void reset(uint64_t seed) {
    std::mt19937_64 random(seed ^ 0x5eed);
    std::memset(vcpu_->state, 0, sizeof vcpu_->state);
    for (size_t offset = 0; offset < kComparedState; offset += 8) {
      uint64_t value = interesting(random);
      std::memcpy(vcpu_->state + offset, &value, sizeof value);
    }
    uint64_t iterations = random() % 6;
    std::memcpy(vcpu_->state + kCounterSlot, &iterations, sizeof iterations);
    for (size_t offset = 0; offset < TestMemory::kBytes; offset += 8) {
      uint64_t value = offset % 64 ? offset * 0x9e3779b97f4a7c15u : interesting(random);
      std::memcpy(memory_.base + offset, &value, sizeof value);
    }
    vcpu_->exit_request = random() % 16 == 0;
    vcpu_->leave = 0;
    vcpu_->fault = {};
    vcpu_->guest_mxcsr = 0x1f80 | static_cast<uint32_t>(random() % 4) << 13;
  }

 private:
  Way way_;
  backend::GuestLayout layout_;
  std::unique_ptr<VcpuBlock> vcpu_;
  TestMemory memory_;
  std::unique_ptr<backend::Backend> backend_;
  std::unique_ptr<backend::Compiler> compiler_;
  unsigned runs_ = 0;
};

std::string environment(const char* name, const char* otherwise) {
  const char* value = std::getenv(name);
  return value && *value ? value : otherwise;
}
uint64_t number(const char* name, const char* otherwise) { return std::strtoull(environment(name, otherwise).c_str(), nullptr, 0); }

uint64_t word(const std::vector<std::byte>& bytes, size_t offset) {
  uint64_t value;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

// Registers before and after, rows that differ marked.
std::string registers(Runner& reference, uint64_t seed, const Outcome& expected, const Outcome& found) {
  reference.reset(seed);
  std::string text = "slot     initial            reference          found\n";
  char line[160];
  for (size_t offset = 0; offset < kComparedState; offset += 8) {
    uint64_t initial;
    std::memcpy(&initial, reference.state() + offset, sizeof initial);
    uint64_t a = word(expected.state, offset), b = word(found.state, offset);
    if (a == b && a == initial) continue;
    std::snprintf(line, sizeof line, "@%-6zu  %016" PRIx64 "   %016" PRIx64 "   %016" PRIx64 "%s\n", offset, initial, a, b, a == b ? "" : "   <--");
    text += line;
  }
  for (size_t offset = 0; offset < TestMemory::kBytes; offset += 8) {
    uint64_t a = word(expected.memory, offset), b = word(found.memory, offset);
    if (a == b) continue;
    std::snprintf(line, sizeof line, "[%" PRIx64 "]                     %016" PRIx64 "   %016" PRIx64 "   <--\n", TestMemory::kBase + offset, a, b);
    text += line;
  }
  auto row = [&](const char* name, uint64_t a, uint64_t b) {
    std::snprintf(line, sizeof line, "%-26s  %016" PRIx64 "   %016" PRIx64 "%s\n", name, a, b, a == b ? "" : "   <--");
    text += line;
  };
  row("leave", expected.leave, found.leave);
  row("fault cause", expected.fault.cause, found.fault.cause);
  row("fault value", expected.fault.value, found.fault.value);
  row("fault value2", expected.fault.value2, found.fault.value2);
  row("floating-point flags", expected.flags, found.flags);
  return text;
}

std::vector<Way> ways() {
  std::string hosts = environment("LYRE_RANDOM_HOSTS", "interp,x64");
  std::vector<Way> result = {{"interp", false, 0}};
  std::istringstream list(hosts);
  for (std::string host; std::getline(list, host, ',');) {
    result.push_back({host, true, 0});
    result.push_back({host, true, kAllPasses & ~uint32_t{kPassLoops}});
    result.push_back({host, true, kAllPasses});
    if (host != "interp") result.push_back({host, true, kAllPasses, true});
  }
  return result;
}

// For a failed check inside the engine: which region it was.
uint64_t g_seed;
unsigned g_length;
const char* g_host = "";
void report_seed() noexcept {
  std::fprintf(stderr, "while running random IR, length %u\nrepeat: LYRE_RANDOM_SEED=%" PRIu64 " LYRE_RANDOM_HOSTS=%s test_diff 'hosts agree on random IR'\n",
               g_length, g_seed, g_host);
}

class Comparison {
 public:
  Comparison() {
    set_check_report(report_seed);
    for (const Way& way : ways()) {
      Lane lane{way, std::make_unique<Runner>(way)};
      if (lane.runner->exists()) lanes_.push_back(std::move(lane));
      else WARN("no host named " << way.host << " in this build");
    }
  }

  // Whether all ways agree on this seed; else a report.
  std::string try_seed(uint64_t seed) {
    for (size_t i = 1; i < lanes_.size(); i++) {
      if (agree(seed, max_length_, i)) continue;
      unsigned length = 0;
      while (length < max_length_ && agree(seed, length, i)) length++;
      return report(seed, length, i);
    }
    for (Lane& lane : lanes_)
      if (lane.runner->worn()) lane.runner = std::make_unique<Runner>(lane.way);
    return "";
  }

 private:
  struct Lane {
    Way way;
    std::unique_ptr<Runner> runner;
  };

  void make(uint64_t seed, unsigned length, const Way& way, Region& region) const {
    GeneratorOptions options;
    options.length = length;
    options.i128 = way.host == "interp" && seed % 4 == 0;
    options.dead_flags = seed % 3 == 0;
    generate(seed, options, region);
  }
  bool agree(uint64_t seed, unsigned length, size_t lane) {
    g_seed = seed, g_length = length, g_host = lanes_[lane].way.host.c_str();
    make(seed, length, lanes_[lane].way, region_);
    bool flags = seed % 3 != 0;
    expected_ = lanes_[0].runner->run(region_, seed, flags);
    found_ = lanes_[lane].runner->run(region_, seed, flags);
    return expected_ == found_;
  }
  std::string report(uint64_t seed, unsigned length, size_t lane) {
    agree(seed, length, lane);
    const Way& way = lanes_[lane].way;
    Region after = lanes_[lane].runner->prepared(region_);
    std::ostringstream text;
    text << "seed " << seed << ", length " << length << ": " << way.name() << " differs from " << lanes_[0].way.name() << "\n"
         << registers(*lanes_[0].runner, seed, expected_, found_) << bisected(seed, length, lane) << "\nIR as generated\n" << print(region_) << "\nIR as run\n" << print(after)
         << "\nrepeat: LYRE_RANDOM_SEED=" << seed << " LYRE_RANDOM_HOSTS=" << way.host << " test_diff 'hosts agree on random IR'\n";
    return text.str();
  }

  // Passes without which it goes right.
  std::string bisected(uint64_t seed, unsigned length, size_t lane) {
    static constexpr std::pair<uint32_t, const char*> kPasses[] = {{kPassLoops, "loops"}, {kPassFold, "fold"}, {kPassFuseAddress, "fuse_address"},
        {kPassFuseCompare, "fuse_compare"}, {kPassValueNumber, "value_number"}, {kPassDce, "dce"}};
    std::string text = "goes right without:";
    const Way way = lanes_[lane].way;
    for (auto [bit, name] : kPasses) {
      if (!(way.passes & bit)) continue;
      Way without = way;
      without.passes &= ~bit;
      make(seed, length, way, region_);
      if (Runner(without).run(region_, seed, seed % 3 != 0) == expected_) text += std::string(" ") + name;
    }
    return text + "\n";
  }

  const unsigned max_length_ = static_cast<unsigned>(number("LYRE_RANDOM_LENGTH", "48"));
  std::vector<Lane> lanes_;
  Region region_;
  Outcome expected_, found_;
};

TEST_CASE("hosts agree on random IR") {
  Comparison comparison;
  std::string seed = environment("LYRE_RANDOM_SEED", "");
  if (!seed.empty()) {
    std::string report = comparison.try_seed(number("LYRE_RANDOM_SEED", "0"));
    INFO(report);
    CHECK(report.empty());
    return;
  }
  uint64_t count = number("LYRE_RANDOM_REGIONS", "1500");
  for (uint64_t i = 1; i <= count; i++) {
    std::string report = comparison.try_seed(i);
    if (report.empty()) continue;
    FAIL(report);
  }
}

}  // namespace
}  // namespace lyre::diff
