// Several harts at once: atomics lose no update, LR/SC makes progress, fences order stores and loads, code written by one hart runs on another.
// Every test runs on the translator and on the interpreter.
#include "tests/support/bare_machine.h"
#include "tests/support/catch.h"
#include "tests/support/riscv_asm.h"

using namespace lyre::test;

namespace {

constexpr uint64_t kData = BareMachine::kRam + 0x100000;

// Each hart counts itself done at kData; hart 0 waits for all of them and ends the run with t6.
void finish(RiscvAsm& as, unsigned harts) {
  as.li(t0, kData);
  as.li(t1, 1);
  as.fence();
  as.amoadd_d(t2, t1, t0);
  as.csrr(t2, 0xf14);
  auto park = as.label(), wait = as.label();
  as.bne(t2, zero, park);
  as.li(t3, harts);
  as.bind(wait);
  as.ld(t2, t0);
  as.bne(t2, t3, wait);
  as.fence();
  as.li(t0, BareMachine::kExit);
  as.sw(t6, t0);
  as.bind(park);
  as.wfi();
  as.j(park);
}

}  // namespace

TEST_CASE("SMP: AMOs of four harts lose no update") {
  const std::string accel = GENERATE("tcg", "interp");
  const bool single = GENERATE(false, true);
  BareMachine machine(accel, 4, single);
  RiscvAsm as;
  const uint64_t rounds = accel == "tcg" ? 100000 : 5000;
  as.li(a0, kData + 64);
  as.li(a1, rounds);
  as.li(a2, 1);
  auto loop = as.bound();
  as.amoadd_d(zero, a2, a0);
  as.addi(a3, a0, 8);
  as.amoadd_w(a4, a2, a3);
  as.addi(a1, a1, -1);
  as.bne(a1, zero, loop);
  finish(as, 4);
  CAPTURE(accel, single);
  REQUIRE(machine.run(as.finish()));
  CHECK(machine.peek(kData + 64) == 4 * rounds);
  CHECK(static_cast<uint32_t>(machine.peek(kData + 72)) == 4 * rounds);
}

TEST_CASE("SMP: LR/SC increments of four harts lose no update") {
  const std::string accel = GENERATE("tcg", "interp");
  BareMachine machine(accel, 4);
  RiscvAsm as;
  const uint64_t rounds = accel == "tcg" ? 50000 : 3000;
  as.li(a0, kData + 64);
  as.li(a1, rounds);
  auto loop = as.bound();
  auto retry = as.bound();
  as.lr_d(a2, a0);
  as.addi(a2, a2, 3);
  as.sc_d(a3, a2, a0);
  as.bne(a3, zero, retry);
  as.addi(a1, a1, -1);
  as.bne(a1, zero, loop);
  finish(as, 4);
  CAPTURE(accel);
  REQUIRE(machine.run(as.finish()));
  CHECK(machine.peek(kData + 64) == 12 * rounds);
}

TEST_CASE("SMP: a spin lock with acquire and release keeps a plain counter whole") {
  const std::string accel = GENERATE("tcg", "interp");
  BareMachine machine(accel, 3);
  RiscvAsm as;
  const uint64_t rounds = accel == "tcg" ? 20000 : 2000;
  as.li(a0, kData + 64);   // lock
  as.li(a4, kData + 128);  // counter
  as.li(a1, rounds);
  auto loop = as.bound();
  as.li(a2, 1);
  auto spin = as.bound();
  as.amoswap_w_aq(a3, a2, a0);
  as.bne(a3, zero, spin);
  as.ld(a5, a4);
  as.addi(a5, a5, 1);
  as.sd(a5, a4);
  as.fence(3, 1);
  as.sw(zero, a0);
  as.addi(a1, a1, -1);
  as.bne(a1, zero, loop);
  finish(as, 3);
  CAPTURE(accel);
  REQUIRE(machine.run(as.finish()));
  CHECK(machine.peek(kData + 128) == 3 * rounds);
}

