// AES and SM4 substitution boxes and the GF(2^8) arithmetic of AES, computed at compile time from their definitions where they have a short one.
#pragma once
#include <array>
#include <bit>
#include <cstdint>

namespace lyre::riscv {

using ByteTable = std::array<uint8_t, 256>;

// Product in GF(2^8) modulo x^8 + x^4 + x^3 + x + 1 (FIPS 197, 4.2).
constexpr uint8_t aes_multiply(uint8_t a, uint8_t b) {
  uint8_t product = 0;
  for (; b; b = static_cast<uint8_t>(b >> 1)) {
    if (b & 1) product = static_cast<uint8_t>(product ^ a);
    a = static_cast<uint8_t>((a << 1) ^ (a & 0x80 ? 0x1b : 0));
  }
  return product;
}

// The inverse in GF(2^8) followed by an affine map (FIPS 197, 5.1.1). Powers of the generator 3 give inverses: 3^(255 - n) is that of 3^n.
constexpr ByteTable make_aes_forward() {
  uint8_t power[256] = {}, logarithm[256] = {};
  uint8_t value = 1;
  for (unsigned n = 0; n < 255; ++n) {
    power[n] = value;
    logarithm[value] = static_cast<uint8_t>(n);
    value = aes_multiply(value, 3);
  }
  ByteTable table{};
  for (unsigned byte = 0; byte < 256; ++byte) {
    uint8_t inverse = byte == 0 ? uint8_t{0} : power[(255 - logarithm[byte]) % 255];
    table[byte] = static_cast<uint8_t>(inverse ^ std::rotl(inverse, 1) ^ std::rotl(inverse, 2) ^ std::rotl(inverse, 3) ^ std::rotl(inverse, 4) ^ 0x63);
  }
  return table;
}
constexpr ByteTable make_inverse(const ByteTable& forward) {
  ByteTable table{};
  for (unsigned byte = 0; byte < 256; ++byte) table[forward[byte]] = static_cast<uint8_t>(byte);
  return table;
}
inline constexpr ByteTable kAesForward = make_aes_forward();
inline constexpr ByteTable kAesInverse = make_inverse(kAesForward);
static_assert(kAesForward[0x53] == 0xed);  // the example of FIPS 197, 5.1.1

// The S box of GB/T 32907-2016 in its algebraic form: S(x) = A(inverse(A(x))) in GF(2^8) modulo x^8 + x^7 + x^6 + x^5 + x^4 + x^2 + 1, where A is a
// circulant matrix and the addition of 0xd3 (Liu et al., "Analysis of the SMS4 block cipher").
constexpr uint8_t sm4_multiply(uint8_t a, uint8_t b) {
  uint8_t product = 0;
  for (; b; b = static_cast<uint8_t>(b >> 1)) {
    if (b & 1) product = static_cast<uint8_t>(product ^ a);
    a = static_cast<uint8_t>((a << 1) ^ (a & 0x80 ? 0xf5 : 0));
  }
  return product;
}
constexpr uint8_t sm4_affine(uint8_t x) {
  uint8_t result = 0;
  for (unsigned n = 0; n < 8; ++n) {
    uint8_t row = std::rotl(uint8_t{0xd3}, static_cast<int>(n + 1));
    if (std::popcount(static_cast<uint8_t>(row & x)) & 1) result = static_cast<uint8_t>(result | 1 << n);
  }
  return result ^ 0xd3;
}
constexpr ByteTable make_sm4() {
  ByteTable table{};
  for (unsigned byte = 0; byte < 256; ++byte) {
    uint8_t from = sm4_affine(static_cast<uint8_t>(byte)), inverse = 0;
    for (unsigned candidate = 1; from && candidate < 256; ++candidate)
      if (sm4_multiply(from, static_cast<uint8_t>(candidate)) == 1) inverse = static_cast<uint8_t>(candidate);
    table[byte] = sm4_affine(inverse);
  }
  return table;
}
inline constexpr ByteTable kSm4 = make_sm4();
static_assert(kSm4[0] == 0xd6 && kSm4[1] == 0x90 && kSm4[0xef] == 0x84 && kSm4[0xff] == 0x48);

// A column of MixColumns (FIPS 197, 5.1.3 and 5.3.3) for one byte in its first row, the S box included or not.
using WordTable = std::array<uint32_t, 256>;
constexpr uint32_t mix_column(uint8_t byte, uint8_t m0, uint8_t m1, uint8_t m2, uint8_t m3) {
  return uint32_t{aes_multiply(byte, m0)} | uint32_t{aes_multiply(byte, m1)} << 8 | uint32_t{aes_multiply(byte, m2)} << 16 |
         uint32_t{aes_multiply(byte, m3)} << 24;
}
constexpr WordTable make_mix(bool inverse) {
  WordTable table{};
  for (unsigned byte = 0; byte < 256; ++byte)
    table[byte] = inverse ? mix_column(static_cast<uint8_t>(byte), 14, 9, 13, 11) : mix_column(static_cast<uint8_t>(byte), 2, 1, 1, 3);
  return table;
}
inline constexpr WordTable kAesMix = make_mix(false);
inline constexpr WordTable kAesUnmix = make_mix(true);

}  // namespace lyre::riscv
