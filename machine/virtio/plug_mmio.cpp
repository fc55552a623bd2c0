// Plugging virtio devices into virtio-mmio slots, and what both transports' classes share.
#include "machine/devices/options.h"
#include "machine/virtio/classes.h"
#include "machine/virtio/mmio.h"

namespace lyre::machine::virtio {
namespace {

constexpr PropertyInfo kRingProperties[] = {
    {"indirect_desc", "bool", "offer indirect descriptors", "on"},
    {"event_idx", "bool", "offer notification suppression by index", "on"},
    {"packed", "bool", "offer packed rings", "off"},
    {"queue_reset", "bool", "offer the reset of single queues", "on"},
};
constexpr PropertyInfo kPciProperties[] = {
    {"disable-legacy", "on/off/auto", "the legacy interface is never there, whatever is said", "on"},
    {"disable-modern", "bool", "only off is possible", "off"},
};

struct MmioDevicePlug final : PluggedDevice {
  MmioDevicePlug(std::unique_ptr<VirtioDevice> d, IrqLine irq) : device(std::move(d)), transport(device.get(), irq) {}
  void reset() override { transport.reset(); }
  std::unique_ptr<VirtioDevice> device;
  VirtioMmio transport;
};

// bus=virtio-mmio-bus.N, or the free slot with the highest number, as on the well-known boards.
Result<VirtioMmioSlot*> choose_slot(Machine& machine, const OptionList& options, const std::string& where) {
  auto& slots = machine.virtio_slots();
  if (slots.empty()) return Error{where + ": this machine has no virtio-mmio slots"};
  const std::string bus = option_or(options, "bus", "");
  if (!bus.empty()) {
    constexpr std::string_view kPrefix = "virtio-mmio-bus.";
    uint64_t number = 0;
    if (!bus.starts_with(kPrefix) || !parse_number(bus.substr(kPrefix.size()), slots.size() - 1, number)) {
      return Error{where + ": there is no bus '" + bus + "'; there are virtio-mmio-bus.0 to virtio-mmio-bus." + std::to_string(slots.size() - 1)};
    }
    if (slots[number].used) return Error{where + ": bus '" + bus + "' already has a device"};
    return &slots[number];
  }
  for (size_t i = slots.size(); i--;) {
    if (!slots[i].used) return &slots[i];
  }
  return Error{where + ": all " + std::to_string(slots.size()) + " virtio-mmio slots are in use"};
}

}  // namespace

std::vector<PropertyInfo> with_transport_properties(const VirtioClass& c, bool pci) {
  std::vector<PropertyInfo> all(c.properties.begin(), c.properties.end());
  all.insert(all.end(), std::begin(kRingProperties), std::end(kRingProperties));
  if (pci) all.insert(all.end(), std::begin(kPciProperties), std::end(kPciProperties));
  return all;
}

static Result<RingOptions> read_ring_options(const OptionList& options, const std::string& where) {
  RingOptions rings;
  if (Status s = read_bool(options, where, "indirect_desc", rings.indirect); !s) return s.error();
  if (Status s = read_bool(options, where, "event_idx", rings.event_idx); !s) return s.error();
  if (Status s = read_bool(options, where, "packed", rings.packed); !s) return s.error();
  if (Status s = read_bool(options, where, "queue_reset", rings.ring_reset); !s) return s.error();
  return rings;
}

Result<std::unique_ptr<VirtioDevice>> make_device(const VirtioClass& c, PlugContext& plug, const OptionList& options, bool pci,
                                                  const std::string& where) {
  auto rings = read_ring_options(options, where);
  if (!rings) return rings.error();
  const std::string id = option_or(options, "id", "");
  const std::string name = std::string(c.name) + (id.empty() ? "" : " '" + id + "'");
  return c.make({plug, options, VirtioContext{plug.machine.dma(), &plug.machine.io(), name, *rings}, pci, where, id});
}

Result<std::unique_ptr<PluggedDevice>> plug_mmio(const VirtioClass& c, PlugContext& plug, const OptionList& options) {
  const std::string where = "-device " + (c.mmio_name.empty() ? std::string(c.name) + "-device" : std::string(c.mmio_name));
  if (find_option(options, "addr")) return Error{where + ": addr= is for PCI devices"};
  auto slot = choose_slot(plug.machine, options, where);
  if (!slot) return slot.error();
  auto device = make_device(c, plug, options, false, where);
  if (!device) return device.error();
  auto plugged = std::make_unique<MmioDevicePlug>(std::move(*device), (*slot)->irq);
  if (Status s = plug.machine.bus().map((*slot)->base, (*slot)->size, plugged->transport); !s) {
    return Error{where + ": " + s.error().message};
  }
  (*slot)->used = true;
  return std::unique_ptr<PluggedDevice>(std::move(plugged));
}

}  // namespace lyre::machine::virtio
