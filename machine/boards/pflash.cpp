// Flash banks with files. See pflash.h.
#include "machine/boards/pflash.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>

#include "machine/firmware/loader.h"
#include "runtime/base/log.h"

namespace lyre::machine {
namespace {

struct FlashDrive {
  std::string path;
  bool read_only = false;
};

// The drive of a bank: `index` or `unit`, else the place among the pflash drives.
std::optional<FlashDrive> find_drive(const MachineConfig& config, unsigned bank) {
  bool snapshot = config.snapshot;
  if (const std::string* node = config.board_options.find("pflash" + std::to_string(bank)))
    for (const OptionList& blockdev : config.blockdevs)
      if (blockdev.get("node-name") == *node)
        return FlashDrive{blockdev.get("filename", blockdev.get("file.filename")),
                          snapshot || blockdev.get("read-only") == "on"};
  unsigned next = 0;
  for (const OptionList& drive : config.drives) {
    if (drive.get("if") != "pflash") continue;
    std::string place = drive.get("unit", drive.get("index", std::to_string(next)));
    if (place == std::to_string(bank))
      return FlashDrive{drive.get("file"), snapshot || drive.get("readonly") == "on" || drive.get("snapshot") == "on"};
    ++next;
  }
  return std::nullopt;
}

void write_all(int fd, uint64_t offset, const std::vector<std::byte>& bytes) {
  for (size_t done = 0; done < bytes.size();) {
    ssize_t count = pwrite(fd, &bytes[done], bytes.size() - done, static_cast<off_t>(offset + done));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return log_line("the flash file cannot be written: %s\n", std::strerror(errno));
    done += static_cast<size_t>(count);
  }
}

}  // namespace

Pflash::~Pflash() {
  if (fd_ >= 0) close(fd_);
}

Status Pflash::open_file(const std::string& path, bool read_only, uint64_t size, Hva to) {
  auto image = FileImage::open(path, "flash image");
  if (!image) return image.error();
  if (image->size() != size)
    return Error{"the flash image '" + path + "' has " + std::to_string(image->size()) +
                 " bytes; the bank needs exactly " + std::to_string(size)};
  if (Status done = image->read(0, {to, size}); !done) return done;
  fd_ = open(path.c_str(), (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);
  if (fd_ < 0) return Error{"cannot open the flash image '" + path + "' for writing: " + std::strerror(errno)};
  return Ok{};
}

Result<std::unique_ptr<Pflash>> Pflash::make(Machine& machine, unsigned bank, Gpa base, uint64_t size) {
  std::unique_ptr<Pflash> flash(new Pflash);
  std::string name = "flash" + std::to_string(bank);
  auto array = machine.memory().add_ram(name, base, size, true);
  if (!array) return array.error();

  CfiFlash::Changed changed;
  if (auto drive = find_drive(machine.config(), bank)) {
    if (drive->path.empty()) return Error{"the drive of " + name + " names no file"};
    if (Status done = flash->open_file(drive->path, drive->read_only, size, (*array)->host); !done) return done.error();
    if (!drive->read_only)
      changed = [&machine, fd = flash->fd_](uint64_t offset, std::span<const std::byte> bytes) {
        machine.io().post(
            [fd, offset, copy = std::vector<std::byte>(bytes.begin(), bytes.end())] { write_all(fd, offset, copy); });
      };
  }
  flash->device_ = std::make_unique<CfiFlash>(name, machine.memory(), **array, std::move(changed));
  if (Status done = machine.bus().map(base, size, *flash->device_); !done) return done.error();
  return flash;
}

}  // namespace lyre::machine
