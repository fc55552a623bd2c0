#include "machine/net/coalesce.h"

#include <algorithm>

#include "machine/net/offload.h"

namespace lyre::machine::net {
namespace {

constexpr size_t kEther = 14, kIp = 20, kTcp = kEther + kIp;  // neither VLAN tag nor IP options
constexpr size_t kMaxIpBytes = 65535;
constexpr uint8_t kAck = 0x10, kPush = 0x08;

uint32_t get16(Frame f, size_t at) { return static_cast<uint32_t>(f[at] << 8 | f[at + 1]); }
uint32_t get32(Frame f, size_t at) { return get16(f, at) << 16 | get16(f, at + 2); }
void put16(std::vector<uint8_t>& f, size_t at, uint32_t value) {
  f[at] = static_cast<uint8_t>(value >> 8);
  f[at + 1] = static_cast<uint8_t>(value);
}

size_t header_bytes(Frame f) { return kTcp + (f[kTcp + 12] >> 4) * 4u; }

// Plain data: TCP in an unfragmented IPv4 packet that fills its frame, ACK and perhaps PSH, some payload.
bool is_data(Frame f) {
  if (f.size() < kTcp + 20 || get16(f, 12) != 0x0800 || f[kEther] != 0x45 || f[kEther + 9] != 6) return false;
  if (get16(f, kEther + 6) & 0x3fff || get16(f, kEther + 2) != f.size() - kEther) return false;
  const size_t headers = header_bytes(f);
  return headers >= kTcp + 20 && headers < f.size() && (f[kTcp + 13] & ~kPush) == kAck;
}

bool same(Frame a, Frame b, size_t from, size_t to) {
  return std::equal(a.begin() + static_cast<ptrdiff_t>(from), a.begin() + static_cast<ptrdiff_t>(to), b.begin() + static_cast<ptrdiff_t>(from));
}

// Everything but length, identification, checksums, sequence number and PSH.
bool same_headers(Frame a, Frame b) {
  const size_t headers = header_bytes(a);
  return header_bytes(b) == headers && same(a, b, 0, kEther + 2) && same(a, b, kEther + 6, kEther + 10) && same(a, b, kEther + 12, kTcp + 4) &&
         same(a, b, kTcp + 8, kTcp + 13) && same(a, b, kTcp + 14, kTcp + 16) && same(a, b, kTcp + 18, headers);
}

}  // namespace

Coalesced coalesce_tcp4(std::span<const Frame> frames, std::vector<uint8_t>& joined) {
  Coalesced result;
  result.frames = 1;
  const Frame first = frames.front();
  if (frames.size() < 2 || !is_data(first)) return result;
  const size_t headers = header_bytes(first), segment = first.size() - headers;
  size_t bytes = first.size();
  uint32_t next = get32(first, kTcp + 4) + static_cast<uint32_t>(segment);
  while (result.frames < frames.size()) {
    const Frame before = frames[result.frames - 1], f = frames[result.frames];
    if (before[kTcp + 13] & kPush || before.size() != first.size()) break;
    if (!is_data(f) || !same_headers(first, f) || f.size() > first.size() || get32(f, kTcp + 4) != next) break;
    if (bytes + f.size() - headers > kEther + kMaxIpBytes) break;
    bytes += f.size() - headers;
    next += static_cast<uint32_t>(f.size() - headers);
    ++result.frames;
  }
  if (result.frames == 1) return result;
  joined.assign(first.begin(), first.end());
  for (size_t i = 1; i < result.frames; ++i) joined.insert(joined.end(), frames[i].begin() + static_cast<ptrdiff_t>(headers), frames[i].end());
  joined[kTcp + 13] = frames[result.frames - 1][kTcp + 13];
  put16(joined, kEther + 2, static_cast<uint32_t>(bytes - kEther));
  put16(joined, kEther + 10, 0);
  put16(joined, kEther + 10, ~ones_sum(Frame(joined).subspan(kEther, kIp)));
  const uint32_t pseudo = ones_sum(Frame(joined).subspan(kEther + 12, 8)) + 6 + static_cast<uint32_t>(bytes - kTcp);
  put16(joined, kTcp + 16, (pseudo & 0xffff) + (pseudo >> 16));
  result.header_bytes = static_cast<uint16_t>(headers);
  result.segment_bytes = static_cast<uint16_t>(segment);
  result.checksum_start = kTcp;
  result.checksum_offset = 16;
  return result;
}

}  // namespace lyre::machine::net
