// Random raw superblocks for comparing hosts: every operation, state slots of several types, guest memory (present, slow, absent and
// misaligned), helpers of every kind, floating point, side exits and loops. The n-th instruction depends on the seed and on what came
// before it only, so a shorter region of the same seed is a prefix of a longer one: that is how failures are made small.
#pragma once
#include <cstdint>
#include <random>
#include <span>
#include <string>

#include "ir/abi.h"
#include "ir/region.h"

namespace lyre::diff {

inline constexpr uint16_t kPcSlot = 512;
inline constexpr uint16_t kCounterSlot = 520;  // iterations left; only the loop itself writes it
inline constexpr uint16_t kPinnedSlots[] = {16, 8, 80, 88, 120};
inline constexpr size_t kComparedState = 640;

struct GeneratorOptions {
  unsigned length = 40;
  bool i128 = false;        // hosts need not know 128-bit values
  bool dead_flags = false;  // operations whose sticky flags nobody reads; then flags are not compared
};

// Fills `region` with raw IR.
void generate(uint64_t seed, const GeneratorOptions& options, ir::Region& region);

// Helpers that generated regions call.
std::span<const ir::HelperInfo> helpers();

// Values that find bugs: edges, small numbers, single bits, random ones.
uint64_t interesting(std::mt19937_64& random);

}  // namespace lyre::diff
