// Hosts against each other on random RISC-V programs. The reference is the interpreter on IR as the frontend built it. A failure is shortened and printed
// whole: guest assembly, registers before and after, IR before and after, host assembly, and a line that repeats it.
//   LYRE_INSN_SEED=n  only this program    LYRE_INSN_PROGRAMS=n  how many    LYRE_INSN_HOSTS=interp,x64    LYRE_INSN_LENGTH=n  at most so many instructions
//   LYRE_INSN_XLEN=32|64  only this width
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sstream>

#include "backend/backend.h"
#include "backend/code/disasm.h"
#include "frontend/plain_env.h"
#include "frontend/riscv/sysreg.h"
#include "frontend/translate_loop.h"
#include "ir/pass/pipeline.h"
#include "ir/text.h"
#include "runtime/base/check.h"
#include "tests/diff/random_ir_generator.h"
#include "tests/diff/random_program.h"
#include "tests/ir/guest_memory.h"
#include "tests/support/catch.h"

namespace lyre::diff {
namespace {

using namespace ir;
using riscv::State;

constexpr uint64_t kCode = 0x40000;
constexpr size_t kStateCompared = offsetof(State, privilege);  // registers, pc, reservation, mstatus, fflags, frm

class ProgramReader final : public frontend::CodeReader {
 public:
  explicit ProgramReader(const RandomProgram& program) : bytes_(program.bytes) {
    while (bytes_.size() < kPageSize) bytes_.push_back(bytes_.size() % 2 ? 0x90 : 0x02);  // c.ebreak
  }
  std::span<const uint8_t> code_at(Gva address) override {
    uint64_t offset = address.value - kCode;
    return offset < kPageSize ? std::span<const uint8_t>(bytes_).subspan(offset, kPageSize - offset) : std::span<const uint8_t>{};
  }

 private:
  std::vector<uint8_t> bytes_;
};

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
    return state == other.state && memory == other.memory && leave == other.leave && fault.cause == other.fault.cause && fault.value == other.fault.value &&
           flags == other.flags;
  }
};

