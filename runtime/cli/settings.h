// Settings: everything the command line of a system emulator says, before anything is made.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "machine/boards/machine.h"

namespace lyre::cli {

struct Settings {
  std::string program;  // last part of argv[0], for messages
  std::string guest;    // "riscv64"
  machine::MachineConfig machine;
  std::vector<machine::OptionList> chardevs;  // -chardev, backend under the empty name
  std::vector<std::string> serials;           // -serial, as typed
  std::vector<std::string> monitors;          // -monitor, as typed
  std::string gdb;                            // -gdb and -s, as typed; empty: none
  std::vector<machine::OptionList> mons;      // -mon, chardev id under the empty name
  std::vector<std::string> data_directories;  // -L
  bool nographic = false;
  bool display_none = false;
  bool daemonize = false;
  std::string pidfile;
  std::optional<int> exit_status;  // help or version was asked for and printed
};

}  // namespace lyre::cli
