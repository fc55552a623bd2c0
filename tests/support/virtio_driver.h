// A small virtio driver for tests: guest RAM with an allocator, the driver's side of split and packed rings, and a driver of the MMIO
// registers. It is written against the specification, not against our device code.
#pragma once
#include <atomic>
#include <chrono>
#include <cstring>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "machine/bus/dma.h"
#include "machine/virtio/mmio.h"
#include "runtime/mem/physical_map.h"
#include "tests/support/catch.h"

namespace lyre::tests {

inline constexpr uint64_t kRamBase = 0x8000'0000;

struct GuestRam {
  explicit GuestRam(uint64_t bytes = 16 << 20) : size(bytes) {
    auto block = map.add_ram("ram", Gpa{kRamBase}, bytes);
    REQUIRE(block);
    host = (*block)->host;
  }
  machine::Dma dma() { return machine::Dma(map); }
  uint64_t allocate(uint64_t bytes, uint64_t alignment = 16) {
    next = (next + alignment - 1) / alignment * alignment;
    const uint64_t at = kRamBase + next;
    next += bytes;
    REQUIRE(next <= size);
    return at;
  }
  template <typename T>
  T* at(uint64_t address) {
    return reinterpret_cast<T*>(host + (address - kRamBase));
  }
  void put(uint64_t address, const void* from, size_t bytes) { std::memcpy(at<char>(address), from, bytes); }
  std::string get(uint64_t address, size_t bytes) { return std::string(at<char>(address), bytes); }

  runtime::PhysicalMap map;
  std::byte* host = nullptr;
  uint64_t size;
  uint64_t next = 0x1000;
};

struct DriverSegment {
  uint64_t address;
  uint32_t length;
  bool writable;
};

struct DriverUsed {
  uint16_t id;
  uint32_t length;
};

// The driver's side of one queue.
class DriverRing {
 public:
  DriverRing(GuestRam& ram, uint16_t size, bool event_idx) : ram_(ram), size_(size), event_idx_(event_idx) {}
  virtual ~DriverRing() = default;
  // Makes a chain available; returns its id. indirect: through a table.
  virtual uint16_t add(const std::vector<DriverSegment>& segments, bool indirect = false) = 0;
  virtual std::optional<DriverUsed> take() = 0;  // the next used chain
  virtual bool should_notify() = 0;              // whether the device wants to be told of what was added since the last call
  virtual void want_interrupt(bool on) = 0;      // for the next used chain
  uint64_t descriptors = 0, driver = 0, device = 0;
  uint16_t size() const { return size_; }

 protected:
  static uint16_t load(uint16_t* p) { return std::atomic_ref(*p).load(std::memory_order_acquire); }
  static void store(uint16_t* p, uint16_t v) { std::atomic_ref(*p).store(v, std::memory_order_release); }
  GuestRam& ram_;
  const uint16_t size_;
  const bool event_idx_;
};

struct WireDescriptor {
  uint64_t address;
  uint32_t length;
  uint16_t a, b;  // split: flags, next; packed: id, flags
};

class SplitDriverRing final : public DriverRing {
 public:
  SplitDriverRing(GuestRam& ram, uint16_t size, bool event_idx) : DriverRing(ram, size, event_idx) {
    descriptors = ram.allocate(16u * size);
    driver = ram.allocate(6u + 2u * size, 2);
    device = ram.allocate(6u + 8u * size, 4);
    for (uint16_t i = 0; i < size; ++i) free_.push_back(i);
    chain_of_.resize(size);
  }
  uint16_t add(const std::vector<DriverSegment>& segments, bool indirect = false) override {
    std::vector<uint16_t> slots;
    uint64_t table_at = descriptors;
    WireDescriptor* table = ram_.at<WireDescriptor>(table_at);
    if (indirect) {
      const uint64_t at = ram_.allocate(16 * segments.size());
      WireDescriptor* entries = ram_.at<WireDescriptor>(at);
      for (size_t i = 0; i < segments.size(); ++i) {
        const bool more = i + 1 < segments.size();
        entries[i] = {segments[i].address, segments[i].length, static_cast<uint16_t>((segments[i].writable ? 2 : 0) | (more ? 1 : 0)), static_cast<uint16_t>(i + 1)};
      }
      slots.push_back(free_.front());
      free_.pop_front();
      table[slots[0]] = {at, static_cast<uint32_t>(16 * segments.size()), 4, 0};
    } else {
      for (size_t i = 0; i < segments.size(); ++i) {
        slots.push_back(free_.front());
        free_.pop_front();
      }
      for (size_t i = 0; i < segments.size(); ++i) {
        const bool more = i + 1 < segments.size();
        table[slots[i]] = {segments[i].address, segments[i].length, static_cast<uint16_t>((segments[i].writable ? 2 : 0) | (more ? 1 : 0)),
                           more ? slots[i + 1] : uint16_t{0}};
      }
    }
    chain_of_[slots[0]] = slots;
    uint16_t* avail = ram_.at<uint16_t>(driver);
    store(&avail[2 + avail_ % size_], slots[0]);
    ++avail_;
    store(&avail[1], avail_);
    return slots[0];
  }
  std::optional<DriverUsed> take() override {
    uint16_t* used = ram_.at<uint16_t>(device);
    if (load(&used[1]) == used_) return std::nullopt;
    const auto* entry = reinterpret_cast<uint32_t*>(used + 2) + 2 * (used_ % size_);
    DriverUsed result{static_cast<uint16_t>(entry[0]), entry[1]};
    ++used_;
    for (uint16_t slot : chain_of_[result.id]) free_.push_back(slot);
    return result;
  }
  bool should_notify() override {
    std::atomic_thread_fence(std::memory_order_seq_cst);
    uint16_t* used = ram_.at<uint16_t>(device);
    const uint16_t old = told_;
    told_ = avail_;
    if (!event_idx_) return !(load(&used[0]) & 1);
    const uint16_t event = load(&used[2 + 4 * size_]);
    return static_cast<uint16_t>(avail_ - event - 1) < static_cast<uint16_t>(avail_ - old);
  }
  void want_interrupt(bool on) override {
    uint16_t* avail = ram_.at<uint16_t>(driver);
    if (event_idx_) {
      store(&avail[2 + size_], on ? used_ : static_cast<uint16_t>(used_ - 1));
    } else {
      store(&avail[0], on ? 0 : 1);
    }
    std::atomic_thread_fence(std::memory_order_seq_cst);
  }

