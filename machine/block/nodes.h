// BlockNodes: the disks of a machine by name: what -drive and -blockdev describe, opened. A node is shared by whoever refers to it; a
// disk that a device uses is taken, so that no two devices write it.
// Threads: filled while the machine is built; drain_and_flush() on the main thread with the I/O thread running. Cold.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "machine/block/backend.h"
#include "machine/boards/machine.h"
#include "runtime/base/event_loop.h"
#include "runtime/base/result.h"

namespace lyre::machine::block {

// A -drive option, checked but not opened. The board reads its pflash drives through this.
struct DriveSpec {
  std::string interface;   // "none", "virtio", "pflash", ...
  int index = -1;          // index= or unit=; -1: the next free one
  std::string id;          // id=, empty: made up as virtio0, none1, ...
  std::string file;
  std::string format;      // empty: probed
  bool read_only = false;
  bool cdrom = false;
  bool snapshot = false;
};

Result<DriveSpec> parse_drive(const OptionList& options, const std::string& default_interface, bool snapshot_all);

struct BlockNode {
  std::string name;        // id= of the drive or node-name=
  std::string interface;   // of a drive; empty for -blockdev
  int index = 0;
  bool cdrom = false;
  std::shared_ptr<BlockBackend> disk;
  std::string taken_by;    // the device that uses it; empty: nobody
};

class BlockNodes {
 public:
  explicit BlockNodes(EventLoop& loop) : loop_(loop) {}

  Status add_blockdev(const OptionList& options);
  // A pflash drive is checked but not opened: the board loads it.
  Status add_drive(const OptionList& options, const std::string& default_interface, bool snapshot_all);
  // Errors: no such drive (with the nearest name), in use.
  Result<std::shared_ptr<BlockBackend>> take(const std::string& name, const std::string& device);
  const std::vector<BlockNode>& nodes() const { return nodes_; }
  void drain_and_flush();

 private:
  Result<std::shared_ptr<BlockBackend>> open(const OptionList& options, const std::string& where, bool snapshot);
  Result<std::shared_ptr<BlockBackend>> open_file(const OptionList& options, const std::string& where, const std::string& prefix);
  Result<std::shared_ptr<BlockBackend>> find_node(const std::string& name, const std::string& where);
  Status add_node(BlockNode node, const std::string& where);

  EventLoop& loop_;
  std::vector<BlockNode> nodes_;
};

}  // namespace lyre::machine::block
