// virtio-net's control queue and receive filter (virtio 1.3, 5.1.6.5).
#include <algorithm>
#include <cstring>

#include "machine/virtio/net.h"

namespace lyre::machine::virtio {
namespace {

enum Class : uint8_t { kRx = 0, kMacTable = 1, kVlan = 2, kMultiQueue = 4 };
enum RxCommand : uint8_t { kPromiscuous, kAllMulticast, kAllUnicast, kNoMulticast, kNoUnicast, kNoBroadcast };
enum MacCommand : uint8_t { kTableSet, kAddressSet };
enum VlanCommand : uint8_t { kVlanAdd, kVlanRemove };
constexpr uint8_t kPairsSet = 0;
constexpr uint8_t kOk = 0, kError = 1;
constexpr uint32_t kMaxTable = 64;  // addresses of one kind that are told apart; more means all

bool is_multicast(const uint8_t* mac) { return mac[0] & 1; }

}  // namespace

void ReceiveFilter::reset(const MacAddress& address) {
  *this = ReceiveFilter{};
  mac = address;
}

bool ReceiveFilter::accepts(net::Frame frame, bool vlan_filtering) const {
  if (frame.size() < 14) return false;
  if (promiscuous) return true;
  if (vlan_filtering && frame.size() >= 18 && frame[12] == 0x81 && frame[13] == 0x00) {
    const unsigned id = (frame[14] & 15u) << 8 | frame[15];
    if (!(vlans[id / 64] >> (id % 64) & 1)) return false;
  }
  const uint8_t* to = frame.data();
  const auto in = [&](const std::vector<MacAddress>& list) {
    return std::any_of(list.begin(), list.end(), [&](const MacAddress& m) { return std::memcmp(m.data(), to, 6) == 0; });
  };
  if (is_multicast(to)) {
    const bool broadcast = std::all_of(to, to + 6, [](uint8_t b) { return b == 0xff; });
    if (broadcast) return !no_broadcast;
    return !no_multicast && (all_multicast || many_multicast || in(multicast));
  }
  if (no_unicast) return false;
  return all_unicast || many_unicast || std::memcmp(mac.data(), to, 6) == 0 || in(unicast);
}

void VirtioNet::control() {
  auto guard = lock();
  const unsigned index = control_queue();
  if (!running(index)) return;
  bool pushed = false;
  do {
    disable_notifications(index);
    while (pop(index, chain_)) {
      if (chain_.writable_bytes < 1 || chain_.readable_bytes < 2) {
        fail("a control command has no room for its header or its answer");
        return;
      }
      ChainReader reader(chain_);
      const uint8_t answer = control_command(reader);
      ChainWriter writer(chain_);
      writer.write(&answer, 1);
      push(index, chain_, 1);
      pushed = true;
    }
  } while (enable_notifications(index));
  if (pushed) publish(index);
}

uint8_t VirtioNet::control_command(ChainReader& reader) {
  uint8_t header[2];
  reader.read(header, sizeof header);
  switch (header[0]) {
    case kRx: return control_rx(header[1], reader);
    case kMacTable: return control_mac(header[1], reader);
    case kVlan: return control_vlan(header[1], reader);
    case kMultiQueue: return control_pairs(header[1], reader);
    default: return kError;
  }
}

uint8_t VirtioNet::control_rx(uint8_t command, ChainReader& reader) {
  uint8_t on;
  if (reader.read(&on, 1) != 1) return kError;
  switch (command) {
    case kPromiscuous: filter_.promiscuous = on; break;
    case kAllMulticast: filter_.all_multicast = on; break;
    case kAllUnicast: filter_.all_unicast = on; break;
    case kNoMulticast: filter_.no_multicast = on; break;
    case kNoUnicast: filter_.no_unicast = on; break;
    case kNoBroadcast: filter_.no_broadcast = on; break;
    default: return kError;
  }
  return kOk;
}

uint8_t VirtioNet::control_mac(uint8_t command, ChainReader& reader) {
  if (command == kAddressSet) {
    MacAddress mac;
    if (reader.left() != 6 || reader.read(mac.data(), 6) != 6) return kError;
    filter_.mac = mac;
    return kOk;
  }
  if (command != kTableSet) return kError;
  // Two lists of { le32 entries; u8 macs[entries][6] }: unicast, then multicast. A list that is too long widens the filter.
  std::vector<MacAddress> lists[2];
  bool overflow[2] = {};
  for (int i = 0; i < 2; ++i) {
    uint32_t entries;
    if (reader.read(&entries, 4) != 4 || entries > reader.left() / 6) return kError;
    overflow[i] = entries > kMaxTable;
    if (overflow[i]) {
      reader.skip(entries * 6);
      continue;
    }
    lists[i].resize(entries);
    for (MacAddress& mac : lists[i]) reader.read(mac.data(), 6);
  }
  if (reader.left()) return kError;
  filter_.unicast = std::move(lists[0]);
  filter_.multicast = std::move(lists[1]);
  filter_.many_unicast = overflow[0];
  filter_.many_multicast = overflow[1];
  return kOk;
}

uint8_t VirtioNet::control_vlan(uint8_t command, ChainReader& reader) {
  uint16_t id;
  if (reader.read(&id, 2) != 2 || id >= 4096) return kError;
  const uint64_t bit = uint64_t{1} << (id % 64);
  if (command == kVlanAdd) {
    filter_.vlans[id / 64] |= bit;
  } else if (command == kVlanRemove) {
    filter_.vlans[id / 64] &= ~bit;
  } else {
    return kError;
  }
  return kOk;
}

uint8_t VirtioNet::control_pairs(uint8_t command, ChainReader& reader) {
  uint16_t pairs;
  if (command != kPairsSet || reader.read(&pairs, 2) != 2 || pairs == 0 || pairs > options_.pairs) return kError;
  active_pairs_ = pairs;
  return kOk;
}

}  // namespace lyre::machine::virtio
