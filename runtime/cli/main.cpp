// The one program of systems and tools: acts by the name that it is called by. `lyrebird-system-GUEST` (and QEMU's own
// name) is a machine, `lyrebird` alone has subcommands.
#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "machine/boards/boards.h"
#include "runtime/base/nearest.h"
#include "runtime/cli/subcommands.h"
#include "runtime/cli/system.h"

int main(int argc, char** argv) {
  const std::string path = argc > 0 ? argv[0] : "lyrebird";
  const std::string program = path.substr(path.rfind('/') + 1);
  const std::vector<const char*> arguments(argv + std::min(argc, 1), argv + argc);
  const std::string guest(lyre::cli::guest_of_program(program));
  if (guest.empty()) return lyre::cli::run_tool(arguments);
  std::vector<std::string_view> guests;
  for (const lyre::machine::BoardInfo& board : lyre::machine::boards()) {
    if (board.guest == guest) return lyre::cli::run_system(program, guest, arguments);
    guests.push_back(board.guest);
  }
  std::fprintf(stderr, "%s: there is no guest '%s'%s\n", program.c_str(), guest.c_str(),
               lyre::did_you_mean(guest, guests).c_str());
  return 1;
}
