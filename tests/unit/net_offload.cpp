// Checksums and segmentation against a slow model.
#include <cstring>
#include <random>

#include "machine/net/coalesce.h"
#include "machine/net/offload.h"
#include "tests/support/catch.h"

using namespace lyre::machine::net;

namespace {

using Bytes = std::vector<uint8_t>;

uint16_t get16(const Bytes& b, size_t at) { return static_cast<uint16_t>(b[at] << 8 | b[at + 1]); }
void put16(Bytes& b, size_t at, unsigned v) {
  b[at] = static_cast<uint8_t>(v >> 8);
  b[at + 1] = static_cast<uint8_t>(v);
}

// RFC 1071, word by word.
uint32_t slow_sum(const uint8_t* p, size_t n) {
  uint32_t sum = 0;
  for (size_t i = 0; i < n; i += 2) {
    sum += static_cast<uint32_t>(p[i] << 8 | (i + 1 < n ? p[i + 1] : 0));
    sum = (sum & 0xffff) + (sum >> 16);
  }
  return sum;
}

constexpr size_t kEther = 14;

// An Ethernet frame of TCP or UDP over IPv4 or IPv6, the checksum field holding the pseudo-header's sum.
Bytes make_frame(bool v6, bool tcp, size_t payload, bool vlan = false) {
  const size_t ip = vlan ? kEther + 4 : kEther, ip_bytes = v6 ? 40 : 20, l4_bytes = tcp ? 32 : 8;
  Bytes f(ip + ip_bytes + l4_bytes + payload);
  for (size_t i = 0; i < 12; ++i) f[i] = static_cast<uint8_t>(i * 3);
  if (vlan) {
    put16(f, 12, 0x8100);
    put16(f, 14, 5);
  }
  put16(f, ip - 2, v6 ? 0x86dd : 0x0800);
  const size_t l4 = ip + ip_bytes;
  const auto l4_all = static_cast<unsigned>(f.size() - l4);
  if (v6) {
    f[ip] = 0x60;
    put16(f, ip + 4, l4_all);
    f[ip + 6] = tcp ? 6 : 17;
    for (size_t i = 0; i < 32; ++i) f[ip + 8 + i] = static_cast<uint8_t>(i * 5 + 1);
  } else {
    f[ip] = 0x45;
    put16(f, ip + 2, static_cast<unsigned>(f.size() - ip));
    put16(f, ip + 4, 0xfffe);
    f[ip + 8] = 64;
    f[ip + 9] = tcp ? 6 : 17;
    for (size_t i = 0; i < 8; ++i) f[ip + 12 + i] = static_cast<uint8_t>(i * 7 + 10);
    put16(f, ip + 10, ~slow_sum(&f[ip], 20) & 0xffff);
  }
  put16(f, l4, 1000);
  put16(f, l4 + 2, 2000);
  if (tcp) {
    f[l4 + 4] = 0xff, f[l4 + 5] = 0xff, f[l4 + 6] = 0xff, f[l4 + 7] = 0x00;
    f[l4 + 12] = 8 << 4;
    f[l4 + 13] = 0x99;  // CWR, ACK, PSH, FIN
  } else {
    put16(f, l4 + 4, l4_all);
  }
  for (size_t i = 0; i < payload; ++i) f[l4 + l4_bytes + i] = static_cast<uint8_t>(i ^ i >> 8);
  uint32_t sum = slow_sum(&f[v6 ? ip + 8 : ip + 12], v6 ? 32 : 8) + (tcp ? 6u : 17u) + l4_all;
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  put16(f, l4 + (tcp ? 16 : 6), sum);
  return f;
}

// Whether all checksums and lengths of a finished frame are right.
void check_frame(const Bytes& f, bool v6, bool tcp, bool vlan = false) {
  const size_t ip = vlan ? kEther + 4 : kEther, l4 = ip + (v6 ? 40u : 20u);
  const auto l4_all = static_cast<unsigned>(f.size() - l4);
  if (v6) {
    CHECK(get16(f, ip + 4) == l4_all);
  } else {
    CHECK(get16(f, ip + 2) == f.size() - ip);
    CHECK(slow_sum(&f[ip], 20) == 0xffff);
  }
  if (!tcp) CHECK(get16(f, l4 + 4) == l4_all);
  uint32_t sum = slow_sum(&f[v6 ? ip + 8 : ip + 12], v6 ? 32 : 8) + (tcp ? 6u : 17u) + l4_all + slow_sum(&f[l4], l4_all);
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  CHECK(sum == 0xffff);
}

}  // namespace

