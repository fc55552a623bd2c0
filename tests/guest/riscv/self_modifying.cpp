// Code that changes: overwritten in place, through an alias, across a page boundary, remapped to another page; linked blocks and jump caches
// must not run what is no longer there. Every test runs on the translator and on the interpreter.
#include "tests/support/bare_machine.h"
#include "tests/support/catch.h"
#include "tests/support/riscv_asm.h"

using namespace lyre::test;

namespace {

constexpr uint64_t kData = BareMachine::kRam + 0x100000;

void exit_with(RiscvAsm& as, Reg value) {
  as.li(t0, BareMachine::kExit);
  as.sw(value, t0);
  auto park = as.bound();
  as.wfi();
  as.j(park);
}

// t0 := `addi a0, zero, n` for the low ten bits of n.
void make_addi(RiscvAsm& as, Reg n) {
  as.andi(t0, n, 0x3ff);
  as.slli(t0, t0, 20);
  as.ori(t0, t0, 0x513);
}

// M mode to S mode at the next instruction, with all of memory open by PMP and `root` as satp.
void enter_supervisor(RiscvAsm& as, uint64_t satp) {
  as.li(t0, ~uint64_t{0} >> 10);
  as.csrw(0x3b0, t0);  // pmpaddr0
  as.li(t0, 0x1f);
  as.csrw(0x3a0, t0);  // pmpcfg0: NAPOT RWX
  as.li(t0, satp);
  as.csrw(0x180, t0);
  as.sfence_vma();
  as.li(t0, 0x1800);
  as.csrrc(zero, 0x300, t0);
  as.li(t0, 0x800);
  as.csrrs(zero, 0x300, t0);  // MPP = S
  as.auipc(t0, 0);
  as.addi(t0, t0, 16);
  as.csrw(0x341, t0);
  as.mret();
}

constexpr uint64_t kRoot = kData + 0x40000, kMiddle = kData + 0x41000, kLeaves = kData + 0x42000;
constexpr uint64_t kSatp = uint64_t{8} << 60 | kRoot >> 12;
constexpr uint64_t kRwx = 0xcf;  // D A X W R V
uint64_t pte(uint64_t physical, uint64_t flags) { return physical >> 12 << 10 | flags; }

// Sv39: RAM's gigabyte and the devices' one to one, and virtual 0x40000000.. in 4 KiB pages through kLeaves.
void map(BareMachine& machine) {
  machine.poke(kRoot + 8 * 2, pte(0x80000000, kRwx));
  machine.poke(kRoot + 8 * 0, pte(0, 0xc7));
  machine.poke(kRoot + 8 * 1, pte(kMiddle, 1));
  machine.poke(kMiddle, pte(kLeaves, 1));
}

}  // namespace

TEST_CASE("self-modifying code: a function rewritten before each call") {
  const std::string accel = GENERATE("tcg", "interp");
  BareMachine machine(accel, 1);
  RiscvAsm as;
  const uint64_t rounds = 1000;
  as.li(s1, kData);
  as.li(t5, 0x8067);
  as.sw(t5, s1, 4);
  as.li(s5, rounds);
  as.li(t6, 0);
  auto loop = as.bound();
  make_addi(as, s5);
  as.sw(t0, s1);
  as.fence_i();
  as.jalr(ra, s1);
  as.add(t6, t6, a0);
  as.addi(s5, s5, -1);
  as.bne(s5, zero, loop);
  exit_with(as, t6);
  CAPTURE(accel);
  auto result = machine.run(as.finish());
  REQUIRE(result);
  CHECK(*result == rounds * (rounds + 1) / 2);
}

TEST_CASE("self-modifying code: an instruction ahead in the same page, and in the running loop") {
  const std::string accel = GENERATE("tcg", "interp");
  BareMachine machine(accel, 1);
  RiscvAsm as;
  const uint64_t rounds = 500;
  as.li(s5, rounds);
  as.li(t6, 0);
  as.auipc(s1, 0);
  const uint64_t base = as.here() - 4;
  auto loop = as.bound();
  make_addi(as, s5);
  const uint64_t store = as.here();
  as.sw(t0, s1, 0);  // patched below to reach the target
  as.fence_i();
  const uint64_t target = as.here();
  as.addi(a0, zero, 7);
  as.add(t6, t6, a0);
  as.addi(s5, s5, -1);
  as.bne(s5, zero, loop);
  exit_with(as, t6);
  auto program = as.finish();
  RiscvAsm patch;
  patch.sw(t0, s1, static_cast<int32_t>(target - base));
  program[store / 4] = patch.finish()[0];
  CAPTURE(accel);
  auto result = machine.run(program);
  REQUIRE(result);
  CHECK(*result == rounds * (rounds + 1) / 2);
}

