// Zaamo, Zabha, Zacas, Zalrsc on one hart: values, widths, reservation rules, misalignment. Several harts: smp.cpp.
#include <bit>

#include "tests/guest/riscv/encode.h"
#include "tests/guest/riscv/hart_rig.h"
#include "tests/support/catch.h"

using namespace lyre;
using namespace lyre::test;

namespace {

using U = uint64_t;
constexpr U kData = HartRig::kRam + 0x1000, kTrap = HartRig::kRam + 0x800;
constexpr uint32_t kNop = 0x00000013;

U widen(U value, unsigned bytes) { return static_cast<U>(sign_extend(value, bytes * 8)); }
U mask_of(unsigned bytes) { return low_mask(bytes * 8); }

// Runs `words`; true: to their end, false: into a trap.
bool run(HartRig& rig, std::vector<uint32_t> words) {
  U end = HartRig::kRam + 4 * words.size();
  words.push_back(0x0000006f);  // jal zero,0 ends every block
  rig.load(HartRig::kRam, words);
  rig.state().mtvec = kTrap;
  rig.state().pc = HartRig::kRam;
  for (unsigned k = 0; k < 100; ++k) {
    if (rig.state().pc == end) return true;
    if (rig.state().pc == kTrap) return false;
    rig.run_block();
  }
  return false;
}

struct Amo {
  const char* name;
  U (*result)(U, U, unsigned);
};
template <bool kSigned, bool kMax>
U extreme(U a, U b, unsigned bytes) {
  bool less = kSigned ? sign_extend(a, bytes * 8) < sign_extend(b, bytes * 8) : (a & mask_of(bytes)) < (b & mask_of(bytes));
  return less != kMax ? a : b;
}
const Amo kAmos[] = {
    {"amoswap", [](U, U b, unsigned) { return b; }},        {"amoadd", [](U a, U b, unsigned) { return a + b; }},
    {"amoxor", [](U a, U b, unsigned) { return a ^ b; }},   {"amoand", [](U a, U b, unsigned) { return a & b; }},
    {"amoor", [](U a, U b, unsigned) { return a | b; }},    {"amomin", extreme<true, false>},
    {"amomax", extreme<true, true>},                        {"amominu", extreme<false, false>},
    {"amomaxu", extreme<false, true>},
};
const char* const kSuffixes[] = {".b", ".h", ".w", ".d"};

}  // namespace

TEST_CASE("atomic memory operations change their bytes only and give the old value") {
  HartRig rig("interp", {}, 1);
  const U values[] = {0, 1, 0x7f, 0x80, 0x7fff, 0x8000, 0x7fffffff, 0x80000000, 0x123456789abcdef0, 0x8000000000000000, ~U{0}};
  for (const Amo& amo : kAmos) {
    for (unsigned log2 = 0; log2 < 4; ++log2) {
      unsigned bytes = 1u << log2;
      for (uint32_t order = 0; order < 4; ++order) {
        uint32_t word = encode(std::string(amo.name) + kSuffixes[log2], {{'d', a0}, {'a', a1}, {'b', a2}, {'q', order >> 1}, {'r', order & 1}});
        rig.load(HartRig::kRam, {word, kNop});
        for (U memory : values) {
          for (U operand : values) {
            U address = kData + 8 - bytes;
            rig.poke(kData, memory << (64 - 8 * bytes) | (0x1122334455667788 & low_mask(64 - 8 * bytes)));
            rig.x(a1) = address, rig.x(a2) = operand;
            rig.state().pc = HartRig::kRam;
            rig.run_block();
            INFO(amo.name << kSuffixes[log2] << " of " << std::hex << memory << " and " << operand);
            CHECK(rig.x(a0) == widen(memory, bytes));
            U expected = amo.result(memory, operand, bytes) & mask_of(bytes);
            CHECK(rig.peek(kData) == (expected << (64 - 8 * bytes) | (0x1122334455667788 & low_mask(64 - 8 * bytes))));
          }
        }
      }
    }
  }
}

TEST_CASE("an atomic operation may use one register throughout") {
  HartRig rig("interp", {}, 1);
  rig.poke(kData, 5);
  rig.x(a0) = kData;
  CHECK(run(rig, {encode("amoadd.d", {{'d', a0}, {'a', a0}, {'b', a0}})}));
  CHECK(rig.x(a0) == 5);
  CHECK(rig.peek(kData) == kData + 5);
}

TEST_CASE("compare-and-swap") {
  HartRig rig("interp", {"+zacas"}, 1);
  for (unsigned log2 = 0; log2 < 4; ++log2) {
    unsigned bytes = 1u << log2;
    uint32_t word = encode(std::string("amocas") + kSuffixes[log2], {{'d', a0}, {'a', a1}, {'b', a2}});
    for (bool equal : {true, false}) {
      INFO(kSuffixes[log2] << " " << equal);
      U old = 0x8182838485868788;
      rig.poke(kData, old);
      rig.x(a1) = kData, rig.x(a2) = 0x1112131415161718;
      rig.x(a0) = equal ? (old & mask_of(bytes)) | (bytes < 8 ? U{0xab} << 56 : 0) : old ^ 1;  // upper bits of narrow ones do not count
      CHECK(run(rig, {word}));
      CHECK(rig.x(a0) == widen(old, bytes));
      CHECK(rig.peek(kData) == (equal ? (old & ~mask_of(bytes)) | (0x1112131415161718 & mask_of(bytes)) : old));
    }
  }
}