 private:
  std::deque<uint16_t> free_;
  std::vector<std::vector<uint16_t>> chain_of_;
  uint16_t avail_ = 0, used_ = 0, told_ = 0;
};

class PackedDriverRing final : public DriverRing {
 public:
  PackedDriverRing(GuestRam& ram, uint16_t size, bool event_idx) : DriverRing(ram, size, event_idx) {
    descriptors = ram.allocate(16u * size);
    driver = ram.allocate(4, 4);
    device = ram.allocate(4, 4);
    length_of_.resize(size);
    for (uint16_t i = 0; i < size; ++i) free_ids_.push_back(i);
  }
  uint16_t add(const std::vector<DriverSegment>& segments, bool indirect = false) override {
    const uint16_t id = free_ids_.front();
    free_ids_.pop_front();
    std::vector<WireDescriptor> list;
    if (indirect) {
      const uint64_t at = ram_.allocate(16 * segments.size());
      WireDescriptor* entries = ram_.at<WireDescriptor>(at);
      for (size_t i = 0; i < segments.size(); ++i) entries[i] = {segments[i].address, segments[i].length, 0, static_cast<uint16_t>(segments[i].writable ? 2 : 0)};
      list.push_back({at, static_cast<uint32_t>(16 * segments.size()), id, 4});
    } else {
      for (size_t i = 0; i < segments.size(); ++i) {
        list.push_back({segments[i].address, segments[i].length, id,
                        static_cast<uint16_t>((segments[i].writable ? 2 : 0) | (i + 1 < segments.size() ? 1 : 0))});
      }
    }
    WireDescriptor* ring = ram_.at<WireDescriptor>(descriptors);
    const uint16_t first = next_;
    uint16_t first_flags = 0;
    for (size_t i = 0; i < list.size(); ++i) {
      const auto flags = static_cast<uint16_t>(list[i].b | (wrap_ ? 0x80 : 0x8000));
      WireDescriptor& to = ring[next_];
      to.address = list[i].address;
      to.length = list[i].length;
      to.a = list[i].a;
      if (i) {
        store(&to.b, flags);
      } else {
        first_flags = flags;
      }
      if (++next_ == size_) {
        next_ = 0;
        wrap_ = !wrap_;
      }
    }
    store(&ring[first].b, first_flags);
    added_ = static_cast<uint16_t>(added_ + list.size());
    length_of_[id] = static_cast<uint16_t>(list.size());
    return id;
  }
  std::optional<DriverUsed> take() override {
    WireDescriptor* ring = ram_.at<WireDescriptor>(descriptors);
    const uint16_t flags = load(&ring[used_].b);
    if (bool(flags & 0x80) != used_wrap_ || bool(flags & 0x8000) != used_wrap_) return std::nullopt;
    DriverUsed result{ring[used_].a, flags & 2 ? ring[used_].length : 0};
    used_ = static_cast<uint16_t>(used_ + length_of_[result.id]);
    if (used_ >= size_) {
      used_ = static_cast<uint16_t>(used_ - size_);
      used_wrap_ = !used_wrap_;
    }
    free_ids_.push_back(result.id);
    return result;
  }
  bool should_notify() override {
    std::atomic_thread_fence(std::memory_order_seq_cst);
    uint16_t* event = ram_.at<uint16_t>(device);
    const auto old = static_cast<uint16_t>(next_ - added_);
    added_ = 0;
    const uint16_t flags = load(&event[1]) & 3;
    if (flags != 2) return flags != 1;
    const uint16_t where = load(&event[0]);
    auto at = static_cast<uint16_t>(where & 0x7fff);
    if (bool(where >> 15) != wrap_) at = static_cast<uint16_t>(at - size_);
    return static_cast<uint16_t>(next_ - at - 1) < static_cast<uint16_t>(next_ - old);
  }
  void want_interrupt(bool on) override {
    uint16_t* event = ram_.at<uint16_t>(driver);
    if (!on) {
      store(&event[1], 1);
    } else if (event_idx_) {
      store(&event[0], static_cast<uint16_t>(used_ | (used_wrap_ ? 0x8000 : 0)));
      store(&event[1], 2);
    } else {
      store(&event[1], 0);
    }
    std::atomic_thread_fence(std::memory_order_seq_cst);
  }