TEST_CASE("self-modifying code: an instruction across two pages, its second half rewritten") {
  const std::string accel = GENERATE("tcg", "interp");
  BareMachine machine(accel, 1);
  RiscvAsm as;
  const uint64_t rounds = 300, code = kData + 0x1ffc;
  // At code: c.nop, then addi a0, zero, n over the page boundary, then ret.
  as.li(s1, code);
  as.li(t0, 0x05130001);  // c.nop; low half of addi
  as.sw(t0, s1);
  as.li(s5, rounds);
  as.li(t6, 0);
  as.li(t4, 0x80670000);
  auto loop = as.bound();
  as.andi(t0, s5, 0x3ff);
  as.slli(t0, t0, 4);
  as.or_(t0, t0, t4);
  as.sw(t0, s1, 4);
  as.sw(zero, s1, 8);
  as.fence_i();
  as.jalr(ra, s1);
  as.jalr(ra, s1);
  as.add(t6, t6, a0);
  as.addi(s5, s5, -1);
  as.bne(s5, zero, loop);
  exit_with(as, t6);
  CAPTURE(accel);
  auto result = machine.run(as.finish());
  REQUIRE(result);
  CHECK(*result == rounds * (rounds + 1) / 2);
}

TEST_CASE("self-modifying code: written through one mapping, run through another") {
  const std::string accel = GENERATE("tcg", "interp");
  BareMachine machine(accel, 1);
  map(machine);
  const uint64_t physical = kData + 0x5000;
  machine.poke(kLeaves, pte(physical, kRwx));
  RiscvAsm as;
  const uint64_t rounds = 500;
  enter_supervisor(as, kSatp);
  as.li(s1, physical);
  as.li(s2, 0x40000000);
  as.li(t5, 0x8067);
  as.sw(t5, s1, 4);
  as.li(s5, rounds);
  as.li(t6, 0);
  auto loop = as.bound();
  make_addi(as, s5);
  as.sw(t0, s1);
  as.fence_i();
  as.jalr(ra, s2);
  as.add(t6, t6, a0);
  as.addi(s5, s5, -1);
  as.bne(s5, zero, loop);
  exit_with(as, t6);
  CAPTURE(accel);
  auto result = machine.run(as.finish());
  REQUIRE(result);
  CHECK(*result == rounds * (rounds + 1) / 2);
}

TEST_CASE("self-modifying code: a page remapped to other code after sfence.vma of the page") {
  const std::string accel = GENERATE("tcg", "interp");
  const bool of_page = GENERATE(true, false);
  BareMachine machine(accel, 1);
  map(machine);
  // Two physical pages: one returns 1, the other 2; both jump between two virtual pages, so that cross-page links are made.
  const uint64_t one = kData + 0x6000, two = kData + 0x7000, trampoline = kData + 0x8000;
  machine.poke(one, uint64_t{0x8067} << 32 | 0x00100513);
  machine.poke(two, uint64_t{0x8067} << 32 | 0x00200513);
  RiscvAsm jump;
  jump.word(0x0000106f);  // jal zero, +0x1000: from the second virtual page to the third
  machine.load(trampoline, jump.finish());
  machine.poke(kLeaves + 8, pte(trampoline, kRwx));
  machine.poke(kLeaves + 16, pte(one, kRwx));
  RiscvAsm as;
  const uint64_t rounds = 400;
  enter_supervisor(as, kSatp);
  as.li(s1, kLeaves + 16);
  as.li(s2, 0x40001000);
  as.li(s3, pte(one, kRwx));
  as.li(s4, pte(two, kRwx));
  as.xor_(s4, s3, s4);
  as.li(s6, 0x40002000);
  as.li(s5, rounds);
  as.li(t6, 0);
  auto loop = as.bound();
  as.jalr(ra, s2);
  as.add(t6, t6, a0);
  as.jalr(ra, s2);  // again, linked by now
  as.add(t6, t6, a0);
  as.jalr(ra, s6);  // through the jump cache
  as.add(t6, t6, a0);
  as.xor_(s3, s3, s4);
  as.sd(s3, s1);
  as.sfence_vma(of_page ? s6 : zero);
  as.addi(s5, s5, -1);
  as.bne(s5, zero, loop);
  exit_with(as, t6);
  CAPTURE(accel, of_page);
  auto result = machine.run(as.finish());
  REQUIRE(result);
  CHECK(*result == rounds / 2 * 3 + rounds / 2 * 6);
}

