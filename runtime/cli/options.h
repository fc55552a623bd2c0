// The command line of a system emulator: one table (options.def), one parser. To add an option: a row there and its
// handler.
#pragma once
#include <span>
#include <string>
#include <string_view>

#include "runtime/base/result.h"
#include "runtime/cli/settings.h"

namespace lyre::cli {

struct Option {
  std::string_view name;
  std::string_view alias;     // empty: none
  std::string_view argument;  // its syntax, for help; empty: takes none
  std::string_view help;      // one sentence
  Status (*handler)(Settings& settings, const std::string& argument);
};
std::span<const Option> options();

// The error's message begins with the option as typed: "-m 3x: ...".
Status parse_command_line(std::span<const char* const> arguments, Settings& settings);

std::string help_text(const Settings& settings);
std::string version_text(std::string_view program);

}  // namespace lyre::cli
