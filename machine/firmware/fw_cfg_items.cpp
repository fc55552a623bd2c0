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

}  // namespace

Status add_fw_cfg_items(FwCfg& fw_cfg, const MachineConfig& config) {
  fw_cfg.set_u64(FwCfg::kRamSize, config.ram_bytes);
  fw_cfg.set_u16(FwCfg::kNoGraphic, 1);  // there is no display yet
  fw_cfg.set_u16(FwCfg::kCpuCount, static_cast<uint16_t>(config.cpu.count));
  fw_cfg.set_u16(FwCfg::kMaxCpus, static_cast<uint16_t>(config.cpu.count));
  fw_cfg.set_u16(FwCfg::kBootMenu, 0);
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
