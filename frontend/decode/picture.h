// The picture of an instruction word: one character a bit, most significant first; parsed at compile time, so that a wrong picture is a compile error.
// 0 and 1: fixed. A letter: a field, which may lie in pieces. A capital letter: a field that must not be zero. '-': any value, part of no field.
#pragma once
#include <bit>
#include <cstddef>
#include <cstdint>

namespace lyre::decode {

struct Picture {
  uint32_t mask = 0;         // fixed bits
  uint32_t value = 0;        // and their values
  uint32_t nonzero[2] = {};  // fields that must not be zero; 0: none
  uint8_t width = 0;         // 16 or 32
  uint8_t rank = 0;          // of two pictures that match a word, the one of higher rank is meant: more fixed bits, then more conditions
  char letters[33] = {};     // without spaces, lower case, most significant first

  consteval Picture(const char* text) {
    unsigned count = 0;
    for (const char* c = text; *c; ++c)
      if (*c != ' ') letters[count++] = *c;  // more than 32: out of bounds, a compile error
    if (count != 16 && count != 32) throw "a picture has 16 or 32 bits";
    width = static_cast<uint8_t>(count);
    char capitals[2] = {};
    for (unsigned i = 0; i < count; ++i) {
      uint32_t bit = uint32_t{1} << (count - 1 - i);
      char c = letters[i];
      if (c == '0' || c == '1') {
        mask |= bit;
        if (c == '1') value |= bit;
      } else if (c >= 'A' && c <= 'Z') {
        unsigned which = !capitals[0] || capitals[0] == c ? 0 : 1;
        if (capitals[which] && capitals[which] != c) throw "at most two fields may be nonzero";
        capitals[which] = c;
        nonzero[which] |= bit;
        letters[i] = static_cast<char>(c - 'A' + 'a');
      } else if (c != '-' && !(c >= 'a' && c <= 'z')) {
        throw "a picture is made of 0, 1, letters and -";
      }
    }
    rank = static_cast<uint8_t>(std::popcount(mask) * 4 + (nonzero[0] != 0) + (nonzero[1] != 0));
  }
  constexpr bool matches(uint32_t word) const {
    return (word & mask) == value && (!nonzero[0] || word & nonzero[0]) && (!nonzero[1] || word & nonzero[1]);
  }
  // Bits of a field; 0: there is none.
  constexpr uint32_t field_mask(char letter) const {
    uint32_t result = 0;
    for (unsigned i = 0; i < width; ++i)
      if (letters[i] == letter) result |= uint32_t{1} << (width - 1 - i);
    return result;
  }
};

template <size_t Size>
constexpr void copy_text(char (&to)[Size], const char* from) {
  size_t i = 0;
  for (; from[i]; ++i) to[i] = from[i];  // too long: out of bounds, a compile error
  if (i >= Size) throw "text too long";
}

}  // namespace lyre::decode
