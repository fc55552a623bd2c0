#include "machine/devices/plug.h"

#include "machine/devices/options.h"
#include "runtime/base/nearest.h"

namespace lyre::machine {
namespace {

// Keeps the back ends alive for as long as the devices.
struct BackEnds final : PluggedDevice {
  explicit BackEnds(Machine& machine) : context(std::make_shared<PlugContext>(machine)) {}
  void reset() override {}
  std::shared_ptr<PlugContext> context;
};

Status add_object(PlugContext& context, const OptionList& options) {
  const std::string type = option_or(options, "", option_or(options, "qom-type", ""));
  const std::string id = option_or(options, "id", "");
  static constexpr std::string_view kTypes[] = {"rng-builtin", "rng-random"};
  static constexpr std::string_view kNames[] = {"", "qom-type", "id", "filename"};
  if (type != "rng-builtin" && type != "rng-random") return Error{"-object: there is no type '" + type + "'" + did_you_mean(type, kTypes)};
  if (Status s = check_names(options, "-object " + type, kNames); !s) return s;
  if (id.empty()) return Error{"-object " + type + ": there is no id="};
  if (context.entropy.contains(id)) return Error{"-object " + type + ": the id '" + id + "' is given twice"};
  if (type == "rng-builtin") {
    context.entropy[id] = virtio::host_entropy();
    return Ok{};
  }
  auto source = virtio::file_entropy(option_or(options, "filename", "/dev/urandom"));
  if (!source) return Error{"-object rng-random: " + source.error().message};
  context.entropy[id] = *source;
  return Ok{};
}

Status open_back_ends(PlugContext& context) {
  const MachineConfig& config = context.machine.config();
  for (const OptionList& object : config.objects) {
    if (Status s = add_object(context, object); !s) return s;
  }
  for (const OptionList& blockdev : config.blockdevs) {
    if (Status s = context.blocks.add_blockdev(blockdev); !s) return s;
  }
  for (const OptionList& drive : config.drives) {
    if (Status s = context.blocks.add_drive(drive, "virtio", config.snapshot); !s) return s;
  }
  for (const OptionList& netdev : config.netdevs) {
    if (Status s = context.nets.add_netdev(netdev); !s) return s;
  }
  return Ok{};
}

Result<std::unique_ptr<PluggedDevice>> create_device(PlugContext& context, OptionList options) {
  std::string driver = option_or(options, "", option_or(options, "driver", ""));
  std::erase_if(options.items, [](const auto& item) { return item.first.empty() || item.first == "driver"; });
  const DeviceClass* device_class = find_device_class(driver);
  if (!device_class) {
    std::vector<std::string_view> names;
    for (const DeviceClass* known : device_classes()) {
      names.push_back(known->name);
      if (!known->alias.empty()) names.push_back(known->alias);
    }
    return Error{"-device: there is no device '" + driver + "'" + did_you_mean(driver, names)};
  }
  const std::string where = "-device " + std::string(device_class->name);
  if (Status s = check_properties(*device_class, options, where); !s) return s.error();
  const std::string id = option_or(options, "id", "");
  if (!id.empty() && context.ids[id]++) return Error{where + ": the id '" + id + "' is given twice"};
  return device_class->create(context, options);
}

}  // namespace

Status plug_devices(Machine& machine, std::vector<std::unique_ptr<PluggedDevice>>& plugged) {
  auto back_ends = std::make_unique<BackEnds>(machine);
  std::shared_ptr<PlugContext> context = back_ends->context;
  plugged.push_back(std::move(back_ends));
  if (Status s = open_back_ends(*context); !s) return s;
  machine.at_exit([context] { context->blocks.drain_and_flush(); });
  for (const OptionList& options : machine.config().devices) {
    auto device = create_device(*context, options);
    if (!device) return device.error();
    plugged.push_back(std::move(*device));
  }
  return Ok{};
}

}  // namespace lyre::machine
