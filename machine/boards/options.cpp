// Option lists, and what -drive and -nic stand for. See machine.h.
#include "machine/boards/machine.h"

namespace lyre::machine {
namespace {

Status expand_drive(MachineConfig& config, OptionList& drive, unsigned number, bool pci) {
  std::string bus = drive.get("if", "virtio");
  if (bus == "none" || bus == "pflash") return Ok{};
  if (bus != "virtio")
    return Error{"-drive if=" + bus + ": the machine has no such bus; it takes virtio, pflash and none"};
  std::string id = drive.get("id");
  if (id.empty()) drive.items.emplace_back("id", id = "virtio" + std::to_string(number));
  config.devices.push_back({{{"", pci ? "virtio-blk-pci" : "virtio-blk-device"}, {"drive", id}}});
  return Ok{};
}

Status expand_nic(MachineConfig& config, const OptionList& nic, unsigned number, bool pci) {
  std::string backend = nic.get("");
  if (backend.empty()) return Error{"-nic wants a network back end such as 'user' as its first word"};
  if (backend == "none") return Ok{};
  std::string id = nic.get("id", "nic" + std::to_string(number));
  OptionList netdev, device;
  netdev.items = {{"", backend}, {"id", id}};
  std::string model = nic.get("model", "virtio");
  if (model == "virtio") model = pci ? "virtio-net-pci" : "virtio-net-device";
  device.items = {{"", model}, {"netdev", id}};
  for (auto& [name, value] : nic.items) {
    if (name == "mac" || name == "addr")
      device.items.emplace_back(name, value);
    else if (name != "" && name != "id" && name != "model")
      netdev.items.emplace_back(name, value);
  }
  config.netdevs.push_back(std::move(netdev));
  config.devices.push_back(std::move(device));
  return Ok{};
}

}  // namespace

const std::string* OptionList::find(std::string_view name) const {
  const std::string* found = nullptr;  // the last one typed wins
  for (auto& [key, value] : items)
    if (key == name) found = &value;
  return found;
}

std::string OptionList::get(std::string_view name, std::string_view otherwise) const {
  const std::string* found = find(name);
  return found ? *found : std::string(otherwise);
}

Status expand_shorthands(MachineConfig& config, bool pci) {
  if (config.nics.empty() && config.netdevs.empty() && !config.nodefaults) config.nics.push_back({{{"", "user"}}});
  unsigned number = 0;
  for (OptionList& drive : config.drives)
    if (Status done = expand_drive(config, drive, number++, pci); !done) return done;
  number = 0;
  for (const OptionList& nic : config.nics)
    if (Status done = expand_nic(config, nic, number++, pci); !done) return done;
  config.nics.clear();
  return Ok{};
}

}  // namespace lyre::machine
