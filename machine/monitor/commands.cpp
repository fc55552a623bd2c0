// The monitor's commands. To add one: a function and a row.
#include <algorithm>
#include <cinttypes>
#include <cstdio>

#include "machine/monitor/monitor.h"
#include "runtime/base/log.h"
#include "runtime/base/nearest.h"

namespace lyre::machine {
namespace {

std::string_view trim(std::string_view text) {
  const size_t from = text.find_first_not_of(" \t");
  if (from == text.npos) return {};
  return text.substr(from, text.find_last_not_of(" \t") - from + 1);
}

std::string usage(const MonitorCommand& row, std::string_view prefix) {
  std::string text = std::string(prefix) + std::string(row.name);
  if (!row.alias.empty()) text += "|" + std::string(row.alias);
  if (!row.arguments.empty()) text += " " + std::string(row.arguments);
  return text + "  -- " + std::string(row.help) + "\n";
}

const MonitorCommand* find(std::span<const MonitorCommand> table, std::string_view name) {
  auto row = std::find_if(table.begin(), table.end(), [&](const MonitorCommand& c) {
    return c.name == name || (!c.alias.empty() && c.alias == name);
  });
  return row == table.end() ? nullptr : &*row;
}

std::string unknown(std::span<const MonitorCommand> table, std::string_view what, std::string_view name) {
  std::vector<std::string_view> names;
  for (const MonitorCommand& row : table) names.push_back(row.name);
  return std::string(what) + ": '" + std::string(name) + "'" + did_you_mean(name, names) + "\n";
}

void do_help(Monitor& monitor, std::string_view arguments) {
  if (arguments == "info") {
    for (const MonitorCommand& row : monitor_info_commands()) monitor.print(usage(row, "info "));
    return;
  }
  if (!arguments.empty()) {
    const MonitorCommand* row = find(monitor_commands(), arguments);
    monitor.print(row ? usage(*row, "") : unknown(monitor_commands(), "unknown command", arguments));
    return;
  }
  for (const MonitorCommand& row : monitor_commands()) monitor.print(usage(row, ""));
}

void do_info(Monitor& monitor, std::string_view arguments) {
  if (arguments.empty()) return do_help(monitor, "info");
  const std::string_view name = arguments.substr(0, arguments.find(' '));
  const MonitorCommand* row = find(monitor_info_commands(), name);
  if (!row) return monitor.print(unknown(monitor_info_commands(), "unknown command: 'info'", name));
  row->run(monitor, trim(arguments.substr(name.size())));
}

void do_quit(Monitor& monitor, std::string_view) {
  monitor.machine().request_shutdown(StopCause::kHostQuit);
  // No prompt any more: the machine ends.
  monitor.wait_until([] { return false; }, 10'000);
}

void do_stop(Monitor& monitor, std::string_view) {
  Machine& machine = monitor.machine();
  machine.request_stop();
  monitor.wait_until([&machine] { return machine.state() != RunState::kRunning; });
}

void do_cont(Monitor& monitor, std::string_view) {
  Machine& machine = monitor.machine();
  if (machine.state() == RunState::kShutdown)
    return monitor.print("Error: Resetting the Virtual Machine is required\n");
  machine.request_cont();
  monitor.wait_until(
      [&machine] { return machine.state() != RunState::kPaused && machine.state() != RunState::kPrelaunch; });
}

void do_system_reset(Monitor& monitor, std::string_view) { monitor.machine().request_reset(StopCause::kHostQuit); }
void do_system_powerdown(Monitor& monitor, std::string_view) {
  const std::string_view missing = monitor.machine().request_powerdown();
  if (!missing.empty()) monitor.print(std::string(missing) + "\n");
}

void do_log(Monitor& monitor, std::string_view arguments) {
  if (arguments.empty()) {
    for (const LogItem& item : log_items())
      monitor.print(std::string(item.name) + (log_on(item.bit) ? " (on)" : "") + "  -- " + std::string(item.help) +
                    "\n");
    return;
  }
  if (Status status = log_set_items(arguments == "none" ? "" : arguments); !status)
    monitor.print(status.error().message + "\n");
}

void do_logfile(Monitor& monitor, std::string_view arguments) {
  if (arguments.empty()) return monitor.print("logfile needs a file name\n");
  if (Status status = log_set_file(std::string(arguments)); !status) monitor.print(status.error().message + "\n");
}

void info_status(Monitor& monitor, std::string_view) {
  switch (monitor.machine().state()) {
    case RunState::kRunning:
      return monitor.print("VM status: running\n");
    case RunState::kPrelaunch:
      return monitor.print("VM status: paused (prelaunch)\n");
    case RunState::kShutdown:
      return monitor.print("VM status: paused (shutdown)\n");
    case RunState::kPaused:
      return monitor.print("VM status: paused\n");
  }
}

void info_version(Monitor& monitor, std::string_view) { monitor.print("Lyrebird " LYRE_VERSION "\n"); }
void info_name(Monitor& monitor, std::string_view) {
  const std::string& name = monitor.machine().config().name;
  if (!name.empty()) monitor.print(name + "\n");
}
void info_uuid(Monitor& monitor, std::string_view) {
  std::string text;
  for (size_t i = 0; i < monitor.machine().config().uuid.size(); ++i) {
    char byte[4];
    std::snprintf(byte, sizeof byte, "%02x", monitor.machine().config().uuid[i]);
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += byte;
  }
  monitor.print(text + "\n");
}
void info_mtree(Monitor& monitor, std::string_view) { monitor.print(monitor.machine().mtree()); }
void info_stuck(Monitor& monitor, std::string_view) { monitor.print(monitor.machine().vcpus().stuck_report()); }

void info_registers(Monitor& monitor, std::string_view arguments) {
  runtime::VcpuSet& vcpus = monitor.machine().vcpus();
  for (unsigned cpu = 0; cpu < vcpus.count(); ++cpu) {
    if (arguments != "-a" && cpu != 0) return;
    monitor.print("\nCPU#" + std::to_string(cpu) + "\n" + vcpus.registers(cpu));
  }
}

void info_cpus(Monitor& monitor, std::string_view) {
  for (unsigned cpu = 0; cpu < monitor.machine().vcpus().count(); ++cpu) {
    monitor.print(std::string(cpu == 0 ? "*" : " ") + " CPU #" + std::to_string(cpu) + "\n");
  }
}

void info_chardev(Monitor& monitor, std::string_view) {
  for (const auto& [label, device] : monitor.chardevs())
    monitor.print(label + ": filename=" + device->description() + "\n");
}

void info_jit(Monitor& monitor, std::string_view) {
  for (const auto& [name, value] : monitor.machine().vcpus().counters()) {
    char line[128];
    std::snprintf(line, sizeof line, "%-32s %" PRIu64 "\n", name.c_str(), value);
    monitor.print(line);
  }
}

constexpr MonitorCommand kCommands[] = {
    {"cont", "c", "", "resume emulation", do_cont},
    {"help", "?", "[COMMAND]", "show the help", do_help},
    {"info", "", "[SUBCOMMAND]", "show information, 'help info' lists it", do_info},
    {"log", "", "ITEM[,...]|none", "activate logging of the given items", do_log},
    {"logfile", "", "FILE", "output logs to FILE", do_logfile},
    {"quit", "q", "", "quit the emulator", do_quit},
    {"stop", "s", "", "stop emulation", do_stop},
    {"system_powerdown", "", "", "press the power button", do_system_powerdown},
    {"system_reset", "", "", "reset the system", do_system_reset},
};

constexpr MonitorCommand kInfoCommands[] = {
    {"chardev", "", "", "the character devices", info_chardev},
    {"cpus", "", "", "the CPUs", info_cpus},
    {"jit", "", "", "counters of the translator", info_jit},
    {"mtree", "", "", "the memory map", info_mtree},
    {"name", "", "", "the name of the guest", info_name},
    {"registers", "", "[-a]", "registers of the first CPU, or of all", info_registers},
    {"status", "", "", "whether the machine runs", info_status},
    {"stuck", "", "", "where each CPU is: guest pc, block, held lock", info_stuck},
    {"uuid", "", "", "the machine's UUID", info_uuid},
    {"version", "", "", "the version of Lyrebird", info_version},
};

}  // namespace

std::span<const MonitorCommand> monitor_commands() { return kCommands; }
std::span<const MonitorCommand> monitor_info_commands() { return kInfoCommands; }

void run_monitor_command(Monitor& monitor, std::string_view line) {
  line = trim(line);
  if (line.empty() || line.front() == '#') return;
  const std::string_view name = line.substr(0, line.find(' '));
  const MonitorCommand* row = find(kCommands, name);
  if (!row) return monitor.print(unknown(kCommands, "unknown command", name));
  row->run(monitor, trim(line.substr(name.size())));
}

std::vector<std::string> complete_monitor_line(std::string_view line) {
  std::span<const MonitorCommand> table = kCommands;
  for (std::string_view head : {"info ", "help "}) {
    if (!line.starts_with(head)) continue;
    if (head == "info ") table = kInfoCommands;
    line.remove_prefix(head.size());
    break;
  }
  std::vector<std::string> words;
  for (const MonitorCommand& row : table) {
    if (row.name.starts_with(line)) words.emplace_back(row.name);
  }
  return words;
}

}  // namespace lyre::machine
