#include "ir/verify.h"

#include "tests/ir/ir_test.h"

namespace lyre::ir {
namespace {

std::string rejected(std::string_view text, VerifyOptions options = {}) { return verify(region_of(text), options); }

constexpr std::string_view kEnd = "exit_loop !s0\ns0: pc +0 insn 0 {}\n";
std::string with_end(std::string_view text) { return std::string(text) + "\n" + std::string(kEnd); }

TEST_CASE("verify: blocks") {
  CHECK(rejected("block0:\nv0: i64 = get @8\n") == "block0: it does not end with a terminator");
  CHECK(rejected("exit_loop !s0\nexit_loop !s0\ns0: pc +0 insn 0 {}") == "block0: a terminator stands inside it");
  CHECK(rejected("") == "block0: it is empty");
  Region region = region_of("block0:\nexit_loop !s0\nblock1:\nexit_loop !s0\ns0: pc +0 insn 0 {}");
  region.blocks.pop_back();
  CHECK(verify(region) == "block0: instructions stand behind it");
  region.blocks.push_back({0, 2, 0, false});
  CHECK(verify(region) == "block1: its range does not follow the one before");
  CHECK(rejected("block0:\njump block3 []") == "v0 (jump): the block does not exist");
}

TEST_CASE("verify: parameters") {
  CHECK(rejected("block0:\nv0: i64 = param 0\n" + std::string(kEnd)) == "block0: the entry block has no parameters");
  constexpr const char* kBefore = "block0:\nv0: i64 = constant 0x0\njump block1 [v0]\nblock1:\n";
  CHECK(rejected(kBefore + with_end("v2: i64 = param 1")) == "v2 (param): imm is not the parameter's position");
  CHECK(rejected(kBefore + with_end("fence.15\nv2: i64 = param 0")) == "v3 (param): a parameter stands at the start of its block");
  Region region = region_of(kBefore + with_end("v2: i64 = param 0"));
  region.blocks[1].param_count = 2;
  CHECK(verify(region) == "block1: it does not have as many parameters as it says");
}

TEST_CASE("verify: values") {
  CHECK(rejected(with_end("v0: i64 = not v1\nv1: i64 = get @8")) == "v0 (not_): argument 0 does not dominate it");
  CHECK(rejected(with_end("v0: i64 = not v0")) == "v0 (not_): argument 0 does not dominate it");
  CHECK(rejected(with_end("v0: i64 = get @8\nv1: i64 = add v0, none")) == "v1 (add): argument 1 does not exist");
  Region region = region_of(with_end("fence.1\nv1: i64 = get @8\nv2: i64 = not v1"));
  region[2].args[0] = 0;
  CHECK(verify(region) == "v2 (not_): argument 0 has no value");
  // Defined in a block that does not dominate.
  CHECK(rejected("block0:\njump block2 []\nblock1:\nv1: i64 = get @8\njump block2 []\nblock2:\nv3: i64 = not v1\n" + std::string(kEnd)) ==
        "v3 (not_): argument 0 does not dominate it");
  CHECK(rejected("block0:\nv0: i64 = get @8\njump block1 []\nblock1:\nv3: i64 = not v0\n" + std::string(kEnd)) == "");
}

TEST_CASE("verify: argument lists") {
  Region region = region_of(with_end("v0: i64 = get @8\nv1: i64 = call 0 [v0] !s0"));
  region[1].args[1] = 5;
  CHECK(verify(region) == "v1 (call): its arguments lie outside the pool");
}

TEST_CASE("verify: types") {
  auto wrong = [](std::string_view line) {
    return rejected(with_end("v0: i64 = get @8\nv1: i32 = get @16\nv2: f64 = get @24\nv3: i1 = get @32\nv4: f32 = get @40\n" + std::string(line)));
  };
  CHECK(wrong("v9: i64 = add v0, v1") == "v5 (add): arguments and result are of one type");
  CHECK(wrong("v9: i32 = add v0, v0") == "v5 (add): arguments and result are of one type");
  CHECK(wrong("v9: f64 = add v2, v2") == "v5 (add): this operation works on integers wider than i1");
  CHECK(wrong("v9: i1 = add v3, v3") == "v5 (add): this operation works on integers wider than i1");
  CHECK(wrong("v9: i1 = and v3, v3") == "");
  CHECK(wrong("v9: i64 = fadd v0, v0") == "v5 (fadd): this operation works on floats");
  CHECK(wrong("v9: i8 = bswap v0").find("16 bits or more") != std::string::npos);
  CHECK(wrong("v9: i32 = zext v0") == "v5 (zext): this operation widens an integer");
  CHECK(wrong("v9: i64 = sext v0") == "v5 (sext): this operation widens an integer");
  CHECK(wrong("v9: i64 = zext v2") == "v5 (zext): this operation widens an integer");
  CHECK(wrong("v9: i64 = trunc v1") == "v5 (trunc): this operation narrows an integer");
  CHECK(wrong("v9: f32 = bitcast v0") == "v5 (bitcast): this operation changes between types of one width");
  CHECK(wrong("v9: i64 = bitcast v0") == "v5 (bitcast): this operation changes between types of one width");
  CHECK(wrong("v9: i64 = cmp.eq v0, v0") == "v5 (cmp): the result is i1");
  CHECK(wrong("v9: i1 = cmp.eq v0, v1") == "v5 (cmp): both sides are of one type");
  CHECK(wrong("v9: i1 = cmp.eq v2, v2") == "v5 (cmp): this operation works on integers");
  CHECK(wrong("v9: i64 = select v0, v0, v0") == "v5 (select): the condition is i1");
  CHECK(wrong("v9: i64 = select v3, v0, v1") == "v5 (select): both choices are of the result's type");
  CHECK(wrong("v9: i64 = select_cmp.eq v0, v0, v0, v1") == "v5 (select_cmp): both choices are of the result's type");
  CHECK(wrong("v9: i1 = fcmp.eq_quiet v2, v4") == "v5 (fcmp): both sides are of one type");
  CHECK(wrong("v9: f64 = fcvt v2") == "v5 (fcvt): this operation changes between float types");
  CHECK(wrong("v9: f64 = ftoi_s v2") == "v5 (ftoi_s): this operation makes an integer of a float");
  CHECK(wrong("v9: f64 = itof_s v2") == "v5 (itof_s): this operation makes a float of an integer");
  CHECK(wrong("v9: i32 = guest_pc +0") == "v5 (guest_pc): the result is i64");
  CHECK(wrong("v9: i64 = load.8 [v1] !s0") == "v5 (load): the address is i64");
  CHECK(wrong("v9: i32 = load.8 [v0] !s0") == "v5 (load): the access is wider than its type");
  CHECK(wrong("v9: f64 = load.4 [v0] !s0") == "v5 (load): a float is accessed in its own width");
  CHECK(wrong("store.8 [v0], v1 !s0") == "v5 (store): the access is wider than its type");
  CHECK(wrong("v9: i64 = rmw.add.8 [v0], v0 !s0") == "v5 (rmw): a read-modify-write must be aligned");
  CHECK(wrong("v9: i64 = cmpxchg.8 [v0], v0, v0 !s0") == "v5 (cmpxchg): a compare-and-exchange must be aligned");
  CHECK(wrong("v9: i64 = rmw.add.8.align [v0], v1 !s0") == "v5 (rmw): operands are of the access's type");
  CHECK(wrong("v9: i64 = call 0 [v1] !s0") == "v5 (call): helper arguments are i64, f32 or f64");
  CHECK(wrong("v9: i64 = call 0 [v0, v0, v0, v0, v0, v0] !s0") == "v5 (call): a helper takes at most five arguments");
  CHECK(wrong("v9: i64 = call_if 0 [v0, v0] !s0") == "v5 (call_if): the condition is i1");
  CHECK(wrong("v9: i64 = call_if 0 [v3, v1] !s0") == "v5 (call_if): the other value is of the result's type");
  CHECK(wrong("exit_if v0 -> +0 !s0") == "v5 (exit_if): the condition is i1");
  CHECK(rejected("v0: i32 = get @0\nexit_indirect v0 !s0\ns0: pc +0 insn 0 {}") == "v1 (exit_indirect): the address is i64");
}

TEST_CASE("verify: aux, imm") {
  auto with_aux = [](std::string_view line, uint8_t aux) {
    Region region = region_of(with_end("v0: i64 = get @8\nv1: f64 = get @16\n" + std::string(line)));
    region[2].aux = aux;
    return verify(region);
  };
  CHECK(with_aux("v2: i1 = cmp.eq v0, v0", 10) == "v2 (cmp): aux is out of range");
  CHECK(with_aux("v2: i1 = fcmp.eq_quiet v1, v1", 6) == "v2 (fcmp): aux is out of range");
  CHECK(with_aux("v2: f64 = fround.down v1", 5) == "v2 (fround): aux is out of range");
  CHECK(with_aux("v2: f64 = fround.down v1", 4 | kFlagsDead) == "");
  CHECK(with_aux("v2: i64 = rmw.add.8.align [v0], v0 !s0", 9) == "v2 (rmw): aux is out of range");
  CHECK(with_aux("fence.15", 16) == "v2 (fence): unknown fence bits");
  CHECK(rejected(with_end("v0: i64 = get @8188")) == "v0 (get): the slot lies outside the guest state");
  CHECK(rejected(with_end("v0: i8 = constant 0x100")) == "v0 (constant): the constant is wider than its type");
  CHECK(rejected(with_end("v0: i64 = get @8\nv1: i64 = load.16 [v0] !s0")) == "v1 (load): an access is at most 8 bytes");
  VerifyOptions options;
  options.helpers = kTestHelpers;
  CHECK(rejected(with_end("call 9 [] !s0"), options) == "v0 (call): there is no such helper");
  CHECK(rejected(with_end("call 0 [] !s0"), options) == "v0 (call): plain takes 1 arguments");
}

TEST_CASE("verify: jumps") {
  CHECK(rejected("block0:\njump block1 []\nblock1:\nv1: i64 = param 0\n" + std::string(kEnd)) ==
        "v0 (jump): it does not pass as many arguments as there are parameters");
  CHECK(rejected("block0:\nv0: i32 = get @0\njump block1 [v0]\nblock1:\nv1: i64 = param 0\n" + std::string(kEnd)) ==
        "v1 (jump): argument 0 is not of its parameter's type");
}

TEST_CASE("verify: loops") {
  CHECK(rejected("block0:\njump block1 []\nblock1:\ncheck -> +0 !s0\njump block1 []\ns0: pc +0 insn 0 {}") ==
        "v2 (jump): a back edge to a block that is not marked as a loop header");
  CHECK(rejected("block0:\njump block1 []\nblock1 loop:\nfence.1\njump block1 []\n") ==
        "v2 (jump): a back edge to a block that does not start with a check");
  CHECK(rejected("block0:\njump block1 []\nblock1 loop:\ncheck -> +0 !s0\njump block1 []\ns0: pc +0 insn 0 {}") == "");
}

TEST_CASE("verify: slots") {
  CHECK(rejected(with_end("v0: i64 = get @8\nv1: i32 = get @8")) == "v1 (get): the slot is accessed with two widths");
  CHECK(rejected(with_end("v0: i64 = get @8\nv1: f64 = get @8")) == "");
  CHECK(rejected(with_end("v0: i64 = get @8\nv1: i32 = get @12")) == "v1 (get): the slot overlaps another one");
  CHECK(rejected(with_end("v0: i32 = get @12\nv1: i64 = get @8")) == "v1 (get): the slot overlaps another one");
  VerifyOptions options;
  options.forwarded = true;
  CHECK(rejected(with_end("v0: i64 = get @8\nset @16, v0"), options) == "v1 (set): state has been forwarded");
}

TEST_CASE("verify: snapshots") {
  CHECK(rejected("v0: i64 = get @8\nv1: i64 = load.8 [v0]\n" + std::string(kEnd)) == "v1 (load): it has no snapshot");
  CHECK(rejected("exit_loop") == "v0 (exit_loop): it has no snapshot");
  CHECK(rejected("exit_loop !s4\ns0: pc +0 insn 0 {}") == "v0 (exit_loop): its snapshot does not exist");
  CHECK(rejected("exit_loop !s0\ns0: after s0, pc +0 insn 0 {}") == "v0 (exit_loop): the parent of snapshot s0 does not come before it");
  CHECK(rejected("exit_loop !s0\ns0: pc +0 insn 0 {}\ns1: after s1, pc +0 insn 0 {}") == "s1: its parent does not come before it");
  CHECK(rejected("v0: i64 = get @8\nexit_loop !s0\ns0: pc +0 insn 0 {@8: v0, @8: v0}") == "v1 (exit_loop): snapshot s0, slot @8: named twice");
  CHECK(rejected("v0: i64 = get @8\nexit_loop !s0\ns0: pc +0 insn 0 {@8: none}") == "v1 (exit_loop): snapshot s0, slot @8: no such value");
  CHECK(rejected("v0: i64 = get @8\nexit_loop !s0\ns0: pc +0 insn 0 {@8190: v0}") == "v1 (exit_loop): snapshot s0, slot @8190: outside the guest state");
  CHECK(rejected("v0: i64 = get @8\nv1: i64 = load.8 [v0] !s0\nexit_loop !s0\ns0: pc +0 insn 0 {@16: v1}") ==
        "v1 (load): snapshot s0, slot @16: the value does not dominate the operation");
  Region region = region_of("v0: i64 = get @8\nexit_loop !s0\ns0: pc +0 insn 0 {@8: v0}");
  region.snapshot_entries[0].type = Type::kI32;
  CHECK(verify(region) == "v1 (exit_loop): snapshot s0, slot @8: the value is not of the slot's type");
  region.snapshots[0].entry_count = 7;
  CHECK(verify(region) == "v1 (exit_loop): entries of s0 lie outside the table");
}

}  // namespace
}  // namespace lyre::ir
