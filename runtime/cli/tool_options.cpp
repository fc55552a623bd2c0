#include "runtime/cli/tool_options.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>

#include "runtime/base/nearest.h"

namespace lyre::cli {

Result<ToolArguments> parse_tool_options(const ToolSyntax& syntax, Arguments arguments) {
  ToolArguments found;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string typed = arguments[i];
    if (typed == "--") {
      found.rest.assign(arguments.begin() + static_cast<ptrdiff_t>(i) + 1, arguments.end());
      break;
    }
    if (typed.size() < 2 || typed[0] != '-') {
      found.positional.push_back(typed);
      continue;
    }
    const size_t equals = typed.find('=');
    const std::string name =
        typed.substr(typed[1] == '-' ? 2 : 1, equals == typed.npos ? equals : equals - (typed[1] == '-' ? 2 : 1));
    if (name == "help" || name == "h") {
      found.help = true;
      return found;
    }
    const ToolOption* option = nullptr;
    std::vector<std::string_view> names;
    for (const ToolOption& row : syntax.options) {
      names.push_back(row.name);
      if (row.name == name) option = &row;
    }
    if (!option) return Error{typed + ": there is no such option" + did_you_mean(name, names)};
    std::string argument, place = typed;
    if (equals != typed.npos) {
      argument = typed.substr(equals + 1);
      if (option->argument.empty()) return Error{typed + ": the option takes no argument"};
    } else if (!option->argument.empty()) {
      if (++i == arguments.size()) return Error{typed + ": requires an argument"};
      argument = arguments[i];
      place += " " + argument;
    }
    if (Status status = option->set(argument); !status) return Error{place + ": " + status.error().message};
  }
  return found;
}

std::string tool_help(const ToolSyntax& syntax) {
  constexpr size_t kColumn = 28;
  std::string text = "usage: lyrebird " + std::string(syntax.name) + " " + std::string(syntax.arguments) + "\n" +
                     std::string(syntax.about) + "\n\n";
  for (const ToolOption& row : syntax.options) {
    std::string left = "  --" + std::string(row.name);
    if (!row.argument.empty()) left += " " + std::string(row.argument);
    left.resize(std::max(left.size() + 2, kColumn), ' ');
    text += left + std::string(row.help) + "\n";
  }
  return text;
}

Result<uint64_t> parse_address(const std::string& text) {
  char* end = nullptr;
  errno = 0;
  const uint64_t value = std::strtoull(text.c_str(), &end, 0);
  if (text.empty() || text[0] == '-' || *end || errno) return Error{"'" + text + "' is not an address"};
  return value;
}

int tool_error(const ToolSyntax& syntax, const Error& error) {
  std::fprintf(stderr, "lyrebird: %s: %s\n", std::string(syntax.name).c_str(), error.message.c_str());
  return 1;
}

}  // namespace lyre::cli
