// Which character devices there are and who uses them: turns -chardev, -serial, -monitor, -mon, -nographic and the
// defaults into chardevs of the machine ("serial0", ids of -chardev) and a list of those that carry a monitor.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "machine/boards/machine.h"
#include "runtime/base/result.h"
#include "runtime/cli/settings.h"

namespace lyre::cli {

// As after -serial: "mon:" asks for a monitor on the same device.
struct TerminalSpec {
  enum class Kind : uint8_t { kNone, kMake, kExisting } kind = Kind::kNone;
  bool with_monitor = false;
  machine::OptionList options;  // kMake: as for -chardev
  std::string id;               // kExisting: of a -chardev
};
Result<TerminalSpec> parse_terminal(std::string_view text);

struct Terminals {
  std::vector<machine::Chardev*> monitors;                     // owned by the machine
  machine::Chardev* gdb = nullptr;                             // null: no -gdb
  std::vector<std::pair<std::string, machine::Chardev*>> all;  // label and device, for `info chardev`
};
// Makes them and adds them to the machine. Errors name the option.
Result<Terminals> make_terminals(const Settings& settings, machine::Machine& machine);

}  // namespace lyre::cli
