// NetNodes: the network back ends of a machine by id: what -netdev describes. Each serves one card.
// Threads: filled while the machine is built. Cold.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "machine/boards/machine.h"
#include "machine/net/backend.h"
#include "runtime/base/result.h"

namespace lyre::machine::net {

struct NetNode {
  std::string id;
  std::shared_ptr<NetBackend> backend;
  std::string taken_by;  // the device that uses it; empty: nobody
};

class NetNodes {
 public:
  explicit NetNodes(EventLoop& loop) : loop_(loop) {}
  Status add_netdev(const OptionList& options);
  // Errors: no such netdev (with the nearest name), in use.
  Result<std::shared_ptr<NetBackend>> take(const std::string& id, const std::string& device);
  const std::vector<NetNode>& nodes() const { return nodes_; }

 private:
  EventLoop& loop_;
  std::vector<NetNode> nodes_;
};

}  // namespace lyre::machine::net
