// What `-device NAME` can create: each class describes itself to the command line (help, properties) and knows how to plug in.
// One line per class in machine/devices/list.def; the class object lives in the device's own file.
#pragma once
#include <memory>
#include <span>
#include <string_view>

#include "machine/boards/machine.h"

namespace lyre::machine {

enum class PlugBus : uint8_t { kVirtioMmio, kPci, kSystem };

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
  Result<std::unique_ptr<PluggedDevice>> (*create)(Machine& machine, const OptionList& options);
};

std::span<const DeviceClass* const> device_classes();
const DeviceClass* find_device_class(std::string_view name_or_alias);
// Unknown name: the nearest one, for the error sentence; empty if nothing is near. Edit distance, usable for any list.
std::string nearest_name(std::string_view name, std::span<const std::string_view> names);

}  // namespace lyre::machine
