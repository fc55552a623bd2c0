// The translation loop's shapes, as text IR: where regions end, which way branches are turned, what is recorded. And instructions across page borders.
#include <cstring>
#include <map>
#include <vector>

#include "frontend/riscv/cpu.h"
#include "frontend/translate_loop.h"
#include "ir/text.h"
#include "ir/verify.h"
#include "tests/guest/riscv/encode.h"
#include "tests/support/catch.h"

using namespace lyre;
using namespace lyre::test;

namespace {

// Pages of code; pages that are not there can not be fetched.
struct Code final : frontend::CodeReader {
  std::map<uint64_t, std::vector<uint8_t>> pages;
  unsigned asked = 0;
  void put(uint64_t address, uint32_t word, unsigned bytes = 4) {
    for (unsigned k = 0; k < bytes; ++k) {
      std::vector<uint8_t>& page = pages[(address + k) & kPageMask];
      page.resize(kPageSize);
      page[(address + k) % kPageSize] = static_cast<uint8_t>(word >> 8 * k);
    }
  }
  void put(uint64_t address, std::initializer_list<uint32_t> words) {
    for (uint32_t word : words) {
      put(address, word);
      address += 4;
    }
  }
  std::span<const uint8_t> code_at(Gva address) override {
    ++asked;
    auto page = pages.find(address.value & kPageMask);
    if (page == pages.end()) return {};
    return std::span<const uint8_t>(page->second).subspan(address.value % kPageSize);
  }
};

struct Fixture {
  std::unique_ptr<riscv::RiscvCpu> cpu = std::move(*riscv::create_riscv_cpu("max", {}));
  Code code;
  frontend::TranslateLimits limits;
  ir::Region region;
  Gva fault;

  Fixture() { limits.max_side_exits = 6; }
  bool translate(uint64_t pc) {
    frontend::TranslateLoop loop(*cpu);
    bool done = loop.translate(Gva{pc}, 3, code, limits, region, fault);
    if (done) {
      ir::VerifyOptions options;
      options.helpers = cpu->helpers();
      CHECK(ir::verify(region, options) == "");
    }
    return done;
  }
  // Operations that leave, with their targets.
  std::string exits() const {
    std::string text;
    for (const ir::Inst& inst : region.insts) {
      if (inst.op == ir::Op::exit_if) text += "if" + std::to_string(inst.target()) + " ";
      if (inst.op == ir::Op::exit_direct) text += (inst.aux & ir::kHintCall ? "call" : "to") + std::to_string(inst.target()) + " ";
      if (inst.op == ir::Op::exit_indirect) text += inst.aux & ir::kHintReturn ? "return " : inst.aux & ir::kHintCall ? "call " : "indirect ";
      if (inst.op == ir::Op::exit_loop) text += "loop ";
      if (inst.op == ir::Op::check) text += "check ";
    }
    return text;
  }
};

constexpr uint32_t kNop = 0x00000013, kRet = 0x00008067;
constexpr uint64_t kBase = 0x10000;
uint32_t jal(uint32_t rd, int32_t displacement) {
  auto u = static_cast<uint32_t>(displacement);
  return (u >> 20 & 1) << 31 | (u >> 1 & 1023) << 21 | (u >> 11 & 1) << 20 | (u >> 12 & 255) << 12 | rd << 7 | 0x6f;
}
uint32_t bne(int32_t displacement) {
  auto u = static_cast<uint32_t>(displacement);
  return (u >> 12 & 1) << 31 | (u >> 5 & 63) << 25 | 11u << 15 | 1u << 12 | (u >> 1 & 15) << 8 | (u >> 11 & 1) << 7 | 0x63;
}

}  // namespace

TEST_CASE("a region starts with a check and ends with one terminator") {
  Fixture f;
  f.code.put(kBase, {kNop, kNop, kRet});
  REQUIRE(f.translate(kBase));
  CHECK(f.exits() == "check return ");
  CHECK(f.region.guest_insns == 3);
  CHECK(f.region.guest_bytes == 12);
  REQUIRE(f.region.spans.size() == 1);
  CHECK(f.region.spans[0].start.value == kBase);
  CHECK(f.region.spans[0].bytes == 12);
}

TEST_CASE("forward branches leave, the way on falls through") {
  Fixture f;
  f.code.put(kBase, {bne(32), kNop, bne(-64), kRet});
  REQUIRE(f.translate(kBase));
  CHECK(f.exits().starts_with("check if32 if-56 "));
  f.code.put(kBase, {bne(32), kNop, bne(64), kRet});
  REQUIRE(f.translate(kBase));
  CHECK(f.exits() == "check if32 if72 return ");
}

