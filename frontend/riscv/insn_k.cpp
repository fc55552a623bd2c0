// Zknd, Zkne, Zknh, Zksed, Zksh: scalar cryptography (RISC-V Cryptography Extensions, volume I). Hash functions are IR; block ciphers look up tables in
// pure helpers. Bit manipulation for cryptography is in insn_b.cpp, the entropy source in sysreg files.
#include "frontend/riscv/crypto_tables.h"
#include "frontend/riscv/isa.h"

namespace lyre::riscv {

using ir::Type;

namespace {

enum CryptoHelper : unsigned { kHelperAesRound = kCryptoHelpers, kHelperAesUnmix, kHelperAesKey, kHelperSm4, kHelperAesByte };
enum AesRound : uint64_t { kEncryptLast, kEncryptMiddle, kDecryptLast, kDecryptMiddle };

uint8_t byte_of(uint64_t value, unsigned index) { return static_cast<uint8_t>(value >> 8 * index); }

uint32_t mix(const WordTable& table, uint32_t column) {
  uint32_t result = 0;
  for (unsigned row = 0; row < 4; ++row) result ^= std::rotl(table[byte_of(column, row)], static_cast<int>(8 * row));
  return result;
}
uint64_t mix_both(const WordTable& table, uint64_t columns) {
  return mix(table, static_cast<uint32_t>(columns)) | uint64_t{mix(table, static_cast<uint32_t>(columns >> 32))} << 32;
}

// Half of a round: the state is high:low, the result its two low columns. ShiftRows takes byte i of the new state from 5i, its inverse from 13i (mod 16).
uint64_t helper_aes_round(ir::VcpuBlock*, uint64_t low, uint64_t high, uint64_t round) noexcept {
  bool decrypt = round == kDecryptLast || round == kDecryptMiddle;
  const ByteTable& box = decrypt ? kAesInverse : kAesForward;
  uint64_t result = 0;
  for (unsigned at = 0; at < 8; ++at) {
    unsigned from = (decrypt ? 13 : 5) * at % 16;
    result |= uint64_t{box[byte_of(from < 8 ? low : high, from % 8)]} << 8 * at;
  }
  if (round == kEncryptMiddle) return mix_both(kAesMix, result);
  return round == kDecryptMiddle ? mix_both(kAesUnmix, result) : result;
}

uint64_t helper_aes_unmix(ir::VcpuBlock*, uint64_t columns) noexcept { return mix_both(kAesUnmix, columns); }

uint64_t helper_aes_key(ir::VcpuBlock*, uint64_t key, uint64_t round) noexcept {
  constexpr uint8_t kRoundConstants[] = {0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0x1b, 0x36, 0};
  uint32_t word = static_cast<uint32_t>(key >> 32), result = 0;
  if (round != 10) word = std::rotr(word, 8);
  for (unsigned at = 0; at < 4; ++at) result |= uint32_t{kAesForward[byte_of(word, at)]} << 8 * at;
  result ^= kRoundConstants[round];
  return result | uint64_t{result} << 32;
}

// RV32: one byte of a column, through the S box and, in middle rounds, its part of MixColumns; xored into rs1.
uint64_t helper_aes_byte(ir::VcpuBlock*, uint64_t rs1, uint64_t rs2, uint64_t byte, uint64_t round) noexcept {
  bool decrypt = round == kDecryptLast || round == kDecryptMiddle;
  uint32_t x = (decrypt ? kAesInverse : kAesForward)[byte_of(rs2, static_cast<unsigned>(byte))];
  if (round == kEncryptMiddle) x = kAesMix[x];
  if (round == kDecryptMiddle) x = kAesUnmix[x];
  uint32_t result = std::rotl(x, static_cast<int>(8 * byte)) ^ static_cast<uint32_t>(rs1);
  return static_cast<uint64_t>(int64_t{static_cast<int32_t>(result)});
}

// The linear layers L and L' of SM4 on one byte of the S box layer, at its place in the word; xored into rs1. Words are in memory order, byte-reversed
// against the standard's, which takes the rotations apart at byte borders (functions sm4ed and sm4ks of the specification).
uint64_t helper_sm4(ir::VcpuBlock*, uint64_t rs1, uint64_t rs2, uint64_t byte, uint64_t key_schedule) noexcept {
  uint32_t x = kSm4[byte_of(rs2, static_cast<unsigned>(byte))];
  uint32_t y = key_schedule ? x ^ (x & 0x07) << 29 ^ (x & 0xfe) << 7 ^ (x & 0x01) << 23 ^ (x & 0xf8) << 13
                            : x ^ x << 8 ^ x << 2 ^ x << 18 ^ (x & 0x3f) << 26 ^ (x & 0xc0) << 10;
  uint32_t result = std::rotl(y, static_cast<int>(8 * byte)) ^ static_cast<uint32_t>(rs1);
  return static_cast<uint64_t>(int64_t{static_cast<int32_t>(result)});
}

template <AesRound kRound>
Next aes_round(Insn& i) {
  i.set_x(i.rd(), i.b.call<Type::kI64>(kHelperAesRound, {i.x(i.rs1()).id, i.x(i.rs2()).id, i.imm(kRound).id}));
  return Next::kContinue;
}
template <AesRound kRound>
Next aes_byte(Insn& i) {
  i.set_x(i.rd(), i.b.call<Type::kI64>(kHelperAesByte, {i.x(i.rs1()).id, i.x(i.rs2()).id, i.imm(i.word >> 30).id, i.imm(kRound).id}));
  return Next::kContinue;
}
Next aes64im(Insn& i) {
  i.set_x(i.rd(), i.b.call<Type::kI64>(kHelperAesUnmix, {i.x(i.rs1()).id}));
  return Next::kContinue;
}
Next aes64ks1i(Insn& i) {
  i.set_x(i.rd(), i.b.call<Type::kI64>(kHelperAesKey, {i.x(i.rs1()).id, i.imm(i.rs2() & 15).id}));
  return Next::kContinue;
}
Next aes64ks2(Insn& i) {
  I64 previous = i.x(i.rs2());
  I64 low = i.b.xor_(i.b.shr(i.x(i.rs1()), i.imm(32)), previous);  // its low half counts
  I64 low_half = i.b.and_(low, i.imm(0xffffffff));
  I64 high = i.b.shl(i.b.xor_(low, i.b.shr(previous, i.imm(32))), i.imm(32));
  i.set_x(i.rd(), i.b.or_(low_half, high));
  return Next::kContinue;
}
template <bool kKeySchedule>
Next sm4(Insn& i) {
  i.set_x(i.rd(), i.b.call<Type::kI64>(kHelperSm4, {i.x(i.rs1()).id, i.x(i.rs2()).id, i.imm(i.word >> 30).id, i.imm(kKeySchedule).id}));
  return Next::kContinue;
}

// Sums of rotations to the right; the last is a shift in the sigma functions (FIPS 180-4, 4.1.2 and 4.1.3).
template <unsigned kA, unsigned kB, unsigned kC, bool kShift>
Next sha256(Insn& i) {
  I32 x = i.w(i.rs1());
  I32 last = kShift ? i.b.shr(x, i.b.i32(kC)) : i.b.rotr(x, i.b.i32(kC));
  i.set_w(i.rd(), i.b.xor_(i.b.xor_(i.b.rotr(x, i.b.i32(kA)), i.b.rotr(x, i.b.i32(kB))), last));
  return Next::kContinue;
}
template <unsigned kA, unsigned kB, unsigned kC, bool kShift>
I64 sum_of_rotations(Insn& i, I64 x) {
  I64 last = kShift ? i.b.shr(x, i.imm(kC)) : i.b.rotr(x, i.imm(kC));
  return i.b.xor_(i.b.xor_(i.b.rotr(x, i.imm(kA)), i.b.rotr(x, i.imm(kB))), last);
}
template <unsigned kA, unsigned kB, unsigned kC, bool kShift>
Next sha512(Insn& i) {
  i.set_x(i.rd(), sum_of_rotations<kA, kB, kC, kShift>(i, i.x(i.rs1())));
  return Next::kContinue;
}
// RV32: one half of the result; rs1 is the same half of the operand, rs2 the other.
enum class Half { kLow, kHigh };
template <unsigned kA, unsigned kB, unsigned kC, bool kShift, Half kHalf>
Next sha512_half(Insn& i) {
  unsigned low = kHalf == Half::kLow ? i.rs1() : i.rs2(), high = kHalf == Half::kLow ? i.rs2() : i.rs1();
  I64 x = i.b.or_(i.low_half(low), i.b.shl(i.x(high), i.imm(32)));
  I64 sum = sum_of_rotations<kA, kB, kC, kShift>(i, x);
  i.set_wrapped(i.rd(), kHalf == Half::kLow ? sum : i.b.shr(sum, i.imm(32)));
  return Next::kContinue;
}
template <unsigned kA, unsigned kB>
Next sm3(Insn& i) {
  I32 x = i.w(i.rs1());
  i.set_w(i.rd(), i.b.xor_(x, i.b.xor_(i.b.rotl(x, i.b.i32(kA)), i.b.rotl(x, i.b.i32(kB)))));
  return Next::kContinue;
}

constexpr Needs kDecrypt = Ext::zknd && Ext::rv64;
constexpr Needs kEncrypt = Ext::zkne && Ext::rv64;
constexpr Needs kEither = (Ext::zknd || Ext::zkne) && Ext::rv64;
constexpr Needs kHash64 = Ext::zknh && Ext::rv64;
constexpr Needs kDecrypt32 = Ext::zknd && Ext::rv32;
constexpr Needs kEncrypt32 = Ext::zkne && Ext::rv32;
constexpr Needs kHash32 = Ext::zknh && Ext::rv32;

constexpr Row kRows[] = {
    {aes_round<kDecryptLast>, "aes64ds", "0011101 bbbbb aaaaa 000 ddddd 0110011", "rd,rs1,rs2", kDecrypt},
    {aes_round<kDecryptMiddle>, "aes64dsm", "0011111 bbbbb aaaaa 000 ddddd 0110011", "rd,rs1,rs2", kDecrypt},
    {aes_round<kEncryptLast>, "aes64es", "0011001 bbbbb aaaaa 000 ddddd 0110011", "rd,rs1,rs2", kEncrypt},
    {aes_round<kEncryptMiddle>, "aes64esm", "0011011 bbbbb aaaaa 000 ddddd 0110011", "rd,rs1,rs2", kEncrypt},
    {aes64im, "aes64im", "0011000 00000 aaaaa 001 ddddd 0010011", "rd,rs1", kDecrypt},
    // Round numbers above 10 are reserved.
    {aes64ks1i, "aes64ks1i", "0011000 10rrr aaaaa 001 ddddd 0010011", "rd,rs1,rnum", kEither},
    {aes64ks1i, "aes64ks1i", "0011000 1100r aaaaa 001 ddddd 0010011", "rd,rs1,rnum", kEither},
    {aes64ks1i, "aes64ks1i", "0011000 11010 aaaaa 001 ddddd 0010011", "rd,rs1,rnum", kEither},
    {aes64ks2, "aes64ks2", "0111111 bbbbb aaaaa 000 ddddd 0110011", "rd,rs1,rs2", kEither},
    {aes_byte<kDecryptLast>, "aes32dsi", "ss10101 bbbbb aaaaa 000 ddddd 0110011", "rd,rs1,rs2,bs", kDecrypt32},
    {aes_byte<kDecryptMiddle>, "aes32dsmi", "ss10111 bbbbb aaaaa 000 ddddd 0110011", "rd,rs1,rs2,bs", kDecrypt32},
    {aes_byte<kEncryptLast>, "aes32esi", "ss10001 bbbbb aaaaa 000 ddddd 0110011", "rd,rs1,rs2,bs", kEncrypt32},
    {aes_byte<kEncryptMiddle>, "aes32esmi", "ss10011 bbbbb aaaaa 000 ddddd 0110011", "rd,rs1,rs2,bs", kEncrypt32},
    {sha256<7, 18, 3, true>, "sha256sig0", "0001000 00010 aaaaa 001 ddddd 0010011", "rd,rs1", Ext::zknh},
    {sha256<17, 19, 10, true>, "sha256sig1", "0001000 00011 aaaaa 001 ddddd 0010011", "rd,rs1", Ext::zknh},
    {sha256<2, 13, 22, false>, "sha256sum0", "0001000 00000 aaaaa 001 ddddd 0010011", "rd,rs1", Ext::zknh},
    {sha256<6, 11, 25, false>, "sha256sum1", "0001000 00001 aaaaa 001 ddddd 0010011", "rd,rs1", Ext::zknh},
    {sha512<1, 8, 7, true>, "sha512sig0", "0001000 00110 aaaaa 001 ddddd 0010011", "rd,rs1", kHash64},
    {sha512<19, 61, 6, true>, "sha512sig1", "0001000 00111 aaaaa 001 ddddd 0010011", "rd,rs1", kHash64},
    {sha512<28, 34, 39, false>, "sha512sum0", "0001000 00100 aaaaa 001 ddddd 0010011", "rd,rs1", kHash64},
    {sha512<14, 18, 41, false>, "sha512sum1", "0001000 00101 aaaaa 001 ddddd 0010011", "rd,rs1", kHash64},
    {sha512_half<1, 8, 7, true, Half::kHigh>, "sha512sig0h", "0101110 bbbbb aaaaa 000 ddddd 0110011", "rd,rs1,rs2", kHash32},
    {sha512_half<1, 8, 7, true, Half::kLow>, "sha512sig0l", "0101010 bbbbb aaaaa 000 ddddd 0110011", "rd,rs1,rs2", kHash32},
    {sha512_half<19, 61, 6, true, Half::kHigh>, "sha512sig1h", "0101111 bbbbb aaaaa 000 ddddd 0110011", "rd,rs1,rs2", kHash32},
    {sha512_half<19, 61, 6, true, Half::kLow>, "sha512sig1l", "0101011 bbbbb aaaaa 000 ddddd 0110011", "rd,rs1,rs2", kHash32},
    {sha512_half<28, 34, 39, false, Half::kLow>, "sha512sum0r", "0101000 bbbbb aaaaa 000 ddddd 0110011", "rd,rs1,rs2", kHash32},
    {sha512_half<14, 18, 41, false, Half::kLow>, "sha512sum1r", "0101001 bbbbb aaaaa 000 ddddd 0110011", "rd,rs1,rs2", kHash32},
    {sm3<9, 17>, "sm3p0", "0001000 01000 aaaaa 001 ddddd 0010011", "rd,rs1", Ext::zksh},
    {sm3<15, 23>, "sm3p1", "0001000 01001 aaaaa 001 ddddd 0010011", "rd,rs1", Ext::zksh},
    {sm4<false>, "sm4ed", "ss11000 bbbbb aaaaa 000 ddddd 0110011", "rd,rs1,rs2,bs", Ext::zksed},
    {sm4<true>, "sm4ks", "ss11010 bbbbb aaaaa 000 ddddd 0110011", "rd,rs1,rs2,bs", Ext::zksed},
};

}  // namespace

std::span<const Row> rows_k() { return kRows; }

HelperTable crypto_helpers() {
  static const ir::HelperInfo kHelpers[] = {
      {"aes_round", ir::helper_function(helper_aes_round), ir::kPureHelper, 3},
      {"aes_unmix", ir::helper_function(helper_aes_unmix), ir::kPureHelper, 1},
      {"aes_key", ir::helper_function(helper_aes_key), ir::kPureHelper, 2},
      {"sm4", ir::helper_function(helper_sm4), ir::kPureHelper, 4},
      {"aes_byte", ir::helper_function(helper_aes_byte), ir::kPureHelper, 4},
  };
  return {kCryptoHelpers, kHelpers};
}

}  // namespace lyre::riscv
