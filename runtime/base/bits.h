// Bit fields and sign extension, used by decoders, page walks and device registers.
#pragma once
#include <bit>
#include <cstdint>

namespace lyre {

// Bits [low, low + count) of value, right-aligned. count in 1..64.
constexpr uint64_t bits(uint64_t value, unsigned low, unsigned count) {
  return (value >> low) & (count >= 64 ? ~uint64_t{0} : (uint64_t{1} << count) - 1);
}
constexpr bool bit(uint64_t value, unsigned index) { return (value >> index) & 1; }

// The low `width` bits of value, sign-extended to 64. width in 1..64.
constexpr int64_t sign_extend(uint64_t value, unsigned width) {
  return static_cast<int64_t>(value << (64 - width)) >> (64 - width);
}
constexpr uint64_t low_mask(unsigned count) { return count >= 64 ? ~uint64_t{0} : (uint64_t{1} << count) - 1; }
constexpr uint64_t align_down(uint64_t value, uint64_t alignment) { return value & ~(alignment - 1); }
constexpr uint64_t align_up(uint64_t value, uint64_t alignment) { return align_down(value + alignment - 1, alignment); }
constexpr bool is_power_of_two(uint64_t value) { return std::has_single_bit(value); }

}  // namespace lyre
