// Monitor: the human monitor on a chardev: a prompt, a line editor, a table of commands (commands.cpp: one row and one
// function each). Threads: everything runs on the machine's I/O thread. A command that the main thread carries out
// (stop, cont) ends when the machine's state says so; the I/O thread is not held up meanwhile, typed keys wait.
#pragma once
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "machine/boards/machine.h"
#include "machine/monitor/line_editor.h"

namespace lyre::machine {

using ChardevNames = std::vector<std::pair<std::string, Chardev*>>;

class Monitor {
 public:
  // Both outlive the monitor; the machine's I/O thread must be at rest when it is destroyed.
  Monitor(Machine& machine, Chardev& chardev, ChardevNames chardevs);
  ~Monitor();
  Monitor(const Monitor&) = delete;
  Monitor& operator=(const Monitor&) = delete;

  // For commands.
  Machine& machine() { return machine_; }
  const ChardevNames& chardevs() const { return chardevs_; }
  void print(std::string_view text);  // \n becomes \r\n
  // The prompt comes back when `done` says so, or after `patience` milliseconds.
  void wait_until(std::function<bool()> done, int patience = 2000);

 private:
  size_t room() const;
  void on_bytes(std::span<const uint8_t> bytes);
  void on_event(ChardevEvent event);
  void greet();
  void run_line(const std::string& line);
  void poll();
  void push_output();

  Machine& machine_;
  Chardev& chardev_;
  const ChardevNames chardevs_;
  LineEditor editor_;
  bool greeted_ = false;
  std::string output_;       // what the chardev had no room for
  std::string typed_ahead_;  // keys while a command is under way
  std::function<bool()> waiting_for_;
  int patience_ = 0;
  EventLoop::TimerId timer_ = 0;
};

struct MonitorCommand {
  std::string_view name;
  std::string_view alias;      // empty: none
  std::string_view arguments;  // syntax, for help
  std::string_view help;
  void (*run)(Monitor& monitor, std::string_view arguments);
};
std::span<const MonitorCommand> monitor_commands();
std::span<const MonitorCommand> monitor_info_commands();  // after `info`
void run_monitor_command(Monitor& monitor, std::string_view line);
std::vector<std::string> complete_monitor_line(std::string_view line);

}  // namespace lyre::machine
