// /proc/PID/maps and smaps of guest processes: the host's lines that lie in the guest's table, with the guest's rights.
// Another process's table is read where it lies there; it is of the same executable, so its layout is this process's.
// Threads: any.
#pragma once
#include <optional>
#include <string>

#include "runtime/linux/proc_names.h"

namespace lyre::linux_user {

// nullopt: none of ours. `name.entry` is "maps" or "smaps".
std::optional<std::string> guest_maps(Process& process, const ProcName& name);

}  // namespace lyre::linux_user
