// VirtioClass: one description of a virtio device for the command line, from which both transports' device classes are made (names,
// properties, help). See machine/devices/list.def.
// Cold.
#pragma once
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "machine/devices/plug.h"
#include "machine/devices/registry.h"
#include "machine/virtio/device.h"

namespace lyre::machine::virtio {

struct VirtioMake {
  PlugContext& plug;
  const OptionList& options;
  VirtioContext context;
  bool pci;
  std::string where;  // "-device virtio-blk-pci", for errors
  std::string id;     // of the device, for messages; made up if none was given
};

struct VirtioClass {
  std::string_view name;                // "virtio-blk"
  std::string_view description;
  std::span<const PropertyInfo> properties;
  uint32_t pci_class;                   // 0xccsspp
  Result<std::unique_ptr<VirtioDevice>> (*make)(const VirtioMake& make);
  std::string_view mmio_name, pci_name;  // if not NAME-device, NAME-pci
};

// The properties of a class together with those of its transport, for the machine's life.
std::vector<PropertyInfo> with_transport_properties(const VirtioClass& c, bool pci);

// The device itself, with its ring options read.
Result<std::unique_ptr<VirtioDevice>> make_device(const VirtioClass& c, PlugContext& plug, const OptionList& options, bool pci,
                                                  const std::string& where);

Result<std::unique_ptr<PluggedDevice>> plug_mmio(const VirtioClass& c, PlugContext& plug, const OptionList& options);
Result<std::unique_ptr<PluggedDevice>> plug_pci(const VirtioClass& c, PlugContext& plug, const OptionList& options);

}  // namespace lyre::machine::virtio