 private:
  uint16_t next_ = 0, used_ = 0, added_ = 0;
  bool wrap_ = true, used_wrap_ = true;
  std::deque<uint16_t> free_ids_;
  std::vector<uint16_t> length_of_;
};

inline std::unique_ptr<DriverRing> make_driver_ring(bool packed, GuestRam& ram, uint16_t size, bool event_idx) {
  if (packed) return std::make_unique<PackedDriverRing>(ram, size, event_idx);
  return std::make_unique<SplitDriverRing>(ram, size, event_idx);
}

// Waits until something holds; false after twenty seconds.
inline bool eventually(const std::function<bool()>& holds) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!holds()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
  return true;
}

// Register offsets of the MMIO transport (virtio 1.3, table 4.1).
namespace mmio {
enum : uint64_t {
  kMagic = 0x00, kVersion = 0x04, kDeviceId = 0x08, kVendorId = 0x0c, kDeviceFeatures = 0x10, kDeviceFeaturesSel = 0x14,
  kDriverFeatures = 0x20, kDriverFeaturesSel = 0x24, kQueueSel = 0x30, kQueueSizeMax = 0x34, kQueueSize = 0x38, kQueueReady = 0x44,
  kQueueNotify = 0x50, kInterruptStatus = 0x60, kInterruptAck = 0x64, kStatus = 0x70, kDescLow = 0x80, kDriverLow = 0x90,
  kDeviceLow = 0xa0, kShmLenLow = 0xb0, kQueueReset = 0xc0, kConfigGeneration = 0xfc, kConfig = 0x100
};
}

class MmioDriver {
 public:
  MmioDriver(GuestRam& ram, machine::virtio::VirtioMmio& device) : ram_(ram), device_(device) {}
  uint32_t get(uint64_t offset) { return static_cast<uint32_t>(device_.read(offset, 4)); }
  void set(uint64_t offset, uint32_t value) { device_.write(offset, 4, value); }
  uint64_t offered() {
    set(mmio::kDeviceFeaturesSel, 0);
    uint64_t features = get(mmio::kDeviceFeatures);
    set(mmio::kDeviceFeaturesSel, 1);
    return features | uint64_t{get(mmio::kDeviceFeatures)} << 32;
  }
  // Up to FEATURES_OK; false: refused.
  bool negotiate(uint64_t features) {
    set(mmio::kStatus, 0);
    set(mmio::kStatus, 1);
    set(mmio::kStatus, 3);
    features_ = features;
    set(mmio::kDriverFeaturesSel, 0);
    set(mmio::kDriverFeatures, static_cast<uint32_t>(features));
    set(mmio::kDriverFeaturesSel, 1);
    set(mmio::kDriverFeatures, static_cast<uint32_t>(features >> 32));
    set(mmio::kStatus, 11);
    return get(mmio::kStatus) & 8;
  }
  std::unique_ptr<DriverRing> queue(unsigned index, uint16_t size) {
    set(mmio::kQueueSel, index);
    REQUIRE(get(mmio::kQueueReady) == 0);
    REQUIRE(get(mmio::kQueueSizeMax) >= size);
    auto ring = make_driver_ring(features_ >> 34 & 1, ram_, size, features_ >> 29 & 1);
    set(mmio::kQueueSize, size);
    set_address(mmio::kDescLow, ring->descriptors);
    set_address(mmio::kDriverLow, ring->driver);
    set_address(mmio::kDeviceLow, ring->device);
    set(mmio::kQueueReady, 1);
    REQUIRE(get(mmio::kQueueReady) == 1);
    return ring;
  }
  void ready() { set(mmio::kStatus, 15); }
  void notify(unsigned queue, DriverRing& ring) {
    if (ring.should_notify()) set(mmio::kQueueNotify, queue);
  }
  // Adds a chain, tells the device and waits until it is used.
  DriverUsed run(unsigned queue, DriverRing& ring, const std::vector<DriverSegment>& segments, bool indirect = false) {
    const uint16_t id = ring.add(segments, indirect);
    notify(queue, ring);
    std::optional<DriverUsed> used;
    REQUIRE(eventually([&] { return (used = ring.take()).has_value(); }));
    REQUIRE(used->id == id);
    return *used;
  }
  void set_address(uint64_t low, uint64_t address) {
    set(low, static_cast<uint32_t>(address));
    set(low + 4, static_cast<uint32_t>(address >> 32));
  }

 private:
  GuestRam& ram_;
  machine::virtio::VirtioMmio& device_;
  uint64_t features_ = 0;
};

}  // namespace lyre::tests