TEST_CASE("store-conditional needs the last load-reserved's address and value") {
  const uint32_t lr = encode("lr.d", {{'d', a0}, {'a', a1}}), sc = encode("sc.d", {{'d', a3}, {'a', a1}, {'b', a2}});
  const uint32_t lr_w = encode("lr.w", {{'d', a0}, {'a', a1}}), sc_w = encode("sc.w", {{'d', a3}, {'a', a1}, {'b', a2}});
  const uint32_t change = encode("sd", {{'a', a1}, {'b', a4}}), elsewhere = encode("addi", {{'d', a1}, {'a', a1}, {'i', 8}});
  for (unsigned limit : {1u, 64u}) {
    HartRig rig("interp", {}, limit);
    auto prepare = [&] {
      rig.poke(kData, 0xfffffff180000001);
      rig.poke(kData + 8, 0xfffffff180000001);
      rig.x(a1) = kData, rig.x(a2) = 0x2222222233333333, rig.x(a3) = 99, rig.x(a4) = 7;
    };
    INFO(limit << " instructions a block");
    prepare();
    CHECK(run(rig, {lr, sc}));
    CHECK(rig.x(a0) == 0xfffffff180000001);
    CHECK(rig.x(a3) == 0);
    CHECK(rig.peek(kData) == 0x2222222233333333);
    // The reservation is used up.
    rig.poke(kData, 0xfffffff180000001);
    CHECK(run(rig, {sc}));
    CHECK(rig.x(a3) == 1);
    CHECK(rig.peek(kData) == 0xfffffff180000001);
    // Memory changed in between.
    prepare();
    CHECK(run(rig, {lr, change, sc}));
    CHECK(rig.x(a3) == 1);
    CHECK(rig.peek(kData) == 7);
    // Another address with the same value.
    prepare();
    CHECK(run(rig, {lr, elsewhere, sc}));
    CHECK(rig.x(a3) == 1);
    CHECK(rig.peek(kData + 8) == 0xfffffff180000001);
    // And no success after that failure.
    rig.x(a1) = kData;
    CHECK(run(rig, {sc}));
    CHECK(rig.x(a3) == 1);
    // Words: the loaded value is sign-extended, four bytes are compared and stored.
    prepare();
    CHECK(run(rig, {lr_w, sc_w}));
    CHECK(rig.x(a0) == 0xffffffff80000001);
    CHECK(rig.x(a3) == 0);
    CHECK(rig.peek(kData) == 0xfffffff133333333);
    // The result may overwrite the address or the value.
    prepare();
    CHECK(run(rig, {lr, encode("sc.d", {{'d', a1}, {'a', a1}, {'b', a2}})}));
    CHECK(rig.x(a1) == 0);
    CHECK(rig.peek(kData) == 0x2222222233333333);
    prepare();
    CHECK(run(rig, {lr, elsewhere, encode("sc.d", {{'d', a2}, {'a', a1}, {'b', a2}})}));
    CHECK(rig.x(a2) == 1);
    prepare();
    CHECK(run(rig, {lr, encode("sc.d", {{'d', 0}, {'a', a1}, {'b', a2}})}));
    CHECK(rig.x(0) == 0);
    CHECK(rig.peek(kData) == 0x2222222233333333);
  }
}

TEST_CASE("misaligned atomics fault with nothing changed") {
  HartRig rig("interp", {"+zacas"});
  struct Case {
    uint32_t word;
    U cause;
  };
  const Case cases[] = {
      {encode("lr.w", {{'d', a0}, {'a', a1}}), riscv::kLoadMisaligned},
      {encode("lr.d", {{'d', a0}, {'a', a1}}), riscv::kLoadMisaligned},
      {encode("amoadd.w", {{'d', a0}, {'a', a1}, {'b', a2}}), riscv::kStoreMisaligned},
      {encode("amoadd.d", {{'d', a0}, {'a', a1}, {'b', a2}}), riscv::kStoreMisaligned},
      {encode("amoswap.h", {{'d', a0}, {'a', a1}, {'b', a2}}), riscv::kStoreMisaligned},
      {encode("amocas.d", {{'d', a0}, {'a', a1}, {'b', a2}}), riscv::kStoreMisaligned},
  };
  for (const Case& each : cases) {
    rig.poke(kData, 0x0102030405060708);
    rig.x(a0) = 42, rig.x(a1) = kData + 1, rig.x(a2) = 9, rig.x(a5) = 0;
    CHECK_FALSE(run(rig, {encode("addi", {{'d', a5}, {'a', 0}, {'i', 3}}), each.word, encode("addi", {{'d', a5}, {'a', 0}, {'i', 4}})}));
    CHECK(rig.state().mcause == each.cause);
    CHECK(rig.state().mtval == kData + 1);
    CHECK(rig.state().mepc == HartRig::kRam + 4);
    CHECK(rig.x(a0) == 42);
    CHECK(rig.x(a5) == 3);
    CHECK(rig.peek(kData) == 0x0102030405060708);
  }
  // A store-conditional to the reserved, but by then inaccessible, place faults with its destination untouched.
  rig.x(a0) = 42, rig.x(a1) = 0x1000;
  rig.state().reservation_address = 0x1000;
  CHECK_FALSE(run(rig, {encode("sc.d", {{'d', a0}, {'a', a1}, {'b', a2}})}));
  CHECK(rig.state().mcause == riscv::kStoreAccess);
  CHECK(rig.x(a0) == 42);
}
