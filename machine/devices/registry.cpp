#include "machine/devices/registry.h"

#include <algorithm>
#include <map>
#include <vector>

#include "machine/devices/options.h"
#include "machine/virtio/classes.h"
#include "runtime/base/nearest.h"

namespace lyre::machine {

namespace virtio {
#define VIRTIO(object) extern const VirtioClass object;
#define DEVICE(object)
#include "machine/devices/list.def"
#undef VIRTIO
#undef DEVICE
}  // namespace virtio
#define VIRTIO(object)
#define DEVICE(object) extern const DeviceClass object;
#include "machine/devices/list.def"
#undef VIRTIO
#undef DEVICE

namespace {

// The two device classes of a virtio device, and what their string_views point at.
struct VirtioPair {
  std::string mmio_name, pci_name;
  std::vector<PropertyInfo> mmio_properties, pci_properties;
  DeviceClass mmio, pci;

  explicit VirtioPair(const virtio::VirtioClass& c)
      : mmio_name(c.mmio_name.empty() ? std::string(c.name) + "-device" : std::string(c.mmio_name)),
        pci_name(c.pci_name.empty() ? std::string(c.name) + "-pci" : std::string(c.pci_name)),
        mmio_properties(virtio::with_transport_properties(c, false)),
        pci_properties(virtio::with_transport_properties(c, true)) {
    mmio = {mmio_name, {}, PlugBus::kVirtioMmio, c.description, mmio_properties, nullptr};
    pci = {pci_name, c.name, PlugBus::kPci, c.description, pci_properties, nullptr};
  }
};

template <const virtio::VirtioClass& kClass>
VirtioPair& virtio_pair() {
  static VirtioPair& pair = *[] {
    auto* made = new VirtioPair(kClass);
    made->mmio.create = [](PlugContext& plug, const OptionList& options) { return virtio::plug_mmio(kClass, plug, options); };
    made->pci.create = [](PlugContext& plug, const OptionList& options) { return virtio::plug_pci(kClass, plug, options); };
    return made;
  }();
  return pair;
}

const std::vector<const DeviceClass*>& all_classes() {
  static const std::vector<const DeviceClass*> classes = [] {
    std::vector<const DeviceClass*> list;
#define VIRTIO(object)                                          \
  list.push_back(&virtio_pair<virtio::object>().mmio);          \
  list.push_back(&virtio_pair<virtio::object>().pci);
#define DEVICE(object) list.push_back(&object);
#include "machine/devices/list.def"
#undef VIRTIO
#undef DEVICE
    return list;
  }();
  return classes;
}

constexpr PropertyInfo kCommon[] = {
    {"id", "str", "name of the device, for messages and for other options", {}},
    {"bus", "str", "where to plug it", {}},
    {"addr", "str", "PCI slot, or slot.function, in hexadecimal", {}},
    {"bootindex", "int32", "boot order, for firmware that asks for one", {}},
};

// What can be told of a value without its device.
Status check_value(std::string_view type, const OptionList& options, const std::string& where, std::string_view name) {
  bool on;
  uint64_t number;
  if (type == "bool" || type == "on/off") return read_bool(options, where, name, on);
  if (type == "uint8") return read_number(options, where, name, 0xff, number);
  if (type == "uint16") return read_number(options, where, name, 0xffff, number);
  if (type == "uint32") return read_number(options, where, name, 0xffffffff, number);
  if (type == "uint64") return read_number(options, where, name, ~uint64_t{0}, number);
  if (type == "size") return read_size(options, where, name, number);
  return Ok{};
}

}  // namespace

std::string_view plug_bus_name(PlugBus bus) {
  switch (bus) {
    case PlugBus::kVirtioMmio: return "virtio-bus";
    case PlugBus::kPci: return "PCI";
    case PlugBus::kVirtioSerial: return "virtio-serial-bus";
    case PlugBus::kSystem: return "System";
  }
  return {};
}

std::span<const DeviceClass* const> device_classes() { return all_classes(); }

const DeviceClass* find_device_class(std::string_view name) {
  for (const DeviceClass* c : all_classes()) {
    if (c->name == name || (!c->alias.empty() && c->alias == name)) return c;
  }
  return nullptr;
}

std::string device_list_help() {
  std::vector<const DeviceClass*> sorted(all_classes());
  std::stable_sort(sorted.begin(), sorted.end(), [](const auto* a, const auto* b) { return a->name < b->name; });
  std::string text = "Devices:\n";
  for (const DeviceClass* c : sorted) {
    text += "name \"" + std::string(c->name) + "\", bus " + std::string(plug_bus_name(c->bus));
    if (!c->alias.empty()) text += ", alias \"" + std::string(c->alias) + "\"";
    text += ", desc \"" + std::string(c->description) + "\"\n";
  }
  return text;
}

Result<std::string> device_help(std::string_view name) {
  const DeviceClass* c = find_device_class(name);
  if (!c) {
    std::vector<std::string_view> names;
    for (const DeviceClass* known : all_classes()) names.push_back(known->name);
    return Error{"-device: there is no device '" + std::string(name) + "'" + did_you_mean(name, names)};
  }
  std::string text = std::string(c->name) + " options:\n";
  for (const auto& properties : {std::span<const PropertyInfo>(kCommon), c->properties}) {
    for (const PropertyInfo& p : properties) {
      std::string line = "  " + std::string(p.name) + "=<" + std::string(p.type) + ">";
      line.resize(std::max<size_t>(line.size(), 28), ' ');
      line += " - " + std::string(p.description);
      if (!p.otherwise.empty()) line += " (default: " + std::string(p.otherwise) + ")";
      text += line + "\n";
    }
  }
  return text;
}

Status check_properties(const DeviceClass& c, const OptionList& options, const std::string& where) {
  std::vector<std::string_view> names;
  for (const PropertyInfo& p : kCommon) names.push_back(p.name);
  for (const PropertyInfo& p : c.properties) names.push_back(p.name);
  if (Status s = check_names(options, where, names); !s) return s;
  for (const PropertyInfo& p : c.properties) {
    if (Status s = check_value(p.type, options, where, p.name); !s) return s;
  }
  return Ok{};
}

}  // namespace lyre::machine
