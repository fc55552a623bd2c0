#include "runtime/cli/options.h"

#include <algorithm>
#include <array>
#include <vector>

#include "runtime/base/nearest.h"
#include "runtime/cli/option_handlers.h"

namespace lyre::cli {
namespace {

constexpr Option kOptions[] = {
#define LYRE_HEADING(text)
#define LYRE_OPTION(name, alias, argument, help, handler) {name, alias, argument, help, handler},
#include "runtime/cli/options.def"
#undef LYRE_OPTION
#undef LYRE_HEADING
};

// Rows of the help text in the order of options.def; a heading has no handler.
constexpr Option kHelpRows[] = {
#define LYRE_HEADING(text) {text, "", "", "", nullptr},
#define LYRE_OPTION(name, alias, argument, help, handler) {name, alias, argument, help, handler},
#include "runtime/cli/options.def"
#undef LYRE_OPTION
#undef LYRE_HEADING
};

const Option* find_option(std::string_view name) {
  auto found = std::find_if(std::begin(kOptions), std::end(kOptions), [&](const Option& option) {
    return option.name == name || (!option.alias.empty() && option.alias == name);
  });
  return found == std::end(kOptions) ? nullptr : found;
}

Error unknown_option(const std::string& typed, std::string_view name) {
  std::vector<std::string_view> names;
  for (const Option& option : kOptions) {
    names.push_back(option.name);
    if (!option.alias.empty()) names.push_back(option.alias);
  }
  const std::string nearest = nearest_name(name, names);
  return Error{typed + ": invalid option" + (nearest.empty() ? "" : ", did you mean '-" + nearest + "'?")};
}

}  // namespace

std::span<const Option> options() { return kOptions; }

Status parse_command_line(std::span<const char* const> arguments, Settings& settings) {
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string typed = arguments[i];
    if (typed.empty() || typed[0] != '-' || typed == "-") {
      if (Status status = on_disk(settings, typed); !status) return status;
      continue;
    }
    const std::string_view name = std::string_view(typed).substr(typed.starts_with("--") ? 2 : 1);
    const Option* option = find_option(name);
    if (!option) return unknown_option(typed, name);
    std::string argument, place = typed;
    if (!option->argument.empty()) {
      if (++i == arguments.size()) return Error{typed + ": requires an argument"};
      argument = arguments[i];
      place += " " + argument;
    }
    if (Status status = option->handler(settings, argument); !status)
      return Error{place + ": " + status.error().message};
    if (settings.exit_status) return Ok{};
  }
  return Ok{};
}

std::string help_text(const Settings& settings) {
  constexpr size_t kColumn = 28;
  std::string text = version_text(settings.program);
  text += "usage: " + settings.program + " [options] [disk_image]\n";
  for (const Option& row : kHelpRows) {
    if (!row.handler) {
      text += "\n" + std::string(row.name) + ":\n";
      continue;
    }
    std::string left = "-" + std::string(row.name);
    if (!row.alias.empty()) left += " or -" + std::string(row.alias);
    if (!row.argument.empty()) left += " " + std::string(row.argument);
    text += left;
    text += left.size() < kColumn ? std::string(kColumn - left.size(), ' ') : "\n" + std::string(kColumn, ' ');
    text += std::string(row.help) + "\n";
  }
  text += "\nWith -nographic: Ctrl-A x ends the emulator, Ctrl-A c switches to the monitor and back.\n";
  return text;
}

std::string version_text(std::string_view program) {
  // Tools that call the emulator by QEMU's name read QEMU's form of the line and its number: the interface that is
  // offered.
  if (program.starts_with("qemu-")) return "QEMU emulator version 11.1.3 (Lyrebird " LYRE_VERSION ")\n";
  return "Lyrebird emulator version " LYRE_VERSION "\n";
}

}  // namespace lyre::cli
