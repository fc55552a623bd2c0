// Bus: see bus.h.
#include "machine/bus/bus.h"

#include <algorithm>
#include <cinttypes>
#include <cstdio>

#include "runtime/base/bits.h"

namespace lyre::machine {
namespace {

using runtime::IoStatus;

std::string place(const std::string& name, Gpa base) {
  char text[24];
  std::snprintf(text, sizeof text, " at 0x%" PRIx64, base.value);
  return name + text;
}

bool overlap(Gpa a, uint64_t a_size, Gpa b, uint64_t b_size) {
  return a.value < b.value + b_size && b.value < a.value + a_size;
}

// A ROM that takes commands (flash) is a device over exactly its own memory: stores reach the device.
bool covers(const runtime::RamBlock& block, Gpa base, uint64_t size) {
  return block.read_only && base >= block.base && base.value + size <= block.base.value + block.size;
}

// Loads of a width that the device lacks: several aligned words, whose bytes are picked out.
uint64_t read_pieces(MmioDevice& device, uint64_t offset, unsigned size, unsigned word) {
  uint64_t value = 0;
  for (uint64_t at = align_down(offset, word); at < offset + size; at += word) {
    uint64_t piece = device.read(at, word) & low_mask(8 * word);
    if (at >= offset)
      value |= piece << (8 * (at - offset));
    else
      value |= piece >> (8 * (offset - at));
  }
  return value & low_mask(8 * size);
}

// The widest aligned power of two at `offset` that is within `left` and `max`.
unsigned piece_size(uint64_t offset, uint64_t left, unsigned max) {
  unsigned size = max;
  while (size > left || offset % size) size /= 2;
  return size;
}

}  // namespace

struct Bus::Snapshot {
  std::vector<BusRange> ranges;  // sorted by base, disjoint
};

Bus::Bus(runtime::PhysicalMap& memory) : memory_(memory) {
  snapshots_.push_back(std::make_unique<Snapshot>());
  current_.store(snapshots_.back().get());
  memory.set_io_bus(this);
}

Bus::~Bus() { memory_.set_io_bus(nullptr); }

Status Bus::map(Gpa base, uint64_t size, MmioDevice& device) {
  BusRange range{base, size, &device, std::string(device.name())};
  if (size == 0 || base.value + (size - 1) < base.value)
    return Error{place(range.name, base) + " has no room for its registers"};
  std::lock_guard lock(writers_);
  auto next = std::make_unique<Snapshot>(*current_.load());
  for (auto& other : next->ranges)
    if (overlap(base, size, other.base, other.size))
      return Error{place(range.name, base) + " overlaps " + place(other.name, other.base)};
  for (auto& block : memory_.blocks())
    if (overlap(base, size, block->base, block->size) && !covers(*block, base, size))
      return Error{place(range.name, base) + " overlaps " + place(block->name, block->base)};
  auto after = std::upper_bound(next->ranges.begin(), next->ranges.end(), base,
                                [](Gpa key, const BusRange& r) { return key < r.base; });
  next->ranges.insert(after, std::move(range));
  current_.store(next.get(), std::memory_order_release);
  snapshots_.push_back(std::move(next));
  return Ok{};
}

void Bus::unmap(MmioDevice& device) {
  std::lock_guard lock(writers_);
  auto next = std::make_unique<Snapshot>(*current_.load());
  if (std::erase_if(next->ranges, [&](const BusRange& r) { return r.device == &device; }) == 0) return;
  current_.store(next.get(), std::memory_order_release);
  snapshots_.push_back(std::move(next));
}

std::vector<BusRange> Bus::ranges() const { return current_.load(std::memory_order_acquire)->ranges; }

const BusRange* Bus::find(Gpa address) const {
  const auto& ranges = current_.load(std::memory_order_acquire)->ranges;
  auto after =
      std::upper_bound(ranges.begin(), ranges.end(), address, [](Gpa key, const BusRange& r) { return key < r.base; });
  if (after == ranges.begin()) return nullptr;
  const BusRange* range = &*std::prev(after);
  return address.value - range->base.value < range->size ? range : nullptr;
}

std::string Bus::io_name(Gpa address) const {
  const BusRange* range = find(address);
  return range ? range->name : std::string();
}

// An access that begins in a range but ends outside it reaches no device at all: no bus transaction spans two.
runtime::IoStatus Bus::io_read(Gpa address, unsigned size, uint64_t& value) {
  const BusRange* range = find(address);
  uint64_t offset = range ? address.value - range->base.value : 0;
  if (!range || size > range->size - offset) return IoStatus::kUnmapped;
  MmioDevice& device = *range->device;
  AccessSizes sizes = device.access_sizes();
  bool aligned = offset % size == 0;
  if (aligned && size >= sizes.min && size <= sizes.max) {
    value = device.read(offset, size) & low_mask(8 * size);
    return IoStatus::kOk;
  }
  if (!aligned && !sizes.unaligned) return IoStatus::kRefused;
  unsigned word = std::clamp<unsigned>(aligned ? size : 1, sizes.min, sizes.max);
  uint64_t end = align_up(offset + size, word);
  if (end > range->size) return IoStatus::kUnmapped;
  value = read_pieces(device, offset, size, word);
  return IoStatus::kOk;
}

// A store narrower than the device's smallest is refused: the rest of the register would have to be invented.
runtime::IoStatus Bus::io_write(Gpa address, unsigned size, uint64_t value) {
  const BusRange* range = find(address);
  uint64_t offset = range ? address.value - range->base.value : 0;
  if (!range || size > range->size - offset) return IoStatus::kUnmapped;
  MmioDevice& device = *range->device;
  AccessSizes sizes = device.access_sizes();
  value &= low_mask(8 * size);
  bool aligned = offset % size == 0;
  if (aligned && size >= sizes.min && size <= sizes.max) {
    device.write(offset, size, value);
    return IoStatus::kOk;
  }
  if (!aligned && !sizes.unaligned) return IoStatus::kRefused;
  if (size < sizes.min || (!aligned && offset % sizes.min)) return IoStatus::kRefused;
  for (unsigned done = 0; done < size;) {
    unsigned piece = piece_size(offset + done, size - done, sizes.max);
    device.write(offset + done, piece, (value >> (8 * done)) & low_mask(8 * piece));
    done += piece;
  }
  return IoStatus::kOk;
}

}  // namespace lyre::machine
