// NOR flash: a bank of two 16-bit chips side by side with the Intel command set (JEDEC CFI, JESD68.01 and command set
// 0001; Intel StrataFlash J3 data sheet 290667). The chips get the same commands and answer alike. Programming clears
// bits, erasing sets a block's. In array mode the bank is ordinary read-only memory that runs code at full speed; any
// other read mode turns the memory into a device until the guest asks for the array again. Threads: any; one lock.
#pragma once
#include <cstdint>
#include <functional>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "machine/bus/device.h"
#include "runtime/base/named_mutex.h"
#include "runtime/mem/physical_map.h"

namespace lyre::machine {

class CfiFlash final : public MmioDevice {
 public:
  static constexpr uint64_t kBlockSize = 256 * 1024;  // of the bank: 128 KiB in each chip
  static constexpr unsigned kBankWidth = 4, kChips = 2;

  // Called after the contents changed, with the new bytes; on the vCPU's thread, so it must not block.
  using Changed = std::function<void(uint64_t offset, std::span<const std::byte> bytes)>;

  // array: the bank's memory, read_only, a power of two of at least a block in size. changed may be empty.
  CfiFlash(std::string name, runtime::PhysicalMap& memory, runtime::RamBlock& array, Changed changed);

  std::string_view name() const override { return name_; }
  AccessSizes access_sizes() const override { return {.min = 1, .max = 4, .unaligned = false}; }
  uint64_t read(uint64_t offset, unsigned size) override;
  void write(uint64_t offset, unsigned size, uint64_t value) override;
  void reset() override;

 private:
  enum class Mode : uint8_t { kArray, kStatus, kIdentifier, kQuery };
  enum class Step : uint8_t {
    kCommand,
    kProgram,
    kEraseConfirm,
    kLockConfirm,
    kBufferCount,
    kBufferData,
    kBufferConfirm
  };
  struct BufferedWrite {
    uint64_t offset;
    unsigned size;
    uint64_t value;
  };

  void command(uint8_t code);
  void second_cycle(uint64_t offset, unsigned size, uint64_t value);
  void buffer_cycle(uint64_t offset, unsigned size, uint64_t value);
  void program(uint64_t offset, unsigned size, uint64_t value);
  void erase(uint64_t offset);
  void contents_changed(uint64_t offset, uint64_t size);
  void set_mode(Mode mode);
  void fail(uint8_t status_bits);
  uint8_t chip_word(uint64_t index) const;

  std::string name_;
  runtime::PhysicalMap& memory_;
  runtime::RamBlock& array_;
  Changed changed_;
  NamedMutex mutex_{"flash"};
  Mode mode_ = Mode::kArray;
  Step step_ = Step::kCommand;
  uint8_t status_ = 0x80;
  uint64_t buffer_block_ = 0;
  uint64_t buffer_left_ = 0;
  std::vector<BufferedWrite> buffer_;
};

}  // namespace lyre::machine
