#include "machine/net/offload.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace lyre::machine::net {
namespace {

constexpr uint16_t kIpv4 = 0x0800, kIpv6 = 0x86dd, kVlan = 0x8100, kQinq = 0x88a8;
constexpr uint8_t kTcp = 6, kUdp = 17;
constexpr size_t kMaxFrame = 65535 + 18;

uint16_t get16(std::span<const uint8_t> bytes, size_t at) { return static_cast<uint16_t>(bytes[at] << 8 | bytes[at + 1]); }
void put16(std::span<uint8_t> bytes, size_t at, uint32_t value) {
  bytes[at] = static_cast<uint8_t>(value >> 8);
  bytes[at + 1] = static_cast<uint8_t>(value);
}
uint32_t get32(std::span<const uint8_t> bytes, size_t at) { return uint32_t{get16(bytes, at)} << 16 | get16(bytes, at + 2); }
void put32(std::span<uint8_t> bytes, size_t at, uint32_t value) {
  put16(bytes, at, value >> 16);
  put16(bytes, at + 2, value);
}

uint32_t fold(uint64_t sum) {
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint32_t>(sum);
}

// The pseudo-header's sum (RFC 9293 3.1, RFC 8200 8.1).
uint32_t pseudo_sum(std::span<const uint8_t> frame, const FrameHeaders& at, uint32_t transport_bytes) {
  const bool v6 = at.ether_type == kIpv6;
  const size_t first = at.network + (v6 ? 8u : 12u);
  return fold(uint64_t{ones_sum(frame.subspan(first, v6 ? 32 : 8))} + at.protocol + (transport_bytes >> 16) + (transport_bytes & 0xffff));
}

void finish_ipv4_header(std::span<uint8_t> frame, const FrameHeaders& at) {
  put16(frame, at.network + 10u, 0);
  put16(frame, at.network + 10u, ~ones_sum(frame.subspan(at.network, at.transport - at.network)) & 0xffff);
}

// Lengths and checksums of one finished segment.
void finish_segment(std::span<uint8_t> frame, const FrameHeaders& at) {
  const auto transport_bytes = static_cast<uint32_t>(frame.size() - at.transport);
  if (at.ether_type == kIpv4) {
    put16(frame, at.network + 2u, static_cast<uint32_t>(frame.size() - at.network));
    finish_ipv4_header(frame, at);
  } else {
    put16(frame, at.network + 4u, static_cast<uint32_t>(frame.size() - at.network - 40));
  }
  const size_t field = at.transport + (at.protocol == kTcp ? 16u : 6u);
  if (at.protocol == kUdp) put16(frame, at.transport + 4u, transport_bytes);
  put16(frame, field, 0);
  uint32_t sum = ~ones_sum(frame.subspan(at.transport), pseudo_sum(frame, at, transport_bytes)) & 0xffff;
  if (sum == 0 && at.protocol == kUdp) sum = 0xffff;  // RFC 768: zero means none
  put16(frame, field, sum);
}

// Whether the headers are those that the driver's gso type names.
bool matches(const FrameHeaders& at, Gso gso) {
  switch (gso) {
    case Gso::kTcp4: return at.ether_type == kIpv4 && at.protocol == kTcp;
    case Gso::kTcp6: return at.ether_type == kIpv6 && at.protocol == kTcp;
    case Gso::kUdp: return at.protocol == kUdp;
    case Gso::kNone: break;
  }
  return false;
}

}  // namespace

uint32_t ones_sum(std::span<const uint8_t> bytes, uint32_t sum) {
  // Sums 8 bytes at a time in host order: the one's complement sum does not depend on byte order but for a final swap (RFC 1071 2B).
  uint64_t total = 0;
  const uint8_t* at = bytes.data();
  size_t left = bytes.size();
  for (; left >= 8; at += 8, left -= 8) {
    uint64_t word;
    std::memcpy(&word, at, 8);
    total += word;
    total += total < word;
  }
  uint64_t tail = 0;
  if (left) std::memcpy(&tail, at, left);
  total += tail;
  total += total < tail;
  uint32_t folded = fold((total >> 32) + (total & 0xffffffff));
  if constexpr (std::endian::native == std::endian::little) folded = (folded & 0xff) << 8 | folded >> 8;
  return fold(uint64_t{folded} + sum);
}

