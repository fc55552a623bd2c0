// Building of the decision tree: at each node the window whose fixed bits leave the fewest pictures per child on average.
#include "frontend/decode/decoder.h"

#include <algorithm>
#include <bit>

namespace lyre::decode {

namespace {

constexpr unsigned kLeafSize = 2;    // lists this short are not split
constexpr unsigned kMaxWindow = 7;   // bits; 128 children
constexpr unsigned kMaxDepth = 6;

struct Window {
  unsigned shift = 0;
  unsigned bits = 0;
};

}  // namespace

Decoder::Decoder(std::span<const Picture* const> pictures) {
  std::vector<Candidate> all;
  all.reserve(pictures.size());
  for (const Picture* picture : pictures)
    all.push_back({picture->mask, picture->value, {picture->nonzero[0], picture->nonzero[1]}, static_cast<uint32_t>(all.size())});
  // More fixed bits first; then more conditions; then the order of the list.
  std::stable_sort(all.begin(), all.end(), [](const Candidate& a, const Candidate& b) {
    int fixed_a = std::popcount(a.mask), fixed_b = std::popcount(b.mask);
    if (fixed_a != fixed_b) return fixed_a > fixed_b;
    return (a.nonzero[0] != 0) + (a.nonzero[1] != 0) > (b.nonzero[0] != 0) + (b.nonzero[1] != 0);
  });
  if (!all.empty()) build(all, 0);
}

uint32_t Decoder::build(const std::vector<Candidate>& pictures, unsigned depth) {
  uint32_t at = static_cast<uint32_t>(nodes_.size());
  nodes_.emplace_back();

  // Expected list length of a child is the sum of 2^-(fixed bits in the window); wide windows must earn their table.
  Window best;
  if (pictures.size() > kLeafSize && depth < kMaxDepth) {
    double best_cost = static_cast<double>(pictures.size()) * 0.75;
    for (unsigned shift = 0; shift < 32; ++shift) {
      for (unsigned bits = 1; bits <= kMaxWindow && shift + bits <= 32; ++bits) {
        uint32_t window = ((1u << bits) - 1) << shift;
        double cost = 0.004 * static_cast<double>(1u << bits);
        for (const Candidate& picture : pictures) cost += 1.0 / static_cast<double>(1u << std::popcount(picture.mask & window));
        if (cost < best_cost) best_cost = cost, best = {shift, bits};
      }
    }
  }
  if (!best.bits) {
    nodes_[at].first = static_cast<uint32_t>(candidates_.size());
    nodes_[at].count = static_cast<uint16_t>(pictures.size());
    candidates_.insert(candidates_.end(), pictures.begin(), pictures.end());
    return at;
  }

  uint32_t children = static_cast<uint32_t>(children_.size());
  children_.resize(children + (size_t{1} << best.bits));
  nodes_[at].first = children, nodes_[at].shift = static_cast<uint8_t>(best.shift), nodes_[at].bits = static_cast<uint8_t>(best.bits);
  uint32_t window = ((1u << best.bits) - 1) << best.shift;
  std::vector<Candidate> subset;
  for (uint32_t child = 0; child < 1u << best.bits; ++child) {
    uint32_t word = child << best.shift;
    subset.clear();
    for (const Candidate& picture : pictures)
      if ((word & window & picture.mask) == (picture.value & window)) subset.push_back(picture);
    children_[children + child] = build(subset, depth + 1);
  }
  return at;
}

}  // namespace lyre::decode
