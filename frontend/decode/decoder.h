// Finds the picture that matches a word: two table steps, then compares. The first step is indexed by bits that the guest names (major opcode fields), the
// second by a window of adjacent bits that splits the pictures of that bucket best; what is left is a short list, the picture with the most fixed bits first.
// Built once per CPU model from the pictures that it has (some 0.1 ms), read-only afterwards and safe to share. find() is hot and has no branch that
// depends on the encoding but the last compare.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "frontend/decode/picture.h"

namespace lyre::decode {

// Bits [low_shift, +low_bits) and [high_shift, +high_bits) make the first index; together at most 12 bits.
struct MajorFields {
  uint8_t low_shift = 0, low_bits = 0, high_shift = 0, high_bits = 0;
};

class Decoder {
 public:
  static constexpr unsigned kNone = ~0u;
  Decoder() = default;
  // Pictures of one width; an index into this list is what find() returns. The list itself is not kept.
  Decoder(std::span<const Picture* const> pictures, MajorFields major);
  // `word`: for 16-bit pictures the upper half is ignored.
  unsigned find(uint32_t word) const {
    word &= significant_;
    const uint64_t marked = kMark | word;
    const Bucket& bucket = buckets_[major_index(word)];
    for (const Candidate* c = candidates_.data() + cells_[bucket.first + (word >> bucket.shift & bucket.mask)];; ++c) {
      if (((word & c->mask) == c->value) & ((marked & c->nonzero[0]) != 0) & ((marked & c->nonzero[1]) != 0)) return c->index;
    }
  }

 private:
  // A list ends with one that always matches and gives kNone. Where no field must be nonzero, the mark that every word carries is asked for instead.
  static constexpr uint64_t kMark = uint64_t{1} << 32;
  struct Candidate {
    uint32_t mask = 0, value = 0;
    uint64_t nonzero[2] = {kMark, kMark};
    uint32_t index = kNone;
  };
  struct Bucket {
    uint32_t first = 0;  // in cells_
    uint8_t shift = 0;
    uint8_t mask = 0;
  };
  uint32_t major_index(uint32_t word) const {
    return (word >> major_.low_shift & ((1u << major_.low_bits) - 1)) | (word >> major_.high_shift & ((1u << major_.high_bits) - 1)) << major_.low_bits;
  }
  void build_bucket(Bucket& bucket, const std::vector<Candidate>& pictures);
  MajorFields major_;
  uint32_t significant_ = ~0u;
  std::vector<Bucket> buckets_;
  std::vector<uint16_t> cells_;
  std::vector<Candidate> candidates_;
};

}  // namespace lyre::decode
