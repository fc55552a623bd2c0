// fw_cfg contents. See fw_cfg_items.h.
#include "machine/firmware/fw_cfg_items.h"

#include <cstring>

#include "machine/firmware/file_image.h"

namespace lyre::machine {
namespace {

Result<std::vector<uint8_t>> contents(const std::string& name, const OptionList& option) {
  const std::string *file = option.find("file"), *text = option.find("string");
  if (!file == !text) return Error{"-fw_cfg name=" + name + " needs either file= or string="};
  if (text) return std::vector<uint8_t>(text->begin(), text->end());
  auto image = FileImage::open(*file, "fw_cfg file");
  if (!image) return image.error();
  auto bytes = image->read_all();
  if (!bytes) return bytes.error();
  std::vector<uint8_t> data(bytes->size());
  std::memcpy(data.data(), bytes->data(), data.size());
  return data;
}

std::vector<uint8_t> little_endian(uint64_t value, unsigned bytes) {
  std::vector<uint8_t> data;
  for (unsigned i = 0; i < bytes; ++i) data.push_back(static_cast<uint8_t>(value >> (8 * i)));
  return data;
}

// Firmware shows an image by its kind: JPEG, or BMP with 24 bits a pixel.
Status add_splash(FwCfg& fw_cfg, const std::string& path) {
  auto image = FileImage::open(path, "splash file");
  if (!image) return image.error();
  auto bytes = image->read_all();
  if (!bytes) return bytes.error();
  std::vector<uint8_t> data(bytes->size());
  std::memcpy(data.data(), bytes->data(), data.size());
  constexpr size_t kBmpDepth = 28;
  if (data.size() > 2 && data[0] == 0xff && data[1] == 0xd8) return fw_cfg.add_file("bootsplash.jpg", std::move(data));
  if (data.size() > kBmpDepth + 1 && data[0] == 'B' && data[1] == 'M' && data[kBmpDepth] == 24 &&
      data[kBmpDepth + 1] == 0)
    return fw_cfg.add_file("bootsplash.bmp", std::move(data));
  return Error{"the splash file '" + path + "' is neither JPEG nor 24-bit BMP"};
}

// The menu, how long it waits, and how long to wait after nothing could be booted: QEMU's names and sizes.
Status add_boot_items(FwCfg& fw_cfg, const BootConfig& boot) {
  fw_cfg.set_u16(FwCfg::kBootMenu, boot.menu);
  if (Status done = fw_cfg.add_file("etc/boot-fail-wait", little_endian(static_cast<uint32_t>(boot.fail_wait_ms), 4));
      !done)
    return done;
  if (boot.menu_wait_ms) {
    if (Status done = fw_cfg.add_file("etc/boot-menu-wait", little_endian(*boot.menu_wait_ms, 2)); !done) return done;
  }
  return boot.splash.empty() ? Status(Ok{}) : add_splash(fw_cfg, boot.splash);
}

}  // namespace

Status add_fw_cfg_items(FwCfg& fw_cfg, const MachineConfig& config) {
  fw_cfg.set_u64(FwCfg::kRamSize, config.ram_bytes);
  fw_cfg.set_u16(FwCfg::kNoGraphic, 1);  // there is no display yet
  fw_cfg.set_u16(FwCfg::kCpuCount, static_cast<uint16_t>(config.cpu.count));
  fw_cfg.set_u16(FwCfg::kMaxCpus, static_cast<uint16_t>(config.cpu.count));
  fw_cfg.set(FwCfg::kUuid, {config.uuid.begin(), config.uuid.end()});
  if (Status done = add_boot_items(fw_cfg, config.boot); !done) return done;
  for (const OptionList& option : config.fw_cfg) {
    std::string name = option.get("name", option.get(""));
    if (name.empty()) return Error{"-fw_cfg needs a name="};
    auto data = contents(name, option);
    if (!data) return data.error();
    if (Status done = fw_cfg.add_file(name, std::move(*data)); !done) return done;
  }
  return Ok{};
}

}  // namespace lyre::machine
