// Guest code for the tools `dis` and `ir`: executable parts of an ELF file, or bytes given in hexadecimal, and the
// guest that they are for. Cold.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "frontend/guest_isa.h"
#include "frontend/translate_loop.h"
#include "runtime/base/result.h"
#include "runtime/cli/tool_options.h"

namespace lyre::cli {

struct CodePart {
  std::string name;  // of the section; empty: a segment, or bytes from the command line
  Gva address;
  std::vector<uint8_t> bytes;
};
struct CodeSymbol {
  Gva address;
  std::string name;
};

struct GuestCode {
  std::string guest;  // "riscv64"
  Gva entry;
  std::vector<CodePart> parts;      // by address
  std::vector<CodeSymbol> symbols;  // functions and labels in them, by address

  // From `address` to the end of its part; empty: there is no code.
  std::span<const uint8_t> at(Gva address) const;
};

// Errors name the file: not there, no ELF, cut short, of a machine that is no guest here, without code.
Result<GuestCode> read_elf_code(const std::string& path);
// "13050500 0000" as bytes in memory order, spaces ignored. Error: not made of whole bytes.
Result<GuestCode> read_hex_code(const std::string& text, const std::string& guest, Gva address);

// What both tools take: --hex, --at, --guest, --cpu and FILE.
class CodeOptions {
 public:
  // The rows of the options, for the tool's own list.
  std::vector<ToolOption> rows();
  // Error: neither a file nor --hex, or both; and those above.
  Result<GuestCode> read(const std::vector<std::string>& positional) const;
  // The model and features that --cpu chose, for this guest.
  Result<std::unique_ptr<frontend::GuestCpu>> make_cpu(const GuestCode& code) const;
  std::optional<Gva> at() const { return at_; }

 private:
  std::string hex_, guest_, cpu_;
  std::optional<Gva> at_;
};

}  // namespace lyre::cli
