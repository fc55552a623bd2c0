// Paths under -L: the folder's files hide the host's, as if the folder were laid over the host's root. Symbolic links
// are followed as a guest with that root would, absolute ones within the folder. Any thread.
#pragma once
#include <string>

namespace lyre::linux_user {

// The host's path for an absolute one of the guest's; `path` itself where the folder has no such file (unless only the
// folder has the directory), and for what is in /dev, /proc and /sys, which are the kernel's. `prefix` has no links.
// follow_last: the call follows a link at the end of the path.
std::string path_under(const std::string& prefix, const std::string& path, bool follow_last);

}  // namespace lyre::linux_user
