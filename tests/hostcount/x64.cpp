// Host instructions that hot patterns cost on x86-64, against the reviewed list in x64.txt: a change in generated code shows as a diff there.
// LYRE_UPDATE_HOSTCOUNT=1 writes the list anew. Counted on a host with all extensions: elsewhere the test only says so.
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "backend/code/disasm.h"
#include "tests/unit/x64_rig.h"

namespace lyre::backend {
namespace {

struct Pattern {
  const char* name;
  const char* body;  // between the check and the exit
  const char* exit = "exit_direct -> +4 !s1";
};

// Slots 16, 8, 80, 88, 120 are pinned.
const Pattern kPatterns[] = {
    {"nothing: check and exit", ""},
    {"addi a0, a0, 1", "v1: i64 = get @80\n v2: i64 = constant 1\n v3: i64 = add v1, v2\n set @80, v3\n"},
    {"add a0, a0, a1", "v1: i64 = get @80\n v2: i64 = get @88\n v3: i64 = add v1, v2\n set @80, v3\n"},
    {"add t0, a0, a1", "v1: i64 = get @80\n v2: i64 = get @88\n v3: i64 = add v1, v2\n set @40, v3\n"},
    {"addw a0, a0, a1",
     "v1: i64 = get @80\n v2: i64 = get @88\n v3: i32 = trunc v1\n v4: i32 = trunc v2\n v5: i32 = add v3, v4\n v6: i64 = sext v5\n set @80, v6\n"},
    {"sll a0, a0, a1", "v1: i64 = get @80\n v2: i64 = get @88\n v3: i64 = shl v1, v2\n set @80, v3\n"},
    {"sltu a0, a0, a1", "v1: i64 = get @80\n v2: i64 = get @88\n v3: i1 = cmp.lt_u v1, v2\n v4: i64 = zext v3\n set @80, v4\n"},
    {"mulhu a0, a0, a1", "v1: i64 = get @80\n v2: i64 = get @88\n v3: i64 = mulh_u v1, v2\n set @80, v3\n"},
    {"beq a0, a1", "v1: i64 = get @80\n v2: i64 = get @88\n v3: i1 = cmp.eq v1, v2\n exit_if v3 -> +64 !s0\n"},
    {"ld a1, 8(a0)", "v1: i64 = get @80\n v2: i64 = load.8 [v1 + 8] !s0\n set @88, v2\n"},
    {"ld a0, 8(a0)", "v1: i64 = get @80\n v2: i64 = load.8 [v1 + 8] !s0\n set @80, v2\n"},
    {"lw a1, 0(a0)", "v1: i64 = get @80\n v2: i64 = load.4.s [v1] !s0\n set @88, v2\n"},
    {"sd a1, 8(a0)", "v1: i64 = get @80\n v2: i64 = get @88\n store.8 [v1 + 8], v2 !s0\n"},
    {"two stores through sp",
     "v1: i64 = get @16\n v2: i64 = get @80\n v3: i64 = get @88\n store.8 [v1 + 8], v2 !s0\n store.8 [v1 + 16], v3 !s0\n"},
    {"amoadd.d a0, a1, (a2)", "v1: i64 = get @96\n v2: i64 = get @88\n v3: i64 = rmw.add.8.align.atomic [v1], v2 !s0\n set @80, v3\n"},
    {"fadd.d fa0, fa1, fa2", "v1: f64 = get @264\n v2: f64 = get @272\n v3: f64 = fadd v1, v2\n set @256, v3\n"},
    {"fmadd.d fa0, fa1, fa2, fa0", "v1: f64 = get @264\n v2: f64 = get @272\n v4: f64 = get @256\n v3: f64 = fma v1, v2, v4\n set @256, v3\n"},
    {"jal ra, and the jump where it returns to", "v1: i64 = constant 0x40000004\n set @8, v1\n", "exit_direct.call -> +64 !s1"},
    {"ret, with the jump cache behind it", "v1: i64 = get @8\n", "exit_indirect.return v1 !s1"},
};

TEST_CASE("x64: host instructions of hot patterns") {
  const x64::HostFeatures has = x64::host_features();
  if (!(has.bmi1 && has.bmi2 && has.lzcnt && has.fma)) {
    WARN("this host lacks extensions that the list was counted with");
    return;
  }
  X64Rig rig;
  std::ostringstream found;
  for (const Pattern& pattern : kPatterns) {
    auto region = rig.compile(std::string("region start=0x40000000 key=0x0 insns=1 {\n check -> +0 !s0\n ") + pattern.body +
                              " " + pattern.exit + "\n s0: pc +0 insn 0 {}\n s1: pc +4 insn 1 {}\n}\n");
    REQUIRE(region);
    // Up to the linked jump: what runs when all is well.
    const unsigned count = count_x64({region->code, region->exits.empty() ? region->hot_bytes : region->exits[0].jump_offset + 4});
    found << count << "  " << pattern.name << "\n";
  }
  const std::string path = LYRE_SOURCE_ROOT "/tests/hostcount/x64.txt";
  if (std::getenv("LYRE_UPDATE_HOSTCOUNT")) std::ofstream(path) << found.str();
  std::ifstream file(path);
  std::stringstream expected;
  expected << file.rdbuf();
  CHECK(found.str() == expected.str());
}

}  // namespace
}  // namespace lyre::backend
