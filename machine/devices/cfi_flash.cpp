// CFI flash. Names and codes are those of the StrataFlash data sheet's command table. See cfi_flash.h.
#include "machine/devices/cfi_flash.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "runtime/base/bits.h"
#include "runtime/base/check.h"
#include "runtime/base/log.h"

namespace lyre::machine {
namespace {

enum Command : uint8_t {
  kReadArray = 0xff,
  kReadStatus = 0x70,
  kClearStatus = 0x50,
  kReadIdentifier = 0x90,
  kReadQuery = 0x98,
  kProgram = 0x40,
  kProgramAlternative = 0x10,
  kBlockErase = 0x20,
  kWriteBuffer = 0xe8,
  kLockSetup = 0x60,
  kConfirm = 0xd0,
  kSuspend = 0xb0,
  kSetLock = 0x01,
  kLockDown = 0x2f,
  kSetConfiguration = 0x03,
  kResetAmd = 0xf0,
  kResetZero = 0x00,  // sent by drivers that try command sets; the array answers
};

constexpr uint8_t kReady = 0x80, kEraseError = 0x20, kProgramError = 0x10;
constexpr uint8_t kManufacturer = 0x89, kDevice = 0x18;  // Intel, 28F128J3
constexpr unsigned kBufferBits = 11;                     // a chip's write buffer: 2 KiB
constexpr uint64_t kBufferWords = (uint64_t{1} << kBufferBits) / (CfiFlash::kBankWidth / CfiFlash::kChips);

// The query structure of one chip (JESD68.01, "CFI query identification string" and the tables after it), by word index
// from 0x10.
constexpr std::array<uint8_t, 0x43> query_table(uint64_t chip_size) {
  std::array<uint8_t, 0x43> table{};
  auto put = [&](unsigned at, std::initializer_list<unsigned> bytes) {
    for (unsigned byte : bytes) table[at++] = static_cast<uint8_t>(byte);
  };
  constexpr uint64_t kChipBlock = CfiFlash::kBlockSize / CfiFlash::kChips;
  uint64_t last_block = chip_size / kChipBlock - 1;
  put(0x10,
      {'Q', 'R', 'Y', 0x01, 0x00, 0x31, 0x00, 0, 0, 0, 0});  // command set 0001, its table at 0x31, no alternative
  put(0x1b, {0x45, 0x55, 0x00, 0x00});                       // Vcc 4.5 V to 5.5 V, no Vpp pin
  put(0x1f, {0x07, 0x07, 0x0a, 0x00, 0x04, 0x04, 0x04,
             0x00});  // typical times as powers of two, then the factors for the longest
  put(0x27, {static_cast<unsigned>(std::countr_zero(chip_size)), 0x02, 0x00, kBufferBits, 0x00,
             0x01});  // size, x8/x16, buffer, one region
  put(0x2d, {static_cast<unsigned>(last_block & 0xff), static_cast<unsigned>(last_block >> 8), (kChipBlock >> 8) & 0xff,
             kChipBlock >> 16});
  put(0x31, {'P', 'R', 'I', '1', '0', 0, 0, 0, 0, 0, 0,
             0});  // no optional feature: no suspend, no locks, no protection registers
  return table;
}

uint64_t both_chips(uint8_t byte) { return uint64_t{byte} << 16 | byte; }

}  // namespace

CfiFlash::CfiFlash(std::string name, runtime::PhysicalMap& memory, runtime::RamBlock& array, Changed changed)
    : name_(std::move(name)), memory_(memory), array_(array), changed_(std::move(changed)) {
  LYRE_CHECK(is_power_of_two(array.size) && array.size >= kBlockSize && array.read_only,
             "a flash bank has the geometry that its query states");
}

void CfiFlash::reset() {
  std::lock_guard lock(mutex_);
  step_ = Step::kCommand;
  status_ = kReady;
  buffer_.clear();
  set_mode(Mode::kArray);
}

void CfiFlash::set_mode(Mode mode) {
  mode_ = mode;
  memory_.set_device_mode(array_, mode != Mode::kArray);
}

uint64_t CfiFlash::read(uint64_t offset, unsigned size) {
  std::lock_guard lock(mutex_);
  uint64_t value = 0;
  if (mode_ == Mode::kArray) {
    std::memcpy(&value, array_.host + offset, size);
    return value;
  }
  return both_chips(chip_word(offset / kBankWidth)) >> (8 * (offset % kBankWidth));
}

// What a chip answers for one of its words; only the low byte of a word carries information.
uint8_t CfiFlash::chip_word(uint64_t index) const {
  switch (mode_) {
    case Mode::kIdentifier:
      if ((index & 0xff) == 0) return kManufacturer;
      return (index & 0xff) == 1 ? kDevice : 0;  // 2 is a block's lock: open
    case Mode::kQuery: {
      auto table = query_table(array_.size / kChips);
      index &= 0xff;
      return index < table.size() ? table[index] : 0;
    }
    default:
      return status_;
  }
}

void CfiFlash::write(uint64_t offset, unsigned size, uint64_t value) {
  std::lock_guard lock(mutex_);
  if (step_ == Step::kCommand) {
    command(static_cast<uint8_t>(value));
    if (step_ == Step::kBufferCount) buffer_block_ = align_down(offset, kBlockSize);
  } else if (step_ >= Step::kBufferCount) {
    buffer_cycle(offset, size, value);
  } else {
    second_cycle(offset, size, value);
  }
}

void CfiFlash::command(uint8_t code) {
  auto begin = [&](Step step) {
    step_ = step;
    set_mode(Mode::kStatus);
  };
  switch (code) {
    case kReadArray:
    case kResetAmd:
    case kResetZero:
      return set_mode(Mode::kArray);
    case kReadStatus:
    case kSuspend:  // operations end at once: there is never one to suspend
    case kConfirm:
      return set_mode(Mode::kStatus);
    case kReadIdentifier:
      return set_mode(Mode::kIdentifier);
    case kReadQuery:
      return set_mode(Mode::kQuery);
    case kClearStatus:
      status_ = kReady;
      return;
    case kProgram:
    case kProgramAlternative:
      return begin(Step::kProgram);
    case kBlockErase:
      return begin(Step::kEraseConfirm);
    case kLockSetup:
      return begin(Step::kLockConfirm);
    case kWriteBuffer:
      return begin(Step::kBufferCount);
    default:
      LYRE_GUEST_ERROR("%s: 0x%02x is no flash command\n", name_.c_str(), code);
  }
}

void CfiFlash::second_cycle(uint64_t offset, unsigned size, uint64_t value) {
  auto code = static_cast<uint8_t>(value);
  Step step = step_;
  step_ = Step::kCommand;
  switch (step) {
    case Step::kProgram:
      program(offset, size, value);
      return contents_changed(offset, size);
    case Step::kEraseConfirm:
      return code == kConfirm ? erase(offset) : fail(kEraseError | kProgramError);
    default:  // blocks are never locked, so locking and unlocking have nothing to do
      if (code == kReadArray) return set_mode(Mode::kArray);
      if (code != kSetLock && code != kConfirm && code != kLockDown && code != kSetConfiguration)
        fail(kEraseError | kProgramError);
      return;
  }
}

// Write to buffer: the count of words less one, that many words of one block, then the confirmation.
void CfiFlash::buffer_cycle(uint64_t offset, unsigned size, uint64_t value) {
  switch (step_) {
    case Step::kBufferCount:
      buffer_left_ = (value & 0xffff) + 1;
      buffer_.clear();
      if (buffer_left_ > kBufferWords) return fail(kProgramError);
      step_ = Step::kBufferData;
      return;
    case Step::kBufferData:
      if (align_down(offset, kBlockSize) != buffer_block_) return fail(kProgramError);
      buffer_.push_back({offset, size, value});
      if (--buffer_left_ == 0) step_ = Step::kBufferConfirm;
      return;
    default:
      if (static_cast<uint8_t>(value) != kConfirm) return fail(kEraseError | kProgramError);
      step_ = Step::kCommand;
      uint64_t low = array_.size, high = 0;
      for (const BufferedWrite& word : buffer_) {
        program(word.offset, word.size, word.value);
        low = std::min(low, word.offset);
        high = std::max(high, word.offset + word.size);
      }
      buffer_.clear();
      return contents_changed(low, high - low);
  }
}

void CfiFlash::program(uint64_t offset, unsigned size, uint64_t value) {
  uint64_t old = 0;
  std::memcpy(&old, array_.host + offset, size);
  value &= old;
  std::memcpy(array_.host + offset, &value, size);
}

void CfiFlash::erase(uint64_t offset) {
  uint64_t block = align_down(offset, kBlockSize);
  std::memset(array_.host + block, 0xff, kBlockSize);
  contents_changed(block, kBlockSize);
}

void CfiFlash::contents_changed(uint64_t offset, uint64_t size) {
  memory_.written(array_.base + offset, size);
  if (changed_) changed_(offset, {array_.host + offset, size});
}

void CfiFlash::fail(uint8_t status_bits) {
  status_ |= status_bits;
  step_ = Step::kCommand;
  buffer_.clear();
}

}  // namespace lyre::machine
