// The constructor that programs use: vCPUs from runtime/accel. Apart from machine.cpp, so that a test with its own
// vCPUs links no engine.
#include "machine/boards/machine.h"

namespace lyre::machine {

Machine::Machine(MachineConfig config) : Machine(std::move(config), runtime::VcpuSet::create) {}

}  // namespace lyre::machine
