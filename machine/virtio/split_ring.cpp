// The split virtqueue (virtio 1.3, 2.7): descriptor table, available ring, used ring.
#include "machine/virtio/ring.h"
#include "machine/virtio/ring_memory.h"
#include "runtime/base/bits.h"

namespace lyre::machine::virtio {
namespace {

struct SplitDescriptor {  // 2.7.5
  uint64_t address;
  uint32_t length;
  uint16_t flags;
  uint16_t next;
};
static_assert(sizeof(SplitDescriptor) == 16);

struct RingHeader {  // the first fields of 2.7.6 and 2.7.8
  uint16_t flags;
  uint16_t index;
};

struct UsedElement {  // 2.7.8
  uint32_t id;
  uint32_t length;
};

constexpr uint16_t kAvailNoInterrupt = 1;
constexpr uint16_t kUsedNoNotify = 1;

class SplitRing final : public Ring {
 public:
  SplitRing(const Dma& dma, const RingConfig& config, std::byte* descriptors, std::byte* avail, std::byte* used)
      : Ring(dma),
        config_(config),
        mask_(static_cast<uint16_t>(config.size - 1)),
        descriptors_(descriptors),
        avail_(reinterpret_cast<RingHeader*>(avail)),
        avail_ring_(reinterpret_cast<uint16_t*>(avail + sizeof(RingHeader))),
        used_(reinterpret_cast<RingHeader*>(used)),
        used_ring_(reinterpret_cast<UsedElement*>(used + sizeof(RingHeader))),
        used_event_(avail_ring_ + config.size),
        avail_event_(reinterpret_cast<uint16_t*>(used_ring_ + config.size)) {
    // A queue may be enabled again without a reset of its memory only after a reset of the queue, which starts both at zero.
    store_relaxed(&used_->flags, 0);
  }

  Pop pop(Chain& chain) override;
  bool publish() override;
  bool set_notifications(bool on) override;

 private:
  Pop walk(Chain& chain, uint16_t head);
  bool walk_indirect(Chain& chain, const SplitDescriptor& at);
  void stage(const Chain& chain, uint32_t written) override;

