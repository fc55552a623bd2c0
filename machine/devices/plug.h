// Plugging: opens what -drive, -blockdev, -netdev and -object describe and creates the devices of -device, in the order typed.
// Threads: while the machine is built, on its main thread, with the I/O thread running. Cold.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "machine/block/nodes.h"
#include "machine/boards/machine.h"
#include "machine/devices/registry.h"
#include "machine/net/nodes.h"
#include "machine/virtio/rng.h"

namespace lyre::machine {

namespace virtio {
class VirtioSerial;
}

// What devices find while they are plugged; lives as long as the machine.
struct PlugContext {
  explicit PlugContext(Machine& m) : machine(m), blocks(m.io()), nets(m.io()) {}
  Machine& machine;
  block::BlockNodes blocks;
  net::NetNodes nets;
  std::map<std::string, virtio::EntropySource, std::less<>> entropy;                // -object rng-*, by id
  std::vector<std::pair<std::string, virtio::VirtioSerial*>> serial_buses;          // by the id of the device
  std::map<std::string, unsigned, std::less<>> ids;                                 // of devices
  std::map<std::string, std::string, std::less<>> chardevs_in_use;                  // id -> by whom
};

// Appends to `plugged`, what must live longest first. The last disks' writes are flushed by an at_exit function of the machine.
Status plug_devices(Machine& machine, std::vector<std::unique_ptr<PluggedDevice>>& plugged);

}  // namespace lyre::machine
