// The packed virtqueue (virtio 1.3, 2.8): one descriptor ring that both sides write, and two event suppression structures.
#include <vector>

#include "machine/virtio/ring.h"
#include "machine/virtio/ring_memory.h"

namespace lyre::machine::virtio {
namespace {

struct PackedDescriptor {  // 2.8.13
  uint64_t address;
  uint32_t length;
  uint16_t id;
  uint16_t flags;
};
static_assert(sizeof(PackedDescriptor) == 16);

struct EventSuppression {  // 2.8.14
  uint16_t descriptor;     // offset, and wrap counter in bit 15
  uint16_t flags;
};

constexpr uint16_t kDescAvail = 1 << 7;
constexpr uint16_t kDescUsed = 1 << 15;
constexpr uint16_t kEventEnable = 0;
constexpr uint16_t kEventDisable = 1;
constexpr uint16_t kEventDescriptor = 2;

// A place in the ring: an index and the wrap counter that goes with it (2.8.1).
struct Position {
  uint16_t index = 0;
  bool wrap = true;
  void advance(uint16_t count, uint16_t size) {
    const uint32_t next = uint32_t{index} + count;
    if (next >= size) wrap = !wrap;
    index = static_cast<uint16_t>(next >= size ? next - size : next);
  }
};

class PackedRing final : public Ring {
 public:
  PackedRing(const Dma& dma, const RingConfig& config, std::byte* ring, std::byte* driver, std::byte* device)
      : Ring(dma),
        config_(config),
        ring_(reinterpret_cast<PackedDescriptor*>(ring)),
        driver_(reinterpret_cast<EventSuppression*>(driver)),
        device_(reinterpret_cast<EventSuppression*>(device)) {
    staged_.reserve(config.size);
  }

  Pop pop(Chain& chain) override;
  bool publish() override;
  bool set_notifications(bool on) override;

 private:
  struct Staged {
    uint16_t id;
    uint16_t descriptors;
    uint32_t written;
    bool wrote;
  };
  bool available(const Position& at) const;
  Pop walk(Chain& chain);
  bool walk_indirect(Chain& chain, const PackedDescriptor& at);
  void stage(const Chain& chain, uint32_t written) override;
  bool wants_interrupt(uint16_t used_slots);

