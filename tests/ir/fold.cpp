#include "ir/eval.h"
#include "tests/ir/ir_test.h"

namespace lyre::ir {
namespace {

// The instructions left of an expression over v0 and v1 (i64, from slots), v2 (i32), v3 (i1) whose result is v99; then "= " and what the
// result is.
std::string folded(std::string_view expression) {
  std::string text = "v0: i64 = get @24\nv1: i64 = get @32\nv2: i32 = get @48\nv3: i1 = get @52\n" + std::string(expression) +
                     "\nset @40, v99\nexit_loop !s0\ns0: pc +0 insn 0 {}\n";
  Region region = region_of(text);
  // Without dce, so that values keep their numbers; then what the result needs is printed.
  PipelineOptions options = test_options(kPassFold);
  run_pipeline(region, options);
  REQUIRE(region.snapshot_entries.size() <= 1);
  if (region.snapshot_entries.empty()) return "?";
  std::vector<bool> needed(region.insts.size());
  ValueId result = region.snapshot_entries[0].value;
  needed[result] = true;
  for (ValueId id = result + 1; id-- > 0;) {
    if (!needed[id]) continue;
    unsigned count;
    const ValueId* args = region.args_of(region[id], count);
    for (unsigned i = 0; i < count; i++) needed[args[i]] = true;
  }
  std::string out;
  for (ValueId id = 4; id <= result; id++)
    if (needed[id]) out += print_inst(region, id) + "; ";
  if (result < 4) out += "v" + std::to_string(result);
  return out.substr(0, out.size() - (result < 4 ? 0 : 2));
}

TEST_CASE("fold: sums") {
  CHECK(folded("v5: i64 = constant 0x0\nv99: i64 = add v0, v5") == "v0");
  CHECK(folded("v5: i64 = constant 0x0\nv99: i64 = add v5, v0") == "v0");
  CHECK(folded("v5: i64 = constant 0x2\nv6: i64 = constant 0x3\nv99: i64 = add v5, v6") == "v6: i64 = constant 0x5");
  CHECK(folded("v5: i64 = constant 0x2\nv6: i64 = add v0, v5\nv99: i64 = add v6, v5") == "v6: i64 = constant 0x4; v7: i64 = add v0, v6");
  CHECK(folded("v5: i64 = constant 0x2\nv99: i64 = sub v0, v5") == "v5: i64 = constant 0xfffffffffffffffe; v6: i64 = add v0, v5");
  CHECK(folded("v99: i64 = sub v0, v0") == "v4: i64 = constant 0x0");
  CHECK(folded("v5: i64 = constant 0x0\nv99: i64 = sub v5, v0") == "v5: i64 = neg v0");
  CHECK(folded("v5: i64 = guest_pc +8\nv6: i64 = constant 0xfffffffffffffffc\nv99: i64 = add v5, v6") == "v6: i64 = guest_pc +4");
  CHECK(folded("v5: i64 = neg v1\nv99: i64 = add v0, v5") == "v5: i64 = sub v0, v1");
}

TEST_CASE("fold: products and quotients") {
  CHECK(folded("v5: i64 = constant 0x8\nv99: i64 = mul v5, v0") == "v5: i64 = constant 0x3; v6: i64 = shl v0, v5");
  CHECK(folded("v5: i64 = constant 0x1\nv99: i64 = mul v0, v5") == "v0");
  CHECK(folded("v5: i64 = constant 0x0\nv99: i64 = mul v0, v5") == "v4: i64 = constant 0x0");
  CHECK(folded("v5: i64 = constant 0x10\nv99: i64 = div_u v0, v5") == "v5: i64 = constant 0x4; v6: i64 = shr v0, v5");
  CHECK(folded("v5: i64 = constant 0x10\nv99: i64 = rem_u v0, v5") == "v5: i64 = constant 0xf; v6: i64 = and v0, v5");
  CHECK(folded("v5: i64 = constant 0x0\nv99: i64 = rem_s v0, v5") == "v0");
  CHECK(folded("v5: i64 = constant 0x0\nv99: i64 = div_s v0, v5") == "v4: i64 = constant 0x0");
}

TEST_CASE("fold: rotations written as two shifts") {
  const std::string halves = "v5: i32 = constant 0x19\nv6: i32 = constant 0x7\nv7: i32 = shl v2, v5\nv8: i32 = shr v2, v6\n";
  CHECK(folded(halves + "v9: i64 = sext v7\nv10: i64 = sext v8\nv99: i64 = or v9, v10") ==
        "v4: i32 = constant 0x19; v10: i32 = rotl v2, v4; v11: i64 = sext v10");
  CHECK(folded(halves + "v9: i64 = sext v7\nv10: i64 = sext v8\nv99: i64 = or v10, v9") ==
        "v4: i32 = constant 0x19; v10: i32 = rotl v2, v4; v11: i64 = sext v10");
  CHECK(folded(halves + "v9: i64 = zext v7\nv10: i64 = zext v8\nv99: i64 = or v9, v10") ==
        "v4: i32 = constant 0x19; v10: i32 = rotl v2, v4; v11: i64 = zext v10");
  CHECK(folded("v5: i64 = constant 0x3c\nv6: i64 = constant 0x4\nv7: i64 = shl v0, v5\nv8: i64 = shr v0, v6\nv99: i64 = or v8, v7") ==
        "v4: i64 = constant 0x3c; v8: i64 = rotl v0, v4");
  // Other counts, or halves of different values.
  CHECK(folded("v5: i64 = constant 0x3c\nv6: i64 = constant 0x5\nv7: i64 = shl v0, v5\nv8: i64 = shr v0, v6\nv99: i64 = or v8, v7").find("rotl") ==
        std::string::npos);
  CHECK(folded("v5: i64 = constant 0x3c\nv6: i64 = constant 0x4\nv7: i64 = shl v0, v5\nv8: i64 = shr v1, v6\nv99: i64 = or v8, v7").find("rotl") ==
        std::string::npos);
}

TEST_CASE("fold: bitwise operations between 32-bit ones are 32-bit ones") {
  CHECK(folded("v5: i64 = sext v2\nv6: i32 = not v2\nv7: i64 = sext v6\nv8: i64 = xor v5, v7\nv9: i32 = trunc v8\nv99: i32 = add v9, v2")
            .find("i64") == std::string::npos);
  // One side has 64 bits of its own.
  CHECK(folded("v5: i64 = sext v2\nv6: i64 = xor v5, v0\nv7: i32 = trunc v6\nv99: i32 = add v7, v2") ==
        "v4: i64 = sext v2; v5: i64 = xor v4, v0; v6: i32 = trunc v5; v7: i32 = add v6, v2");
}

TEST_CASE("fold: bits") {
  CHECK(folded("v99: i64 = xor v0, v0") == "v4: i64 = constant 0x0");
  CHECK(folded("v99: i64 = and v0, v0") == "v0");
  CHECK(folded("v99: i64 = or v0, v0") == "v0");
  CHECK(folded("v5: i64 = constant 0xffffffffffffffff\nv99: i64 = xor v0, v5") == "v5: i64 = not v0");
  CHECK(folded("v5: i64 = not v0\nv99: i64 = not v5") == "v0");
  CHECK(folded("v5: i64 = constant 0xff\nv6: i64 = zext v2\nv7: i64 = and v6, v5\nv99: i64 = and v7, v5").find("v6: i64 = and v5, v4") != std::string::npos);
  // A mask that keeps what an extension kept.
  CHECK(folded("v5: i64 = constant 0xffffffff\nv6: i64 = zext v2\nv99: i64 = and v6, v5") == "v5: i64 = zext v2");
  CHECK(folded("v5: i64 = constant 0xff\nv99: i64 = andn v0, v5") == "v5: i64 = constant 0xffffffffffffff00; v6: i64 = and v0, v5");
  CHECK(folded("v5: i64 = neg v0\nv99: i64 = neg v5") == "v0");
}

TEST_CASE("fold: shifts") {
  CHECK(folded("v5: i64 = constant 0x40\nv99: i64 = shl v0, v5") == "v0");
  CHECK(folded("v5: i64 = constant 0x20\nv6: i64 = shl v0, v5\nv99: i64 = shr v6, v5") == "v6: i32 = trunc v0; v7: i64 = zext v6");
  CHECK(folded("v5: i64 = constant 0x30\nv6: i64 = shl v0, v5\nv99: i64 = sar v6, v5") == "v6: i16 = trunc v0; v7: i64 = sext v6");
  CHECK(folded("v5: i64 = constant 0x3c\nv6: i64 = shl v0, v5\nv99: i64 = shr v6, v5") == "v6: i64 = constant 0xf; v7: i64 = and v0, v6");
  CHECK(folded("v5: i64 = constant 0x3\nv6: i64 = shl v0, v5\nv99: i64 = shl v6, v5") == "v6: i64 = constant 0x6; v7: i64 = shl v0, v6");
  CHECK(folded("v5: i64 = constant 0x28\nv6: i64 = shl v0, v5\nv99: i64 = shl v6, v5") == "v6: i64 = constant 0x0");
  CHECK(folded("v5: i64 = constant 0x28\nv6: i64 = sar v0, v5\nv99: i64 = sar v6, v5") == "v6: i64 = constant 0x3f; v7: i64 = sar v0, v6");
  CHECK(folded("v5: i64 = constant 0x3f\nv6: i64 = and v1, v5\nv99: i64 = shl v0, v6") == "v6: i64 = shl v0, v1");
  // 31 of 63: bit 5 counts.
  CHECK(folded("v5: i64 = constant 0x1f\nv6: i64 = and v1, v5\nv99: i64 = shl v0, v6").find("v6: i64 = shl v0, v5") != std::string::npos);
}

TEST_CASE("fold: widths") {
  CHECK(folded("v5: i32 = trunc v0\nv6: i64 = sext v5\nv7: i32 = trunc v6\nv99: i64 = sext v7") == "v4: i32 = trunc v0; v6: i64 = sext v4");
  CHECK(folded("v5: i64 = zext v2\nv6: i16 = trunc v5\nv99: i64 = zext v6") == "v5: i16 = trunc v2; v6: i64 = zext v5");
  CHECK(folded("v5: i8 = trunc v0\nv6: i32 = zext v5\nv99: i64 = sext v6") == "v4: i8 = trunc v0; v6: i64 = zext v4");
  // lw; sext.w and lwu; zext.w
  CHECK(folded("v5: i64 = load.4.s [v0] !s0\nv6: i32 = trunc v5\nv99: i64 = sext v6") == "v4: i64 = load.4.s [v0] !s0");
  CHECK(folded("v5: i64 = load.4 [v0] !s0\nv6: i32 = trunc v5\nv99: i64 = zext v6") == "v4: i64 = load.4 [v0] !s0");
  CHECK(folded("v5: i64 = load.4 [v0] !s0\nv6: i32 = trunc v5\nv99: i64 = sext v6") != "v4: i64 = load.4 [v0] !s0");
  CHECK(folded("v5: f64 = bitcast v0\nv99: i64 = bitcast v5") == "v0");
}

TEST_CASE("fold: a boxed float is unboxed for nothing") {
  constexpr std::string_view kBox = "v10: f32 = bitcast v2\nv11: i32 = bitcast v10\nv12: i64 = zext v11\nv13: i64 = constant 0xffffffff00000000\nv14: i64 = or v12, v13\n";
  // Upper half all ones? then the low half, else the default NaN.
  CHECK(folded(std::string(kBox) + "v15: i64 = constant 0x20\nv16: i64 = shr v14, v15\nv17: i64 = constant 0xffffffff\nv18: i1 = cmp.eq v16, v17\n"
        "v19: i32 = trunc v14\nv20: i32 = constant 0x7fc00000\nv21: i32 = select v18, v19, v20\nv99: i64 = zext v21").find("select") == std::string::npos);
  CHECK(folded(std::string(kBox) + "v18: i1 = cmp.ge_u v14, v13\nv19: i32 = trunc v14\nv20: i32 = constant 0x7fc00000\n"
        "v21: i32 = select v18, v19, v20\nv99: i64 = sext v21").find("select") == std::string::npos);
  CHECK(folded(std::string(kBox) + "v99: i32 = trunc v14") == "v2");
}

TEST_CASE("fold: comparisons") {
  CHECK(folded("v99: i1 = cmp.le_s v0, v0") == "v4: i1 = constant 0x1");
  CHECK(folded("v99: i1 = cmp.lt_u v0, v0") == "v4: i1 = constant 0x0");
  CHECK(folded("v5: i64 = constant 0x5\nv99: i1 = cmp.lt_s v5, v0") == "v4: i64 = constant 0x5; v5: i1 = cmp.gt_s v0, v4");
  CHECK(folded("v5: i64 = constant 0x0\nv99: i1 = cmp.lt_u v0, v5") == "v5: i1 = constant 0x0");
  CHECK(folded("v5: i64 = constant 0x1\nv99: i1 = cmp.lt_u v0, v5") == "v5: i64 = constant 0x0; v6: i1 = cmp.eq v0, v5");
  CHECK(folded("v5: i64 = constant 0x0\nv99: i1 = cmp.gt_u v0, v5") == "v4: i64 = constant 0x0; v5: i1 = cmp.ne v0, v4");
  CHECK(folded("v5: i64 = constant 0x0\nv6: i64 = zext v3\nv99: i1 = cmp.ne v6, v5") == "v3");
  CHECK(folded("v4: i1 = cmp.lt_s v0, v1\nv5: i64 = constant 0x0\nv6: i64 = zext v4\nv99: i1 = cmp.eq v6, v5") == "v7: i1 = cmp.ge_s v0, v1");
  CHECK(folded("v5: i64 = constant 0x0\nv6: i64 = sub v0, v1\nv99: i1 = cmp.eq v6, v5") == "v6: i1 = cmp.eq v0, v1");
  CHECK(folded("v5: i64 = constant 0x100000000\nv6: i64 = zext v2\nv99: i1 = cmp.lt_u v6, v5") == "v6: i1 = constant 0x1");
}

TEST_CASE("fold: selects") {
  CHECK(folded("v99: i64 = select v3, v0, v0") == "v0");
  CHECK(folded("v5: i1 = constant 0x1\nv99: i64 = select v5, v0, v1") == "v0");
  CHECK(folded("v5: i1 = constant 0x0\nv99: i64 = select v5, v0, v1") == "v1");
  CHECK(folded("v5: i64 = constant 0x1\nv6: i64 = constant 0x0\nv99: i64 = select v3, v5, v6") == "v6: i64 = zext v3");
  CHECK(folded("v5: i1 = not v3\nv99: i64 = select v5, v0, v1") == "v5: i64 = select v3, v1, v0");
}

TEST_CASE("fold: an exit that is never taken goes, one that is always taken ends the region") {
  check_passes(R"(
    v0: i1 = constant 0x0
    exit_if v0 -> +8 !s0
    v2: i1 = constant 0x1
    exit_if v2 -> +16 !s0
    exit_direct -> +4 !s0
    s0: pc +0 insn 0 {}
  )", kPassFold | kPassDce, R"(
    block0:
    exit_direct -> +16 !s0
    s0: pc +0 insn 0 {}
  )");
}

TEST_CASE("value numbering uses an equal value again") {
  check_passes(R"(
    v0: i64 = get @24
    v1: i64 = constant 0x3
    v2: i64 = shl v0, v1
    v3: i64 = constant 0x3
    v4: i64 = shl v0, v3
    v5: i64 = add v2, v4
    v6: f64 = bitcast v5
    v7: f64 = fadd v6, v6
    v8: f64 = fadd v6, v6
    set @32, v7
    set @40, v8
    exit_loop !s0
    s0: pc +0 insn 0 {}
  )", kPassValueNumber, R"(
    block0:
    v0: i64 = get @24
    v1: i64 = constant 0x3
    v2: i64 = shl v0, v1
    v3: i64 = add v2, v2
    v4: f64 = bitcast v3
    v5: f64 = fadd v4, v4
    v6: f64 = fadd v4, v4
    exit_loop !s0
    s0: pc +0 insn 0 {@32: v5, @40: v6}
  )");
}

TEST_CASE("address fusion moves constants into the displacement as long as they fit") {
  check_passes(R"(
    v0: i64 = get @24
    v1: i64 = constant 0x10
    v2: i64 = add v0, v1
    v3: i64 = load.8 [v2 + 8] !s0
    store.8 [v2 - 32], v3 !s0
    v5: i64 = constant 0x7ffffff0
    v6: i64 = add v0, v5
    store.8 [v6 + 15], v3 !s0
    store.8 [v6 + 16], v3 !s0
    exit_loop !s0
    s0: pc +0 insn 0 {}
  )", kPassFuseAddress, R"(
    block0:
    v0: i64 = get @24
    v1: i64 = constant 0x10
    v2: i64 = add v0, v1
    v3: i64 = load.8 [v0 + 24] !s0
    store.8 [v0 - 16], v3 !s0
    v5: i64 = constant 0x7ffffff0
    v6: i64 = add v0, v5
    store.8 [v0 + 2147483647], v3 !s0
    store.8 [v6 + 16], v3 !s0
    exit_loop !s0
    s0: pc +0 insn 0 {}
  )");
}

TEST_CASE("compare fusion: exits and selects compare by themselves") {
  check_passes(R"(
    v0: i64 = get @24
    v1: i64 = get @32
    v2: i1 = cmp.lt_u v0, v1
    exit_if v2 -> +8 !s0
    v4: i64 = select v2, v0, v1
    set @40, v4
    exit_loop !s0
    s0: pc +0 insn 0 {}
  )", kPassFuseCompare | kPassDce, R"(
    block0:
    v0: i64 = get @24
    v1: i64 = get @32
    exit_if_cmp.lt_u v0, v1 -> +8 !s0
    v3: i64 = select_cmp.lt_u v0, v1, v0, v1
    exit_loop !s1
    s0: pc +0 insn 0 {}
    s1: after s0, pc +0 insn 0 {@40: v3}
  )");
}

TEST_CASE("dce drops what nobody needs and keeps effects") {
  check_passes(R"(
    v0: i64 = get @24
    v1: i64 = get @32
    v2: i64 = add v0, v1
    v3: i64 = load.8 [v0] !s0
    v4: f64 = bitcast v1
    v5: f64 = fadd v4, v4
    v6: f64 = fadd.dead v4, v5
    v7: i64 = call 0 [v0] !s0
    v8: i64 = call 4 [v0] !s0
    v9: i64 = clock_ns
    fence.15
    exit_loop !s0
    s0: pc +0 insn 0 {}
  )", kPassDce, R"(
    block0:
    v0: i64 = get @24
    v1: i64 = get @32
    v2: i64 = load.8 [v0] !s0
    v3: f64 = bitcast v1
    v4: f64 = fadd v3, v3
    v5: i64 = call 0 [v0]
    fence.15
    exit_loop !s0
    s0: pc +0 insn 0 {}
  )");
}

}  // namespace
}  // namespace lyre::ir
