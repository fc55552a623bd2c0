// Offloads in software: what a virtio network card promised its driver to do (virtio 1.3, 5.1.6.2): finish partial checksums, cut large
// TCP and UDP frames into MTU-sized ones.
// Pure functions on bytes; every offset that the guest gave is checked against the frame. Hot for network traffic.
#pragma once
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace lyre::machine::net {

enum class Gso : uint8_t { kNone, kTcp4, kTcp6, kUdp };  // kUdp: USO, either IP version

struct Offload {
  bool partial_checksum = false;  // the transport checksum field holds the pseudo-header's sum only
  uint16_t checksum_start = 0;    // bytes from the start of the frame: the transport header
  uint16_t checksum_offset = 0;   // bytes from there: the checksum field
  Gso gso = Gso::kNone;
  uint16_t gso_size = 0;          // payload bytes of each segment
};

// One's complement sum of big-endian 16-bit words (RFC 1071), folded, not inverted. `sum`: what to add to.
uint32_t ones_sum(std::span<const uint8_t> bytes, uint32_t sum = 0);

// Fills in the checksum at start + offset over everything from start on. False: outside the frame.
bool finish_checksum(std::span<uint8_t> frame, uint16_t start, uint16_t offset);

using EmitFrame = std::function<void(std::span<uint8_t>)>;
// Cuts a frame by its `gso`; emits finished frames that live in `scratch` until the next one. False: the headers are not what the
// driver said, nothing was emitted.
bool segment(std::span<const uint8_t> frame, const Offload& offload, std::vector<uint8_t>& scratch, const EmitFrame& emit);

// Where the headers of a frame lie; offsets in bytes.
struct FrameHeaders {
  uint16_t network = 0;        // IP header
  uint16_t transport = 0;      // 0: none that we know, or a fragment
  uint16_t ether_type = 0;     // after VLAN tags
  uint8_t protocol = 0;        // of IP
  bool vlan = false;
};
FrameHeaders parse_headers(std::span<const uint8_t> frame);

}  // namespace lyre::machine::net