TEST_CASE("a branch to the start is turned round") {
  Fixture f;
  f.code.put(kBase, {kNop, bne(-4), kRet});
  REQUIRE(f.translate(kBase));
  CHECK(f.exits() == "check if8 to0 ");
  bool inverted = false;
  for (const ir::Inst& inst : f.region.insts) inverted = inverted || (inst.op == ir::Op::cmp && static_cast<ir::Cond>(inst.aux) == ir::Cond::kEq);
  CHECK(inverted);
  // A branch to itself is one too; a branch to the next instruction is nothing.
  f.code.put(kBase, {bne(0), kRet});
  REQUIRE(f.translate(kBase));
  CHECK(f.exits() == "check if4 to0 ");
  f.code.put(kBase, {bne(4), kRet});
  REQUIRE(f.translate(kBase));
  CHECK(f.exits() == "check return ");
}

TEST_CASE("calls end a region and tell where they return to") {
  Fixture f;
  f.code.put(kBase, {kNop, jal(1, 256)});
  REQUIRE(f.translate(kBase));
  CHECK(f.exits() == "check call260 ");
  const ir::Inst& last = f.region.insts.back();
  CHECK(f.region.snapshots[last.snapshot].pc_offset == 8);
  CHECK(f.region.snapshots[last.snapshot].insn_index == 2);
  f.code.put(kBase, {0x000500e7});  // jalr ra,0(a0)
  REQUIRE(f.translate(kBase));
  CHECK(f.exits() == "check call ");
  f.code.put(kBase, {0x00050067});  // jalr zero,0(a0)
  REQUIRE(f.translate(kBase));
  CHECK(f.exits() == "check indirect ");
}

TEST_CASE("forward jumps are straightened, backward ones end the region") {
  Fixture f;
  f.code.put(kBase, {jal(0, 64)});
  f.code.put(kBase + 64, {kNop, jal(0, -128)});
  REQUIRE(f.translate(kBase));
  CHECK(f.exits() == "check to-60 ");
  CHECK(f.region.guest_insns == 3);
  CHECK(f.region.guest_bytes == 12);
  REQUIRE(f.region.spans.size() == 1);
  CHECK(f.region.spans[0].bytes == 72);
  f.limits.follow_jumps = false;
  REQUIRE(f.translate(kBase));
  CHECK(f.exits() == "check to64 ");
}

TEST_CASE("limits on instructions, side exits and pages") {
  Fixture f;
  for (uint64_t k = 0; k < 3 * 4096; k += 4) f.code.put(kBase + k, kNop);
  f.limits.max_insns = 5;
  REQUIRE(f.translate(kBase));
  CHECK(f.exits() == "check to20 ");
  f.limits.max_insns = 10000;
  REQUIRE(f.translate(kBase + 8));
  CHECK(f.exits() == "check to8184 ");  // not into a third page
  CHECK(f.region.spans.size() == 2);
  f.limits.stay_in_page = true;
  REQUIRE(f.translate(kBase + 8));
  CHECK(f.exits() == "check to4088 ");
  f.limits.stay_in_page = false;
  f.limits.max_insns = 64;
  f.limits.max_side_exits = 2;
  f.code.put(kBase, {bne(64), bne(64), bne(64), bne(64)});
  REQUIRE(f.translate(kBase));
  CHECK(f.exits() == "check if64 if68 if72 to12 ");
}

TEST_CASE("code that can not be fetched ends a region, or is the caller's fault to deliver") {
  Fixture f;
  f.code.put(kBase + 4088, {kNop, kNop});
  CHECK(f.translate(kBase + 4088));
  CHECK(f.exits() == "check to8 ");
  CHECK_FALSE(f.translate(kBase + 4096));
  CHECK(f.fault.value == kBase + 4096);
}

TEST_CASE("an instruction across a page border needs both pages") {
  Fixture f;
  f.code.put(kBase + 4092, 0x0001, 2);
  f.code.put(kBase + 4094, kRet & 0xffff, 2);
  REQUIRE(f.translate(kBase + 4092));
  CHECK(f.exits() == "check to2 ");
  CHECK_FALSE(f.translate(kBase + 4094));
  CHECK(f.fault.value == kBase + 4096);
  f.code.put(kBase + 4096, kRet >> 16, 2);
  REQUIRE(f.translate(kBase + 4092));
  CHECK(f.exits() == "check return ");
  REQUIRE(f.region.spans.size() == 2);
  CHECK(f.region.spans[0].bytes == 4);
  CHECK(f.region.spans[1].start.value == kBase + 4096);
  CHECK(f.region.spans[1].bytes == 2);
  f.limits.stay_in_page = true;
  REQUIRE(f.translate(kBase + 4092));
  CHECK(f.exits() == "check to2 ");
  REQUIRE(f.translate(kBase + 4094));  // the first one has no choice
  CHECK(f.exits() == "check return ");
}

TEST_CASE("what is no instruction raises, with its bits") {
  Fixture f;
  f.code.put(kBase, {kNop, 0xffffffff});
  REQUIRE(f.translate(kBase));
  CHECK(f.exits() == "check loop ");
  CHECK(ir::print(f.region).find("call") != std::string::npos);
}
