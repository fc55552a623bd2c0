// Options of devices, disks, networks, terminals and the process.
#include <algorithm>
#include <array>
#include <cstdio>
#include <vector>

#include "machine/chardev/create.h"
#include "machine/devices/registry.h"
#include "runtime/base/nearest.h"
#include "runtime/cli/option_handlers.h"
#include "runtime/cli/option_list.h"
#include "runtime/cli/terminals.h"

namespace lyre::cli {
namespace {

void print_devices() {
  std::vector<const machine::DeviceClass*> sorted(machine::device_classes().begin(), machine::device_classes().end());
  std::sort(sorted.begin(), sorted.end(), [](auto* a, auto* b) { return a->name < b->name; });
  for (const machine::DeviceClass* device : sorted) {
    std::string line = "name \"" + std::string(device->name) + "\", bus " + std::string(machine::plug_bus_name(device->bus));
    if (!device->alias.empty()) line += ", alias \"" + std::string(device->alias) + "\"";
    line += ", desc \"" + std::string(device->description) + "\"";
    std::puts(line.c_str());
  }
}

void print_properties(const machine::DeviceClass& device) {
  std::printf("%s options:\n", std::string(device.name).c_str());
  for (const machine::PropertyInfo& property : device.properties) {
    std::string left = "  " + std::string(property.name) + "=<" + std::string(property.type) + ">";
    left.resize(std::max<size_t>(left.size(), 24), ' ');
    std::string line = left + " - " + std::string(property.description);
    if (!property.otherwise.empty()) line += " (default: " + std::string(property.otherwise) + ")";
    std::puts(line.c_str());
  }
}

Status done(Settings& settings) {
  settings.exit_status = 0;
  return Ok{};
}

Status keep(std::vector<machine::OptionList>& kept, const std::string& text, std::string_view implied) {
  auto list = parse_option_list(text, implied);
  if (!list) return list.error();
  kept.push_back(std::move(*list));
  return Ok{};
}

Status only_none(const std::string& text) {
  if (text == "none") return Ok{};
  return Error{"'" + text + "' does not exist, only none"};
}

}  // namespace

Status on_device(Settings& settings, const std::string& text) {
  auto list = parse_option_list(text, "driver");
  if (!list) return list.error();
  const std::string driver = list->get("");
  if (is_help(driver)) {
    print_devices();
    return done(settings);
  }
  const machine::DeviceClass* device = machine::find_device_class(driver);
  if (!device) {
    std::vector<std::string_view> names;
    for (const machine::DeviceClass* known : machine::device_classes()) names.push_back(known->name);
    return Error{"'" + driver + "' is not a valid device model name" + did_you_mean(driver, names)};
  }
  if (asks_for_help(*list)) {
    print_properties(*device);
    return done(settings);
  }
  settings.machine.devices.push_back(std::move(*list));
  return Ok{};
}

Status on_drive(Settings& settings, const std::string& text) { return keep(settings.machine.drives, text, {}); }
Status on_blockdev(Settings& settings, const std::string& text) {
  return keep(settings.machine.blockdevs, text, "driver");
}

// A bare file name and -hda to -hdd: the file name may have commas.
Status on_disk(Settings& settings, const std::string& text) {
  machine::OptionList drive;
  drive.items.emplace_back("file", text);
  settings.machine.drives.push_back(std::move(drive));
  return Ok{};
}

Status on_snapshot(Settings& settings, const std::string&) {
  settings.machine.snapshot = true;
  return Ok{};
}

Status on_netdev(Settings& settings, const std::string& text) {
  if (is_help(text)) {
    std::puts("Available netdev backend types:\nuser");
    return done(settings);
  }
  return keep(settings.machine.netdevs, text, "type");
}

Status on_nic(Settings& settings, const std::string& text) { return keep(settings.machine.nics, text, "type"); }

Status on_net(Settings& settings, const std::string& text) {
  if (text != "none") return Error{"only -net none is left of this option; use -nic"};
  return on_nic(settings, text);
}

Status on_object(Settings& settings, const std::string& text) {
  if (is_help(text)) {
    std::puts("List of user creatable objects:\n  rng-builtin\n  rng-random");
    return done(settings);
  }
  auto list = parse_option_list(text, "qom-type");
  if (!list) return list.error();
  constexpr std::array<std::string_view, 2> kTypes = {"rng-builtin", "rng-random"};
  const std::string type = list->get("");
  if (std::find(kTypes.begin(), kTypes.end(), type) == kTypes.end()) {
    return Error{"'" + type + "' is not a valid object type" + did_you_mean(type, kTypes)};
  }
  if (list->get("id").empty()) return Error{"needs id=ID"};
  settings.machine.objects.push_back(std::move(*list));
  return Ok{};
}

Status on_nodefaults(Settings& settings, const std::string&) {
  settings.machine.nodefaults = true;
  return Ok{};
}
Status on_nothing(Settings&, const std::string&) { return Ok{}; }
Status on_nographic(Settings& settings, const std::string&) {
  settings.nographic = true;
  return Ok{};
}
Status on_display(Settings& settings, const std::string& text) {
  if (is_help(text)) {
    std::puts("Available display backend types:\nnone");
    return done(settings);
  }
  settings.display_none = true;
  return only_none(text);
}
Status on_vga(Settings&, const std::string& text) { return only_none(text); }
Status on_parallel(Settings&, const std::string& text) { return only_none(text); }

Status on_serial(Settings& settings, const std::string& text) {
  settings.serials.push_back(text);
  return Ok{};
}
Status on_monitor(Settings& settings, const std::string& text) {
  settings.monitors.push_back(text);
  return Ok{};
}

Status on_mon(Settings& settings, const std::string& text) {
  auto list = parse_option_list(text, "chardev");
  if (!list) return list.error();
  if (Status status = check_names(*list, {"id", "mode", "pretty"}); !status) return status;
  if (list->get("mode", "readline") != "readline") return Error{"only mode=readline is there"};
  if (list->get("").empty()) return Error{"needs chardev=ID"};
  settings.mons.push_back(std::move(*list));
  return Ok{};
}

Status on_chardev(Settings& settings, const std::string& text) {
  if (is_help(text)) {
    std::puts("Available chardev backend types:");
    for (const machine::ChardevClass& backend : machine::chardev_classes()) {
      std::printf("  %-10s %s\n", std::string(backend.name).c_str(), std::string(backend.description).c_str());
    }
    return done(settings);
  }
  auto list = parse_option_list(text, "backend");
  if (!list) return list.error();
  const std::string id = list->get("id");
  if (id.empty()) return Error{"needs id=ID"};
  for (const machine::OptionList& other : settings.chardevs) {
    if (other.get("id") == id) return Error{"duplicate ID '" + id + "' for chardev"};
  }
  settings.chardevs.push_back(std::move(*list));
  return Ok{};
}

Status on_gdb(Settings& settings, const std::string& text) {
  if (auto spec = parse_terminal(text); !spec) return spec.error();
  settings.gdb = text == "none" ? "" : text;
  return Ok{};
}
Status on_gdb_default(Settings& settings, const std::string&) { return on_gdb(settings, "tcp::1234"); }

Status on_pidfile(Settings& settings, const std::string& text) {
  settings.pidfile = text;
  return Ok{};
}
Status on_daemonize(Settings& settings, const std::string&) {
  settings.daemonize = true;
  return Ok{};
}
Status on_overcommit(Settings&, const std::string& text) {
  auto list = parse_option_list(text);
  if (!list) return list.error();
  if (Status status = check_names(*list, {"mem-lock", "cpu-pm"}); !status) return status;
  for (const auto& [name, value] : list->items) {
    if (value != "off") return Error{"'" + name + "' can only be off"};
  }
  return Ok{};
}

}  // namespace lyre::cli
