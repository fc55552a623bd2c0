// Guest memory while others access it: a guest may race with itself, and its devices with it, so these accesses are not data races of ours and
// ThreadSanitizer does not look at them. One host access each; misaligned ones may tear.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace lyre {

// size: 1, 2, 4 or 8 bytes, host byte order; the rest of the value is zero.
[[gnu::no_sanitize_thread]] inline uint64_t read_guest_bytes(const std::byte* host, unsigned size) {
  switch (size) {
    case 1: { uint8_t v; std::memcpy(&v, host, 1); return v; }
    case 2: { uint16_t v; std::memcpy(&v, host, 2); return v; }
    case 4: { uint32_t v; std::memcpy(&v, host, 4); return v; }
    default: { uint64_t v; std::memcpy(&v, host, 8); return v; }
  }
}

[[gnu::no_sanitize_thread]] inline void write_guest_bytes(std::byte* host, unsigned size, uint64_t value) {
  switch (size) {
    case 1: std::memcpy(host, &value, 1); break;
    case 2: std::memcpy(host, &value, 2); break;
    case 4: std::memcpy(host, &value, 4); break;
    default: std::memcpy(host, &value, 8);
  }
}

}  // namespace lyre
