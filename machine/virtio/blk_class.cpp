// virtio-blk on the command line.
#include "machine/devices/options.h"
#include "machine/virtio/blk.h"
#include "machine/virtio/classes.h"
#include "runtime/base/bits.h"

namespace lyre::machine::virtio {
namespace {

constexpr PropertyInfo kProperties[] = {
    {"drive", "drive", "the disk: id of a -drive or node-name of a -blockdev", {}},
    {"serial", "str", "serial number that the guest reads, up to 20 characters", {}},
    {"num-queues", "uint16", "request queues", "1; on PCI one a CPU, up to 16"},
    {"queue-size", "uint16", "entries of each queue, a power of two from 4 to 1024", "256"},
    {"logical_block_size", "size", "bytes, a power of two from 512 to 32768", "512"},
    {"physical_block_size", "size", "bytes, a power of two, at least the logical size", "512"},
    {"min_io_size", "size", "bytes, as told to the guest", "0"},
    {"opt_io_size", "size", "bytes, as told to the guest", "0"},
    {"config-wce", "bool", "the guest may switch the write cache", "on"},
    {"write-cache", "on/off", "off: every write is durable before it completes", "as the drive"},
    {"discard", "bool", "offer discard", "on"},
    {"write-zeroes", "bool", "offer write-zeroes", "on"},
};
constexpr uint64_t kMaxQueues = 1024;

Status read_blocks(const VirtioMake& make, BlkOptions& blk) {
  uint64_t logical = 512, physical = 0, min_io = 0, opt_io = 0;
  if (Status s = read_size(make.options, make.where, "logical_block_size", logical); !s) return s;
  physical = logical;
  if (Status s = read_size(make.options, make.where, "physical_block_size", physical); !s) return s;
  if (Status s = read_size(make.options, make.where, "min_io_size", min_io); !s) return s;
  if (Status s = read_size(make.options, make.where, "opt_io_size", opt_io); !s) return s;
  if (!is_power_of_two(logical) || logical < 512 || logical > 32768) {
    return Error{make.where + ": logical_block_size= must be a power of two from 512 to 32768"};
  }
  if (!is_power_of_two(physical) || physical < logical || physical > 2 << 20) {
    return Error{make.where + ": physical_block_size= must be a power of two, at least the logical block size"};
  }
  if (min_io % logical || opt_io % logical || min_io / logical > 0xffff || opt_io > 0xffffffff) {
    return Error{make.where + ": min_io_size= and opt_io_size= must be multiples of the logical block size"};
  }
  blk.logical_block = static_cast<uint32_t>(logical);
  blk.physical_block = static_cast<uint32_t>(physical);
  blk.min_io = static_cast<uint32_t>(min_io);
  blk.opt_io = static_cast<uint32_t>(opt_io);
  return Ok{};
}

Result<std::unique_ptr<VirtioDevice>> make_blk(const VirtioMake& make) {
  BlkOptions blk;
  blk.serial = option_or(make.options, "serial", "");
  if (blk.serial.size() > 20) return Error{make.where + ": serial= is longer than 20 characters"};
  uint64_t queues = make.pci ? std::min(make.plug.machine.config().cpu.count, 16u) : 1;
  uint64_t size = blk.queue_size;
  if (Status s = read_number(make.options, make.where, "num-queues", kMaxQueues, queues); !s) return s.error();
  if (Status s = read_number(make.options, make.where, "queue-size", 1024, size); !s) return s.error();
  if (queues == 0) return Error{make.where + ": num-queues= must be at least 1"};
  if (!is_power_of_two(size) || size < 4) return Error{make.where + ": queue-size= must be a power of two from 4 to 1024"};
  blk.queues = static_cast<unsigned>(queues);
  blk.queue_size = static_cast<uint16_t>(size);
  if (Status s = read_blocks(make, blk); !s) return s.error();
  if (Status s = read_bool(make.options, make.where, "config-wce", blk.config_wce); !s) return s.error();
  if (Status s = read_bool(make.options, make.where, "discard", blk.discard); !s) return s.error();
  if (Status s = read_bool(make.options, make.where, "write-zeroes", blk.write_zeroes); !s) return s.error();
  if (Status s = read_bool(make.options, make.where, "write-cache", blk.write_cache); !s) return s.error();
  const std::string drive = option_or(make.options, "drive", "");
  if (drive.empty()) return Error{make.where + ": there is no drive="};
  auto disk = make.plug.blocks.take(drive, make.where + (make.id.empty() ? "" : ",id=" + make.id));
  if (!disk) return disk.error();
  if ((*disk)->size() % blk.logical_block) return Error{make.where + ": the size of drive '" + drive + "' is not a multiple of its logical block size"};
  return std::unique_ptr<VirtioDevice>(std::make_unique<VirtioBlk>(make.context, *disk, blk));
}

}  // namespace

extern const VirtioClass kVirtioBlk;
const VirtioClass kVirtioBlk{"virtio-blk", "disk", kProperties, 0x010000, make_blk, {}, {}};

}  // namespace lyre::machine::virtio
