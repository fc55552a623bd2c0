// Counters and timers against a clock that the test moves: time, cycle, inhibition, access rights, stimecmp, overflow interrupts.
#include "tests/guest/riscv/hart_rig.h"
#include "tests/support/bare_machine.h"
#include "tests/support/catch.h"

using namespace lyre;
using namespace lyre::test;
using namespace lyre::riscv;

namespace {

uint64_t read(HartRig& rig, unsigned csr) {
  RiscvAsm code;
  code.csrr(a1, csr);
  rig.execute(code.finish());
  return rig.x(a1);
}
void write(HartRig& rig, unsigned csr, uint64_t value) {
  rig.x(a0) = value;
  RiscvAsm code;
  code.csrw(csr, a0);
  rig.execute(code.finish());
}

}  // namespace

TEST_CASE("time counts 100 ns, cycle and instret 1 ns") {
  HartRig rig;
  for (int64_t ns : {int64_t{0}, int64_t{99}, int64_t{100}, int64_t{123456789}, int64_t{0x123456789abcdef0}}) {
    rig.set_clock(ns);
    CHECK(read(rig, kTime) == static_cast<uint64_t>(ns) / 100);
    CHECK(read(rig, kMcycle) == static_cast<uint64_t>(ns));
    CHECK(read(rig, kInstret) == static_cast<uint64_t>(ns));
  }
}

TEST_CASE("counters can be written and inhibited") {
  HartRig rig;
  rig.set_clock(1000);
  write(rig, kMcycle, 5);
  rig.set_clock(1010);
  CHECK(read(rig, kMcycle) == 15);
  write(rig, kMcountinhibit, 1);
  rig.set_clock(2000);
  CHECK(read(rig, kMcycle) == 15);
  CHECK(read(rig, kMinstret) == 2000);
  write(rig, kMcycle, 100);
  write(rig, kMcountinhibit, 0);
  rig.set_clock(2003);
  CHECK(read(rig, kMcycle) == 103);
}

TEST_CASE("the state key carries who may read counters") {
  HartRig rig;
  State& s = rig.state();
  auto key = [&](Privilege privilege) {
    s.privilege = privilege;
    uint32_t bits = rig.cpu->state_key(*rig.block) & (kKeyCycle | kKeyTime | kKeyInstret);
    s.privilege = Privilege::kMachine;
    return bits;
  };
  CHECK(key(Privilege::kMachine) == (kKeyCycle | kKeyTime | kKeyInstret));
  CHECK(key(Privilege::kSupervisor) == 0);
  write(rig, kMcounteren, 7);
  write(rig, kScounteren, 2);
  CHECK(key(Privilege::kSupervisor) == (kKeyCycle | kKeyTime | kKeyInstret));
  CHECK(key(Privilege::kUser) == kKeyTime);
}

TEST_CASE("stimecmp raises and lowers STIP, and arms the timer") {
  HartRig rig;
  State& s = rig.state();
  rig.set_clock(1000000);  // time 10000
  write(rig, kMenvcfg, envcfg::kStce);
  CHECK(rig.timers[0] == INT64_MAX);
  write(rig, kStimecmp, 20000);
  CHECK(rig.timers[0] == 2000000);
  CHECK((read(rig, kMip) & kStip) == 0);
  rig.set_clock(2000000);
  CHECK((read(rig, kMip) & kStip) != 0);
  // A new deadline lowers it at once; a callback of the old one that comes late does not raise it for good.
  write(rig, kStimecmp, 30000);
  CHECK((read(rig, kMip) & kStip) == 0);
  rig.cpu->timer_fired(*rig.block, 0);
  CHECK((read(rig, kMip) & kStip) == 0);
  CHECK(!rig.cpu->has_wakeup(*rig.block));
  write(rig, kStimecmp, 1);
  CHECK((read(rig, kMip) & kStip) != 0);
  // STIP is read-only meanwhile, and ordinary again without STCE.
  write(rig, kMip, 0);
  CHECK((read(rig, kMip) & kStip) != 0);
  write(rig, kStimecmp, ~uint64_t{0});
  CHECK(rig.timers[0] == INT64_MAX);
  write(rig, kMenvcfg, 0);
  write(rig, kMip, kStip);
  CHECK((read(rig, kMip) & kStip) != 0);
  CHECK((s.menvcfg & envcfg::kStce) == 0);
}