  const RingConfig config_;
  const uint16_t mask_;
  const std::byte* const descriptors_;
  RingHeader* const avail_;
  uint16_t* const avail_ring_;
  RingHeader* const used_;
  UsedElement* const used_ring_;
  uint16_t* const used_event_;
  uint16_t* const avail_event_;
  uint16_t next_avail_ = 0;   // the entry that we take next
  uint16_t seen_avail_ = 0;   // avail_->index as last read
  uint16_t next_used_ = 0;    // the entry that we fill next
  uint16_t published_ = 0;    // used_->index as last written
  uint16_t in_flight_ = 0;    // popped and not pushed
};

Pop SplitRing::pop(Chain& chain) {
  if (error_) return Pop::kBroken;
  if (next_avail_ == seen_avail_) {
    seen_avail_ = load_acquire(&avail_->index);
    if (next_avail_ == seen_avail_) return Pop::kEmpty;
    if (static_cast<uint16_t>(seen_avail_ - next_avail_) > config_.size) {
      return broken("the available index runs further ahead than the queue is long");
    }
  }
  if (in_flight_ >= config_.size) return broken("more chains are in flight than the queue is long");
  const uint16_t head = load_relaxed(&avail_ring_[next_avail_ & mask_]);
  if (head >= config_.size) return broken("the available ring names a descriptor outside the table");
  chain.clear();
  chain.id = head;
  const Pop result = walk(chain, head);
  if (result == Pop::kGot) {
    ++next_avail_;
    ++in_flight_;
  }
  return result;
}

Pop SplitRing::walk(Chain& chain, uint16_t head) {
  uint16_t index = head;
  for (unsigned seen = 0; seen < config_.size; ++seen) {
    const auto at = fetch_once<SplitDescriptor>(descriptors_ + index * sizeof(SplitDescriptor));
    if (at.flags & kDescIndirect) {
      // 2.7.5.3.1: no NEXT beside INDIRECT, so an indirect table ends the chain.
      if (!config_.indirect) return broken("an indirect descriptor although the feature was not negotiated");
      if (at.flags & kDescNext) return broken("a descriptor is both indirect and chained");
      return walk_indirect(chain, at) ? Pop::kGot : Pop::kBroken;
    }
    if (!add(chain, {Gpa{at.address}, at.length, (at.flags & kDescWrite) != 0})) return Pop::kBroken;
    if (!(at.flags & kDescNext)) return Pop::kGot;
    if (seen + 1 >= kMaxChain) return broken("a chain is too long");
    if (at.next >= config_.size) return broken("a descriptor's next lies outside the table");
    index = at.next;
  }
  return broken("a descriptor chain loops");
}

bool SplitRing::walk_indirect(Chain& chain, const SplitDescriptor& at) {
  if (at.length == 0 || at.length % sizeof(SplitDescriptor)) {
    broken("an indirect table's size is not a multiple of 16");
    return false;
  }
  const std::byte* table = dma_.view(Gpa{at.address}, at.length).data();
  if (!table) {
    broken("an indirect table lies outside guest RAM");
    return false;
  }
  const uint32_t count = at.length / static_cast<uint32_t>(sizeof(SplitDescriptor));
  uint32_t index = 0;
  for (uint32_t seen = 0; seen < count; ++seen) {
    if (chain.readable.size() + chain.writable.size() >= kMaxChain) {
      broken("a chain is too long");
      return false;
    }
    const auto entry = fetch_once<SplitDescriptor>(table + index * sizeof(SplitDescriptor));
    if (entry.flags & kDescIndirect) {
      broken("an indirect table holds an indirect descriptor");
      return false;
    }
    if (!add(chain, {Gpa{entry.address}, entry.length, (entry.flags & kDescWrite) != 0})) return false;
    if (!(entry.flags & kDescNext)) return true;
    if (entry.next >= count) {
      broken("an indirect descriptor's next lies outside its table");
      return false;
    }
    index = entry.next;
  }
  broken("an indirect descriptor chain loops");
  return false;
}

void SplitRing::stage(const Chain& chain, uint32_t written) {
  used_ring_[next_used_ & mask_] = {chain.id, written};
  ++next_used_;
  --in_flight_;
}

bool SplitRing::publish() {
  if (error_ || next_used_ == published_) return false;
  const uint16_t old = published_;
  published_ = next_used_;
  store_release(&used_->index, next_used_);
  dma_.wrote(config_.device, sizeof(RingHeader) + config_.size * sizeof(UsedElement));
  full_fence();
  if (config_.event_idx) return event_passed(load_relaxed(used_event_), next_used_, old);
  return !(load_relaxed(&avail_->flags) & kAvailNoInterrupt);
}

bool SplitRing::set_notifications(bool on) {
  if (error_) return false;
  if (config_.event_idx) {
    // 2.7.10: an avail_event that the driver has passed already keeps it quiet, so there is nothing to write to turn it off.
    if (!on) return false;
    store_relaxed(avail_event_, next_avail_);
  } else {
    store_relaxed(&used_->flags, on ? 0 : kUsedNoNotify);
    if (!on) return false;
  }
  full_fence();
  return load_relaxed(&avail_->index) != next_avail_;
}

}  // namespace

std::unique_ptr<Ring> make_split_ring(const Dma& dma, const RingConfig& config, const char*& why) {
  const uint64_t size = config.size;
  why = nullptr;
  if (size == 0 || size > 32768 || !is_power_of_two(size)) {
    why = "a split queue's size is not a power of two up to 32768";
  } else if (config.descriptors.value % 16 || config.driver.value % 2 || config.device.value % 4) {
    why = "a queue area is misaligned";
  }
  if (why) return nullptr;
  const std::byte* descriptors = dma.view(config.descriptors, 16 * size).data();
  // Sizes with the event fields at the end (2.7): they belong to the layout whether or not EVENT_IDX was negotiated.
  std::byte* avail = dma.writable_view(config.driver, 6 + 2 * size).data();
  std::byte* used = dma.writable_view(config.device, 6 + 8 * size).data();
  if (!descriptors || !avail || !used) {
    why = "a queue area lies outside guest RAM";
    return nullptr;
  }
  return std::make_unique<SplitRing>(dma, config, const_cast<std::byte*>(descriptors), avail, used);
}

}  // namespace lyre::machine::virtio
