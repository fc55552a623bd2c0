// `lyrebird ir`: how one block is translated, stage by stage.
#include <algorithm>
#include <array>
#include <cinttypes>
#include <cstdio>
#include <memory>

#include "backend/backend.h"
#include "frontend/plain_env.h"
#include "ir/pass/pipeline.h"
#include "ir/text.h"
#include "runtime/base/nearest.h"
#include "runtime/cli/guest_code.h"

namespace lyre::cli {
namespace {

constexpr std::array<std::string_view, 4> kStages = {"in_asm", "op", "op_opt", "out_asm"};

struct Stages {
  unsigned chosen = 15;  // bit k: kStages[k]
  bool has(std::string_view name) const {
    return chosen >> (std::find(kStages.begin(), kStages.end(), name) - kStages.begin()) & 1;
  }
  Status choose(std::string list) {
    chosen = 0;
    while (!list.empty()) {
      const std::string name = list.substr(0, list.find(','));
      list.erase(0, name.size() + 1);
      auto found = std::find(kStages.begin(), kStages.end(), name);
      if (found == kStages.end()) return Error{"there is no stage '" + name + "'" + did_you_mean(name, kStages)};
      chosen |= 1u << (found - kStages.begin());
    }
    return chosen ? Status(Ok{}) : Status(Error{"needs a stage"});
  }
};

// Pages are not looked at: what the file holds there can be fetched.
class FileReader final : public frontend::CodeReader {
 public:
  explicit FileReader(const GuestCode& code) : code_(code) {}
  std::span<const uint8_t> code_at(Gva address) override {
    std::span<const uint8_t> bytes = code_.at(address);
    return bytes.first(std::min<size_t>(bytes.size(), kPageSize - (address.value & ~kPageMask)));
  }

 private:
  const GuestCode& code_;
};

void print_guest_code(const frontend::GuestCpu& cpu, const GuestCode& code, const ir::Region& region) {
  std::printf("IN:\n");
  for (const ir::Region::Span& span : region.spans) {
    for (uint64_t at = 0; at < span.bytes;) {
      const Gva address = span.start + at;
      unsigned length = 0;
      const std::string text = cpu.disassemble(code.at(address), address, length);
      std::printf("0x%08" PRIx64 ":  %s\n", address.value, text.c_str());
      at += length ? length : cpu.min_insn_bytes();
    }
  }
}

Status print_host_code(const frontend::GuestCpu& cpu, const ir::Region& region) {
  backend::GuestLayout layout;
  layout.pc_slot = cpu.pc_slot();
  layout.pinned_slots = cpu.pinned_slots();
  layout.helpers = cpu.helpers();
  backend::BackendOptions options;
  options.disassemble = backend::disassemble_x64;
  auto backend = backend::make_backend("x64", layout, options);
  if (!backend) return backend.error();
  auto compiler = (*backend)->make_compiler();
  auto compiled = compiler->compile(region);
  if (!compiled) return Error{"the block does not fit the code memory"};
  std::printf("\nOUT: [size=%u, %u of them on the way through]\n%s", compiled->code_bytes, compiled->hot_bytes,
              (*backend)->disassemble(*compiled).c_str());
  return Ok{};
}

Status print_stages(const frontend::GuestCpu& cpu, const GuestCode& code, Gva pc, uint64_t key, const Stages& stages) {
  FileReader reader(code);
  frontend::TranslateLoop loop(cpu);
  frontend::TranslateLimits limits;
  limits.stay_in_page = true;
  ir::Region region;
  Gva fault_address;
  if (!loop.translate(pc, key, reader, limits, region, fault_address)) {
    char text[64];
    std::snprintf(text, sizeof text, "there is no whole instruction at 0x%" PRIx64, pc.value);
    return Error{text};
  }
  ir::TextNames names;
  names.slot = [&](uint16_t offset) { return cpu.slot_name(offset); };
  names.helper = [&](unsigned helper) {
    return helper < cpu.helpers().size() && cpu.helpers()[helper].name ? std::string(cpu.helpers()[helper].name)
                                                                       : std::string();
  };
  if (stages.has("in_asm")) print_guest_code(cpu, code, region);
  if (stages.has("op")) std::printf("\nOP:\n%s", ir::print(region, names).c_str());
  ir::PipelineOptions pipeline;
  pipeline.helpers = cpu.helpers();
  pipeline.pinned_slots = cpu.pinned_slots();
  pipeline.pc_slot = cpu.pc_slot();
  ir::run_pipeline(region, pipeline);
  if (stages.has("op_opt")) std::printf("\nOP after optimization:\n%s", ir::print(region, names).c_str());
  return stages.has("out_asm") ? print_host_code(cpu, region) : Status(Ok{});
}

// What a vCPU's key is after reset.
uint64_t reset_key(const frontend::GuestCpu& cpu, Gva pc) {
  frontend::PlainEnv environment;
  auto vcpu = std::make_unique<ir::VcpuBlock>();
  vcpu->env = &environment;
  cpu.reset(*vcpu, 0, pc);
  return cpu.state_key(*vcpu);
}

}  // namespace

int run_ir(Arguments arguments) {
  CodeOptions from;
  Stages stages;
  std::optional<uint64_t> key;
  std::vector<ToolOption> rows = from.rows();
  rows.push_back({"stage", "NAME[,NAME...]", "in_asm, op, op_opt, out_asm; all unless said",
                  [&](const std::string& text) { return stages.choose(text); }});
  rows.push_back({"key", "KEY", "the state that code depends on, as -d exec prints it; that of reset unless said",
                  [&](const std::string& text) -> Status {
                    auto value = parse_address(text);
                    if (!value) return Error{"'" + text + "' is not a number"};
                    key = *value;
                    return Ok{};
                  }});
  const ToolSyntax syntax{"ir", "[options] FILE | --hex BYTES",
                          "Translates the block at --at (a file's entry unless said) and prints guest code, "
                          "intermediate code before and after optimisation, "
                          "and host code.",
                          rows};
  auto parsed = parse_tool_options(syntax, arguments);
  if (!parsed) return tool_error(syntax, parsed.error());
  if (parsed->help) return std::fputs(tool_help(syntax).c_str(), stdout) < 0;
  auto code = from.read(parsed->positional);
  if (!code) return tool_error(syntax, code.error());
  auto cpu = from.make_cpu(*code);
  if (!cpu) return tool_error(syntax, cpu.error());
  const Gva pc = from.at().value_or(code->entry);
  if (Status done = print_stages(**cpu, *code, pc, key ? *key : reset_key(**cpu, pc), stages); !done)
    return tool_error(syntax, done.error());
  return std::fflush(stdout) != 0;
}

}  // namespace lyre::cli
