// Strong address types. A guest address is never mixed up with a host one, nor a virtual one with a physical one.
#pragma once
#include <compare>
#include <cstddef>
#include <cstdint>

namespace lyre {

// Guest virtual address.
struct Gva {
  uint64_t value = 0;
  constexpr auto operator<=>(const Gva&) const = default;
  constexpr Gva operator+(uint64_t bytes) const { return {value + bytes}; }
};

// Guest physical address.
struct Gpa {
  uint64_t value = 0;
  constexpr auto operator<=>(const Gpa&) const = default;
  constexpr Gpa operator+(uint64_t bytes) const { return {value + bytes}; }
};

// Host virtual address inside guest RAM or code memory.
using Hva = std::byte*;

inline constexpr unsigned kPageBits = 12;
inline constexpr uint64_t kPageSize = uint64_t{1} << kPageBits;
inline constexpr uint64_t kPageMask = ~(kPageSize - 1);

}  // namespace lyre
