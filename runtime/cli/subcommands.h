// `lyrebird SUBCOMMAND ...`: tools that are not an emulator run. One row per subcommand in the table of
// subcommands.cpp; each may live in a file of its own. A subcommand gets the arguments after its name and returns the
// exit status.
#pragma once
#include <span>
#include <string_view>

namespace lyre::cli {

using Arguments = std::span<const char* const>;

struct Subcommand {
  std::string_view name;
  std::string_view arguments;  // their syntax
  std::string_view help;       // one sentence
  int (*run)(Arguments arguments);
};
std::span<const Subcommand> subcommands();

int run_tool(Arguments arguments);

// In files of their own.
int run_dis(Arguments arguments);    // dis.cpp
int run_ir(Arguments arguments);     // ir.cpp
int run_bench(Arguments arguments);  // bench.cpp
int run_binfmt(Arguments arguments);  // binfmt.cpp

}  // namespace lyre::cli
