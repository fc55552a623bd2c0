// virtio-serial and its ports on the command line.
#include "machine/devices/options.h"
#include "machine/virtio/classes.h"
#include "machine/virtio/serial.h"
#include "runtime/base/nearest.h"

namespace lyre::machine {
namespace virtio {
namespace {

constexpr PropertyInfo kProperties[] = {
    {"max_ports", "uint8", "ports that the bus has, up to 31", "31"},
};

Result<std::unique_ptr<VirtioDevice>> make_serial(const VirtioMake& make) {
  uint64_t ports = 31;
  if (Status s = read_number(make.options, make.where, "max_ports", 31, ports); !s) return s.error();
  if (ports == 0) return Error{make.where + ": max_ports= must be at least 1"};
  auto device = std::make_unique<VirtioSerial>(make.context, static_cast<unsigned>(ports));
  auto& buses = make.plug.serial_buses;
  buses.emplace_back(make.id.empty() ? "virtio-serial" + std::to_string(buses.size()) : make.id, device.get());
  return std::unique_ptr<VirtioDevice>(std::move(device));
}

}  // namespace

extern const VirtioClass kVirtioSerial;
const VirtioClass kVirtioSerial{"virtio-serial", "serial ports and consoles", kProperties, 0x078000, make_serial, {}, {}};

}  // namespace virtio

namespace {

constexpr PropertyInfo kPortProperties[] = {
    {"chardev", "chardev", "the other end: id of a -chardev", {}},
    {"name", "str", "name that the guest sees", {}},
    {"nr", "uint8", "number on the bus", "the next free one"},
};

struct PortPlug final : PluggedDevice {
  void reset() override {}  // with its bus
};

Result<virtio::VirtioSerial*> choose_bus(PlugContext& plug, const OptionList& options, const std::string& where) {
  if (plug.serial_buses.empty()) return Error{where + ": there is no virtio-serial bus; -device virtio-serial comes first"};
  const std::string bus = option_or(options, "bus", "");
  if (bus.empty()) return plug.serial_buses.front().second;
  std::vector<std::string> names;
  for (const auto& [id, serial] : plug.serial_buses) {
    if (bus == id || bus == id + ".0") return serial;
    names.push_back(id + ".0");
  }
  const std::vector<std::string_view> views(names.begin(), names.end());
  return Error{where + ": there is no bus '" + bus + "'" + did_you_mean(bus, views)};
}

Result<std::unique_ptr<PluggedDevice>> create_port(PlugContext& plug, const OptionList& options, bool console, const std::string& where) {
  auto bus = choose_bus(plug, options, where);
  if (!bus) return bus.error();
  virtio::SerialPortOptions port;
  port.console = console;
  port.name = option_or(options, "name", "");
  uint64_t number = (*bus)->free_number(console);
  const bool chosen = find_option(options, "nr") != nullptr;
  if (Status s = read_number(options, where, "nr", (*bus)->max_ports() - 1, number); !s) return s.error();
  if (number >= (*bus)->max_ports()) return Error{where + ": all ports of the bus are in use"};
  if (!console && chosen && number == 0) return Error{where + ": port 0 is for a virtconsole"};
  if ((*bus)->has_port(static_cast<unsigned>(number))) return Error{where + ": port " + std::to_string(number) + " is already in use"};
  port.number = static_cast<unsigned>(number);
  if (const std::string* id = find_option(options, "chardev")) {
    port.chardev = plug.machine.chardev(*id);
    if (!port.chardev) return Error{where + ": there is no chardev '" + *id + "'"};
    if (!plug.chardevs_in_use.emplace(*id, where).second) {
      return Error{where + ": chardev '" + *id + "' is already used by " + plug.chardevs_in_use[*id]};
    }
  }
  (*bus)->add_port(port);
  return std::unique_ptr<PluggedDevice>(std::make_unique<PortPlug>());
}

Result<std::unique_ptr<PluggedDevice>> create_console(PlugContext& plug, const OptionList& options) {
  return create_port(plug, options, true, "-device virtconsole");
}
Result<std::unique_ptr<PluggedDevice>> create_serial_port(PlugContext& plug, const OptionList& options) {
  return create_port(plug, options, false, "-device virtserialport");
}

}  // namespace

extern const DeviceClass kVirtconsole, kVirtserialport;
const DeviceClass kVirtconsole{"virtconsole", {}, PlugBus::kVirtioSerial, "console port of a virtio-serial bus", kPortProperties, create_console};
const DeviceClass kVirtserialport{"virtserialport", {}, PlugBus::kVirtioSerial, "port of a virtio-serial bus", kPortProperties, create_serial_port};

}  // namespace lyre::machine
