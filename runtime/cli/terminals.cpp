#include "runtime/cli/terminals.h"

#include <algorithm>

#include "machine/chardev/create.h"
#include "machine/chardev/mux.h"
#include "runtime/base/nearest.h"
#include "runtime/cli/option_list.h"

namespace lyre::cli {
namespace {

using machine::Chardev;

// A second name for a device of -chardev. The machine owns both and the device outlives no use of this.
class ChardevAlias final : public Chardev {
 public:
  explicit ChardevAlias(Chardev& target) : target_(target) {}
  size_t write(std::span<const uint8_t> bytes) override { return target_.write(bytes); }
  void attach(machine::ChardevReceiver receiver) override { target_.attach(std::move(receiver)); }
  void accept_input() override { target_.accept_input(); }
  void flush() override { target_.flush(); }
  bool focused() const override { return target_.focused(); }
  std::string description() const override { return target_.description(); }

 private:
  Chardev& target_;
};

// "HOST:PORT" of tcp:, with an IPv6 host in brackets.
Status split_address(const std::string& address, machine::OptionList& options) {
  const size_t colon = address.rfind(':');
  if (colon == address.npos || colon + 1 == address.size()) return Error{"'" + address + "' is not HOST:PORT"};
  std::string host = address.substr(0, colon);
  if (host.size() > 1 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  options.items.emplace_back("host", host);
  options.items.emplace_back("port", address.substr(colon + 1));
  return Ok{};
}

Result<machine::OptionList> socket_options(std::string_view rest, bool tcp) {
  auto list = parse_option_list(rest, tcp ? "address" : "path");
  if (!list) return list.error();
  machine::OptionList options;
  options.items.emplace_back("", "socket");
  for (auto& [name, value] : list->items) {
    if (!name.empty()) {
      options.items.emplace_back(name, value);
    } else if (!tcp) {
      options.items.emplace_back("path", value);
    } else if (Status status = split_address(value, options); !status) {
      return status.error();
    }
  }
  return options;
}

struct Maker {
  const Settings& settings;
  machine::Machine& machine;
  Terminals made;

  Result<Chardev*> add(const std::string& id, const machine::OptionList& options) {
    auto quit = [&m = machine] { m.request_shutdown(machine::StopCause::kHostQuit); };
    auto device = machine::create_chardev(options, {machine.io(), id, quit});
    if (!device) return device.error();
    Chardev* raw = device->get();
    machine.add_chardev(id, std::move(*device));
    made.all.emplace_back(id, raw);
    return raw;
  }

  // Another user of a device: its own front end on a mux, the device itself otherwise.
  Chardev* share(Chardev& device, const std::string& label, bool focus) {
    auto* mux = dynamic_cast<machine::Mux*>(&device);
    std::unique_ptr<Chardev> user = mux ? mux->front_end(label, focus) : std::make_unique<ChardevAlias>(device);
    Chardev* raw = user.get();
    machine.add_chardev(label, std::move(user));
    return raw;
  }

  Result<Chardev*> existing(const std::string& id) {
    for (auto& [label, device] : made.all) {
      if (label == id) return device;
    }
    std::vector<std::string_view> names;
    for (auto& entry : made.all) names.push_back(entry.first);
    return Error{"chardev '" + id + "' not found" + did_you_mean(id, names)};
  }

  Status terminal(const std::string& text, const std::string& label, bool is_monitor);
  Status debugger(const std::string& text);
};

Status Maker::terminal(const std::string& text, const std::string& label, bool is_monitor) {
  auto spec = parse_terminal(text);
  if (!spec) return spec.error();
  if (spec->kind == TerminalSpec::Kind::kNone) return Ok{};
  Chardev* device = nullptr;
  if (spec->kind == TerminalSpec::Kind::kExisting) {
    auto found = existing(spec->id);
    if (!found) return found.error();
    device = share(**found, label, !is_monitor);
  } else if (spec->with_monitor && !is_monitor) {
    auto mux = add(label + "-mux", spec->options);
    if (!mux) return mux.error();
    device = share(**mux, label, true);
    made.monitors.push_back(share(**mux, "compat_monitor" + std::to_string(made.monitors.size()), false));
  } else {
    auto plain = add(label, spec->options);
    if (!plain) return plain.error();
    device = *plain;
  }
  if (is_monitor) made.monitors.push_back(device);
  return Ok{};
}

// A socket that the stub makes itself listens, and does not wait.
Status Maker::debugger(const std::string& text) {
  auto spec = parse_terminal(text);
  if (!spec) return spec.error();
  if (spec->kind == TerminalSpec::Kind::kExisting) {
    auto found = existing(spec->id);
    if (!found) return found.error();
    made.gdb = share(**found, "gdb", false);
    return Ok{};
  }
  if (spec->options.get("") == "socket") {
    auto set = [&](const char* name, const char* value) {
      if (!spec->options.find(name)) spec->options.items.emplace_back(name, value);
    };
    set("server", "on");
    set("wait", "off");
    if (!spec->options.find("path")) set("nodelay", "on");
  }
  auto made_device = add("gdb", spec->options);
  if (!made_device) return made_device.error();
  made.gdb = *made_device;
  return Ok{};
}

}  // namespace

Result<TerminalSpec> parse_terminal(std::string_view text) {
  TerminalSpec spec;
  auto make = [&](std::string_view backend) {
    spec.kind = TerminalSpec::Kind::kMake;
    spec.options.items.insert(spec.options.items.begin(), {"", std::string(backend)});
  };
  if (text.starts_with("mon:")) {
    text.remove_prefix(4);
    spec.with_monitor = true;
  }
  const std::string_view head = text.substr(0, text.find(':')),
                         rest = text.substr(std::min(text.size(), head.size() + 1));
  if (text == "none") return spec;
  if (text == "stdio" || text == "null" || text == "pty") {
    make(text);
    // With a monitor in the same terminal Ctrl-C is the guest's.
    if (text == "stdio" && spec.with_monitor) spec.options.items.emplace_back("signal", "off");
  } else if (head == "vc") {
    make("null");  // a window of the display, and there is none
  } else if (head == "pty" && !rest.empty()) {
    make("pty");
    spec.options.items.emplace_back("path", std::string(rest));
  } else if (head == "file") {
    make("file");
    spec.options.items.emplace_back("path", std::string(rest));
  } else if (head == "chardev") {
    spec.kind = TerminalSpec::Kind::kExisting;
    spec.id = rest;
  } else if (head == "tcp" || head == "unix") {
    auto options = socket_options(rest, head == "tcp");
    if (!options) return options.error();
    spec.kind = TerminalSpec::Kind::kMake;
    spec.options = std::move(*options);
  } else {
    constexpr std::string_view kKnown[] = {"stdio", "pty", "file", "null", "tcp", "unix", "chardev", "none", "mon"};
    return Error{"'" + std::string(text) + "' is not a character device" + did_you_mean(head, kKnown)};
  }
  if (spec.with_monitor && spec.kind == TerminalSpec::Kind::kMake) spec.options.items.emplace_back("mux", "on");
  return spec;
}

Result<Terminals> make_terminals(const Settings& settings, machine::Machine& machine) {
  Maker maker{settings, machine, {}};
  for (const machine::OptionList& options : settings.chardevs) {
    if (auto device = maker.add(options.get("id"), options); !device) {
      return Error{"-chardev " + options.get("") + ",id=" + options.get("id") + ": " + device.error().message};
    }
  }
  std::vector<std::string> serials = settings.serials, monitors = settings.monitors;
  const bool default_serial = serials.empty() && !settings.machine.nodefaults;
  const bool mentioned =
      std::any_of(serials.begin(), serials.end(), [](const std::string& text) { return text.starts_with("mon:"); });
  const bool default_monitor = monitors.empty() && settings.mons.empty() && !mentioned && !settings.machine.nodefaults;
  // Without a display there is only this terminal, unless even that is not wanted.
  const bool terminal = settings.nographic || (!settings.display_none && !settings.daemonize);
  bool shared = false;
  if (default_serial && terminal) {
    shared = default_monitor;
    serials.push_back(shared ? "mon:stdio" : "stdio");
  }
  if (default_monitor && settings.nographic && !shared) monitors.push_back("stdio");
  for (size_t i = 0; i < serials.size(); ++i) {
    if (Status status = maker.terminal(serials[i], "serial" + std::to_string(i), false); !status) {
      return Error{"-serial " + serials[i] + ": " + status.error().message};
    }
  }
  for (size_t i = 0; i < monitors.size(); ++i) {
    if (Status status = maker.terminal(monitors[i], "monitor" + std::to_string(i), true); !status) {
      return Error{"-monitor " + monitors[i] + ": " + status.error().message};
    }
  }
  for (size_t i = 0; i < settings.mons.size(); ++i) {
    const std::string id = settings.mons[i].get("");
    if (Status status = maker.terminal("chardev:" + id, "mon" + std::to_string(i), true); !status) {
      return Error{"-mon chardev=" + id + ": " + status.error().message};
    }
  }
  if (!settings.gdb.empty()) {
    if (Status status = maker.debugger(settings.gdb); !status) return Error{"-gdb " + settings.gdb + ": " + status.error().message};
  }
  return std::move(maker.made);
}

}  // namespace lyre::cli
