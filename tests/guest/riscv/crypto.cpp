// Scalar cryptography: published test vectors computed with the instructions as the specification intends them to be used, and the sums of SHA-2 and SM3
// on edge values.
#include <array>
#include <bit>

#include "tests/guest/riscv/computation.h"

using namespace lyre;
using namespace lyre::test;

namespace {

using U = uint64_t;
uint32_t ror32(U value, int count) { return std::rotr(static_cast<uint32_t>(value), count); }
uint32_t rol32(U value, int count) { return std::rotl(static_cast<uint32_t>(value), count); }

class Crypto {
 public:
  U operator()(const char* name, U a, U b = 0, uint32_t field = 0, char letter = 'r') {
    test_.rig().x(a1) = a;
    test_.rig().x(a2) = b;
    test_.run(encode(name, {{'d', a0}, {'a', a1}, {'b', a2}, {letter, field}}));
    return test_.rig().x(a0);
  }
  // aes64ks1i has one row for each part of its range of round numbers: the word is written out.
  U key_word(U key, uint32_t round) {
    test_.rig().x(a1) = key;
    test_.run(0x31000013 | round << 20 | 11u << 15 | 1u << 12 | 10u << 7);
    return test_.rig().x(a0);
  }

 private:
  ComputationTest test_;
};

struct Block {
  U low, high;
  bool operator==(const Block&) const = default;
};

std::vector<Block> expand_128(Crypto& op, Block key) {
  std::vector<Block> keys = {key};
  for (uint32_t round = 0; round < 10; ++round) {
    U word = op.key_word(key.high, round);
    key.low = op("aes64ks2", word, key.low);
    key.high = op("aes64ks2", key.low, key.high);
    keys.push_back(key);
  }
  return keys;
}

}  // namespace

TEST_CASE("AES-128 by FIPS 197, appendix C.1") {
  Crypto op;
  const Block key = {0x0706050403020100, 0x0f0e0d0c0b0a0908}, plain = {0x7766554433221100, 0xffeeddccbbaa9988};
  const Block expected = {0x30047b6ad8e0c469, 0x5ac5b47080b7cdd8};
  std::vector<Block> keys = expand_128(op, key);
  CHECK(keys[10] == Block{0x174a94e37f1d1113, 0xc5302b4d8ba707f3});

  Block state = {plain.low ^ keys[0].low, plain.high ^ keys[0].high};
  for (unsigned round = 1; round <= 10; ++round) {
    const char* name = round == 10 ? "aes64es" : "aes64esm";
    state = {op(name, state.low, state.high) ^ keys[round].low, op(name, state.high, state.low) ^ keys[round].high};
  }
  CHECK(state == expected);

  // The equivalent inverse cipher: keys of the middle rounds go through aes64im.
  state = {state.low ^ keys[10].low, state.high ^ keys[10].high};
  for (unsigned round = 9;; --round) {
    const char* name = round == 0 ? "aes64ds" : "aes64dsm";
    Block round_key = keys[round];
    if (round) round_key = {op("aes64im", round_key.low), op("aes64im", round_key.high)};
    state = {op(name, state.low, state.high) ^ round_key.low, op(name, state.high, state.low) ^ round_key.high};
    if (!round) break;
  }
  CHECK(state == plain);
}

TEST_CASE("the AES key schedule's last step has no rotation") {
  Crypto op;
  // FIPS 197, A.3: SubWord without RotWord, as AES-256 needs it. S(00 01 02 03) = 63 7c 77 7b.
  CHECK(op.key_word(U{0x03020100} << 32, 10) == 0x7b777c637b777c63);
  CHECK(op.key_word(U{0x03020100} << 32, 0) == (0x637b777c637b777c ^ 0x0000000100000001));
}

TEST_CASE("SM4 by GB/T 32907-2016, appendix A.1") {
  Crypto op;
  auto big = [](uint32_t value) { return __builtin_bswap32(value); };  // words of the standard are big-endian, the instructions take bytes in memory order
  auto four = [&](const char* name, uint32_t into, uint32_t value) {
    U sum = into;
    for (uint32_t byte = 0; byte < 4; ++byte) sum = op(name, sum, value, byte, 's');
    CHECK(sum == sext32(sum));
    return static_cast<uint32_t>(sum);
  };
  const uint32_t plain[] = {0x01234567, 0x89abcdef, 0xfedcba98, 0x76543210};
  const uint32_t system[] = {0xa3b1bac6, 0x56aa3350, 0x677d9197, 0xb27022dc};
  uint32_t k[4], x[4];
  for (int i = 0; i < 4; ++i) k[i] = big(plain[i] ^ system[i]), x[i] = big(plain[i]);
  for (uint32_t round = 0; round < 32; ++round) {
    uint32_t constant = 0;
    for (uint32_t byte = 0; byte < 4; ++byte) constant = constant << 8 | ((4 * round + byte) * 7 & 255);
    uint32_t key = four("sm4ks", k[0], k[1] ^ k[2] ^ k[3] ^ big(constant));
    if (round == 0) CHECK(big(key) == 0xf12186f9);
    k[0] = k[1], k[1] = k[2], k[2] = k[3], k[3] = key;
    uint32_t next = four("sm4ed", x[0], x[1] ^ x[2] ^ x[3] ^ key);
    x[0] = x[1], x[1] = x[2], x[2] = x[3], x[3] = next;
  }
  CHECK(big(x[3]) == 0x681edf34);
  CHECK(big(x[2]) == 0xd206965e);
  CHECK(big(x[1]) == 0x86b3e94f);
  CHECK(big(x[0]) == 0x536e4246);
}

TEST_CASE("sums of SHA-2 and permutations of SM3") {
  ComputationTest test;
  test.unary("sha256sum0", [](U a) { return sext32(ror32(a, 2) ^ ror32(a, 13) ^ ror32(a, 22)); });
  test.unary("sha256sum1", [](U a) { return sext32(ror32(a, 6) ^ ror32(a, 11) ^ ror32(a, 25)); });
  test.unary("sha256sig0", [](U a) { return sext32(ror32(a, 7) ^ ror32(a, 18) ^ static_cast<uint32_t>(a) >> 3); });
  test.unary("sha256sig1", [](U a) { return sext32(ror32(a, 17) ^ ror32(a, 19) ^ static_cast<uint32_t>(a) >> 10); });
  test.unary("sha512sum0", [](U a) { return std::rotr(a, 28) ^ std::rotr(a, 34) ^ std::rotr(a, 39); });
  test.unary("sha512sum1", [](U a) { return std::rotr(a, 14) ^ std::rotr(a, 18) ^ std::rotr(a, 41); });
  test.unary("sha512sig0", [](U a) { return std::rotr(a, 1) ^ std::rotr(a, 8) ^ a >> 7; });
  test.unary("sha512sig1", [](U a) { return std::rotr(a, 19) ^ std::rotr(a, 61) ^ a >> 6; });
  test.unary("sm3p0", [](U a) { return sext32(static_cast<uint32_t>(a) ^ rol32(a, 9) ^ rol32(a, 17)); });
  test.unary("sm3p1", [](U a) { return sext32(static_cast<uint32_t>(a) ^ rol32(a, 15) ^ rol32(a, 23)); });
}
