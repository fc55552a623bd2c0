// Compressed instructions against the base instructions that the assembler of the manual's tables gives for them: both are run from the same state.
#include "tests/guest/riscv/encode.h"
#include "tests/guest/riscv/hart_rig.h"
#include "tests/support/catch.h"

using namespace lyre;
using namespace lyre::test;

namespace {

using U = uint64_t;
constexpr U kData = HartRig::kRam + 0x1000;

// State after one instruction at the start of RAM: registers, pc relative to the next instruction, memory.
struct After {
  std::vector<U> state;
  bool operator==(const After&) const = default;
};
After run(HartRig& rig, uint32_t word, unsigned bytes, bool relative_pc) {
  for (unsigned reg = 1; reg < 32; ++reg) rig.x(reg) = kData + 512 + 64 * reg;
  for (U at = 0; at < 0x2000; at += 8) rig.poke(kData + at, at * 0x0101010101010101 ^ 0x8877665544332211);
  rig.load(HartRig::kRam, bytes == 2 ? std::vector<uint32_t>{word | 0x00010000, 0x00010001} : std::vector<uint32_t>{word, 0x00000013});
  rig.state().pc = HartRig::kRam;
  rig.run_block();
  After after;
  for (unsigned reg = 0; reg < 32; ++reg) after.state.push_back(rig.x(reg));
  U pc = rig.state().pc - HartRig::kRam;
  after.state.push_back(relative_pc ? pc - bytes : pc);
  for (U at = 0; at < 0x2000; at += 8) after.state.push_back(rig.peek(kData + at));
  return after;
}

}  // namespace

TEST_CASE("compressed instructions do what they stand for") {
  struct Pair {
    uint16_t compressed;
    uint32_t base;
    const char* text;
  };
  // Both columns assembled with binutils (as -march=rv64gc and .option norvc).
  const Pair pairs[] = {
#include "tests/guest/riscv/compressed_pairs.inc"
  };
  HartRig rig("interp", {}, 1);
  for (const Pair& pair : pairs) {
    bool jumps = (pair.base & 0x7f) == 0x6f || (pair.base & 0x7f) == 0x67 || (pair.base & 0x7f) == 0x63;
    INFO(pair.text);
    bool same = run(rig, pair.compressed, 2, !jumps) == run(rig, pair.base, 4, !jumps);
    // Branches that are not taken go on at different places.
    if (jumps && !same) same = run(rig, pair.compressed, 2, true) == run(rig, pair.base, 4, true);
    CHECK(same);
  }
}

TEST_CASE("compressed calls link to the instruction behind them") {
  HartRig rig("interp", {}, 1);
  rig.load(HartRig::kRam, {0x00019582});  // c.jalr a1
  rig.state().pc = HartRig::kRam;
  rig.x(a1) = HartRig::kRam + 0x101;
  rig.run_block();
  CHECK(rig.state().pc == HartRig::kRam + 0x100);
  CHECK(rig.x(ra) == HartRig::kRam + 2);
  rig.load(HartRig::kRam, {0x00018082});  // c.jr ra
  rig.state().pc = HartRig::kRam;
  rig.run_block();
  CHECK(rig.state().pc == HartRig::kRam + 2);
}

TEST_CASE("all zeros, reserved forms and c.ebreak trap with their bits") {
  HartRig rig("interp", {}, 1);
  rig.state().mtvec = HartRig::kRam + 0x800;
  // c.addi4spn with 0, c.lui with 0, c.lwsp to x0, c.jr x0, c.addiw to x0, reserved quadrant 1 function
  for (uint32_t word : {0x0000u, 0x0004u, 0x6501u, 0x4002u, 0x8002u, 0x2001u, 0x9c79u}) {
    rig.load(HartRig::kRam, {word | 0x00010000});
    rig.state().pc = HartRig::kRam;
    rig.run_block();
    INFO(std::hex << word);
    CHECK(rig.state().pc == HartRig::kRam + 0x800);
    CHECK(rig.state().mcause == 2);
    CHECK(rig.state().mtval == word);
    CHECK(rig.state().mepc == HartRig::kRam);
  }
  rig.load(HartRig::kRam, {0x00019002});
  rig.state().pc = HartRig::kRam;
  rig.run_block();
  CHECK(rig.state().mcause == 3);
  CHECK(rig.state().mtval == HartRig::kRam);
}