TEST_CASE("the one's complement sum agrees with the plain one") {
  std::mt19937 random(1);
  for (int i = 0; i < 2000; ++i) {
    Bytes bytes(random() % 200);
    for (uint8_t& b : bytes) b = static_cast<uint8_t>(random() % 3 ? 0xff : random());
    CHECK(ones_sum(bytes) == slow_sum(bytes.data(), bytes.size()));
  }
}

TEST_CASE("partial checksums are finished") {
  for (bool v6 : {false, true}) {
    for (bool tcp : {false, true}) {
      for (size_t payload : {0u, 1u, 100u, 1461u}) {
        Bytes f = make_frame(v6, tcp, payload);
        const auto start = static_cast<uint16_t>(kEther + (v6 ? 40 : 20));
        REQUIRE(finish_checksum(f, start, tcp ? 16 : 6));
        check_frame(f, v6, tcp);
      }
    }
  }
  Bytes f = make_frame(false, true, 10);
  CHECK(!finish_checksum(f, static_cast<uint16_t>(f.size()), 0));
  CHECK(!finish_checksum(f, static_cast<uint16_t>(f.size() - 2), 1));
  CHECK(!finish_checksum(f, 0xffff, 0xffff));
}

TEST_CASE("large frames are cut") {
  for (bool vlan : {false, true}) {
    for (bool v6 : {false, true}) {
      for (bool tcp : {false, true}) {
        for (size_t payload : {1u, 1000u, 1001u, 65000u, 0u}) {
          const Bytes f = make_frame(v6, tcp, payload, vlan);
          const size_t headers = f.size() - payload, l4 = headers - (tcp ? 32u : 8u);
          Offload offload;
          offload.gso = tcp ? (v6 ? Gso::kTcp6 : Gso::kTcp4) : Gso::kUdp;
          offload.gso_size = 1000;
          std::vector<uint8_t> scratch;
          std::vector<Bytes> parts;
          REQUIRE(segment(f, offload, scratch, [&](std::span<uint8_t> part) { parts.emplace_back(part.begin(), part.end()); }));
          CHECK(parts.size() == std::max<size_t>(1, (payload + 999) / 1000));
          Bytes joined;
          for (size_t i = 0; i < parts.size(); ++i) {
            const Bytes& p = parts[i];
            check_frame(p, v6, tcp, vlan);
            CHECK(std::memcmp(p.data(), f.data(), 12) == 0);
            if (!v6) CHECK(get16(p, l4 - 16) == static_cast<uint16_t>(0xfffe + i));
            if (tcp) {
              const uint32_t seq = uint32_t{get16(p, l4 + 4)} << 16 | get16(p, l4 + 6);
              CHECK(seq == static_cast<uint32_t>(0xffffff00u + joined.size()));
              const bool first = i == 0, last = i + 1 == parts.size();
              CHECK(p[l4 + 13] == (0x10 | (first ? 0x80 : 0) | (last ? 0x09 : 0)));
            }
            joined.insert(joined.end(), p.begin() + static_cast<ptrdiff_t>(headers), p.end());
          }
          CHECK(std::equal(joined.begin(), joined.end(), f.begin() + static_cast<ptrdiff_t>(headers), f.end()));
        }
      }
    }
  }
}

TEST_CASE("frames that are not what they claim are refused") {
  std::vector<uint8_t> scratch;
  const auto cut = [&](const Bytes& f, Gso gso, uint16_t size) {
    Offload offload;
    offload.gso = gso;
    offload.gso_size = size;
    return segment(f, offload, scratch, [](std::span<uint8_t>) {});
  };
  Bytes f = make_frame(false, true, 3000);
  CHECK(cut(f, Gso::kTcp4, 1000));
  CHECK(!cut(f, Gso::kTcp4, 0));
  CHECK(!cut(f, Gso::kTcp6, 1000));
  CHECK(!cut(f, Gso::kUdp, 1000));
  CHECK(!cut(Bytes(f.begin(), f.begin() + 40), Gso::kTcp4, 1000));
  Bytes short_header = f;
  short_header[kEther + 20 + 12] = 0x10;
  CHECK(!cut(short_header, Gso::kTcp4, 1000));
  Bytes fragment = f;
  fragment[kEther + 6] = 0x20;
  CHECK(!cut(fragment, Gso::kTcp4, 1000));
  std::mt19937 random(3);
  for (int i = 0; i < 20000; ++i) {  // whatever the bytes are, nothing outside of them is touched
    Bytes garbage(random() % 120);
    for (uint8_t& b : garbage) b = static_cast<uint8_t>(random());
    if (garbage.size() > 14 && random() % 2) put16(garbage, 12, random() % 2 ? 0x0800 : 0x86dd);
    if (garbage.size() > 24 && random() % 2) garbage[14] = 0x45, garbage[23] = 6;
    cut(garbage, static_cast<Gso>(random() % 4), static_cast<uint16_t>(random()));
    finish_checksum(garbage, static_cast<uint16_t>(random() % 130), static_cast<uint16_t>(random() % 130));
    parse_headers(garbage);
  }
}