TEST_CASE("hpm counters count selected events and interrupt on overflow") {
  HartRig rig;
  State& s = rig.state();
  rig.set_clock(1000);
  CHECK(read(rig, kMhpmcounter3) == 0);
  rig.set_clock(1100);
  CHECK(read(rig, kMhpmcounter3) == 0);  // no event selected
  write(rig, kMhpmevent3, 1);
  rig.set_clock(1150);
  CHECK(read(rig, kMhpmcounter3) == 50);
  write(rig, kMhpmevent3, 77);  // not an event: the selector keeps its value
  CHECK(read(rig, kMhpmevent3) == 1);
  write(rig, kMhpmcounter3, ~uint64_t{0} - 99);
  CHECK(rig.timers[kCounterTimers + 3] == 1250);
  rig.set_clock(1249);
  CHECK((read(rig, kMip) & kLcofip) == 0);
  rig.set_clock(1260);
  CHECK((read(rig, kMip) & kLcofip) != 0);
  CHECK(read(rig, kMhpmcounter3) == 10);
  CHECK(read(rig, kScountovf) == 8);
  CHECK(read(rig, kMhpmevent3) == (uint64_t{1} << 63 | 1));
  write(rig, kMip, 0);
  CHECK((read(rig, kMip) & kLcofip) == 0);
  // With OF set no further interrupt is raised.
  write(rig, kMhpmcounter3, ~uint64_t{0});
  CHECK(rig.timers[kCounterTimers + 3] == INT64_MAX);
  CHECK(s.counters_filtered == 0);
}

TEST_CASE("privilege filters stop a counter while the hart is in that mode") {
  HartRig rig;
  State& s = rig.state();
  rig.set_clock(1000);
  write(rig, kMhpmevent3 + 1, uint64_t{1} << 62 | 1);  // not in M-mode
  rig.set_clock(1100);
  CHECK(read(rig, kMhpmcounter3 + 1) == 0);
  s.mstatus |= uint64_t{1} << 11;
  s.mepc = HartRig::kRam + 0x100;
  rig.load(HartRig::kRam, {0x30200073});  // mret
  s.pc = HartRig::kRam;
  REQUIRE(rig.run_to(HartRig::kRam + 0x100, 2));
  rig.set_clock(1130);
  s.mtvec = HartRig::kRam + 0x200;
  rig.cpu->deliver_fault(*rig.block, {kIllegalInstruction, 0, 0, 0});
  rig.set_clock(1500);
  CHECK(read(rig, kMhpmcounter3 + 1) == 30);
}

// What the hart says it has retired between two reads is the program's own arithmetic, with branches taken and not, calls, faults, a trap handler and
// many blocks.
TEST_CASE("counted blocks: instret and cycle are exact") {
  const std::string accel = GENERATE("tcg", "interp");
  const uint32_t csr = GENERATE(0xb02u, 0xb00u);  // minstret, mcycle
  BareMachine machine(accel, 1, false, true);
  RiscvAsm as;
  const uint64_t data = BareMachine::kRam + 0x100000, rounds = 1000;
  auto handler = as.label(), start = as.label(), function = as.label();
  as.j(start);
  as.bind(handler);  // 4 instructions: over the one that faulted
  as.csrrs(t2, 0x341, zero);
  as.addi(t2, t2, 4);
  as.csrw(0x341, t2);
  as.mret();
  as.bind(function);  // 2
  as.addi(a1, a1, 1);
  as.jalr(zero, ra);
  as.bind(start);
  as.auipc(t0, 0);
  as.addi(t0, t0, -24);  // the handler
  as.csrw(0x305, t0);
  as.li(s1, data);
  as.li(s5, rounds);
  as.li(a1, 0);
  as.csrrs(s2, csr, zero);
  auto loop = as.bound();  // a round: 9 instructions in line, 2 in the function, a fault that retires nothing and 4 in
                           // the handler
  as.sd(s5, s1);
  as.ld(t1, s1);
  as.andi(t1, t1, 1);
  auto even = as.label();
  as.beq(t1, zero, even);  // an odd round: one more
  as.addi(a1, a1, 0);
  as.bind(even);
  as.jal(ra, function);
  as.word(0);  // illegal
  as.addi(s5, s5, -1);
  as.bne(s5, zero, loop);
  as.csrrs(s3, csr, zero);
  as.sub(s3, s3, s2);
  as.li(t0, BareMachine::kExit);
  as.sw(s3, t0);
  auto park = as.bound();
  as.wfi();
  as.j(park);
  CAPTURE(accel, csr);
  auto result = machine.run(as.finish());
  REQUIRE(result);
  // In line without the illegal one and the odd one: 7. The first read itself is counted as well.
  CHECK(*result == 1 + rounds * (7 + 2 + 4) + rounds / 2);
}
