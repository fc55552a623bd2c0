// Finds the picture that matches a word: a decision tree over bit windows, built once per CPU model from the pictures that it has (some 0.1 ms), read-only
// afterwards and safe to share. Each node looks at one window of adjacent bits that splits its pictures best; leaves are short lists, the picture
// with the most fixed bits first. Hot: find() takes two or three table steps and compares.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "frontend/decode/picture.h"

namespace lyre::decode {

class Decoder {
 public:
  static constexpr unsigned kNone = ~0u;
  Decoder() = default;
  // Pictures of one width; an index into this list is what find() returns. The list itself is not kept.
  explicit Decoder(std::span<const Picture* const> pictures);
  unsigned find(uint32_t word) const {
    if (nodes_.empty()) return kNone;
    uint32_t at = 0;
    for (;;) {
      const Node& node = nodes_[at];
      if (!node.bits) {
        for (const Candidate *c = candidates_.data() + node.first, *end = c + node.count; c != end; ++c)
          if ((word & c->mask) == c->value && (!c->nonzero[0] || word & c->nonzero[0]) && (!c->nonzero[1] || word & c->nonzero[1])) return c->index;
        return kNone;
      }
      at = children_[node.first + (word >> node.shift & ((1u << node.bits) - 1))];
    }
  }

 private:
  struct Candidate {
    uint32_t mask, value, nonzero[2];
    uint32_t index;
  };
  struct Node {
    uint32_t first = 0;  // in children_ or candidates_
    uint16_t count = 0;  // leaf: candidates
    uint8_t shift = 0;
    uint8_t bits = 0;    // 0: leaf
  };
  uint32_t build(const std::vector<Candidate>& pictures, unsigned depth);
  std::vector<Node> nodes_;
  std::vector<uint32_t> children_;
  std::vector<Candidate> candidates_;
};

}  // namespace lyre::decode
