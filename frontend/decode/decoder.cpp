#include "frontend/decode/decoder.h"

#include <algorithm>

#include "runtime/base/check.h"

namespace lyre::decode {

namespace {

constexpr unsigned kMaxWindow = 8;

struct Window {
  unsigned shift = 0;
  unsigned bits = 0;
};

// A bit splits as many pictures as are fixed to its rarer value. The window with the greatest sum wins; bits that split nothing are trimmed off its ends.
template <typename Candidates>
Window best_window(const Candidates& pictures) {
  unsigned gain[32];
  for (unsigned bit = 0; bit < 32; ++bit) {
    unsigned ones = 0, zeros = 0;
    for (const auto& picture : pictures) {
      ones += picture.value >> bit & 1;
      zeros += (picture.mask & ~picture.value) >> bit & 1;
    }
    gain[bit] = std::min(ones, zeros);
  }
  Window best;
  unsigned best_sum = 0;
  for (unsigned shift = 0; shift < 32; ++shift) {
    if (!gain[shift]) continue;
    unsigned sum = 0;
    for (unsigned bits = 1; bits <= kMaxWindow && shift + bits <= 32; ++bits) {
      sum += gain[shift + bits - 1];
      if (sum > best_sum) best_sum = sum, best = {shift, bits};
    }
  }
  return best;
}

// Calls visit(index) for every index of `bits` bits that agrees with `value` where `mask` is set.
template <typename Visit>
void each_agreeing(uint32_t mask, uint32_t value, uint32_t all, Visit visit) {
  uint32_t free = all & ~mask;
  for (uint32_t part = free;; part = (part - 1) & free) {
    visit((value & mask) | part);
    if (!part) break;
  }
}

}  // namespace

Decoder::Decoder(std::span<const Picture* const> pictures, MajorFields major) : major_(major) {
  std::vector<uint32_t> order(pictures.size());
  for (uint32_t k = 0; k < order.size(); ++k) order[k] = k;
  std::stable_sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) { return pictures[a]->rank > pictures[b]->rank; });

  if (!pictures.empty() && pictures[0]->width == 16) significant_ = 0xffff;
  unsigned index_bits = major.low_bits + major.high_bits;
  LYRE_CHECK(index_bits <= 12, "too many major bits");
  std::vector<std::vector<Candidate>> lists(size_t{1} << index_bits);
  for (uint32_t k : order) {
    const Picture& picture = *pictures[k];
    Candidate made;
    made.mask = picture.mask, made.value = picture.value, made.index = k;
    for (unsigned field = 0; field < 2; ++field)
      if (picture.nonzero[field]) made.nonzero[field] = picture.nonzero[field];
    each_agreeing(major_index(picture.mask), major_index(picture.value), (1u << index_bits) - 1, [&](uint32_t index) { lists[index].push_back(made); });
  }
  candidates_.emplace_back();  // the empty list
  buckets_.resize(lists.size());
  for (size_t k = 0; k < lists.size(); ++k) build_bucket(buckets_[k], lists[k]);
}

void Decoder::build_bucket(Bucket& bucket, const std::vector<Candidate>& pictures) {
  Window window = pictures.size() > 1 ? best_window(pictures) : Window{};
  size_t count = size_t{1} << window.bits;
  bucket.first = static_cast<uint32_t>(cells_.size());
  bucket.shift = static_cast<uint8_t>(window.shift);
  bucket.mask = static_cast<uint8_t>(count - 1);
  cells_.resize(cells_.size() + count, 0);
  std::vector<std::vector<Candidate>> lists(count);
  for (const Candidate& picture : pictures)
    each_agreeing(picture.mask >> window.shift & bucket.mask, picture.value >> window.shift, bucket.mask, [&](uint32_t cell) { lists[cell].push_back(picture); });
  for (size_t cell = 0; cell < count; ++cell) {
    if (lists[cell].empty()) continue;
    LYRE_CHECK(candidates_.size() < 0xffff, "too many pictures");
    cells_[bucket.first + cell] = static_cast<uint16_t>(candidates_.size());
    candidates_.insert(candidates_.end(), lists[cell].begin(), lists[cell].end());
    candidates_.push_back(candidates_[0]);
  }
}

}  // namespace lyre::decode
