// Zba, Zbb, Zbc, Zbs, Zbkb, Zbkx against bit-by-bit models.
#include <bit>

#include "tests/guest/riscv/computation.h"

using namespace lyre;
using namespace lyre::test;

namespace {

using U = uint64_t;
U low32(U value) { return value & 0xffffffff; }
U bit_of(U value, unsigned index) { return value >> index & 1; }

// Bit `index` of the 128-bit carry-less product.
U product_bit(U a, U b, unsigned index) {
  U sum = 0;
  for (unsigned k = 0; k < 64; ++k)
    if (index >= k && index - k < 64) sum ^= bit_of(a, k) & bit_of(b, index - k);
  return sum;
}
U product_bits(U a, U b, unsigned from) {
  U result = 0;
  for (unsigned k = 0; k < 64; ++k) result |= product_bit(a, b, from + k) << k;
  return result;
}
U each_byte(U value, U (*function)(U)) {
  U result = 0;
  for (unsigned at = 0; at < 64; at += 8) result |= function(value >> at & 255) << at;
  return result;
}
U permute(U table, U indices, unsigned bits) {
  U result = 0;
  for (unsigned at = 0; at < 64; at += bits) {
    U index = indices >> at & ((1u << bits) - 1);
    for (unsigned bit = 0; bit < bits; ++bit)
      if (index < 64 / bits && bit_of(table, static_cast<unsigned>(index) * bits + bit)) result |= U{1} << (at + bit);
  }
  return result;
}

}  // namespace

TEST_CASE("address generation") {
  ComputationTest test;
  test.binary("add.uw", [](U a, U b) { return low32(a) + b; });
  test.binary("sh1add", [](U a, U b) { return a * 2 + b; });
  test.binary("sh2add", [](U a, U b) { return a * 4 + b; });
  test.binary("sh3add", [](U a, U b) { return a * 8 + b; });
  test.binary("sh1add.uw", [](U a, U b) { return low32(a) * 2 + b; });
  test.binary("sh2add.uw", [](U a, U b) { return low32(a) * 4 + b; });
  test.binary("sh3add.uw", [](U a, U b) { return low32(a) * 8 + b; });
  test.immediate("slli.uw", 's', {0, 1, 32, 63}, [](U a, U b) { return low32(a) << b; });
}

TEST_CASE("basic bit manipulation") {
  ComputationTest test;
  test.binary("andn", [](U a, U b) { return a & ~b; });
  test.binary("orn", [](U a, U b) { return a | ~b; });
  test.binary("xnor", [](U a, U b) { return ~(a ^ b); });
  test.binary("min", [](U a, U b) { return static_cast<int64_t>(a) < static_cast<int64_t>(b) ? a : b; });
  test.binary("max", [](U a, U b) { return static_cast<int64_t>(a) > static_cast<int64_t>(b) ? a : b; });
  test.binary("minu", [](U a, U b) { return a < b ? a : b; });
  test.binary("maxu", [](U a, U b) { return a > b ? a : b; });
  test.binary("rol", [](U a, U b) { return std::rotl(a, static_cast<int>(b & 63)); });
  test.binary("ror", [](U a, U b) { return std::rotr(a, static_cast<int>(b & 63)); });
  test.binary("rolw", [](U a, U b) { return sext32(std::rotl(static_cast<uint32_t>(a), static_cast<int>(b & 31))); });
  test.binary("rorw", [](U a, U b) { return sext32(std::rotr(static_cast<uint32_t>(a), static_cast<int>(b & 31))); });
  test.immediate("rori", 's', {0, 1, 32, 63}, [](U a, U b) { return std::rotr(a, static_cast<int>(b)); });
  test.immediate("roriw", 's', {0, 1, 31}, [](U a, U b) { return sext32(std::rotr(static_cast<uint32_t>(a), static_cast<int>(b))); });
  test.unary("clz", [](U a) { return static_cast<U>(std::countl_zero(a)); });
  test.unary("ctz", [](U a) { return static_cast<U>(std::countr_zero(a)); });
  test.unary("cpop", [](U a) { return static_cast<U>(std::popcount(a)); });
  test.unary("clzw", [](U a) { return static_cast<U>(std::countl_zero(static_cast<uint32_t>(a))); });
  test.unary("ctzw", [](U a) { return static_cast<U>(std::countr_zero(static_cast<uint32_t>(a))); });
  test.unary("cpopw", [](U a) { return static_cast<U>(std::popcount(static_cast<uint32_t>(a))); });
  test.unary("sext.b", [](U a) { return static_cast<U>(int64_t{static_cast<int8_t>(a)}); });
  test.unary("sext.h", [](U a) { return static_cast<U>(int64_t{static_cast<int16_t>(a)}); });
  test.unary("zext.h", [](U a) { return a & 0xffff; });
  test.unary("orc.b", [](U a) { return each_byte(a, [](U byte) { return byte ? U{255} : U{0}; }); });
  test.unary("rev8", [](U a) {
    U result = 0;
    for (unsigned at = 0; at < 64; at += 8) result |= (a >> at & 255) << (56 - at);
    return result;
  });
}

TEST_CASE("carry-less multiplication") {
  ComputationTest test;
  test.binary("clmul", [](U a, U b) { return product_bits(a, b, 0); });
  test.binary("clmulh", [](U a, U b) { return product_bits(a, b, 64); });
  test.binary("clmulr", [](U a, U b) { return product_bits(a, b, 63); });
}

TEST_CASE("single bits") {
  ComputationTest test;
  test.binary("bclr", [](U a, U b) { return a & ~(U{1} << (b & 63)); });
  test.binary("bset", [](U a, U b) { return a | U{1} << (b & 63); });
  test.binary("binv", [](U a, U b) { return a ^ U{1} << (b & 63); });
  test.binary("bext", [](U a, U b) { return bit_of(a, b & 63); });
  test.immediate("bclri", 's', {0, 31, 32, 63}, [](U a, U b) { return a & ~(U{1} << b); });
  test.immediate("bseti", 's', {0, 31, 32, 63}, [](U a, U b) { return a | U{1} << b; });
  test.immediate("binvi", 's', {0, 31, 32, 63}, [](U a, U b) { return a ^ U{1} << b; });
  test.immediate("bexti", 's', {0, 31, 32, 63}, [](U a, U b) { return bit_of(a, static_cast<unsigned>(b)); });
}

TEST_CASE("packing and permutation") {
  ComputationTest test;
  test.binary("pack", [](U a, U b) { return low32(a) | b << 32; });
  test.binary("packh", [](U a, U b) { return (a & 255) | (b & 255) << 8; });
  test.binary("packw", [](U a, U b) { return sext32((a & 0xffff) | (b & 0xffff) << 16); });
  test.unary("brev8", [](U a) {
    return each_byte(a, [](U byte) {
      U result = 0;
      for (unsigned bit = 0; bit < 8; ++bit) result |= bit_of(byte, bit) << (7 - bit);
      return result;
    });
  });
  test.binary("xperm4", [](U a, U b) { return permute(a, b, 4); });
  test.binary("xperm8", [](U a, U b) { return permute(a, b, 8); });
}