uint64_t word_at(const std::vector<std::byte>& bytes, size_t offset) {
  uint64_t value;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

// One host with a hart.
class Runner {
 public:
  Runner(const Way& way, const riscv::RiscvCpu& cpu) : way_(way), cpu_(cpu), vcpu_(std::make_unique<VcpuBlock>()) {
    backend::BackendOptions options;
    options.disassemble = backend::disassemble_x64;
    options.keep_ir = true, options.spill_everything = way.spill_everything;
    auto made = backend::make_backend(way.host, {cpu.pc_slot(), cpu.pinned_slots(), cpu.helpers()}, options);
    if (!made) return;
    backend_ = std::move(*made);
    compiler_ = backend_->make_compiler();
    memory_.attach(*vcpu_);
    for (size_t k = 0; k < cpu.helpers().size(); ++k) vcpu_->helpers[kFirstGuestHelper + k] = cpu.helpers()[k].function;
    vcpu_->env = &env_;
    backend_->prepare(*vcpu_);
  }
  bool exists() const { return backend_ != nullptr; }
  const State& state() const { return vcpu_->as<State>(); }

  // Registers, memory and rounding mode from the seed.
  void reset(uint64_t seed) {
    std::mt19937_64 random(seed ^ 0x5eed);
    std::memset(vcpu_->state, 0, sizeof vcpu_->state);
    vcpu_->guest_mxcsr = 0x1f80;
    vcpu_->leave = 0, vcpu_->fault = {}, vcpu_->exit_request = 0;
    cpu_.reset(*vcpu_, 0, Gva{kCode});
    State& state = vcpu_->as<State>();
    state.mstatus |= riscv::mstatus::kFs | cpu_.top_bit();
    for (unsigned reg = 1; reg < 32; ++reg) state.x[reg] = cpu_.register_form(interesting(random));
    for (uint64_t& value : state.f) value = random_float(random);
    for (uint8_t reg : kBaseRegisters) state.x[reg] = TestMemory::kBase + random() % TestMemory::kBytes;
    state.x[9] = TestMemory::kBase + (random() % TestMemory::kBytes & ~uint64_t{63});
    state.x[kLoopRegister] = 1 + random() % 4;
    riscv::write_frm(*vcpu_, riscv::kFrm, random() % 3 ? 0 : random() % 5);
    for (size_t offset = 0; offset < TestMemory::kBytes; offset += 8) {
      uint64_t value = random_float(random);
      std::memcpy(memory_.base + offset, &value, sizeof value);
    }
  }
  uint32_t state_key() const { return cpu_.state_key(*vcpu_); }

  Region prepared(const Region& raw) const {
    Region region = raw;
    PipelineOptions options;
    options.forward = way_.forward, options.optimise = way_.passes != 0, options.passes = way_.passes, options.verify_each = true;
    options.helpers = cpu_.helpers(), options.pinned_slots = cpu_.pinned_slots(), options.pc_slot = cpu_.pc_slot();
    run_pipeline(region, options);
    return region;
  }
  // Runs until the region is left for another place than its start.
  Outcome run(const Region& raw, uint64_t seed) {
    Region region = prepared(raw);
    auto compiled = compiler_->compile(region);
    REQUIRE(compiled);
    reset(seed);
    do {
      backend_->run(*vcpu_, *compiled);
    } while (vcpu_->leave == static_cast<uint32_t>(Leave::kDirect) && state().pc == kCode);
    Outcome outcome;
    outcome.state.assign(vcpu_->state, vcpu_->state + kStateCompared);
    outcome.memory.assign(memory_.base, memory_.base + TestMemory::kBytes);
    outcome.leave = vcpu_->leave;
    if (outcome.leave == static_cast<uint32_t>(Leave::kFault)) outcome.fault = vcpu_->fault;
    outcome.flags = vcpu_->guest_mxcsr & 0x3d;  // all but the denormal flag, which guests do not have
    host_text_ = way_.host == "interp" ? "" : backend_->disassemble(*compiled);
    backend_->forget(*compiled);
    ++runs_;
    return outcome;
  }
  const std::string& host_text() const { return host_text_; }
  bool worn() const { return runs_ > 2000; }

 private:
  // Bit patterns that matter as f64, as NaN-boxed f32 or f16, and as integers.
  static uint64_t random_float(std::mt19937_64& random) {
    static constexpr uint64_t kDoubles[] = {0, 0x8000000000000000, 0x3ff0000000000000, 0xbff0000000000000, 0x7ff0000000000000, 0xfff0000000000000,
                                            0x7ff8000000000000, 0x7ff0000000000001, 1, 0x000fffffffffffff, 0x0010000000000000, 0x7fefffffffffffff,
                                            0x43e0000000000000, 0xc3e0000000000000, 0x41e0000000000000, 0x4330000000000001, 0x3fe0000000000000};
    static constexpr uint32_t kSingles[] = {0, 0x80000000, 0x3f800000, 0xbf800000, 0x7f800000, 0xff800000, 0x7fc00000, 0x7f800001, 1, 0x007fffff,
                                            0x00800000, 0x7f7fffff, 0x4f000000, 0xdf000000, 0x3f000000};
    switch (random() % 6) {
      case 0: return kDoubles[random() % std::size(kDoubles)];
      case 1: return 0xffffffff00000000 | kSingles[random() % std::size(kSingles)];
      case 2: return 0xffffffff00000000 | (random() & 0xffffffff);
      case 3: return 0xffffffffffff0000 | (random() & 0xffff);
      case 4: return (random() & 0x800fffffffffffff) | (1023 - 40 + random() % 80) << 52;
      default: return interesting(random);
    }
  }

  Way way_;
  const riscv::RiscvCpu& cpu_;
  std::unique_ptr<VcpuBlock> vcpu_;
  TestMemory memory_;
  frontend::PlainEnv env_;
  std::unique_ptr<backend::Backend> backend_;
  std::unique_ptr<backend::Compiler> compiler_;
  std::string host_text_;
  unsigned runs_ = 0;
};

std::string environment(const char* name, const char* otherwise) {
  const char* value = std::getenv(name);
  return value && *value ? value : otherwise;
}
uint64_t number(const char* name, const char* otherwise) { return std::strtoull(environment(name, otherwise).c_str(), nullptr, 0); }

uint64_t g_seed;
void report_seed() noexcept {
  std::fprintf(stderr, "while running a random program\nrepeat: LYRE_INSN_SEED=%" PRIu64 " test_diff 'hosts agree on random instructions'\n", g_seed);
}

class Comparison {
 public:
  explicit Comparison(unsigned xlen) : cpu_(std::move(*riscv::create_riscv_cpu("max", {}, xlen))) {
    set_check_report(report_seed);
    add({"interp", false, 0});
    std::istringstream list(environment("LYRE_INSN_HOSTS", "interp,x64"));
    for (std::string host; std::getline(list, host, ',');) {
      add({host, true, 0});
      add({host, true, kAllPasses});
      if (host != "interp") add({host, true, kAllPasses, true});
    }
  }

  // Empty, or a report.
  std::string try_seed(uint64_t seed) {
    g_seed = seed;
    for (size_t lane = 1; lane < lanes_.size(); ++lane) {
      std::vector<bool> skip(length_, false);
      if (agree(seed, skip, lane)) continue;
      for (unsigned k = 0; k < length_; ++k) {  // leave out what does not matter
        skip[k] = true;
        if (agree(seed, skip, lane)) skip[k] = false;
      }
      agree(seed, skip, lane);
      return report(seed, lane);
    }
    for (Lane& lane : lanes_)
      if (lane.runner->worn()) lane.runner = std::make_unique<Runner>(lane.way, *cpu_);
    return "";
  }

 private:
  struct Lane {
    Way way;
    std::unique_ptr<Runner> runner;
  };
  void add(const Way& way) {
    Lane lane{way, std::make_unique<Runner>(way, *cpu_)};
    if (lane.runner->exists()) lanes_.push_back(std::move(lane));
    else WARN("no host named " << way.host << " in this build");
  }
  bool agree(uint64_t seed, const std::vector<bool>& skip, size_t lane) {
    program_ = random_program(seed, length_, *cpu_, skip);
    ProgramReader reader(program_);
    lanes_[0].runner->reset(seed);
    frontend::TranslateLoop loop(*cpu_);
    Gva fault;
    LYRE_CHECK(loop.translate(Gva{kCode}, lanes_[0].runner->state_key(), reader, {}, region_, fault), "the program can not be fetched");
    expected_ = lanes_[0].runner->run(region_, seed);
    found_ = lanes_[lane].runner->run(region_, seed);
    return expected_ == found_ && in_register_form(found_);
  }

  // RV32 keeps its registers sign-extended, whatever a program does.
  bool in_register_form(const Outcome& outcome) const {
    for (unsigned reg = 0; reg < 32; ++reg) {
      uint64_t value = word_at(outcome.state, riscv::x_slot(reg));
      if (value != cpu_->register_form(value)) return false;
    }
    return true;
  }

  std::string registers(uint64_t seed) {
    lanes_[0].runner->reset(seed);
    std::vector<std::byte> initial(kStateCompared);
    std::memcpy(initial.data(), &lanes_[0].runner->state(), kStateCompared);
    std::ostringstream text;
    char line[200];
    text << "                      initial            reference          found\n";
    auto row = [&](const std::string& name, uint64_t before, uint64_t a, uint64_t b) {
      std::snprintf(line, sizeof line, "%-20s  %016" PRIx64 "   %016" PRIx64 "   %016" PRIx64 "%s\n", name.c_str(), before, a, b, a == b ? "" : "   <--");
      text << line;
    };
    for (size_t offset = 0; offset + 8 <= kStateCompared; offset += 8) {
      uint64_t before = word_at(initial, offset), a = word_at(expected_.state, offset), b = word_at(found_.state, offset);
      if (a != b || a != before || offset < riscv::x_slot(32)) row(cpu_->slot_name(static_cast<uint16_t>(offset)), before, a, b);
    }
    for (size_t offset = 0; offset < TestMemory::kBytes; offset += 8) {
      uint64_t a = word_at(expected_.memory, offset), b = word_at(found_.memory, offset);
      if (a != b) row("[" + std::to_string(TestMemory::kBase + offset) + "]", 0, a, b);
    }
    row("leave", 0, expected_.leave, found_.leave);
    row("fault cause", 0, expected_.fault.cause, found_.fault.cause);
    row("fault value", 0, expected_.fault.value, found_.fault.value);
    row("floating-point flags", 0, expected_.flags, found_.flags);
    return text.str();
  }
  std::string report(uint64_t seed, size_t lane) {
    std::ostringstream text;
    text << "seed " << seed << ": " << lanes_[lane].way.name() << " differs from " << lanes_[0].way.name() << " or a register lost its form" << "\n\nguest\n";
    for (uint32_t offset : program_.offsets) {
      unsigned size = 0;
      text << std::hex << kCode + offset << "  " << cpu_->disassemble(std::span<const uint8_t>(program_.bytes).subspan(offset), Gva{kCode + offset}, size) << "\n" << std::dec;
    }
    TextNames names;
    names.slot = [&](uint16_t offset) { return cpu_->slot_name(offset); };
    names.helper = [&](unsigned helper) { return helper < cpu_->helpers().size() ? cpu_->helpers()[helper].name : "?"; };
    text << "\n" << registers(seed) << "\nIR as built\n" << print(region_, names) << "\nIR as run\n" << print(lanes_[lane].runner->prepared(region_), names);
    if (!lanes_[lane].runner->host_text().empty()) text << "\nhost\n" << lanes_[lane].runner->host_text();
    text << "\nrepeat: LYRE_INSN_XLEN=" << cpu_->config().xlen << " LYRE_INSN_SEED=" << seed << " LYRE_INSN_HOSTS=" << lanes_[lane].way.host << " test_diff 'hosts agree on random instructions'\n";
    return text.str();
  }

  const unsigned length_ = static_cast<unsigned>(number("LYRE_INSN_LENGTH", "24"));
  std::unique_ptr<riscv::RiscvCpu> cpu_;
  std::vector<Lane> lanes_;
  RandomProgram program_;
  Region region_;
  Outcome expected_, found_;
};

TEST_CASE("hosts agree on random instructions") {
  const auto xlen = static_cast<unsigned>(number("LYRE_INSN_XLEN", "0"));
  const unsigned width = GENERATE(64u, 32u);
  if (xlen && xlen != width) return;
  Comparison comparison(width);
  if (!environment("LYRE_INSN_SEED", "").empty()) {
    std::string report = comparison.try_seed(number("LYRE_INSN_SEED", "0"));
    std::fputs(report.c_str(), stdout);
    CHECK(report.empty());
    return;
  }
  uint64_t count = number("LYRE_INSN_PROGRAMS", "1500");
  for (uint64_t seed = 1; seed <= count; ++seed) {
    std::string report = comparison.try_seed(seed);
    if (report.empty()) continue;
    std::fputs(report.c_str(), stdout);  // Catch would wrap its lines
    FAIL("hosts differ on seed " << seed << " of RV" << width);
  }
}

}  // namespace
}  // namespace lyre::diff
