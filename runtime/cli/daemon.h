// -daemonize and -pidfile. Daemon::fork_away() before any thread exists; ready() when the machine is made.
#pragma once
#include <string>

#include "runtime/base/result.h"

namespace lyre::cli {

class Daemon {
 public:
  // In the parent: waits for ready() of the child and leaves the process: status 0, or 1 if the child ended before.
  // Returns in the child.
  Status fork_away();
  // In the child: lets the parent go and lets go of the terminal. Nothing without fork_away().
  void ready();

 private:
  int to_parent_ = -1;
};

// Locked for as long as the process lives, removed by remove_pidfile().
Status write_pidfile(const std::string& path);
void remove_pidfile(const std::string& path);

}  // namespace lyre::cli
