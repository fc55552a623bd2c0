#include "machine/virtio/input.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <string_view>

namespace lyre::machine::virtio {
namespace {

static_assert(std::endian::native == std::endian::little, "events are written as they lie in host memory");

constexpr uint16_t kDeviceId = 18;
constexpr unsigned kEventQueue = 0, kStatusQueue = 1;
constexpr uint16_t kQueueSize = 64;
constexpr size_t kMaxWaiting = 64;          // events; a guest that takes none loses further keys
constexpr int64_t kHoldNs = 100'000'000;    // from press to release
constexpr std::string_view kName = "Lyrebird virtio keyboard";

constexpr size_t kSizeAt = 2, kDataAt = 8;  // in the configuration space
// 5.8.4, values of `select`.
constexpr uint8_t kIdName = 0x01, kIdDevids = 0x03, kEventBits = 0x11;
constexpr uint16_t kSyn = 0, kKey = 1, kLed = 0x11, kRepeat = 0x14;
constexpr uint16_t kBusVirtual = 6;

struct KeyRange {
  uint8_t first, last;
};
// A PC keyboard's keys, and those of sound, power and sleep.
constexpr KeyRange kKeys[] = {{1, 83}, {86, 88}, {96, 111}, {113, 116}, {119, 119}, {125, 127}, {142, 142}};
constexpr KeyRange kLeds[] = {{0, 2}};

// Sets bits of the ranges; returns how many bytes hold them.
template <size_t Count>
uint8_t set_bits(uint8_t* data, const KeyRange (&ranges)[Count]) {
  for (const KeyRange& range : ranges)
    for (unsigned bit = range.first; bit <= range.last; ++bit) data[bit / 8] = static_cast<uint8_t>(data[bit / 8] | 1u << bit % 8);
  return static_cast<uint8_t>(ranges[Count - 1].last / 8 + 1);
}

}  // namespace

VirtioKeyboard::VirtioKeyboard(VirtioContext context) : VirtioDevice(std::move(context), kDeviceId, 2) {
  set_queue_size(kEventQueue, kQueueSize);
  set_queue_size(kStatusQueue, kQueueSize);
}

void VirtioKeyboard::config_written(uint64_t offset, unsigned size, uint32_t value) {
  for (unsigned i = 0; i < size; ++i)
    if (offset + i < kSizeAt) config_[offset + i] = static_cast<uint8_t>(value >> (8 * i));
  answer();
}

// 5.8.5.1: a size of 0 says that there is no such thing.
void VirtioKeyboard::answer() {
  std::fill(config_.begin() + kSizeAt, config_.end(), uint8_t{0});
  uint8_t &size = config_[kSizeAt], *data = config_.data() + kDataAt;
  const uint8_t select = config_[0], subselect = config_[1];
  if (select == kIdName && subselect == 0) {
    size = static_cast<uint8_t>(kName.size());
    std::memcpy(data, kName.data(), kName.size());
  } else if (select == kIdDevids && subselect == 0) {
    const uint16_t ids[] = {kBusVirtual, 0, 1, 1};  // bus, vendor, product, version
    size = sizeof ids;
    std::memcpy(data, ids, sizeof ids);
  } else if (select == kEventBits && subselect == kKey) {
    size = set_bits(data, kKeys);
  } else if (select == kEventBits && subselect == kLed) {
    size = set_bits(data, kLeds);
  } else if (select == kEventBits && subselect == kRepeat) {
    size = 1;  // the driver repeats by itself
  }
}

bool VirtioKeyboard::press(uint16_t key) {
  if (!send(key, true)) return false;
  loop().after_ns(kHoldNs, [this, key] { send(key, false); });
  return true;
}

bool VirtioKeyboard::send(uint16_t key, bool down) {
  {
    auto guard = lock();
    if (!running(kEventQueue) || waiting_.size() + 2 > kMaxWaiting) return false;
    waiting_.push_back({kKey, key, down});
    waiting_.push_back({kSyn, 0, 0});
  }
  schedule(kEventQueue);
  return true;
}

void VirtioKeyboard::handle_queue(unsigned index) { index == kEventQueue ? flush() : take_status(); }

// An event a buffer (5.8.6.1).
void VirtioKeyboard::flush() {
  auto guard = lock();
  bool pushed = false;
  while (!waiting_.empty() && running(kEventQueue)) {
    if (!pop(kEventQueue, event_chain_)) {
      if (enable_notifications(kEventQueue)) continue;
      break;
    }
    const uint32_t written = ChainWriter(event_chain_).write(&waiting_.front(), sizeof(Event));
    waiting_.pop_front();
    push(kEventQueue, event_chain_, written);
    pushed = true;
  }
  if (pushed) publish(kEventQueue);
}

// Lights that the driver wants switched: there is nobody to see them.
void VirtioKeyboard::take_status() {
  auto guard = lock();
  bool pushed = false;
  while (running(kStatusQueue)) {
    if (!pop(kStatusQueue, status_chain_)) {
      if (enable_notifications(kStatusQueue)) continue;
      break;
    }
    push(kStatusQueue, status_chain_, 0);
    pushed = true;
  }
  if (pushed) publish(kStatusQueue);
}

void VirtioKeyboard::queue_was_reset(unsigned index) {
  if (index == kEventQueue) waiting_.clear();
}

void VirtioKeyboard::device_reset() {
  waiting_.clear();
  config_[0] = config_[1] = 0;
  answer();
}

}  // namespace lyre::machine::virtio