TEST_CASE("what was cut is joined again, and nothing else") {
  const auto cut = [](size_t payload, uint16_t size) {
    Bytes whole = make_frame(false, true, payload);
    whole[kEther + 20 + 13] = 0x18;  // ACK and PSH
    Offload offload;
    offload.gso = Gso::kTcp4;
    offload.gso_size = size;
    std::vector<uint8_t> scratch;
    std::vector<Bytes> parts;
    REQUIRE(segment(whole, offload, scratch, [&](std::span<uint8_t> part) { parts.emplace_back(part.begin(), part.end()); }));
    return parts;
  };
  const auto join = [](const std::vector<Bytes>& parts, std::vector<uint8_t>& joined) {
    std::vector<Frame> frames(parts.begin(), parts.end());
    return coalesce_tcp4(frames, joined);
  };
  std::vector<uint8_t> joined;
  for (size_t payload : {1001u, 5000u, 65000u}) {
    const std::vector<Bytes> parts = cut(payload, 1000);
    const Coalesced result = join(parts, joined);
    CHECK(result.frames == parts.size());
    CHECK(result.segment_bytes == 1000);
    // Cut again by the header that the guest gets, it is what came.
    Offload offload;
    offload.gso = Gso::kTcp4;
    offload.gso_size = result.segment_bytes;
    std::vector<uint8_t> scratch;
    size_t at = 0;
    REQUIRE(segment(joined, offload, scratch, [&](std::span<uint8_t> part) { CHECK(Bytes(part.begin(), part.end()) == parts[at++]); }));
    REQUIRE(finish_checksum(joined, result.checksum_start, result.checksum_offset));
    check_frame(joined, false, true);
  }
  const std::vector<Bytes> good = cut(3500, 1000);
  std::vector<Bytes> bad = good;
  bad[2][kEther + 20 + 7] ^= 1;  // sequence
  CHECK(join(bad, joined).frames == 2);
  bad = good;
  bad[1][kEther + 20 + 13] |= 8;  // PSH
  CHECK(join(bad, joined).frames == 2);
  bad = good;
  bad[1][kEther + 20 + 13] |= 1;  // FIN
  CHECK(join(bad, joined).frames == 1);
  bad = good;
  bad[0][kEther + 20 + 13] |= 4;  // RST
  CHECK(join(bad, joined).frames == 1);
  bad = good;
  bad[1][kEther + 20 + 1] ^= 1;  // port
  CHECK(join(bad, joined).frames == 1);
  bad = good;
  bad[2][kEther + 20 + 15] ^= 1;  // window
  CHECK(join(bad, joined).frames == 2);
  bad = good;
  bad[1][kEther + 20 + 25] ^= 1;  // an option
  CHECK(join(bad, joined).frames == 1);
  bad = good;
  bad[1].push_back(0);  // padding
  CHECK(join(bad, joined).frames == 1);
  bad = good;
  std::swap(bad[1], bad[3]);  // the short one is in the middle
  CHECK(join(bad, joined).frames == 1);
  CHECK(join({good[0]}, joined).frames == 1);
  std::mt19937 random(5);
  for (int i = 0; i < 20000; ++i) {  // garbage is left alone
    std::vector<Bytes> garbage(2, Bytes(random() % 80));
    for (Bytes& b : garbage) {
      for (uint8_t& byte : b) byte = static_cast<uint8_t>(random());
      if (b.size() > 24) put16(b, 12, 0x0800), b[14] = 0x45, b[23] = 6, put16(b, 16, static_cast<unsigned>(b.size() - 14)), put16(b, 20, 0);
    }
    join(garbage, joined);
  }
}
