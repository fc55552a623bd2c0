#include "runtime/cli/system.h"

#include <unistd.h>

#include <cstdio>
#include <memory>
#include <vector>

#include "machine/boards/boards.h"
#include "machine/debug/gdb_stub.h"
#include "machine/monitor/monitor.h"
#include "runtime/base/log.h"
#include "runtime/cli/daemon.h"
#include "runtime/cli/options.h"
#include "runtime/cli/signals.h"
#include "runtime/cli/terminals.h"

namespace lyre::cli {
namespace {

// Firmware as QEMU's packages name it; -L DIRECTORY may hold it.
std::string default_bios_file(std::string_view guest) {
  return "opensbi-" + std::string(guest) + "-generic-fw_dynamic.bin";
}

// -bios FILE is a path, or a file in one of the -L directories; -bios default is looked for there too.
void find_bios(Settings& settings) {
  std::string& bios = settings.machine.bios;
  if (bios == "none" || (bios != "default" && access(bios.c_str(), R_OK) == 0)) return;
  const std::string name = bios == "default" ? default_bios_file(settings.guest) : bios;
  for (const std::string& directory : settings.data_directories) {
    const std::string path = directory + "/" + name;
    if (access(path.c_str(), R_OK) == 0) {
      bios = path;
      return;
    }
  }
}

Status check(const Settings& settings) {
  if (settings.machine.board.empty()) {
    return Error{"No machine specified, and there is no default\nUse -machine help to list supported machines"};
  }
  if (settings.daemonize && settings.nographic) return Error{"-nographic cannot be used with -daemonize"};
  return Ok{};
}

Status run_machine(const Settings& settings, Daemon& daemon, const SystemHooks& hooks, int& exit_status) {
  SignalThread signals(settings.program);
  machine::Machine machine(settings.machine);
  auto terminals = make_terminals(settings, machine);
  if (!terminals) return terminals.error();
  if (Status status = machine.build(); !status) return status;
  if (machine.finished()) return Ok{};

  if (!settings.pidfile.empty()) {
    if (Status status = write_pidfile(settings.pidfile); !status) return status;
  }
  std::vector<std::unique_ptr<machine::Monitor>> monitors;
  for (machine::Chardev* device : terminals->monitors) {
    monitors.push_back(std::make_unique<machine::Monitor>(machine, *device, terminals->all));
  }
  std::unique_ptr<machine::GdbStub> gdb;
  if (terminals->gdb) {
    auto made = machine::GdbStub::create(machine, *terminals->gdb, terminals->all);
    if (!made) return made.error();
    gdb = std::move(*made);
  }
  machine.at_exit([&] {
    if (gdb) gdb->machine_ended(machine.exit_status());
    for (auto& entry : terminals->all) entry.second->flush();
    remove_pidfile(settings.pidfile);
  });
  signals.watch([&] { machine.request_shutdown(machine::StopCause::kHostSignal); },
                [&] { log_text(machine.vcpus().stuck_report()); });
  daemon.ready();
  if (hooks.before_run) hooks.before_run(machine);
  exit_status = machine.run();
  if (hooks.after_run) hooks.after_run(machine);
  signals.watch({}, {});
  // Monitors are called on the I/O thread: it has to be at rest before they go.
  machine.io().stop();
  return Ok{};
}

}  // namespace

std::string_view guest_of_program(std::string_view program) {
  for (std::string_view prefix : {"lyrebird-system-", "qemu-system-"}) {
    if (program.starts_with(prefix)) return program.substr(prefix.size());
  }
  return {};
}

int run_system(const std::string& program, const std::string& guest, std::span<const char* const> arguments,
               const SystemHooks& hooks) {
  auto fail = [&](const Error& error) {
    std::fprintf(stderr, "%s: %s\n", program.c_str(), error.message.c_str());
    return 1;
  };
  Settings settings;
  settings.program = settings.machine.program = program;
  settings.guest = settings.machine.cpu.guest = guest;
  if (Status status = parse_command_line(arguments, settings); !status) return fail(status.error());
  if (settings.exit_status) return *settings.exit_status;
  if (Status status = check(settings); !status) return fail(status.error());
  find_bios(settings);
  Daemon daemon;
  if (settings.daemonize) {
    if (Status status = daemon.fork_away(); !status) return fail(status.error());
  }
  int exit_status = 0;
  if (Status status = run_machine(settings, daemon, hooks, exit_status); !status) return fail(status.error());
  return exit_status;
}

}  // namespace lyre::cli
