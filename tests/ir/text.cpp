#include "ir/text.h"

#include "tests/ir/ir_test.h"

namespace lyre::ir {
namespace {

// Every operation at least once, with every kind of suffix.
constexpr std::string_view kEverything = R"(region start=0x1000 key=0x5 insns=3 {
block0:
  nop
  v1: i64 = constant 0xfff
  v2: i64 = guest_pc +16
  v3: i64 = get @8
  set @16, v3
  v5: i64 = add v1, v2
  v6: i64 = sub v1, v2
  v7: i64 = mul v1, v2
  v8: i64 = mulh_s v1, v2
  v9: i64 = mulh_u v1, v2
  v10: i64 = mulh_su v1, v2
  v11: i64 = div_s v1, v2
  v12: i64 = div_u v1, v2
  v13: i64 = rem_s v1, v2
  v14: i64 = rem_u v1, v2
  v15: i64 = and v1, v2
  v16: i64 = or v1, v2
  v17: i64 = xor v1, v2
  v18: i64 = andn v1, v2
  v19: i64 = not v1
  v20: i64 = neg v1
  v21: i64 = shl v1, v2
  v22: i64 = shr v1, v2
  v23: i64 = sar v1, v2
  v24: i64 = rotl v1, v2
  v25: i64 = rotr v1, v2
  v26: i64 = clz v1
  v27: i64 = ctz v1
  v28: i64 = popcnt v1
  v29: i64 = bswap v1
  v30: i64 = brev8 v1
  v31: i64 = orcb v1
  v32: i64 = min_s v1, v2
  v33: i64 = max_s v1, v2
  v34: i64 = min_u v1, v2
  v35: i64 = max_u v1, v2
  v36: i64 = clmul v1, v2
  v37: i64 = clmulh v1, v2
  v38: i32 = trunc v1
  v39: i64 = zext v38
  v40: i128 = sext v38
  v41: i1 = cmp.lt_s v1, v2
  v42: i64 = select v41, v1, v2
  v43: i64 = select_cmp.ge_u v1, v2, v3, v1
  v44: f64 = bitcast v1
  v45: f64 = fadd v44, v44
  v46: f64 = fsub.dead v44, v44
  v47: f64 = fmul v44, v44
  v48: f64 = fdiv v44, v44
  v49: f64 = fsqrt v44
  v50: f64 = fma v44, v44, v44
  v51: f64 = fneg v44
  v52: f64 = fabs v44
  v53: f64 = fcopysign v44, v45
  v54: i1 = fcmp.lt_signaling.dead v44, v45
  v55: f32 = fcvt v44
  v56: f64 = fround.toward_zero v44
  v57: i64 = ftoi_s v44
  v58: i32 = ftoi_u v55
  v59: f64 = itof_s v1
  v60: f32 = itof_u v38
  v61: i64 = load.4.s.be [v1 + 8] !s0
  store.8.seq_cst [v1 - 8], v2 !s0
  v63: i64 = rmw.max_u.4.align.atomic.acq_rel [v1], v2 !s0
  v64: i64 = cmpxchg.8.align [v1], v2, v3 !s0
  fence.15
  v66: i64 = call 2 [v1, v2] !s0
  call 3 [] !s0
  v68: i64 = call_if 4 [v41, v1, v2] !s0
  v69: i64 = clock_ns
  exit_if v41 -> -4 !s1
  exit_if_cmp.ne v1, v2 -> +8 !s1
  jump block1 [v1, v3]
block1 loop:
  v73: i64 = param 0
  v74: i64 = param 1
  check -> +0 !s2
  v76: i1 = cmp.eq v73, v74
  jump block1 [v74, v73]
block2:
  exit_direct.call -> +4 !s0
block3:
  count 3
  exit_indirect.return v1 !s0
block4:
  exit_loop !s0
s0: pc +0 insn 0 {}
s1: after s0, pc +4 insn 1 {@8: v1, @24: v45}
s2: pc -2 insn 2 {@16: v3}
}
)";

TEST_CASE("printing what was parsed gives the same text") {
  Region region = region_of(kEverything);
  CHECK(print(region) == kEverything);
}

TEST_CASE("the round-trip text has every operation") {
  Region region = region_of(kEverything);
  bool seen[static_cast<unsigned>(Op::kCount)] = {};
  for (const Inst& inst : region.insts) seen[static_cast<unsigned>(inst.op)] = true;
  for (unsigned i = 0; i < static_cast<unsigned>(Op::kCount); i++) {
    INFO(kOpInfo[i].name);
    CHECK(seen[i]);
  }
}

TEST_CASE("the round-trip text is valid") { CHECK(verify(region_of(kEverything)) == ""); }

TEST_CASE("memory operations of every kind survive printing and parsing") {
  for (uint32_t word = 0; word < 1u << 11; word++) {
    MemOp op = MemOp::unpack(word);
    if (op.size_log2 > 4 || op.ordering > Ordering::kSeqCst) continue;
    Region region = region_of("v0: i64 = constant 0x0\nv1: i64 = load.1 [v0]");
    region.insts[1].imm = op.pack() | uint64_t{0x80000000} << 32;
    Region again = region_of(print(region));
    REQUIRE(again.insts[1].imm == region.insts[1].imm);
  }
}

TEST_CASE("names of slots and helpers are printed for the reader and skipped by the parser") {
  Region region = region_of("v0: i64 = get @8\nset @16, v0\nv9: i64 = call 3 []\nexit_loop !s0\ns0: pc +0 insn 0 {@8: v0}\n");
  TextNames names;
  names.slot = [](uint16_t offset) { return "x" + std::to_string(offset / 8); };
  names.helper = [](unsigned) { return std::string("help"); };
  std::string text = print(region, names);
  CHECK(text.find("get @8(x1)") != std::string::npos);
  CHECK(text.find("call 3(help) []") != std::string::npos);
  CHECK(text.find("{@8(x1): v0}") != std::string::npos);
  CHECK(print(region_of(text)) == print(region));
}

TEST_CASE("a parse error names the line") {
  auto error = [](std::string_view text) {
    Result<Region> parsed = parse(text);
    REQUIRE_FALSE(static_cast<bool>(parsed));
    return parsed.error().message;
  };
  CHECK(error("v0: i64 = constant 0x0\nv1: i64 = bogus v0") == "line 2: no operation 'bogus'");
  CHECK(error("v1: i64 = not v0") == "line 1: no value v0");
  CHECK(error("v1: i65 = get @8") == "line 1: no type 'i65'");
  CHECK(error("v0: i64 = get @0\nv0: i64 = get @8") == "line 2: v0 is defined twice");
  CHECK(error("v0: i64 = get @0\nv1: i64 = load [v0]") == "line 2: an access needs a size");
  CHECK(error("v0: i64 = get @0 v0") == "line 1: trailing text at 'v'");
}

}  // namespace
}  // namespace lyre::ir
