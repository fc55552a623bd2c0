// The return stack of the x86-64 host: guest calls and returns as host calls and returns.
#include <sstream>

#include "tests/unit/x64_rig.h"

namespace lyre::backend {
namespace {

using ir::Leave;

constexpr uint64_t kCaller = 0x40000000, kCallee = 0x40000400, kFar = 0x40007000;

// A call to `target`; the guest's return address, kCaller + 4, goes to slot 24. `indirect`: through slot 32.
std::string caller(uint64_t target, bool indirect) {
  std::ostringstream text;
  text << "region start=" << kCaller << " key=0x0 insns=1 {\n check -> +0 !s0\n v1: i64 = constant " << kCaller + 4 << "\n set @24, v1\n";
  if (indirect) text << " v2: i64 = get @32\n exit_indirect.call v2 !s1\n";
  else text << " exit_direct.call -> +" << target - kCaller << " !s1\n";
  text << " s0: pc +0 insn 0 {}\n s1: pc +4 insn 1 {}\n}\n";
  return text.str();
}
// Counts in slot 16 and returns to slot 24.
std::string callee(uint64_t start) {
  std::ostringstream text;
  text << "region start=" << start << " key=0x0 insns=2 {\n check -> +0 !s0\n v1: i64 = get @16\n v2: i64 = constant 1\n v3: i64 = add v1, v2\n"
       << " set @16, v3\n v4: i64 = get @24\n exit_indirect.return v4 !s1\n s0: pc +0 insn 0 {}\n s1: pc +8 insn 2 {}\n}\n";
  return text.str();
}
// Slot 16 += 1000; leaves to `distance`.
std::string behind(int distance) {
  std::ostringstream text;
  text << "region start=" << kCaller + 4 << " key=0x0 insns=1 {\n check -> +0 !s0\n v1: i64 = get @16\n v2: i64 = constant 1000\n v3: i64 = add v1, v2\n"
       << " set @16, v3\n exit_direct -> +" << distance << " !s1\n s0: pc +0 insn 0 {}\n s1: pc +4 insn 1 {}\n}\n";
  return text.str();
}
const ExitSite& exit_to(const CompiledRegion& region, uint64_t target) {
  for (const ExitSite& exit : region.exits)
    if (region.start.value + static_cast<uint64_t>(exit.target) == target) return exit;
  FAIL("the region has no exit to there");
  return region.exits[0];
}

TEST_CASE("x64: a call returns without the jump cache, direct in a page, across pages and indirect") {
  for (int kind = 0; kind < 3; ++kind) {
    X64Rig rig;
    const uint64_t target = kind == 1 ? kFar : kCallee;
    auto from = rig.compile(caller(target, kind == 2)), to = rig.compile(callee(target)), next = rig.compile(behind(0x100));
    rig.vcpu->code_pages[kFar >> 12 & (ir::kCodePages - 1)] = 7;
    rig.set(32, target);
    rig.set(16, 0);
    if (kind == 2) {
      rig.vcpu->jump_cache[target >> 1 & (ir::kJumpCacheEntries - 1)] = {target, 1, reinterpret_cast<uintptr_t>(to->code), 0};
    } else {
      auto left = rig.backend->run(*rig.vcpu, *from);
      CHECK(rig.leave() == Leave::kDirect);
      CHECK(left.from == from.get());
      CHECK(rig.pc() == target);
      CHECK(&from->exits.at(left.exit) == &exit_to(*from, target));
      rig.backend->link(*from, from->exits[left.exit], *to, 7);
    }
    // Back in the caller, at an exit that is not linked yet.
    auto left = rig.backend->run(*rig.vcpu, *from);
    CHECK(rig.leave() == Leave::kDirect);
    CHECK(left.from == from.get());
    CHECK(rig.pc() == kCaller + 4);
    CHECK(rig.get(16) == 1);
    rig.backend->link(*from, from->exits.at(left.exit), *next, 7);
    left = rig.backend->run(*rig.vcpu, *from);
    CHECK(left.from == next.get());
    CHECK(rig.get(16) == 1002);
    if (kind == 1) {  // the callee's page is mapped anew
      rig.vcpu->code_pages[kFar >> 12 & (ir::kCodePages - 1)] = 8;
      left = rig.backend->run(*rig.vcpu, *from);
      CHECK(left.from == from.get());
      CHECK(rig.pc() == target);
      CHECK(rig.get(16) == 1002);
    }
  }
}

TEST_CASE("x64: a return to elsewhere goes by the jump cache and empties the stack") {
  X64Rig rig;
  auto from = rig.compile(caller(kCallee, false)), to = rig.compile(callee(kCallee));
  rig.backend->link(*from, exit_to(*from, kCallee), *to, 0);
  // Nothing was called.
  rig.set(24, kCaller + 4);
  rig.backend->run(*rig.vcpu, *to);
  CHECK(rig.leave() == Leave::kIndirect);
  CHECK(rig.pc() == kCaller + 4);
  for (uint64_t pc : {uint64_t{0}, ~uint64_t{0}}) {  // no pc matches the bottom entry by chance
    rig.set(24, pc);
    rig.backend->run(*rig.vcpu, *to);
    CHECK(rig.leave() == Leave::kIndirect);
    CHECK(rig.pc() == pc);
  }
  // The callee replaces its return address.
  auto changes = rig.compile("region start=0x40000400 key=0x0 insns=1 {\n check -> +0 !s0\n v1: i64 = constant 0x41000000\n exit_indirect.return v1 !s0\n"
                             " s0: pc +0 insn 0 {}\n}\n");
  rig.backend->link(*from, exit_to(*from, kCallee), *changes, 0);
  rig.backend->run(*rig.vcpu, *from);
  CHECK(rig.leave() == Leave::kIndirect);
  CHECK(rig.pc() == 0x41000000);
}

// Slot 16 counts down with a call to itself, which never returns while it does.
TEST_CASE("x64: calls deeper than the return stack") {
  X64Rig rig;
  auto region = rig.compile(R"(region start=0x40000000 key=0x0 insns=3 {
    check -> +0 !s0
    v1: i64 = get @16
    v2: i64 = constant 0xffffffffffffffff
    v3: i64 = add v1, v2
    set @16, v3
    v4: i64 = constant 0
    v5: i1 = cmp.eq v3, v4
    exit_if v5 -> +64 !s1
    exit_direct.call -> +2048 !s2
    s0: pc +0 insn 0 {}
    s1: pc +4 insn 1 {}
    s2: pc +12 insn 3 {}
  })");
  auto back = rig.compile("region start=0x40000800 key=0x0 insns=1 {\n check -> +0 !s0\n exit_direct -> -2048 !s0\n s0: pc +0 insn 0 {}\n}\n");
  auto returns = rig.compile(callee(0x40000040));
  rig.backend->link(*region, exit_to(*region, 0x40000800), *back, 0);
  rig.backend->link(*back, back->exits.at(0), *region, 0);
  for (uint64_t depth : {uint64_t{1}, uint64_t{4095}, uint64_t{4096}, uint64_t{4097}, uint64_t{3000000}}) {
    rig.set(16, depth);
    rig.backend->run(*rig.vcpu, *region);
    CHECK(rig.leave() == Leave::kDirect);
    CHECK(rig.get(16) == 0);
    CHECK(rig.pc() == 0x40000040);
    // Then a return: by the stack where it holds an entry.
    rig.backend->link(*region, exit_to(*region, 0x40000040), *returns, 0);
    rig.set(16, depth), rig.set(24, 0x4000000c);
    rig.backend->run(*rig.vcpu, *region);
    CHECK(rig.leave() == (depth == 1 ? Leave::kIndirect : Leave::kDirect));
    CHECK(rig.pc() == 0x4000000c);
    rig.backend->unlink(*region, exit_to(*region, 0x40000040));
  }
}

uint64_t empties(ir::VcpuBlock* vcpu) noexcept {
  vcpu->return_top = vcpu->return_base;
  return 0;
}
uint64_t keeps(ir::VcpuBlock*) noexcept { return 0; }

TEST_CASE("x64: a helper empties the return stack") {
  const ir::HelperInfo helpers[] = {{"empties", ir::helper_function(empties), ir::kReadsState | ir::kWritesState, 0},
                                    {"keeps", ir::helper_function(keeps), ir::kReadsState | ir::kWritesState, 0}};
  for (int which = 0; which < 2; ++which) {
    X64Rig rig(x64::host_features(), false, helpers);
    auto from = rig.compile(caller(kCallee, false));
    auto to = rig.compile("region start=0x40000400 key=0x0 insns=2 {\n check -> +0 !s0\n call " + std::to_string(which) +
                          " [] !s0\n v4: i64 = get @24\n exit_indirect.return v4 !s1\n s0: pc +0 insn 0 {}\n s1: pc +8 insn 2 {}\n}\n");
    rig.backend->link(*from, exit_to(*from, kCallee), *to, 0);
    rig.backend->run(*rig.vcpu, *from);
    CHECK(rig.leave() == (which == 0 ? Leave::kIndirect : Leave::kDirect));
    CHECK(rig.pc() == kCaller + 4);
  }
}

}  // namespace
}  // namespace lyre::backend
