// What `-device NAME` can create: each class describes itself to the command line (help, properties) and knows how to plug in.
// One line per class in machine/devices/list.def; the class object lives in the device's own file. Cold.
#pragma once
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "machine/boards/machine.h"

namespace lyre::machine {

struct PlugContext;

enum class PlugBus : uint8_t { kVirtioMmio, kPci, kVirtioSerial, kSystem };
std::string_view plug_bus_name(PlugBus bus);  // "virtio-bus", "PCI", ... as `-device help` groups them

struct PropertyInfo {
  std::string_view name;
  std::string_view type;         // "bool", "uint16", "size", "str", "drive", "netdev", "chardev", "macaddr"
  std::string_view description;
  std::string_view otherwise;    // default, as text; empty: none
};

// A plugged device lives as long as the machine.
class PluggedDevice {
 public:
  virtual ~PluggedDevice() = default;
  virtual void reset() = 0;
};

struct DeviceClass {
  std::string_view name;         // "virtio-blk-device", "virtio-net-pci"
  std::string_view alias;        // "virtio-blk" or empty
  PlugBus bus;
  std::string_view description;
  std::span<const PropertyInfo> properties;
  // options have been checked against properties (plus id, bus, addr). Errors name the property.
  Result<std::unique_ptr<PluggedDevice>> (*create)(PlugContext& context, const OptionList& options);
};

std::span<const DeviceClass* const> device_classes();
const DeviceClass* find_device_class(std::string_view name_or_alias);

// `-device help` and `-device NAME,help` (or NAME=help): the text to print. Error: no such class, with the nearest name.
std::string device_list_help();
Result<std::string> device_help(std::string_view name_or_alias);

// Names and simple types of the options, against the class. where: "-device virtio-blk-pci".
Status check_properties(const DeviceClass& device_class, const OptionList& options, const std::string& where);

}  // namespace lyre::machine
