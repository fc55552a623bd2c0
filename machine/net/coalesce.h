// Coalescing of received TCP/IPv4 segments: neighbours of one flow become one large frame that a card hands to its guest as if it had been
// segmented on the way (virtio 1.3, 5.1.6.4), so that the guest pays once for what were dozens of frames.
// Only what the guest could cut again into the very same segments is joined: same headers, consecutive sequence numbers, full segments but
// for the last, nothing after a PSH. Pure functions on bytes. Hot for network traffic.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "machine/net/backend.h"

namespace lyre::machine::net {

struct Coalesced {
  size_t frames = 0;             // how many of the input were joined; 1: the first stays as it is
  uint16_t header_bytes = 0;     // up to the TCP payload
  uint16_t segment_bytes = 0;    // payload of each segment
  uint16_t checksum_start = 0;   // the TCP header; its checksum field holds the pseudo-header's sum
  uint16_t checksum_offset = 0;
};

// Joins as many frames from the front as belong together; with more than one the result is in `joined`.
Coalesced coalesce_tcp4(std::span<const Frame> frames, std::vector<uint8_t>& joined);

}  // namespace lyre::machine::net
