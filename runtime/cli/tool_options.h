// Options of the subcommands of `lyrebird`: one or two dashes, `--name value` or `--name=value`, and `--` before what
// must not be read as options. Cold.
#pragma once
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/base/result.h"
#include "runtime/cli/subcommands.h"

namespace lyre::cli {

struct ToolOption {
  std::string_view name;
  std::string_view argument;  // its syntax; empty: takes none
  std::string_view help;
  std::function<Status(const std::string& argument)> set;
};

// One subcommand's command line.
struct ToolSyntax {
  std::string_view name;       // "dis"
  std::string_view arguments;  // "[options] FILE"
  std::string_view about;      // a sentence
  std::span<const ToolOption> options;
};

struct ToolArguments {
  std::vector<std::string> positional;
  std::vector<const char*> rest;  // after `--`
  bool help = false;              // --help was there: tool_help() is to be printed
};
// Errors begin with the option as typed.
Result<ToolArguments> parse_tool_options(const ToolSyntax& syntax, Arguments arguments);
std::string tool_help(const ToolSyntax& syntax);

// "0x80000000" or decimal.
Result<uint64_t> parse_address(const std::string& text);

// Prints "lyrebird: NAME: MESSAGE" and returns 1.
int tool_error(const ToolSyntax& syntax, const Error& error);

}  // namespace lyre::cli
