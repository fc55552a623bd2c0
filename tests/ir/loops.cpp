#include "ir/pass/passes.h"
#include "tests/ir/ir_test.h"

namespace lyre::ir {
namespace {

TEST_CASE("a superblock that ends at its own start becomes a loop") {
  // x24 += x32 (only read); x40 written before it is read; ends when x24 is zero.
  check_passes(R"(
    check -> +0 !s0
    v1: i64 = get @24
    v2: i64 = get @32
    v3: i64 = add v1, v2
    set @24, v3
    set @40, v1
    v6: i64 = constant 0x0
    v7: i1 = cmp.eq v3, v6
    exit_if v7 -> +8 !s1
    exit_direct -> +0 !s1
    s0: pc +0 insn 0 {}
    s1: pc +4 insn 1 {}
  )", kPassLoops | kPassDce, R"(
    block0:
    v0: i64 = get @32
    v1: i64 = get @24
    v2: i64 = get @40
    jump block1 [v1, v2]
    block1 loop:
    v4: i64 = param 0
    v5: i64 = param 1
    check -> +0 !s0
    v7: i64 = add v4, v0
    v8: i64 = constant 0x0
    v9: i1 = cmp.eq v7, v8
    exit_if v9 -> +8 !s1
    jump block1 [v7, v4]
    s0: pc +0 insn 0 {@24: v4, @40: v5}
    s1: after s0, pc +4 insn 1 {@24: v7, @40: v4}
  )");
}

TEST_CASE("loops: pinned slots that are not written stay outside the parameters") {
  PipelineOptions options = test_options(kPassLoops);
  options.pinned_slots = kTestPinned;
  CHECK(after_passes(R"(
    check -> +0 !s0
    v1: i64 = get @8
    v2: i64 = get @16
    v3: i64 = add v1, v2
    set @8, v3
    exit_direct -> +0 !s0
    s0: pc +0 insn 0 {}
  )", options) == body(R"(
    block0:
    v0: i64 = get @8
    v1: i64 = get @16
    jump block1 [v0]
    block1 loop:
    v3: i64 = param 0
    check -> +0 !s0
    v5: i64 = add v3, v1
    jump block1 [v5]
    s0: pc +0 insn 0 {@8: v3, @16: v1}
  )"));
}

TEST_CASE("loops: a helper that writes state keeps read-only slots inside the loop and pinned ones as parameters") {
  PipelineOptions options = test_options(kPassLoops);
  options.pinned_slots = kTestPinned;
  CHECK(after_passes(R"(
    check -> +0 !s0
    v1: i64 = get @24
    set @32, v1
    call 2 [] !s0
    v4: i64 = get @8
    set @40, v4
    exit_direct -> +0 !s0
    s0: pc +0 insn 0 {}
  )", options) == body(R"(
    block0:
    v0: i64 = get @8
    v1: i64 = get @16
    v2: i64 = get @32
    v3: i64 = get @40
    jump block1 [v2, v3, v0, v1]
    block1 loop:
    v5: i64 = param 0
    v6: i64 = param 1
    v7: i64 = param 2
    v8: i64 = param 3
    check -> +0 !s0
    v10: i64 = get @24
    call 2 [] !s1
    v12: i64 = get @8
    v13: i64 = get @16
    v14: i64 = get @32
    jump block1 [v14, v12, v12, v13]
    s0: pc +0 insn 0 {@8: v7, @16: v8, @32: v5, @40: v6}
    s1: after s0, pc +0 insn 0 {@32: v10}
  )"));
}

TEST_CASE("loops: none without a check, for calls, or with too many registers") {
  auto loops = [](std::string_view text) {
    Region region = region_of(text);
    run_pipeline(region, test_options(kPassLoops));
    return region.blocks.size() == 2;
  };
  CHECK(loops("check -> +0 !s0\nexit_direct -> +0 !s0\ns0: pc +0 insn 0 {}"));
  CHECK_FALSE(loops("exit_direct -> +0 !s0\ns0: pc +0 insn 0 {}"));
  CHECK_FALSE(loops("check -> +0 !s0\nexit_direct.call -> +0 !s0\ns0: pc +0 insn 0 {}"));
  CHECK_FALSE(loops("check -> +0 !s0\nexit_direct -> +4 !s0\ns0: pc +0 insn 0 {}"));
  std::string many = "check -> +0 !s0\nv1: i64 = constant 0x1\n";
  for (unsigned i = 0; i < 25; i++) many += "set @" + std::to_string(8 * i) + ", v1\n";
  CHECK_FALSE(loops(many + "exit_direct -> +0 !s0\ns0: pc +0 insn 0 {}"));
}

TEST_CASE("loops: an exit that is always taken leaves a prologue and a plain block") {
  check_passes(R"(
    check -> +0 !s0
    v1: i1 = constant 0x1
    exit_if v1 -> +8 !s0
    exit_direct -> +0 !s0
    s0: pc +0 insn 0 {}
  )", kPassLoops | kPassFold | kPassDce, R"(
    block0:
    jump block1 []
    block1:
    check -> +0 !s0
    exit_direct -> +8 !s0
    s0: pc +0 insn 0 {}
  )");
}

TEST_CASE("dce drops parameters that nobody reads, and their arguments") {
  Region region = region_of(R"(
    block0:
    v0: i64 = get @24
    v1: i64 = get @32
    v2: i64 = get @40
    jump block1 [v0, v1, v2]
    block1 loop:
    v4: i64 = param 0
    v5: i64 = param 1
    v6: i64 = param 2
    check -> +0 !s0
    v8: i64 = not v6
    v9: i64 = not v5
    store.8 [v8], v8 !s0
    v11: i64 = neg v8
    jump block1 [v9, v4, v11]
    s0: pc +0 insn 0 {}
  )");
  // Parameters 0 and 1 feed only each other.
  REQUIRE(verify(region) == "");
  dce(region, test_options(kPassDce), pass_scratch());
  REQUIRE(verify(region) == "");
  CHECK(body(print(region)) == body(R"(
    block0:
    v0: i64 = get @40
    jump block1 [v0]
    block1 loop:
    v2: i64 = param 0
    check -> +0 !s0
    v4: i64 = not v2
    store.8 [v4], v4 !s0
    v6: i64 = neg v4
    jump block1 [v6]
    s0: pc +0 insn 0 {}
  )"));
}

}  // namespace
}  // namespace lyre::ir
