#include "machine/block/nodes.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <mutex>

#include "machine/block/null_disk.h"
#include "machine/block/overlay.h"
#include "machine/block/raw_file.h"
#include "machine/devices/options.h"
#include "runtime/base/nearest.h"

namespace lyre::machine::block {
namespace {

constexpr std::string_view kDriveNames[] = {"file",         "if",           "id",        "index",     "bus",        "unit",
                                            "media",        "format",       "snapshot",  "readonly",  "read-only",  "auto-read-only",
                                            "cache",        "cache.direct", "cache.no-flush", "cache.writeback", "aio", "discard",
                                            "detect-zeroes", "werror",      "rerror",    "driver",    "node-name",  "file.",
                                            "size",         "offset",       "locking",   "force-share"};
constexpr std::string_view kBlockdevNames[] = {"driver",  "node-name", "file",   "filename", "read-only", "auto-read-only",
                                               "cache.direct", "cache.no-flush", "aio", "discard", "detect-zeroes", "locking",
                                               "file.",   "size",      "offset", "latency-ns", "read-zeroes", "force-share"};
constexpr std::string_view kInterfaces[] = {"none", "virtio", "pflash", "ide", "scsi", "sd", "mtd", "floppy"};
constexpr std::string_view kFileDrivers[] = {"file", "host_device"};
constexpr std::string_view kDrivers[] = {"raw", "file", "host_device", "null-co", "null-aio", "qcow2"};

constexpr std::string_view kQcow2Later = "the qcow2 format comes in a later release; convert the image to raw (qemu-img convert -O raw)";

// The format by its first bytes. Only what we cannot read is told apart from raw.
std::string probe_format(const std::string& file) {
  const int fd = open(file.c_str(), O_RDONLY | O_CLOEXEC);
  char magic[4] = {};
  const ssize_t got = fd >= 0 ? read(fd, magic, sizeof magic) : 0;
  if (fd >= 0) close(fd);
  return got == 4 && std::memcmp(magic, "QFI\xfb", 4) == 0 ? "qcow2" : "raw";
}

// cache=MODE as three switches.
Status read_cache(const OptionList& options, const std::string& where, const std::string& prefix, RawFileOptions& file) {
  if (const std::string* mode = find_option(options, "cache")) {
    struct Row {
      std::string_view name;
      bool write_cache, direct, no_flush;
    };
    static constexpr Row kModes[] = {{"writeback", true, false, false}, {"none", true, true, false},
                                     {"writethrough", false, false, false}, {"directsync", false, true, false},
                                     {"unsafe", true, false, true}};
    const auto* row = std::find_if(std::begin(kModes), std::end(kModes), [&](const Row& r) { return r.name == *mode; });
    if (row == std::end(kModes)) {
      return Error{where + ": 'cache=" + *mode + "' is not one of: writeback, none, writethrough, directsync, unsafe"};
    }
    file.write_cache = row->write_cache;
    file.direct = row->direct;
    file.no_flush = row->no_flush;
  }
  for (const std::string& at : {std::string(), prefix}) {
    if (Status s = read_bool(options, where, at + "cache.direct", file.direct); !s) return s;
    if (Status s = read_bool(options, where, at + "cache.no-flush", file.no_flush); !s) return s;
    if (Status s = read_bool(options, where, at + "cache.writeback", file.write_cache); !s) return s;
  }
  return Ok{};
}

Status read_engine(const OptionList& options, const std::string& where, const std::string& name, RawFileOptions& file) {
  // aio=native is Linux AIO elsewhere; io_uring does here what it is asked for.
  static constexpr std::string_view kEngines[] = {"threads", "native", "io_uring"};
  unsigned engine = 3;
  if (Status s = read_choice(options, where, name, kEngines, engine); !s) return s;
  if (engine == 0) file.aio = AioEngine::kThreads;
  if (engine == 1) file.aio = AioEngine::kAuto;
  if (engine == 2) file.aio = AioEngine::kIoUring;
  return Ok{};
}

Status read_file_options(const OptionList& options, const std::string& where, const std::string& prefix, RawFileOptions& file) {
  if (Status s = read_cache(options, where, prefix, file); !s) return s;
  for (const std::string& at : {std::string(), prefix}) {
    if (Status s = read_engine(options, where, at + "aio", file); !s) return s;
    for (const char* name : {"readonly", "read-only"}) {
      if (Status s = read_bool(options, where, at + name, file.read_only); !s) return s;
    }
    if (Status s = read_bool(options, where, at + "auto-read-only", file.auto_read_only); !s) return s;
    if (Status s = read_bool(options, where, at + "force-share", file.share_writes); !s) return s;
    static constexpr std::string_view kDiscards[] = {"ignore", "off", "unmap", "on"};
    unsigned discard = file.discard ? 2 : 0;
    if (Status s = read_choice(options, where, at + "discard", kDiscards, discard); !s) return s;
    file.discard = discard >= 2;
    static constexpr std::string_view kLocking[] = {"auto", "on", "off"};
    auto locking = static_cast<unsigned>(file.locking);
    if (Status s = read_choice(options, where, at + "locking", kLocking, locking); !s) return s;
    file.locking = static_cast<RawFileOptions::Locking>(locking);
  }
  if (Status s = read_size(options, where, "offset", file.offset); !s) return s;
  if (Status s = read_size(options, where, "size", file.bytes); !s) return s;
  if (option_or(options, "media", "disk") == "cdrom") file.read_only = true;
  return Ok{};
}

}  // namespace

Result<DriveSpec> parse_drive(const OptionList& options, const std::string& default_interface, bool snapshot_all) {
  const std::string where = "-drive";
  if (Status s = check_names(options, where, kDriveNames); !s) return s.error();
  DriveSpec spec;
  spec.interface = option_or(options, "if", default_interface);
  unsigned known = 0;
  if (Status s = read_choice(options, where, "if", kInterfaces, known); !s) return s.error();
  uint64_t number = ~uint64_t{0};
  for (const char* name : {"unit", "index"}) {
    if (Status s = read_number(options, where, name, 4096, number); !s) return s.error();
  }
  if (number <= 4096) spec.index = static_cast<int>(number);
  uint64_t bus = 0;
  if (Status s = read_number(options, where, "bus", 0, bus); !s) return Error{"-drive: there is only bus=0"};
  spec.id = option_or(options, "id", option_or(options, "node-name", ""));
  spec.file = option_or(options, "file", option_or(options, "file.filename", ""));
  spec.format = option_or(options, "format", option_or(options, "driver", ""));
  spec.snapshot = snapshot_all;
  if (Status s = read_bool(options, where, "snapshot", spec.snapshot); !s) return s.error();
  static constexpr std::string_view kMedia[] = {"disk", "cdrom"};
  unsigned media = 0;
  if (Status s = read_choice(options, where, "media", kMedia, media); !s) return s.error();
  spec.cdrom = media == 1;
  spec.read_only = spec.cdrom;
  for (const char* name : {"readonly", "read-only"}) {
    if (Status s = read_bool(options, where, name, spec.read_only); !s) return s.error();
  }
  return spec;
}

Result<std::shared_ptr<BlockBackend>> BlockNodes::find_node(const std::string& name, const std::string& where) {
  std::vector<std::string_view> names;
  for (const BlockNode& node : nodes_) {
    if (node.name == name) return node.disk;
    names.push_back(node.name);
  }
  return Error{where + ": there is no drive or node '" + name + "'" + did_you_mean(name, names)};
}

Result<std::shared_ptr<BlockBackend>> BlockNodes::open_file(const OptionList& options, const std::string& where,
                                                            const std::string& prefix) {
  RawFileOptions file;
  if (Status s = read_file_options(options, where, prefix.empty() ? "file." : prefix, file); !s) return s.error();
  file.file = option_or(options, prefix + "filename", prefix.empty() ? "" : option_or(options, "file", ""));
  if (file.file.empty()) return Error{where + ": there is no " + prefix + "filename="};
  auto disk = RawFile::open(loop_, file);
  if (!disk) return Error{where + ": " + disk.error().message};
  return std::shared_ptr<BlockBackend>(std::move(*disk));
}

Result<std::shared_ptr<BlockBackend>> BlockNodes::open(const OptionList& options, const std::string& where, bool snapshot) {
  const bool drive = where == "-drive";
  std::string driver = option_or(options, "driver", option_or(options, "format", ""));
  const std::string file = option_or(options, "file", option_or(options, "file.filename", ""));
  if (driver.empty() && drive) driver = file.empty() ? "" : probe_format(file);
  std::shared_ptr<BlockBackend> disk;
  if (driver == "null-co" || driver == "null-aio") {
    NullDiskOptions null;
    uint64_t latency = 0;
    if (Status s = read_size(options, where, "size", null.bytes); !s) return s.error();
    if (Status s = read_number(options, where, "latency-ns", 1000000000, latency); !s) return s.error();
    if (Status s = read_bool(options, where, "read-zeroes", null.read_zeroes); !s) return s.error();
    if (null.bytes % 512) return Error{where + ": size= must be a multiple of 512"};
    null.latency_ns = static_cast<int64_t>(latency);
    disk = std::make_shared<NullDisk>(loop_, null);
  } else if (driver == "file" || driver == "host_device") {
    auto opened = open_file(options, where, drive ? "file." : "");
    if (!opened) return opened;
    disk = *opened;
  } else if (driver == "raw") {
    const std::string* child = find_option(options, "file");
    if (child && !drive) {
      if (find_option(options, "offset") || find_option(options, "size")) {
        return Error{where + ": offset= and size= go with file.filename=, not with a node"};
      }
      auto node = find_node(*child, where);
      if (!node) return node;
      disk = *node;
    } else {
      const std::string protocol = option_or(options, "file.driver", "file");
      if (std::find(std::begin(kFileDrivers), std::end(kFileDrivers), protocol) == std::end(kFileDrivers)) {
        return Error{where + ": there is no file.driver '" + protocol + "'" + did_you_mean(protocol, kFileDrivers)};
      }
      auto opened = open_file(options, where, "file.");
      if (!opened) return opened;
      disk = *opened;
    }
  } else if (driver == "qcow2") {
    return Error{where + ": " + (file.empty() ? "" : "'" + file + "': ") + std::string(kQcow2Later)};
  } else if (driver.empty()) {
    return Error{where + (drive ? ": there is no file=" : ": there is no driver=")};
  } else {
    return Error{where + ": there is no format or driver '" + driver + "'" + did_you_mean(driver, kDrivers)};
  }
  if (!snapshot) return disk;
  auto overlay = Overlay::create(loop_, disk);
  if (!overlay) return Error{where + ": " + overlay.error().message};
  return std::shared_ptr<BlockBackend>(std::move(*overlay));
}

Status BlockNodes::add_node(BlockNode node, const std::string& where) {
  for (const BlockNode& other : nodes_) {
    if (other.name == node.name) return Error{where + ": the name '" + node.name + "' is given twice"};
  }
  nodes_.push_back(std::move(node));
  return Ok{};
}

Status BlockNodes::add_blockdev(const OptionList& options) {
  OptionList list = options;
  for (auto& [name, value] : list.items) {
    if (name.empty()) name = "driver";
  }
  if (Status s = check_names(list, "-blockdev", kBlockdevNames); !s) return s;
  BlockNode node;
  node.name = option_or(list, "node-name", "");
  if (node.name.empty()) return Error{"-blockdev: there is no node-name="};
  auto disk = open(list, "-blockdev", false);
  if (!disk) return disk.error();
  node.disk = *disk;
  return add_node(std::move(node), "-blockdev");
}

Status BlockNodes::add_drive(const OptionList& options, const std::string& default_interface, bool snapshot_all) {
  auto spec = parse_drive(options, default_interface, snapshot_all);
  if (!spec) return spec.error();
  BlockNode node;
  node.interface = spec->interface;
  node.cdrom = spec->cdrom;
  const auto same = [&](int index) {
    return std::any_of(nodes_.begin(), nodes_.end(),
                       [&](const BlockNode& n) { return n.interface == spec->interface && n.index == index; });
  };
  node.index = std::max(spec->index, 0);
  while (spec->index < 0 && same(node.index)) ++node.index;
  if (same(node.index)) {
    return Error{"-drive: there are two drives with if=" + spec->interface + ",index=" + std::to_string(node.index)};
  }
  node.name = spec->id.empty() ? spec->interface + std::to_string(node.index) : spec->id;
  if (spec->interface != "pflash") {
    OptionList adjusted = options;
    // The overlay takes the writes: the file below is only read, and may be shared with others that read.
    if (spec->snapshot) adjusted.items.emplace_back("readonly", "on");
    auto disk = open(adjusted, "-drive", spec->snapshot);
    if (!disk) return disk.error();
    node.disk = *disk;
  }
  return add_node(std::move(node), "-drive");
}

Result<std::shared_ptr<BlockBackend>> BlockNodes::take(const std::string& name, const std::string& device) {
  auto found = find_node(name, device);
  if (!found) return found;
  for (BlockNode& node : nodes_) {
    if (node.name != name) continue;
    if (!node.disk) return Error{device + ": drive '" + name + "' is a flash image of the board"};
    // A format node over a file node shares its disk.
    for (const BlockNode& other : nodes_) {
      if (other.disk == node.disk && !other.taken_by.empty()) {
        return Error{device + ": drive '" + name + "' is already used by " + other.taken_by};
      }
    }
    node.taken_by = device;
  }
  return found;
}

void BlockNodes::drain_and_flush() {
  struct Waiter final : BlockClient {
    std::mutex mutex;
    std::condition_variable done;
    size_t open = 0;
    void block_done(std::span<BlockRequest* const> requests) override {
      std::lock_guard guard(mutex);
      open -= requests.size();
      done.notify_all();
    }
  } waiter;
  std::vector<BlockRequest> flushes(nodes_.size());
  for (size_t i = 0; i < nodes_.size(); ++i) {
    BlockBackend* disk = nodes_[i].disk.get();
    if (!disk || disk->info().read_only) continue;
    disk->drain();
    flushes[i].op = Op::kFlush;
    flushes[i].client = &waiter;
    std::unique_lock lock(waiter.mutex);
    ++waiter.open;
    loop_.post([disk, request = &flushes[i]] { disk->submit({&request, 1}); });
    waiter.done.wait(lock, [&] { return waiter.open == 0; });
  }
}

}  // namespace lyre::machine::block
