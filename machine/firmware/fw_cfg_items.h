// What every board says through fw_cfg, and the user's -fw_cfg files.
#pragma once
#include "machine/boards/machine.h"
#include "machine/devices/fw_cfg.h"

namespace lyre::machine {

// Errors: a -fw_cfg item without a name, with both or neither of file= and string=, or whose file cannot be read.
Status add_fw_cfg_items(FwCfg& fw_cfg, const MachineConfig& config);

}  // namespace lyre::machine
