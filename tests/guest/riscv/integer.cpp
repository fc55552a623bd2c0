// I, M and Zicond computation against models written from the manual's sentences.
#include "tests/guest/riscv/computation.h"

using namespace lyre;
using namespace lyre::test;

namespace {

using S = int64_t;
using U = uint64_t;
S s(U value) { return static_cast<S>(value); }
int32_t w(U value) { return static_cast<int32_t>(value); }
uint32_t uw(U value) { return static_cast<uint32_t>(value); }
U wide(auto value) { return static_cast<U>(static_cast<S>(value)); }

}  // namespace

TEST_CASE("register computation") {
  ComputationTest test;
  test.binary("add", [](U a, U b) { return a + b; });
  test.binary("sub", [](U a, U b) { return a - b; });
  test.binary("sll", [](U a, U b) { return a << (b & 63); });
  test.binary("srl", [](U a, U b) { return a >> (b & 63); });
  test.binary("sra", [](U a, U b) { return wide(s(a) >> (b & 63)); });
  test.binary("slt", [](U a, U b) { return U{s(a) < s(b)}; });
  test.binary("sltu", [](U a, U b) { return U{a < b}; });
  test.binary("xor", [](U a, U b) { return a ^ b; });
  test.binary("or", [](U a, U b) { return a | b; });
  test.binary("and", [](U a, U b) { return a & b; });
  test.binary("addw", [](U a, U b) { return sext32(a + b); });
  test.binary("subw", [](U a, U b) { return sext32(a - b); });
  test.binary("sllw", [](U a, U b) { return sext32(uw(a) << (b & 31)); });
  test.binary("srlw", [](U a, U b) { return sext32(uw(a) >> (b & 31)); });
  test.binary("sraw", [](U a, U b) { return wide(w(a) >> (b & 31)); });
  test.binary("czero.eqz", [](U a, U b) { return b == 0 ? 0 : a; });
  test.binary("czero.nez", [](U a, U b) { return b != 0 ? 0 : a; });
}

TEST_CASE("immediate computation") {
  ComputationTest test;
  auto imms = {S{0}, S{1}, S{-1}, S{2047}, S{-2048}, S{255}};
  test.immediate("addi", 'i', imms, [](U a, U b) { return a + b; });
  test.immediate("addiw", 'i', imms, [](U a, U b) { return sext32(a + b); });
  test.immediate("slti", 'i', imms, [](U a, U b) { return U{s(a) < s(b)}; });
  test.immediate("sltiu", 'i', imms, [](U a, U b) { return U{a < b}; });
  test.immediate("xori", 'i', imms, [](U a, U b) { return a ^ b; });
  test.immediate("ori", 'i', imms, [](U a, U b) { return a | b; });
  test.immediate("andi", 'i', imms, [](U a, U b) { return a & b; });
  auto shifts = {S{0}, S{1}, S{31}, S{32}, S{63}};
  test.immediate("slli", 's', shifts, [](U a, U b) { return a << b; });
  test.immediate("srli", 's', shifts, [](U a, U b) { return a >> b; });
  test.immediate("srai", 's', shifts, [](U a, U b) { return wide(s(a) >> b); });
  auto word_shifts = {S{0}, S{1}, S{31}};
  test.immediate("slliw", 's', word_shifts, [](U a, U b) { return sext32(uw(a) << b); });
  test.immediate("srliw", 's', word_shifts, [](U a, U b) { return sext32(uw(a) >> b); });
  test.immediate("sraiw", 's', word_shifts, [](U a, U b) { return wide(w(a) >> b); });
}

TEST_CASE("multiplication and division") {
  using I128 = __int128;
  using U128 = unsigned __int128;
  ComputationTest test;
  test.binary("mul", [](U a, U b) { return a * b; });
  test.binary("mulh", [](U a, U b) { return static_cast<U>((I128{s(a)} * I128{s(b)}) >> 64); });
  test.binary("mulhu", [](U a, U b) { return static_cast<U>((U128{a} * U128{b}) >> 64); });
  test.binary("mulhsu", [](U a, U b) { return static_cast<U>((I128{s(a)} * static_cast<I128>(U128{b})) >> 64); });
  test.binary("div", [](U a, U b) { return b == 0 ? ~U{0} : b == ~U{0} ? 0 - a : wide(s(a) / s(b)); });
  test.binary("divu", [](U a, U b) { return b == 0 ? ~U{0} : a / b; });
  test.binary("rem", [](U a, U b) { return b == 0 ? a : b == ~U{0} ? 0 : wide(s(a) % s(b)); });
  test.binary("remu", [](U a, U b) { return b == 0 ? a : a % b; });
  test.binary("mulw", [](U a, U b) { return sext32(a * b); });
  test.binary("divw", [](U a, U b) { return uw(b) == 0 ? ~U{0} : uw(b) == ~0u ? sext32(0 - a) : wide(w(a) / w(b)); });
  test.binary("divuw", [](U a, U b) { return uw(b) == 0 ? ~U{0} : sext32(uw(a) / uw(b)); });
  test.binary("remw", [](U a, U b) { return uw(b) == 0 ? sext32(a) : uw(b) == ~0u ? 0 : wide(w(a) % w(b)); });
  test.binary("remuw", [](U a, U b) { return uw(b) == 0 ? sext32(a) : sext32(uw(a) % uw(b)); });
}

