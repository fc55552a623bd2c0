// Plugging virtio devices into the PCI bus.
#include <charconv>

#include "machine/devices/options.h"
#include "machine/pci/bus.h"
#include "machine/virtio/classes.h"
#include "machine/virtio/pci.h"

namespace lyre::machine::virtio {
namespace {

struct PciDevicePlug final : PluggedDevice {
  PciDevicePlug(std::unique_ptr<VirtioDevice> d, uint32_t class_code) : device(std::move(d)), transport(*device, class_code) {}
  void reset() override { transport.reset(); }
  std::unique_ptr<VirtioDevice> device;
  VirtioPci transport;
};

struct PciAddress {
  int slot = -1;
  unsigned function = 0;
};

// SLOT or SLOT.FUNCTION, hexadecimal, 0x or not.
Result<PciAddress> read_address(const OptionList& options, const std::string& where) {
  PciAddress address;
  const std::string* text = find_option(options, "addr");
  if (!text) return address;
  std::string_view left = *text;
  if (left.starts_with("0x")) left.remove_prefix(2);
  unsigned slot = 0;
  auto parsed = std::from_chars(left.data(), left.data() + left.size(), slot, 16);
  bool good = parsed.ec == std::errc() && slot < 32;
  if (good && parsed.ptr != left.data() + left.size()) {
    good = *parsed.ptr == '.';
    if (good) {
      parsed = std::from_chars(parsed.ptr + 1, left.data() + left.size(), address.function, 16);
      good = parsed.ec == std::errc() && parsed.ptr == left.data() + left.size() && address.function < 8;
    }
  }
  if (!good) return Error{where + ": 'addr=" + *text + "' is not a PCI slot (0 to 1f), or slot.function"};
  address.slot = static_cast<int>(slot);
  return address;
}

}  // namespace

Result<std::unique_ptr<PluggedDevice>> plug_pci(const VirtioClass& c, PlugContext& plug, const OptionList& options) {
  const std::string where = "-device " + (c.pci_name.empty() ? std::string(c.name) + "-pci" : std::string(c.pci_name));
  pci::PciBus* bus = plug.machine.pci_bus();
  if (!bus) return Error{where + ": this machine has no PCI bus"};
  const std::string bus_name = option_or(options, "bus", "pcie.0");
  if (bus_name != "pcie.0") return Error{where + ": there is no bus '" + bus_name + "'; there is pcie.0"};
  bool legacy_off = true, modern_off = false;
  if (option_or(options, "disable-legacy", "on") != "auto") {
    if (Status s = read_bool(options, where, "disable-legacy", legacy_off); !s) return s.error();
  }
  if (Status s = read_bool(options, where, "disable-modern", modern_off); !s) return s.error();
  if (modern_off) return Error{where + ": disable-modern=on leaves nothing, the legacy interface is not there"};
  auto address = read_address(options, where);
  if (!address) return address.error();
  auto device = make_device(c, plug, options, true, where);
  if (!device) return device.error();
  auto plugged = std::make_unique<PciDevicePlug>(std::move(*device), c.pci_class);
  if (Status s = bus->add(plugged->transport, address->slot, address->function); !s) return Error{where + ": " + s.error().message};
  return std::unique_ptr<PluggedDevice>(std::move(plugged));
}

}  // namespace lyre::machine::virtio