  const RingConfig config_;
  PackedDescriptor* const ring_;
  EventSuppression* const driver_;
  EventSuppression* const device_;
  Position next_avail_;
  Position next_used_;
  uint16_t in_flight_ = 0;  // ring slots of chains popped and not pushed
  std::vector<Staged> staged_;
};

bool PackedRing::available(const Position& at) const {
  const uint16_t flags = load_acquire(&ring_[at.index].flags);
  return bool(flags & kDescAvail) == at.wrap && bool(flags & kDescUsed) != at.wrap;
}

Pop PackedRing::pop(Chain& chain) {
  if (error_) return Pop::kBroken;
  if (!available(next_avail_)) return Pop::kEmpty;
  chain.clear();
  const Pop result = walk(chain);
  if (result == Pop::kGot) {
    next_avail_.advance(chain.descriptors, config_.size);
    in_flight_ = static_cast<uint16_t>(in_flight_ + chain.descriptors);
  }
  return result;
}

Pop PackedRing::walk(Chain& chain) {
  Position at = next_avail_;
  for (unsigned seen = 1; seen + in_flight_ <= config_.size; ++seen) {
    const auto entry = fetch_once<PackedDescriptor>(reinterpret_cast<const std::byte*>(&ring_[at.index]));
    chain.descriptors = static_cast<uint16_t>(seen);
    chain.id = entry.id;  // 2.8.6: the last descriptor of the list carries it
    if (entry.flags & kDescIndirect) {
      // 2.8.19.1: INDIRECT neither continues a list nor starts one.
      if (!config_.indirect) return broken("an indirect descriptor although the feature was not negotiated");
      if (entry.flags & kDescNext || seen > 1) return broken("a descriptor is both indirect and chained");
      return walk_indirect(chain, entry) ? Pop::kGot : Pop::kBroken;
    }
    if (!add(chain, {Gpa{entry.address}, entry.length, (entry.flags & kDescWrite) != 0})) return Pop::kBroken;
    if (!(entry.flags & kDescNext)) return Pop::kGot;
    if (seen >= kMaxChain) return broken("a chain is too long");
    at.advance(1, config_.size);
  }
  return broken("a descriptor chain is longer than the queue has room");
}

bool PackedRing::walk_indirect(Chain& chain, const PackedDescriptor& at) {
  if (at.length == 0 || at.length % sizeof(PackedDescriptor)) {
    broken("an indirect table's size is not a multiple of 16");
    return false;
  }
  const uint32_t count = at.length / static_cast<uint32_t>(sizeof(PackedDescriptor));
  if (count > kMaxChain) {
    broken("a chain is too long");
    return false;
  }
  const std::byte* table = dma_.view(Gpa{at.address}, at.length).data();
  if (!table) {
    broken("an indirect table lies outside guest RAM");
    return false;
  }
  for (uint32_t i = 0; i < count; ++i) {
    // 2.8.7: WRITE is the only flag that counts here.
    const auto entry = fetch_once<PackedDescriptor>(table + i * sizeof(PackedDescriptor));
    if (!add(chain, {Gpa{entry.address}, entry.length, (entry.flags & kDescWrite) != 0})) return false;
  }
  return true;
}

void PackedRing::stage(const Chain& chain, uint32_t written) {
  staged_.push_back({chain.id, chain.descriptors, written, written != 0});
  in_flight_ = static_cast<uint16_t>(in_flight_ - chain.descriptors);
}

bool PackedRing::publish() {
  if (error_ || staged_.empty()) return false;
  // All but the first used descriptor first: the driver stops at the first that is not used, so the batch appears at once.
  const Position first = next_used_;
  uint16_t slots = 0;
  uint16_t first_flags = 0;
  for (size_t i = 0; i < staged_.size(); ++i) {
    const Staged& used = staged_[i];
    PackedDescriptor& to = ring_[next_used_.index];
    uint16_t flags = used.wrote ? kDescWrite : 0;
    if (next_used_.wrap) flags |= kDescAvail | kDescUsed;
    to.id = used.id;
    to.length = used.written;
    if (i == 0) {
      first_flags = flags;
    } else {
      store_release(&to.flags, flags);
    }
    next_used_.advance(used.descriptors, config_.size);
    slots = static_cast<uint16_t>(slots + used.descriptors);
  }
  store_release(&ring_[first.index].flags, first_flags);
  staged_.clear();
  dma_.wrote(config_.descriptors, config_.size * sizeof(PackedDescriptor));
  full_fence();
  return wants_interrupt(slots);
}

bool PackedRing::wants_interrupt(uint16_t used_slots) {
  const uint16_t flags = load_acquire(&driver_->flags) & 3;
  if (flags == kEventDisable) return false;
  if (flags != kEventDescriptor || !config_.event_idx) return true;
  const uint16_t where = load_relaxed(&driver_->descriptor);
  // The place as a distance on the line on which next_used_.index is now; the previous round lies one queue size before.
  auto event = static_cast<uint16_t>(where & 0x7fff);
  if (bool(where >> 15) != next_used_.wrap) event = static_cast<uint16_t>(event - config_.size);
  return event_passed(event, next_used_.index, static_cast<uint16_t>(next_used_.index - used_slots));
}

bool PackedRing::set_notifications(bool on) {
  if (error_) return false;
  if (!on) {
    store_relaxed(&device_->flags, kEventDisable);
    return false;
  }
  if (config_.event_idx) {
    store_relaxed(&device_->descriptor, static_cast<uint16_t>(next_avail_.index | (next_avail_.wrap ? 0x8000 : 0)));
    store_release(&device_->flags, kEventDescriptor);
  } else {
    store_relaxed(&device_->flags, kEventEnable);
  }
  full_fence();
  return available(next_avail_);
}

}  // namespace

std::unique_ptr<Ring> make_packed_ring(const Dma& dma, const RingConfig& config, const char*& why) {
  const uint64_t size = config.size;
  why = nullptr;
  if (size == 0 || size > 32768) {
    why = "a packed queue's size is not in 1..32768";
  } else if (config.descriptors.value % 16 || config.driver.value % 4 || config.device.value % 4) {
    why = "a queue area is misaligned";
  }
  if (why) return nullptr;
  std::byte* ring = dma.writable_view(config.descriptors, 16 * size).data();
  std::byte* driver = dma.writable_view(config.driver, sizeof(EventSuppression)).data();
  std::byte* device = dma.writable_view(config.device, sizeof(EventSuppression)).data();
  if (!ring || !driver || !device) {
    why = "a queue area lies outside guest RAM";
    return nullptr;
  }
  return std::make_unique<PackedRing>(dma, config, ring, driver, device);
}

}  // namespace lyre::machine::virtio