TEST_CASE("SMP: store buffering is forbidden with full fences") {
  BareMachine machine("tcg", 2);
  RiscvAsm as;
  const uint64_t rounds = 20000;
  // Harts meet at a barrier; each stores 1 to its own flag and reads the other's. Both reading 0 is counted.
  as.csrr(s0, 0xf14);
  as.li(s1, kData + 0x1000);  // flags, 64 bytes apart
  as.li(s2, kData + 0x2000);  // barrier counter
  as.li(s3, kData + 0x3000);  // what each hart read
  as.li(s4, rounds);
  as.li(t6, 0);
  as.li(s5, 0);  // barrier target
  as.slli(s6, s0, 6);
  as.add(s6, s6, s1);  // own flag
  as.xor_(s7, s6, s1);
  as.li(a6, 64);
  as.xor_(s7, s7, a6);
  as.add(s7, s7, s1);  // the other's flag
  as.slli(s8, s0, 6);
  as.add(s8, s8, s3);
  as.li(a7, 1);
  auto barrier = [&] {
    as.addi(s5, s5, 2);
    as.amoadd_d(zero, a7, s2);
    auto wait = as.bound();
    as.ld(a0, s2);
    as.bltu(a0, s5, wait);
    as.fence();
  };
  auto loop = as.bound();
  as.sd(zero, s6);
  barrier();
  as.sd(a7, s6);
  as.fence();
  as.ld(a1, s7);
  as.sd(a1, s8);
  barrier();
  auto skip = as.label();
  as.bne(s0, zero, skip);
  as.ld(a1, s3);
  as.ld(a2, s3, 64);
  as.or_(a1, a1, a2);
  as.bne(a1, zero, skip);
  as.addi(t6, t6, 1);
  as.bind(skip);
  barrier();
  as.addi(s4, s4, -1);
  as.bne(s4, zero, loop);
  finish(as, 2);
  auto both_zero = machine.run(as.finish());
  REQUIRE(both_zero);
  CHECK(*both_zero == 0);
}

TEST_CASE("SMP: message passing keeps its order") {
  BareMachine machine("tcg", 2);
  RiscvAsm as;
  const uint64_t rounds = 200000;
  as.csrr(s0, 0xf14);
  as.li(a0, kData + 0x1000);
  as.li(a1, kData + 0x2000);
  as.li(a2, rounds);
  as.li(t6, 0);
  auto reader = as.label(), done = as.label();
  as.bne(s0, zero, reader);
  auto write = as.bound();
  as.sd(a2, a0);
  as.fence(1, 1);
  as.sd(a2, a1);
  as.addi(a2, a2, -1);
  as.bne(a2, zero, write);
  as.j(done);
  as.bind(reader);
  // Values fall: the data read after a flag must not be above it. Errors go to memory, since only hart 0 reports.
  as.li(s5, kData + 0x3000);
  auto read = as.bound();
  as.ld(a3, a1);
  as.fence(2, 2);
  as.ld(a4, a0);
  auto fine = as.label();
  as.beq(a3, zero, fine);
  as.bgeu(a3, a4, fine);
  as.ld(a5, s5);
  as.addi(a5, a5, 1);
  as.sd(a5, s5);
  as.bind(fine);
  as.addi(a2, a2, -1);
  as.bne(a2, zero, read);
  as.bind(done);
  finish(as, 2);
  REQUIRE(machine.run(as.finish()));
  CHECK(machine.peek(kData + 0x3000) == 0);
}

TEST_CASE("SMP: code written by one hart is run by the other after fence.i") {
  const std::string accel = GENERATE("tcg", "interp");
  BareMachine machine(accel, 2);
  RiscvAsm as;
  const uint64_t rounds = accel == "tcg" ? 3000 : 500;
  const uint64_t code = kData + 0x10000;
  // Hart 0 writes `addi a0, zero, n; ret` and publishes n; hart 1 waits for n, fence.i, calls, checks.
  as.csrr(s0, 0xf14);
  as.li(s1, code);
  as.li(s2, kData + 0x1000);  // sequence
  as.li(s3, kData + 0x2000);  // acknowledged
  as.li(s4, rounds);
  as.li(s5, 1);
  as.li(t6, 0);
  as.li(t5, 0x8067);  // ret
  auto other = as.label(), done = as.label();
  as.bne(s0, zero, other);
  auto write = as.bound();
  as.andi(t0, s5, 0x3ff);
  as.slli(t0, t0, 20);
  as.ori(t0, t0, 0x513);
  as.sw(t0, s1);
  as.sw(t5, s1, 4);
  as.fence();
  as.sd(s5, s2);
  auto acked = as.bound();
  as.ld(t1, s3);
  as.bne(t1, s5, acked);
  as.addi(s5, s5, 1);
  as.bge(s4, s5, write);
  as.j(done);
  as.bind(other);
  as.li(s6, kData + 0x3000);
  auto wait = as.bound();
  as.ld(t1, s2);
  as.bne(t1, s5, wait);
  as.fence();
  as.fence_i();
  as.jalr(ra, s1);
  as.andi(t0, s5, 0x3ff);
  auto right = as.label();
  as.beq(t0, a0, right);
  as.ld(t2, s6);
  as.addi(t2, t2, 1);
  as.sd(t2, s6);
  as.bind(right);
  as.fence();
  as.sd(s5, s3);
  as.addi(s5, s5, 1);
  as.bge(s4, s5, wait);
  as.bind(done);
  finish(as, 2);
  CAPTURE(accel);
  REQUIRE(machine.run(as.finish()));
  CHECK(machine.peek(kData + 0x3000) == 0);
  if (accel == "tcg") CHECK(machine.counter("invalidations") > 0);
}