TEST_CASE("upper immediates and links") {
  ComputationTest test;
  HartRig& rig = test.rig();
  test.run(0xfffff537);  // lui a0,0xfffff
  CHECK(rig.x(a0) == 0xfffffffffffff000);
  test.run(0x80000517);  // auipc a0,0x80000
  CHECK(rig.x(a0) == 0);
  test.run(0x00001517);  // auipc a0,0x1
  CHECK(rig.x(a0) == HartRig::kRam + 0x1000);
  test.run(0x010000ef);  // jal ra,+16
  CHECK(rig.x(ra) == HartRig::kRam + 4);
  CHECK(rig.state().pc == HartRig::kRam + 16);
  test.run(0xff9ff06f);  // jal zero,-8
  CHECK(rig.state().pc == HartRig::kRam - 8);
  rig.x(a1) = 0x1235;
  test.run(0xffc585e7);  // jalr a1,-4(a1): the register is read before it is written, bit 0 dropped
  CHECK(rig.x(a1) == HartRig::kRam + 4);
  CHECK(rig.state().pc == 0x1230);
}

TEST_CASE("branches go where their condition says") {
  ComputationTest test;
  HartRig& rig = test.rig();
  struct Branch {
    const char* name;
    uint32_t funct3;
    bool (*taken)(U, U);
  };
  const Branch branches[] = {
      {"beq", 0, [](U a, U b) { return a == b; }},         {"bne", 1, [](U a, U b) { return a != b; }},
      {"blt", 4, [](U a, U b) { return s(a) < s(b); }},    {"bge", 5, [](U a, U b) { return s(a) >= s(b); }},
      {"bltu", 6, [](U a, U b) { return a < b; }},         {"bgeu", 7, [](U a, U b) { return a >= b; }},
  };
  for (const Branch& branch : branches) {
    for (int32_t displacement : {8, -8, 4094, -4096}) {
      auto u = static_cast<uint32_t>(displacement);
      uint32_t word = (u >> 12 & 1) << 31 | (u >> 5 & 63) << 25 | 12u << 20 | 11u << 15 | branch.funct3 << 12 | (u >> 1 & 15) << 8 | (u >> 11 & 1) << 7 | 0x63;
      for (U a : kEdges) {
        for (U b : {U{0}, U{1}, U{0x7fffffffffffffff}, U{0x8000000000000000}, ~U{0}, a}) {
          rig.x(a1) = a, rig.x(a2) = b;
          test.run(word);
          INFO(branch.name << " " << displacement << " of " << std::hex << a << " and " << b);
          CHECK(rig.state().pc == HartRig::kRam + (branch.taken(a, b) ? static_cast<U>(int64_t{displacement}) : 4));
        }
      }
    }
  }
}

TEST_CASE("loads widen, stores narrow, displacements are signed") {
  ComputationTest test;
  HartRig& rig = test.rig();
  constexpr U kData = HartRig::kRam + 0x1000;
  struct Load {
    const char* name;
    U from_high, from_low;  // of 0xfedcba9876543210 and 0x0123456789abcdef... at offset 0 of each
  };
  rig.poke(kData, 0x8899aabbccddeeff);
  rig.poke(kData - 8, 0x0011223344556677);
  const Load loads[] = {
      {"lb", 0xffffffffffffffff, 0x77},         {"lbu", 0xff, 0x77},
      {"lh", 0xffffffffffffeeff, 0x6677},       {"lhu", 0xeeff, 0x6677},
      {"lw", 0xffffffffccddeeff, 0x44556677},   {"lwu", 0xccddeeff, 0x44556677},
      {"ld", 0x8899aabbccddeeff, 0x0011223344556677},
  };
  for (const Load& load : loads) {
    INFO(load.name);
    rig.x(a1) = kData;
    test.run(encode(load.name, {{'d', a0}, {'a', a1}, {'i', 0}}));
    CHECK(rig.x(a0) == load.from_high);
    test.run(encode(load.name, {{'d', a0}, {'a', a1}, {'i', static_cast<uint32_t>(-8)}}));
    CHECK(rig.x(a0) == load.from_low);
    rig.x(a1) = kData - 2047;
    test.run(encode(load.name, {{'d', a1}, {'a', a1}, {'i', 2047}}));
    CHECK(rig.x(a1) == load.from_high);
  }
  for (unsigned size = 0; size < 4; ++size) {
    const char* names[] = {"sb", "sh", "sw", "sd"};
    U mask = size == 3 ? ~U{0} : (U{1} << (8u << size)) - 1;
    for (int32_t displacement : {0, 8, -8, 2040, -2048}) {
      U address = kData + static_cast<U>(int64_t{displacement});
      rig.poke(address, 0x1111111111111111);
      rig.x(a1) = kData, rig.x(a2) = 0xfedcba9876543210;
      test.run(encode(names[size], {{'a', a1}, {'b', a2}, {'i', static_cast<uint32_t>(displacement)}}));
      INFO(names[size] << " " << displacement);
      CHECK(rig.peek(address) == ((0x1111111111111111 & ~mask) | (0xfedcba9876543210 & mask)));
    }
  }
}
