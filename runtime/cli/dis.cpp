// `lyrebird dis`: guest code as text, from the decoder's own rows.
#include <algorithm>
#include <cinttypes>
#include <cstdio>

#include "runtime/cli/guest_code.h"

namespace lyre::cli {
namespace {

struct Range {
  uint64_t start = 0, stop = ~uint64_t{0};
};

void print_line(const frontend::GuestCpu& cpu, std::span<const uint8_t> bytes, Gva address, unsigned& length) {
  const std::string text = cpu.disassemble(bytes, address, length);
  if (!length) length = static_cast<unsigned>(std::min<size_t>(bytes.size(), cpu.min_insn_bytes()));
  // An encoding that is no instruction says how long it is; one that is cut off is bytes.
  if (text.starts_with(".4byte")) length = static_cast<unsigned>(std::min<size_t>(bytes.size(), 4));
  std::string word;
  for (unsigned i = length; i-- > 0;) {
    char byte[4];
    std::snprintf(byte, sizeof byte, "%02x", bytes[i]);
    word += byte;
  }
  std::printf("%8" PRIx64 ":\t%-8s\t%s\n", address.value, word.c_str(),
              text.empty() ? (".byte\t0x" + word).c_str() : text.c_str());
}

void print_part(const frontend::GuestCpu& cpu, const GuestCode& code, const CodePart& part, const Range& range) {
  auto symbol = std::lower_bound(code.symbols.begin(), code.symbols.end(), part.address,
                                 [](const CodeSymbol& s, Gva a) { return s.address < a; });
  bool headed = false;
  for (uint64_t at = 0; at < part.bytes.size();) {
    const Gva address = part.address + at;
    if (address.value >= range.stop) return;
    // Code goes on at the next symbol, also when what lies before it is data that decodes as something longer.
    size_t left = part.bytes.size() - at;
    auto next = symbol;
    while (next != code.symbols.end() && next->address.value <= address.value) ++next;
    if (next != code.symbols.end()) left = std::min<size_t>(left, next->address.value - address.value);
    unsigned length = 0;
    if (address.value >= range.start) {
      if (!headed && !part.name.empty()) std::printf("\nsection %s:\n", part.name.c_str());
      headed = true;
      for (; symbol != code.symbols.end() && symbol->address.value <= address.value; ++symbol)
        if (symbol->address.value == address.value)
          std::printf("\n%016" PRIx64 " <%s>:\n", address.value, symbol->name.c_str());
      print_line(cpu, std::span(part.bytes).subspan(at, left), address, length);
    } else {
      cpu.disassemble(std::span(part.bytes).subspan(at, left), address, length);
      if (!length) length = std::min<unsigned>(cpu.min_insn_bytes(), static_cast<unsigned>(left));
      symbol = next;
    }
    at += length;
  }
}

}  // namespace

int run_dis(Arguments arguments) {
  CodeOptions from;
  Range range;
  std::vector<ToolOption> rows = from.rows();
  auto address_into = [](uint64_t& to) {
    return [&to](const std::string& text) -> Status {
      auto address = parse_address(text);
      if (!address) return address.error();
      to = *address;
      return Ok{};
    };
  };
  rows.push_back({"start", "ADDRESS", "the first address", address_into(range.start)});
  rows.push_back({"stop", "ADDRESS", "the address behind the last", address_into(range.stop)});
  const ToolSyntax syntax{"dis", "[options] FILE | --hex BYTES",
                          "Disassembles the executable sections of an ELF file, or bytes.", rows};
  auto parsed = parse_tool_options(syntax, arguments);
  if (!parsed) return tool_error(syntax, parsed.error());
  if (parsed->help) return std::fputs(tool_help(syntax).c_str(), stdout) < 0;
  auto code = from.read(parsed->positional);
  if (!code) return tool_error(syntax, code.error());
  auto cpu = from.make_cpu(*code);
  if (!cpu) return tool_error(syntax, cpu.error());
  if (from.at() && !parsed->positional.empty()) range.start = from.at()->value;
  const bool any = std::any_of(code->parts.begin(), code->parts.end(), [&](const CodePart& part) {
    return part.address.value < range.stop && part.address.value + part.bytes.size() > range.start;
  });
  if (!any) return tool_error(syntax, {"there is no code between these addresses"});
  for (const CodePart& part : code->parts) print_part(**cpu, *code, part, range);
  return std::fflush(stdout) != 0;
}

}  // namespace lyre::cli
