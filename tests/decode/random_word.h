// Random words for a row: fixed bits as in its picture, fields at random, sometimes with small or extreme values; nonzero fields are not zero. Also used by
// tests/diff to draw programs.
#pragma once
#include <random>

#include "frontend/riscv/isa.h"

namespace lyre::test {

inline uint32_t random_word(const decode::Picture& picture, std::mt19937& random) {
  for (;;) {
    uint32_t word = static_cast<uint32_t>(random());
    // One time in eight each: all fields zero, all ones, or few bits set.
    switch (random() & 15) {
      case 0: word = 0; break;
      case 1: word = ~0u; break;
      case 2: word &= static_cast<uint32_t>(random() & random()); break;
      default: break;
    }
    uint32_t low = picture.width == 16 ? 0xffff : ~0u;
    word = (picture.value | (word & ~picture.mask)) & low;
    if (picture.matches(word)) return word;
  }
}

}  // namespace lyre::test
