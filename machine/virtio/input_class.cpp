// virtio-keyboard on the command line.
#include "machine/virtio/classes.h"
#include "machine/virtio/input.h"
#include "runtime/base/log.h"

namespace lyre::machine::virtio {
namespace {

Result<std::unique_ptr<VirtioDevice>> make_keyboard(const VirtioMake& make) {
  auto keyboard = std::make_unique<VirtioKeyboard>(make.context);
  make.plug.machine.add_power_button([device = keyboard.get(), name = make.context.name] {
    if (!device->press(kKeyPower)) log_line("%s: no driver in the guest listens to its power key\n", name.c_str());
  });
  return std::unique_ptr<VirtioDevice>(std::move(keyboard));
}

}  // namespace

extern const VirtioClass kVirtioKeyboard;
const VirtioClass kVirtioKeyboard{"virtio-keyboard", "keyboard, whose power key is the machine's power button", {}, 0x090000, make_keyboard, {}, {}};

}  // namespace lyre::machine::virtio