bool finish_checksum(std::span<uint8_t> frame, uint16_t start, uint16_t offset) {
  if (start >= frame.size() || size_t{start} + offset + 2 > frame.size()) return false;
  // The field holds the pseudo-header's sum and is summed along.
  uint32_t sum = ~ones_sum(frame.subspan(start)) & 0xffff;
  if (sum == 0) sum = 0xffff;  // equal for TCP, and what UDP wants
  put16(frame, size_t{start} + offset, sum);
  return true;
}

FrameHeaders parse_headers(std::span<const uint8_t> frame) {
  FrameHeaders at;
  size_t where = 12;
  for (int tags = 0; where + 2 <= frame.size(); ++tags) {
    at.ether_type = get16(frame, where);
    where += 2;
    if ((at.ether_type != kVlan && at.ether_type != kQinq) || tags == 2) break;
    at.vlan = true;
    where += 2;
  }
  at.network = static_cast<uint16_t>(where);
  if (at.ether_type == kIpv4 && where + 20 <= frame.size()) {
    const size_t header = (frame[where] & 15u) * 4u;
    at.protocol = frame[where + 9];
    const bool fragment = get16(frame, where + 6) & 0x3fff;
    if (frame[where] >> 4 == 4 && header >= 20 && where + header <= frame.size() && !fragment) {
      at.transport = static_cast<uint16_t>(where + header);
    }
  } else if (at.ether_type == kIpv6 && where + 40 <= frame.size()) {
    at.protocol = frame[where + 6];
    size_t next = where + 40;
    // Hop-by-hop, routing and destination options (RFC 8200 4.3 - 4.6).
    while ((at.protocol == 0 || at.protocol == 43 || at.protocol == 60) && next + 8 <= frame.size()) {
      at.protocol = frame[next];
      next += (frame[next + 1] + 1u) * 8u;
    }
    if (next < frame.size() && next < 65535) at.transport = static_cast<uint16_t>(next);
  }
  return at;
}

bool segment(std::span<const uint8_t> frame, const Offload& offload, std::vector<uint8_t>& scratch, const EmitFrame& emit) {
  const FrameHeaders at = parse_headers(frame);
  if (!at.transport || !matches(at, offload.gso) || offload.gso_size == 0 || frame.size() > kMaxFrame) return false;
  const bool tcp = at.protocol == kTcp;
  size_t headers = at.transport + (tcp ? 20u : 8u);
  if (frame.size() < headers) return false;
  if (tcp) {
    const size_t tcp_header = (frame[at.transport + 12u] >> 4) * 4u;
    if (tcp_header < 20) return false;
    headers = at.transport + tcp_header;
    if (frame.size() < headers) return false;
  }
  const std::span<const uint8_t> payload = frame.subspan(headers);
  const uint32_t sequence = tcp ? get32(frame, at.transport + 4u) : 0;
  const uint8_t tcp_flags = tcp ? frame[at.transport + 13u] : 0;
  const uint16_t ip_id = at.ether_type == kIpv4 ? get16(frame, at.network + 4u) : 0;
  size_t done = 0;
  uint16_t number = 0;
  do {
    const size_t part = std::min<size_t>(payload.size() - done, offload.gso_size);
    const bool last = done + part == payload.size();
    scratch.resize(headers + part);
    std::copy_n(frame.data(), headers, scratch.data());
    std::copy_n(payload.data() + done, part, scratch.data() + headers);
    if (at.ether_type == kIpv4) put16(scratch, at.network + 4u, static_cast<uint16_t>(ip_id + number));
    if (tcp) {
      put32(scratch, at.transport + 4u, sequence + static_cast<uint32_t>(done));
      uint8_t flags = tcp_flags;
      if (!last) flags &= static_cast<uint8_t>(~0x09);  // FIN and PSH belong to the last segment,
      if (number) flags &= static_cast<uint8_t>(~0x80);  // CWR to the first (RFC 3168 6.1.2)
      scratch[at.transport + 13u] = flags;
    }
    finish_segment(scratch, at);
    emit(scratch);
    done += part;
    ++number;
  } while (done < payload.size());
  return true;
}

}  // namespace lyre::machine::net
