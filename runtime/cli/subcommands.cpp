#include "runtime/cli/subcommands.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "machine/boards/boards.h"
#include "runtime/base/nearest.h"
#include "runtime/cli/options.h"
#include "runtime/cli/system.h"

namespace lyre::cli {
namespace {

int run_help(Arguments) {
  std::printf("Lyrebird runs machines of other processors.\n\nusage: lyrebird SUBCOMMAND [arguments]\n\n");
  for (const Subcommand& row : subcommands()) {
    std::string left = std::string(row.name) + " " + std::string(row.arguments);
    left.resize(std::max<size_t>(left.size() + 2, 36), ' ');
    std::printf("  %s%s\n", left.c_str(), std::string(row.help).c_str());
  }
  std::printf(
      "\ndis, ir, bench and binfmt have options of their own: --help lists them.\nCalled as lyrebird-system-GUEST it takes "
      "QEMU's command line; lyrebird-system-GUEST -h lists the options.\n");
  return 0;
}

int run_version(Arguments) {
  std::fputs(version_text("lyrebird").c_str(), stdout);
  return 0;
}

int run_guests(Arguments) {
  for (const machine::BoardInfo& board : machine::boards()) {
    std::printf("%-12s %-12s %s\n", std::string(board.guest).c_str(), std::string(board.name).c_str(),
                std::string(board.description).c_str());
  }
  return 0;
}

bool known_guest(std::string_view guest) {
  return std::any_of(machine::boards().begin(), machine::boards().end(),
                     [&](const auto& board) { return board.guest == guest; });
}

int unknown_guest(std::string_view guest) {
  std::vector<std::string_view> names;
  for (const machine::BoardInfo& board : machine::boards()) names.push_back(board.guest);
  std::fprintf(stderr, "lyrebird: there is no guest '%s'%s\n", std::string(guest).c_str(),
               did_you_mean(guest, names).c_str());
  return 1;
}

int run_system_by_name(Arguments arguments) {
  if (arguments.empty()) {
    std::fputs("lyrebird: system: which guest? 'lyrebird guests' lists them\n", stderr);
    return 1;
  }
  const std::string guest = arguments[0];
  if (!known_guest(guest)) return unknown_guest(guest);
  return run_system("lyrebird-system-" + guest, guest, arguments.subspan(1));
}

// The set-up (packages, kernel, initramfs) is the script's work: machine/boot in the source tree, or where it was
// installed.
int run_boot(Arguments arguments) {
  char self[4096];
  const ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
  if (length <= 0) return 1;
  const std::string program(self, static_cast<size_t>(length));
  const std::string directory = program.substr(0, program.rfind('/'));
  const std::string script = directory + "/../../machine/boot";
  if (access(script.c_str(), X_OK) == 0) {
    std::vector<char*> argv = {const_cast<char*>(script.c_str())};
    for (const char* argument : arguments) argv.push_back(const_cast<char*>(argument));
    argv.push_back(nullptr);
    setenv("LYREBIRD", (directory + "/lyrebird-system-riscv64").c_str(), 0);
    execv(script.c_str(), argv.data());
    std::fprintf(stderr, "lyrebird: boot: cannot run %s: %s\n", script.c_str(), std::strerror(errno));
    return 1;
  }
  std::fprintf(stderr, "lyrebird: boot: the script machine/boot of the source tree is not beside this program\n");
  return 1;
}

constexpr Subcommand kSubcommands[] = {
    {"boot", "GUEST [--check] [options]", "set up and boot a Debian kernel to a shell in this terminal", run_boot},
    {"system", "GUEST [options]", "the same as lyrebird-system-GUEST", run_system_by_name},
    {"dis", "[options] FILE | --hex BYTES", "disassemble guest code", run_dis},
    {"ir", "[options] FILE | --hex BYTES", "show how a block is translated, stage by stage", run_ir},
    {"bench", "[options] -- SYSTEM OPTIONS", "time a machine's runs, with the engine's counters", run_bench},
    {"binfmt", "register|unregister|status", "have the kernel run guests' programs in user mode", run_binfmt},
    {"guests", "", "list the guests and their machines", run_guests},
    {"version", "", "print the version", run_version},
    {"help", "", "print this help", run_help},
};

}  // namespace

std::span<const Subcommand> subcommands() { return kSubcommands; }

int run_tool(Arguments arguments) {
  if (arguments.empty()) {
    run_help({});
    return 1;
  }
  std::string name = arguments[0];
  if (name == "-h" || name == "--help" || name == "-help") name = "help";
  if (name == "--version" || name == "-version" || name == "-V") name = "version";
  std::vector<std::string_view> names;
  for (const Subcommand& row : kSubcommands) {
    if (row.name == name) return row.run(arguments.subspan(1));
    names.push_back(row.name);
  }
  std::fprintf(stderr, "lyrebird: there is no subcommand '%s'%s\n", name.c_str(), did_you_mean(name, names).c_str());
  return 1;
}

}  // namespace lyre::cli