// At virtual 0x40001ffc: c.nop, then addi a0, zero, n with its second half in the next page, which is one of two, then ret.
TEST_CASE("self-modifying code: an instruction across two pages, the second one remapped") {
  const std::string accel = GENERATE("tcg", "interp");
  BareMachine machine(accel, 1);
  map(machine);
  const uint64_t head = kData + 0x5000, one = kData + 0x6000, two = kData + 0x7000;
  machine.poke(head + 0xff8, uint64_t{0x05130001} << 32);
  machine.poke(one, uint64_t{0x8067} << 16 | 0x0010);
  machine.poke(two, uint64_t{0x8067} << 16 | 0x0020);
  machine.poke(kLeaves + 8, pte(head, kRwx));
  machine.poke(kLeaves + 16, pte(one, kRwx));
  RiscvAsm as;
  const uint64_t rounds = 400;
  enter_supervisor(as, kSatp);
  as.li(s1, kLeaves + 16);
  as.li(s2, 0x40001ffc);
  as.li(s3, pte(one, kRwx));
  as.li(s4, pte(two, kRwx));
  as.xor_(s4, s3, s4);
  as.li(s6, 0x40002000);
  as.li(s5, rounds);
  as.li(t6, 0);
  auto loop = as.bound();
  for (int k = 0; k < 3; ++k) {
    as.jalr(ra, s2);
    as.add(t6, t6, a0);
  }
  as.xor_(s3, s3, s4);
  as.sd(s3, s1);
  as.sfence_vma(s6);
  as.addi(s5, s5, -1);
  as.bne(s5, zero, loop);
  exit_with(as, t6);
  CAPTURE(accel);
  auto result = machine.run(as.finish());
  REQUIRE(result);
  CHECK(*result == rounds / 2 * 3 + rounds / 2 * 6);
}

// Blocks with an instruction across two pages are linked and found like others.
TEST_CASE("self-modifying code: an instruction across two pages in a hot loop needs no look-ups") {
  BareMachine machine("tcg", 1);
  map(machine);
  machine.poke(kData + 0x5ff8, uint64_t{0x05130001} << 32);
  machine.poke(kData + 0x6000, uint64_t{0x8067} << 16 | 0x0010);
  machine.poke(kLeaves + 8, pte(kData + 0x5000, kRwx));
  machine.poke(kLeaves + 16, pte(kData + 0x6000, kRwx));
  RiscvAsm as;
  const uint64_t rounds = 50000;
  enter_supervisor(as, kSatp);
  as.li(s2, 0x40001ffc);
  as.li(s5, rounds);
  as.li(t6, 0);
  auto loop = as.bound();
  as.jalr(ra, s2);
  as.add(t6, t6, a0);
  as.addi(s5, s5, -1);
  as.bne(s5, zero, loop);
  exit_with(as, t6);
  auto result = machine.run(as.finish());
  REQUIRE(result);
  CHECK(*result == rounds);
  CHECK(machine.counter("lookups") < 200);
}

TEST_CASE("self-modifying code: two address spaces with other code at the same addresses") {
  const std::string accel = GENERATE("tcg", "interp");
  BareMachine machine(accel, 1);
  map(machine);
  const uint64_t root2 = kData + 0x44000, middle2 = kData + 0x45000, leaves2 = kData + 0x46000;
  machine.poke(root2 + 16, pte(0x80000000, kRwx));
  machine.poke(root2, pte(0, 0xc7));
  machine.poke(root2 + 8, pte(middle2, 1));
  machine.poke(middle2, pte(leaves2, 1));
  const uint64_t one = kData + 0x6000, two = kData + 0x7000, trampoline = kData + 0x8000;
  machine.poke(one, uint64_t{0x8067} << 32 | 0x00100513);
  machine.poke(two, uint64_t{0x8067} << 32 | 0x00200513);
  RiscvAsm jump;
  jump.word(0x0000106f);
  machine.load(trampoline, jump.finish());
  for (auto [leaves, target] : {std::pair{kLeaves, one}, std::pair{leaves2, two}}) {
    machine.poke(leaves + 8, pte(trampoline, kRwx));
    machine.poke(leaves + 16, pte(target, kRwx));
  }
  RiscvAsm as;
  const uint64_t rounds = 2000;
  enter_supervisor(as, kSatp);
  as.li(s2, 0x40001000);
  as.li(s3, kSatp);
  as.li(s4, uint64_t{8} << 60 | uint64_t{1} << 44 | root2 >> 12);
  as.xor_(s4, s3, s4);
  as.li(s5, rounds);
  as.li(t6, 0);
  auto loop = as.bound();
  as.jalr(ra, s2);
  as.add(t6, t6, a0);
  as.jalr(ra, s2);
  as.add(t6, t6, a0);
  as.xor_(s3, s3, s4);
  as.csrw(0x180, s3);
  as.addi(s5, s5, -1);
  as.bne(s5, zero, loop);
  exit_with(as, t6);
  CAPTURE(accel);
  auto result = machine.run(as.finish());
  REQUIRE(result);
  CHECK(*result == rounds / 2 * 2 + rounds / 2 * 4);
}
