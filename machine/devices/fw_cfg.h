// fw_cfg: what the emulator tells firmware and kernel: items by 16-bit selector, some of them named files ("QEMU
// Firmware Configuration Device", docs/specs/fw_cfg of QEMU). This is its MMIO form: data at 0, selector at 8
// (big-endian), DMA address at 16 (big-endian). Items are added while the machine is built. Threads: any; one lock.
// Every DMA range is checked against RAM.
#pragma once
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "machine/bus/device.h"
#include "machine/bus/dma.h"
#include "machine/firmware/fdt.h"
#include "runtime/base/named_mutex.h"
#include "runtime/base/result.h"

namespace lyre::machine {

class FwCfg final : public MmioDevice {
 public:
  static constexpr uint64_t kSize = 0x18;

  // Selectors of items that are not files.
  enum Key : uint16_t {
    kSignature = 0x00,
    kId = 0x01,
    kUuid = 0x02,
    kRamSize = 0x03,
    kNoGraphic = 0x04,
    kCpuCount = 0x05,
    kKernelAddress = 0x07,
    kKernelSize = 0x08,
    kKernelCmdline = 0x09,
    kInitrdAddress = 0x0a,
    kInitrdSize = 0x0b,
    kBootDevice = 0x0c,
    kNuma = 0x0d,
    kBootMenu = 0x0e,
    kMaxCpus = 0x0f,
    kKernelEntry = 0x10,
    kKernelData = 0x11,
    kInitrdData = 0x12,
    kCmdlineAddress = 0x13,
    kCmdlineSize = 0x14,
    kCmdlineData = 0x15,
    kSetupAddress = 0x16,
    kSetupSize = 0x17,
    kSetupData = 0x18,
    kFileDirectory = 0x19,
    kFirstFile = 0x20,
  };

  explicit FwCfg(Dma dma);

  void set(uint16_t key, std::vector<uint8_t> data);  // replaces
  void set_u16(uint16_t key, uint16_t value);         // little-endian, as all numbers here
  void set_u32(uint16_t key, uint32_t value);
  void set_u64(uint16_t key, uint64_t value);
  void set_string(uint16_t key, const std::string& value);  // with its NUL
  // Errors: the name is empty, longer than 55 bytes or taken.
  Status add_file(const std::string& name, std::vector<uint8_t> data, bool writable = false);

  std::string_view name() const override { return "fw_cfg"; }
  AccessSizes access_sizes() const override { return {.min = 1, .max = 8, .unaligned = false}; }
  uint64_t read(uint64_t offset, unsigned size) override;
  void write(uint64_t offset, unsigned size, uint64_t value) override;
  void reset() override;
  static void describe(FdtBuilder& fdt, const FdtPlace& place);

 private:
  struct Item {
    std::vector<uint8_t> data;
    bool writable = false;
  };

  void number_files();
  void select(uint16_t key);
  uint64_t read_data(unsigned size);
  void run_dma();
  bool transfer(uint32_t control, uint32_t length, Gpa address);

  Dma dma_;
  NamedMutex mutex_{"fw_cfg"};
  std::map<uint16_t, Item> items_;
  std::map<std::string, Item> files_;  // by name; their selectors follow that order
  bool numbered_ = false;
  std::map<uint16_t, Item*> by_selector_;
  uint16_t selector_ = 0;
  Item* selected_ = nullptr;
  uint64_t position_ = 0;
  uint64_t dma_address_ = 0;
};

}  // namespace lyre::machine
