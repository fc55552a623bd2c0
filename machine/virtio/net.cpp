#include "machine/virtio/net.h"

#include <algorithm>
#include <cstring>

#include "runtime/base/log.h"

namespace lyre::machine::virtio {
namespace {

constexpr uint16_t kDeviceId = 1;
// 5.1.3
constexpr uint64_t kCsum = feature(0);
constexpr uint64_t kGuestCsum = feature(1);
constexpr uint64_t kMtu = feature(3);
constexpr uint64_t kMac = feature(5);
constexpr uint64_t kGuestTso4 = feature(7);
constexpr uint64_t kHostTso4 = feature(11);
constexpr uint64_t kHostTso6 = feature(12);
constexpr uint64_t kHostEcn = feature(13);
constexpr uint64_t kMrgRxbuf = feature(15);
constexpr uint64_t kStatusField = feature(16);
constexpr uint64_t kCtrlVq = feature(17);
constexpr uint64_t kCtrlRx = feature(18);
constexpr uint64_t kCtrlVlan = feature(19);
constexpr uint64_t kCtrlRxExtra = feature(20);
constexpr uint64_t kMultiQueue = feature(22);
constexpr uint64_t kCtrlMacAddr = feature(23);
constexpr uint64_t kHostUso = feature(56);

constexpr uint8_t kNeedsChecksum = 1, kDataValid = 2;                              // virtio_net_hdr flags
constexpr uint8_t kGsoNone = 0, kGsoTcp4 = 1, kGsoTcp6 = 4, kGsoUdpL4 = 5, kGsoEcn = 0x80;  // gso_type
constexpr size_t kMaxFrame = 65535 + 18;
constexpr unsigned kBatch = 256;  // chains before another device has its turn

}  // namespace

struct NetHeader {  // 5.1.6
  uint8_t flags;
  uint8_t gso_type;
  uint16_t header_bytes;
  uint16_t gso_size;
  uint16_t checksum_start;
  uint16_t checksum_offset;
  uint16_t buffers;
};
static_assert(sizeof(NetHeader) == 12);

VirtioNet::VirtioNet(VirtioContext context, std::shared_ptr<net::NetBackend> backend, const NetOptions& options)
    : VirtioDevice(std::move(context), kDeviceId, 2 * options.pairs + 1),
      backend_(std::move(backend)),
      options_(options),
      receive_queues_(options.pairs) {
  for (unsigned i = 0; i < queue_count(); ++i) set_queue_size(i, options_.queue_size);
  filter_.reset(options_.mac);
  if (backend_) backend_->attach(this);
}

VirtioNet::~VirtioNet() {
  if (backend_) backend_->attach(nullptr);
}

uint64_t VirtioNet::device_features() const {
  uint64_t features = kMac;
  const auto offer = [&](bool on, uint64_t bits) {
    if (on) features |= bits;
  };
  offer(options_.csum, kCsum);
  offer(options_.csum && options_.host_tso4, kHostTso4);
  offer(options_.csum && options_.host_tso6, kHostTso6);
  offer(options_.csum && options_.host_ecn && (options_.host_tso4 || options_.host_tso6), kHostEcn);
  offer(options_.csum && options_.host_uso, kHostUso);
  offer(options_.guest_csum, kGuestCsum);
  offer(options_.guest_csum && options_.guest_tso4, kGuestTso4);
  offer(options_.mrg_rxbuf, kMrgRxbuf);
  offer(options_.status, kStatusField);
  offer(options_.mtu != 0, kMtu);
  offer(options_.ctrl_vq, kCtrlVq | kCtrlRx | kCtrlVlan | kCtrlRxExtra | kCtrlMacAddr);
  offer(options_.ctrl_vq && options_.pairs > 1, kMultiQueue);
  return features;
}

// 5.1.4
std::span<const uint8_t> VirtioNet::config() {
  std::copy(filter_.mac.begin(), filter_.mac.end(), config_.begin());
  const auto put16 = [&](size_t at, uint16_t value) { std::memcpy(config_.data() + at, &value, 2); };
  put16(6, backend_ ? 1 : 0);  // VIRTIO_NET_S_LINK_UP
  put16(8, static_cast<uint16_t>(options_.pairs));
  put16(10, options_.mtu);
  const uint32_t unknown = 0xffffffff;
  std::memcpy(config_.data() + 12, &unknown, 4);
  config_[16] = 0xff;
  return config_;
}

// 5.1.2: the control queue stands behind the pairs that the driver knows of.
unsigned VirtioNet::control_queue() const { return negotiated(kMultiQueue) ? 2 * options_.pairs : 2; }

void VirtioNet::features_negotiated() {
  if (negotiated(kCtrlRx)) filter_.promiscuous = false;
}

void VirtioNet::device_reset() {
  filter_.reset(options_.mac);
  active_pairs_ = 1;
  flows_.fill(0);
}

void VirtioNet::queue_was_reset(unsigned index) {
  if (index % 2 || index / 2 >= receive_queues_.size()) return;
  ReceiveQueue& q = receive_queues_[index / 2];
  while (!q.held.empty()) {
    q.spare.push_back(std::move(q.held.front()));
    q.held.pop_front();
  }
  q.room = 0;
  q.starved = false;
}

void VirtioNet::handle_queue(unsigned index) {
  bool is_control;
  {
    auto guard = lock();
    is_control = negotiated(kCtrlVq) && index == control_queue();
  }
  if (is_control) {
    control();
  } else if (index % 2) {
    transmit(index);
  } else if (index / 2 < options_.pairs) {
    receive_buffers(index);
  }  // else the control queue of a driver that did not ask for one
}

// ---- Transmit (5.1.6.2)

void VirtioNet::transmit(unsigned index) {
  {
    auto guard = lock();
    if (!running(index)) return;
    unsigned taken = 0;
    do {
      disable_notifications(index);
      while (taken < kBatch && pop(index, chain_)) {
        transmit_chain(chain_, index / 2);
        if (failed()) break;
        push(index, chain_, 0);
        ++taken;
      }
      if (taken == kBatch) {
        schedule(index);  // the rest after the others
        break;
      }
    } while (enable_notifications(index));
    if (taken) publish(index);
  }
  if (backend_) backend_->flush();
}

void VirtioNet::transmit_chain(const Chain& chain, unsigned pair) {
  ChainReader reader(chain);
  NetHeader header;
  if (reader.read(&header, sizeof header) != sizeof header) {
    fail("a transmit buffer is shorter than its header");
    return;
  }
  const uint32_t bytes = reader.left();
  if (bytes < 14 || bytes > kMaxFrame) {
    LYRE_GUEST_ERROR("%s: a frame of %u bytes was dropped", name().c_str(), bytes);
    return;
  }
  frame_.resize(bytes);
  reader.read(frame_.data(), bytes);
  if (active_pairs_ > 1) learn(frame_, pair);
  if (backend_) transmit_frame(frame_, header);
}

void VirtioNet::transmit_frame(std::span<uint8_t> frame, const NetHeader& header) {
  net::Offload offload;
  offload.gso_size = header.gso_size;
  switch (header.gso_type & ~kGsoEcn) {
    case kGsoNone: break;
    case kGsoTcp4: offload.gso = net::Gso::kTcp4; break;
    case kGsoTcp6: offload.gso = net::Gso::kTcp6; break;
    case kGsoUdpL4: offload.gso = net::Gso::kUdp; break;
    default:
      LYRE_GUEST_ERROR("%s: a frame of unknown gso_type %u was dropped", name().c_str(), header.gso_type);
      return;
  }
  const bool whole = offload.gso == net::Gso::kNone || (offload.gso == net::Gso::kTcp4 && frame.size() <= backend_->large_tcp4_frame());
  if (!whole) {
    // Finishing the segments' checksums covers a partial one.
    if (!net::segment(frame, offload, scratch_, [this](std::span<uint8_t> part) { backend_->send(part); })) {
      LYRE_GUEST_ERROR("%s: a frame to be segmented has other headers than it says and was dropped", name().c_str());
    }
    return;
  }
  if ((header.flags & kNeedsChecksum) && !net::finish_checksum(frame, header.checksum_start, header.checksum_offset)) {
    LYRE_GUEST_ERROR("%s: a frame whose checksum lies outside of it was dropped", name().c_str());
    return;
  }
  backend_->send(frame);
}

// ---- Receive (5.1.6.4)

void VirtioNet::receive_buffers(unsigned index) {
  {
    auto guard = lock();
    const unsigned pair = index / 2;
    if (!running(index) || !receive_queues_[pair].starved) return;
    receive_queues_[pair].starved = false;
  }
  if (backend_) backend_->peer_ready();
}

size_t VirtioNet::receive(std::span<const net::Frame> frames) {
  auto guard = lock();
  size_t taken = 0;
  uint64_t touched = 0;
  const bool join = negotiated(kGuestTso4 | kGuestCsum);
  while (taken < frames.size()) {
    net::Frame frame = frames[taken];
    const unsigned pair = active_pairs_ > 1 ? steer(frame) : 0;
    net::Coalesced joined;
    joined.frames = 1;
    if (join) joined = net::coalesce_tcp4(frames.subspan(taken), joined_);
    if (joined.frames > 1) frame = joined_;
    Took took = receive_frame(pair, frame, joined);
    if (took != Took::kYes && joined.frames > 1) {  // one alone may fit
      joined = {};
      joined.frames = 1;
      took = receive_frame(pair, frames[taken], joined);
    }
    if (took == Took::kNoRoom) break;
    if (took == Took::kYes) touched |= uint64_t{1} << pair;
    taken += joined.frames;
  }
  for (unsigned pair = 0; touched; ++pair, touched >>= 1) {
    if (touched & 1) publish(2 * pair);
  }
  return taken;
}

VirtioNet::Took VirtioNet::receive_frame(unsigned pair, net::Frame frame, const net::Coalesced& joined) {
  const unsigned index = 2 * pair;
  if (!running(index) || !filter_.accepts(frame, negotiated(kCtrlVlan))) return Took::kDropped;
  ReceiveQueue& q = receive_queues_[pair];
  const uint64_t bytes = sizeof(NetHeader) + frame.size();
  if (!gather(index, q, bytes)) {
    if (failed() || q.held.size() >= queue(index).size) return Took::kDropped;  // it will never fit
    q.starved = true;
    return Took::kNoRoom;
  }
  if (!negotiated(kMrgRxbuf) && q.held.front().writable_bytes < bytes) return Took::kDropped;
  scatter(index, q, frame, joined);
  return Took::kYes;
}

// Makes sure that the held buffers have room for a frame.
bool VirtioNet::gather(unsigned index, ReceiveQueue& q, uint64_t bytes) {
  const bool merge = negotiated(kMrgRxbuf);
  while (merge ? q.room < bytes : q.held.empty()) {
    Chain chain;
    if (!q.spare.empty()) {
      chain = std::move(q.spare.back());
      q.spare.pop_back();
    }
    if (pop(index, chain)) {
      if (chain.writable_bytes < sizeof(NetHeader)) {
        fail("a receive buffer is shorter than its header");
        return false;
      }
      q.room += chain.writable_bytes;
      q.held.push_back(std::move(chain));
      continue;
    }
    q.spare.push_back(std::move(chain));
    if (!enable_notifications(index)) return false;
  }
  disable_notifications(index);
  return true;
}

void VirtioNet::scatter(unsigned index, ReceiveQueue& q, net::Frame frame, const net::Coalesced& joined) {
  const uint64_t bytes = sizeof(NetHeader) + frame.size();
  NetHeader header{};
  // Frames of a back end carry checksums that it has computed or checked itself.
  if (negotiated(kGuestCsum)) header.flags = kDataValid;
  if (joined.frames > 1) {
    header = {kNeedsChecksum, kGsoTcp4, joined.header_bytes, joined.segment_bytes, joined.checksum_start, joined.checksum_offset, 0};
  }
  uint64_t room = 0;
  do {
    room += q.held[header.buffers++].writable_bytes;
  } while (room < bytes);
  for (unsigned i = 0; i < header.buffers; ++i) {
    Chain chain = std::move(q.held.front());
    q.held.pop_front();
    q.room -= chain.writable_bytes;
    ChainWriter writer(chain);
    if (i == 0) writer.write(&header, sizeof header);
    frame = frame.subspan(writer.write(frame.data(), static_cast<uint32_t>(frame.size())));
    push(index, chain, writer.written());
    q.spare.push_back(std::move(chain));
  }
}

// ---- Steering (5.1.6.5.6): a flow comes back on the pair that it was sent on.

namespace {
// The same for both directions of a flow.
uint8_t flow_hash(net::Frame frame) {
  const net::FrameHeaders at = net::parse_headers(frame);
  uint32_t hash = at.protocol;
  const size_t addresses = at.ether_type == 0x0800 ? 8 : at.ether_type == 0x86dd ? 32 : 0;
  const size_t first = at.network + (addresses == 8 ? 12u : 8u);
  for (size_t i = 0; i < addresses && first + i < frame.size(); ++i) hash += uint32_t{frame[first + i]} << (i % 4 * 8);
  if (at.transport) {
    for (size_t i = 0; i < 4 && at.transport + i < frame.size(); ++i) hash += uint32_t{frame[at.transport + i]} << (i % 2 * 8);
  }
  hash *= 0x9e3779b1u;
  return static_cast<uint8_t>(hash >> 24);
}
}  // namespace

void VirtioNet::learn(net::Frame frame, unsigned pair) { flows_[flow_hash(frame)] = static_cast<uint8_t>(pair); }

unsigned VirtioNet::steer(net::Frame frame) const {
  const unsigned pair = flows_[flow_hash(frame)];
  return pair < active_pairs_ ? pair : 0;
}

}  // namespace lyre::machine::virtio
