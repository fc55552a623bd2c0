// fw_cfg. See fw_cfg.h.
#include "machine/devices/fw_cfg.h"

#include <algorithm>
#include <cstring>

#include "runtime/base/log.h"

namespace lyre::machine {
namespace {

constexpr uint64_t kData = 0, kSelector = 8, kDmaAddress = 16;
constexpr uint64_t kDmaSignature = 0x51454d5520434647;  // "QEMU CFG"
constexpr uint32_t kIdTraditional = 1, kIdDma = 2;
constexpr uint32_t kDmaError = 1, kDmaRead = 2, kDmaSkip = 4, kDmaSelect = 8, kDmaWrite = 16;
constexpr size_t kFileNameSize = 56;

struct DmaRequest {  // big-endian in guest memory
  uint32_t control, length;
  uint64_t address;
};
static_assert(sizeof(DmaRequest) == 16);

template <typename T>
std::vector<uint8_t> little_endian(T value) {
  std::vector<uint8_t> bytes(sizeof value);
  for (size_t i = 0; i < sizeof value; ++i) bytes[i] = static_cast<uint8_t>(value >> (8 * i));
  return bytes;
}

void put_be(std::vector<uint8_t>& to, uint64_t value, unsigned size) {
  for (unsigned i = size; i-- > 0;) to.push_back(static_cast<uint8_t>(value >> (8 * i)));
}

}  // namespace

FwCfg::FwCfg(Dma dma) : dma_(dma) {
  set(kSignature, {'Q', 'E', 'M', 'U'});
  set_u32(kId, kIdTraditional | kIdDma);
  set(kUuid, std::vector<uint8_t>(16));
}

void FwCfg::set(uint16_t key, std::vector<uint8_t> data) {
  std::lock_guard lock(mutex_);
  items_[key] = Item{std::move(data)};
  numbered_ = false;
}
void FwCfg::set_u16(uint16_t key, uint16_t value) { set(key, little_endian(value)); }
void FwCfg::set_u32(uint16_t key, uint32_t value) { set(key, little_endian(value)); }
void FwCfg::set_u64(uint16_t key, uint64_t value) { set(key, little_endian(value)); }
void FwCfg::set_string(uint16_t key, const std::string& value) {
  set(key, std::vector<uint8_t>(value.c_str(), value.c_str() + value.size() + 1));
}

Status FwCfg::add_file(const std::string& name, std::vector<uint8_t> data, bool writable) {
  if (name.empty() || name.size() >= kFileNameSize)
    return Error{"the fw_cfg name '" + name + "' does not have 1 to 55 bytes"};
  std::lock_guard lock(mutex_);
  if (!files_.emplace(name, Item{std::move(data), writable}).second)
    return Error{"the fw_cfg name '" + name + "' is given twice"};
  numbered_ = false;
  return Ok{};
}

// Files get selectors in the order of their names once the guest first looks.
void FwCfg::number_files() {
  if (numbered_) return;
  numbered_ = true;
  by_selector_.clear();
  std::vector<uint8_t> directory;
  put_be(directory, files_.size(), 4);
  uint16_t selector = kFirstFile;
  for (auto& [name, item] : files_) {
    put_be(directory, item.data.size(), 4);
    put_be(directory, selector, 2);
    put_be(directory, 0, 2);
    directory.insert(directory.end(), name.begin(), name.end());
    directory.insert(directory.end(), kFileNameSize - name.size(), 0);
    by_selector_[selector++] = &item;
  }
  items_[kFileDirectory] = Item{std::move(directory)};
  for (auto& [key, item] : items_) by_selector_[key] = &item;
}

void FwCfg::reset() {
  std::lock_guard lock(mutex_);
  dma_address_ = 0;
  number_files();
  select(kSignature);
}

void FwCfg::select(uint16_t key) {
  number_files();
  selector_ = key;
  position_ = 0;
  auto found = by_selector_.find(key);
  selected_ = found == by_selector_.end() ? nullptr : found->second;
}

// Bytes come in the item's order whatever the width; past its end, zeros.
uint64_t FwCfg::read_data(unsigned size) {
  uint64_t value = 0;
  for (unsigned i = 0; i < size; ++i, ++position_)
    if (selected_ && position_ < selected_->data.size()) value |= uint64_t{selected_->data[position_]} << (8 * i);
  return value;
}

uint64_t FwCfg::read(uint64_t offset, unsigned size) {
  std::lock_guard lock(mutex_);
  if (offset < kSelector) return read_data(size);
  if (offset < kDmaAddress) return 0;  // the selector is write-only
  return __builtin_bswap64(kDmaSignature) >> (8 * (offset - kDmaAddress));
}

void FwCfg::write(uint64_t offset, unsigned size, uint64_t value) {
  std::lock_guard lock(mutex_);
  if (offset == kSelector && size == 2) return select(__builtin_bswap16(static_cast<uint16_t>(value)));
  if (offset == kDmaAddress && size == 8) {
    dma_address_ = __builtin_bswap64(value);
  } else if (offset == kDmaAddress && size == 4) {
    dma_address_ = uint64_t{__builtin_bswap32(static_cast<uint32_t>(value))} << 32;
    return;
  } else if (offset == kDmaAddress + 4 && size == 4) {
    dma_address_ |= __builtin_bswap32(static_cast<uint32_t>(value));
  } else {
    LYRE_GUEST_ERROR("fw_cfg: ignored a write of %u bytes at 0x%x\n", size, static_cast<unsigned>(offset));
    return;
  }
  run_dma();
}

// The lower half of the address starts the transfer, which is over when the write returns.
void FwCfg::run_dma() {
  Gpa address{dma_address_};
  dma_address_ = 0;
  DmaRequest request;
  if (!dma_.read(address, &request, sizeof request)) {
    LYRE_GUEST_ERROR("fw_cfg: the DMA request at 0x%llx is not in RAM\n",
                     static_cast<unsigned long long>(address.value));
    return;
  }
  uint32_t control = __builtin_bswap32(request.control);
  if (control & kDmaSelect) select(static_cast<uint16_t>(control >> 16));
  bool done = transfer(control, __builtin_bswap32(request.length), Gpa{__builtin_bswap64(request.address)});
  uint32_t result = done ? 0 : __builtin_bswap32(kDmaError);
  dma_.write(address, &result, sizeof result);
}

bool FwCfg::transfer(uint32_t control, uint32_t length, Gpa address) {
  uint64_t left = selected_ && position_ < selected_->data.size() ? selected_->data.size() - position_ : 0;
  uint64_t count = std::min<uint64_t>(length, left);
  if (control & kDmaRead) {
    auto to = dma_.writable_view(address, length);
    if (to.size() != length) return false;
    if (count) std::memcpy(to.data(), selected_->data.data() + position_, count);
    if (length > count) std::memset(to.data() + count, 0, length - count);
    dma_.wrote(address, length);
  } else if (control & kDmaWrite) {
    if (!selected_ || !selected_->writable || count < length) return false;
    if (!dma_.read(address, selected_->data.data() + position_, length)) return false;
  } else if (!(control & kDmaSkip)) {
    return true;
  }
  position_ += length;
  return true;
}

void FwCfg::describe(FdtBuilder& fdt, const FdtPlace& place) {
  auto node = fdt.node_at("fw-cfg", place.base);
  fdt.string("compatible", "qemu,fw-cfg-mmio");
  fdt.reg(place.base, place.size);
  fdt.flag("dma-coherent");
}

}  // namespace lyre::machine
