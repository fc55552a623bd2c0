// Traps: delegation, the status stacks, precise epc and tval, vectored handlers, nesting, returns, interrupt priority, wfi.
#include "tests/guest/riscv/hart_rig.h"
#include "tests/support/catch.h"

using namespace lyre;
using namespace lyre::test;
using namespace lyre::riscv;

namespace {

constexpr uint64_t kCode = HartRig::kRam, kMachineHandler = HartRig::kRam + 0x1000, kSupervisorHandler = HartRig::kRam + 0x2000;

// A hart in `privilege` at kCode, all memory open, handlers at fixed places, no paging.
struct TrapRig : HartRig {
  explicit TrapRig(Privilege privilege, uint64_t medeleg = 0, uint64_t mideleg = 0, unsigned max_insns = 64) : HartRig(test_backend(), {}, max_insns) {
    x(a0) = ~uint64_t{0}, x(a1) = 0x1f;
    RiscvAsm open;
    open.csrw(kPmpaddr0, a0);
    open.csrw(kPmpcfg0, a1);
    execute(open.finish());
    State& s = state();
    s.mtvec = kMachineHandler, s.stvec = kSupervisorHandler;
    s.medeleg = medeleg, s.mideleg = mideleg;
    s.privilege = privilege;
    s.pc = kCode;
  }
};

uint64_t mpp(const State& state) { return state.mstatus >> 11 & 3; }

}  // namespace

TEST_CASE("an exception goes to M-mode unless delegated and not from M-mode") {
  struct Case {
    Privilege from;
    uint64_t medeleg;
    bool to_supervisor;
  };
  for (Case c : {Case{Privilege::kUser, 0, false}, Case{Privilege::kUser, 1 << 2, true}, Case{Privilege::kSupervisor, 1 << 2, true},
                 Case{Privilege::kMachine, 1 << 2, false}, Case{Privilege::kSupervisor, 1 << 3, false}}) {
    TrapRig rig(c.from, c.medeleg);
    State& s = rig.state();
    RiscvAsm code;
    code.addi(t0, zero, 5);
    code.word(0xffffffff);
    code.addi(t0, t0, 1);
    rig.load(kCode, code);
    s.mstatus |= mstatus::kMie | mstatus::kSie;
    REQUIRE(rig.run_to(c.to_supervisor ? kSupervisorHandler : kMachineHandler, 4));
    CHECK(rig.x(t0) == 5);
    if (c.to_supervisor) {
      CHECK((s.sepc == kCode + 4 && s.scause == 2 && s.stval == 0xffffffff));
      CHECK(s.privilege == Privilege::kSupervisor);
      CHECK((s.mstatus & (mstatus::kSie | mstatus::kSpie)) == mstatus::kSpie);
      CHECK(((s.mstatus & mstatus::kSpp) != 0) == (c.from == Privilege::kSupervisor));
      CHECK((s.mstatus & mstatus::kMie) != 0);
    } else {
      CHECK((s.mepc == kCode + 4 && s.mcause == 2 && s.mtval == 0xffffffff));
      CHECK(s.privilege == Privilege::kMachine);
      CHECK((s.mstatus & (mstatus::kMie | mstatus::kMpie)) == mstatus::kMpie);
      CHECK(mpp(s) == static_cast<uint64_t>(c.from));
      CHECK((s.mstatus & mstatus::kSie) != 0);
    }
  }
}

TEST_CASE("environment calls and breakpoints report their cause, pc and value") {
  for (Privilege from : {Privilege::kUser, Privilege::kSupervisor, Privilege::kMachine}) {
    TrapRig rig(from);
    RiscvAsm code;
    code.addi(a0, zero, 1);
    code.ecall();
    rig.load(kCode, code);
    REQUIRE(rig.run_to(kMachineHandler, 4));
    CHECK(rig.state().mcause == 8 + static_cast<unsigned>(from));
    CHECK((rig.state().mepc == kCode + 4 && rig.state().mtval == 0 && rig.x(a0) == 1));
  }
  TrapRig rig(Privilege::kUser, 1 << 3);
  RiscvAsm code;
  code.addi(a0, zero, 3);
  code.ebreak();
  rig.load(kCode, code);
  REQUIRE(rig.run_to(kSupervisorHandler, 4));
  CHECK((rig.state().scause == 3 && rig.state().sepc == kCode + 4 && rig.state().stval == kCode + 4));
}

TEST_CASE("a faulting access leaves the state before it: registers, epc, tval") {
  TrapRig rig(Privilege::kMachine);
  RiscvAsm code;
  code.addi(sp, zero, 11);
  code.addi(a0, zero, 12);
  code.addi(s2, zero, 13);
  code.sd(s2, zero, 0x123);  // nothing there
  code.addi(sp, zero, 99);
  rig.load(kCode, code);
  REQUIRE(rig.run_to(kMachineHandler, 4));
  State& s = rig.state();
  CHECK((s.mcause == kStoreAccess && s.mtval == 0x123 && s.mepc == kCode + 12));
  CHECK((rig.x(sp) == 11 && rig.x(a0) == 12 && rig.x(s2) == 13));
}

TEST_CASE("a jump to nowhere faults at its target") {
  TrapRig rig(Privilege::kSupervisor);
  RiscvAsm code;
  code.li(t0, 0x1234000);
  code.jalr(zero, t0);
  rig.load(kCode, code);
  REQUIRE(rig.run_to(kMachineHandler, 8));
  CHECK((rig.state().mcause == kInstructionAccess && rig.state().mepc == 0x1234000 && rig.state().mtval == 0x1234000));
}

TEST_CASE("vectored mode spreads interrupts, not exceptions") {
  TrapRig rig(Privilege::kUser, 1 << 8, kSeip);
  State& s = rig.state();
  s.stvec = kSupervisorHandler | 1;
  s.mie = kSeip;
  rig.set_pin(9, true);
  rig.run_block();
  CHECK((s.pc == kSupervisorHandler + 4 * 9 && s.scause == (uint64_t{1} << 63 | 9) && s.sepc == kCode && s.stval == 0));
  s.privilege = Privilege::kUser;
  s.pc = kCode;
  s.mie = 0;
  RiscvAsm code;
  code.ecall();
  rig.load(kCode, code);
  REQUIRE(rig.run_to(kSupervisorHandler, 4));
  CHECK(s.scause == 8);
}

TEST_CASE("returns restore the stacks and the privilege") {
  TrapRig rig(Privilege::kMachine);
  State& s = rig.state();
  RiscvAsm code;
  code.mret();
  rig.load(kCode, code);
  s.mepc = kCode + 0x100;
  s.mstatus |= mstatus::kMpie | mstatus::kMprv | (uint64_t{1} << 11);
  REQUIRE(rig.run_to(kCode + 0x100, 2));
  CHECK(s.privilege == Privilege::kSupervisor);
  CHECK((s.mstatus & (mstatus::kMie | mstatus::kMpie | mstatus::kMpp | mstatus::kMprv)) == (mstatus::kMie | mstatus::kMpie));

  RiscvAsm back;
  back.sret();
  rig.load(kCode, back);
  s.pc = kCode;
  s.sepc = kCode + 0x200;
  s.mstatus &= ~(mstatus::kSpp | mstatus::kSpie);
  s.mstatus |= mstatus::kSie;
  REQUIRE(rig.run_to(kCode + 0x200, 2));
  CHECK(s.privilege == Privilege::kUser);
  CHECK((s.mstatus & (mstatus::kSie | mstatus::kSpie | mstatus::kSpp)) == mstatus::kSpie);
}

TEST_CASE("returns and fences are illegal where they must be") {
  RiscvAsm words;
  words.mret();
  words.sret();
  words.sfence_vma();
  words.wfi();
  struct Case {
    unsigned word;
    Privilege from;
    uint64_t status;
    bool illegal;
  };
  const std::vector<uint32_t> code = words.finish();
  for (Case c : {Case{0, Privilege::kSupervisor, 0, true}, Case{0, Privilege::kUser, 0, true}, Case{1, Privilege::kUser, 0, true},
                 Case{1, Privilege::kSupervisor, mstatus::kTsr, true}, Case{1, Privilege::kSupervisor, 0, false},
                 Case{1, Privilege::kMachine, mstatus::kTsr, false}, Case{2, Privilege::kUser, 0, true}, Case{2, Privilege::kSupervisor, 0, false},
                 Case{2, Privilege::kSupervisor, mstatus::kTvm, true}, Case{3, Privilege::kUser, 0, true},
                 Case{3, Privilege::kSupervisor, mstatus::kTw, true}, Case{3, Privilege::kSupervisor, 0, false}, Case{3, Privilege::kMachine, mstatus::kTw, false}}) {
    TrapRig rig(c.from);
    rig.state().mstatus |= c.status;
    rig.state().sepc = kCode + 0x40;
    rig.load(kCode, {code[c.word], 0x0000006f});
    rig.run_block();
    CAPTURE(c.word, static_cast<unsigned>(c.from), c.status);
    CHECK((rig.state().pc == kMachineHandler) == c.illegal);
    if (c.illegal) CHECK((rig.state().mcause == 2 && rig.state().mtval == code[c.word]));
  }
}

TEST_CASE("interrupts come by level and priority, and only where enabled") {
  TrapRig rig(Privilege::kSupervisor, 0, kSsip | kStip | kSeip | kLcofip);
  State& s = rig.state();
  s.mie = kSsip | kMsip | kStip | kMtip | kSeip | kMeip | kLcofip;
  s.menvcfg = 0;
  for (unsigned pin : {1u, 3u, 5u, 7u, 9u, 11u, 13u}) rig.set_pin(pin, true);
  s.mstatus |= mstatus::kSie;
  // From S-mode M-level ones are always taken, most urgent first; then the delegated ones.
  for (unsigned expected : {11u, 3u, 7u, 9u, 1u, 5u, 13u}) {
    REQUIRE(rig.cpu->deliver_interrupt(*rig.block));
    bool machine = expected == 11 || expected == 3 || expected == 7;
    CHECK((machine ? s.mcause : s.scause) == (uint64_t{1} << 63 | expected));
    s.privilege = Privilege::kSupervisor;
    s.mstatus |= mstatus::kSie;
    s.mie &= ~(uint64_t{1} << expected);
  }
  CHECK(!rig.cpu->deliver_interrupt(*rig.block));
  // Delegated ones never reach M-mode, and wait for SIE in S-mode.
  s.mie = kSeip;
  s.privilege = Privilege::kMachine;
  s.mstatus |= mstatus::kMie;
  CHECK(!rig.cpu->deliver_interrupt(*rig.block));
  s.privilege = Privilege::kSupervisor;
  s.mstatus &= ~mstatus::kSie;
  CHECK(!rig.cpu->deliver_interrupt(*rig.block));
  s.privilege = Privilege::kUser;
  CHECK(rig.cpu->deliver_interrupt(*rig.block));
}

TEST_CASE("a trap inside a handler nests through the saved state") {
  TrapRig rig(Privilege::kUser, 1 << 8);
  State& s = rig.state();
  RiscvAsm code;
  code.ecall();
  rig.load(kCode, code);
  rig.load(kSupervisorHandler, {0xffffffff});
  REQUIRE(rig.run_to(kMachineHandler, 8));
  CHECK((s.sepc == kCode && s.scause == 8));
  CHECK((s.mepc == kSupervisorHandler && s.mcause == 2 && mpp(s) == 1));
  CHECK((s.mstatus & mstatus::kSpp) == 0);
}

TEST_CASE("wfi waits only when nothing is pending, and goes on behind itself") {
  TrapRig rig(Privilege::kMachine);
  State& s = rig.state();
  s.mie = kMtip;
  RiscvAsm code;
  code.wfi();
  code.addi(t0, zero, 1);
  RiscvAsm::Label here = code.bound();
  code.j(here);
  rig.load(kCode, code);
  rig.run_block();
  CHECK((rig.waits == 1 && s.pc == kCode + 4 && rig.x(t0) == 0));
  CHECK(!rig.cpu->has_wakeup(*rig.block));
  rig.set_pin(7, true);
  CHECK(rig.cpu->has_wakeup(*rig.block));
  s.pc = kCode;
  rig.block->exit_request.store(0);
  REQUIRE(rig.run_to(kCode + 8, 4));
  CHECK(rig.waits == 1);
}

TEST_CASE("writing FS changes the key in the middle of a block") {
  TrapRig rig(Privilege::kMachine);
  State& s = rig.state();
  RiscvAsm code;
  code.li(t0, mstatus::kFs);
  code.csrrc(a1, kMstatus, t0);
  code.word(0xf2000053);  // fmv.d.x f0, x0: illegal now
  rig.load(kCode, code);
  s.mstatus |= mstatus::kFs | mstatus::kSd;
  REQUIRE(rig.run_to(kMachineHandler, 8));
  CHECK((s.mcause == 2 && s.mtval == 0xf2000053));
  CHECK((rig.x(a1) & mstatus::kFs) == mstatus::kFs);
  CHECK((s.mstatus & mstatus::kSd) == 0);
}

TEST_CASE("the first floating-point instruction makes FS dirty and is executed once") {
  TrapRig rig(Privilege::kMachine);
  State& s = rig.state();
  s.mstatus |= uint64_t{1} << 13;  // Initial
  rig.x(t1) = 0x1122;
  RiscvAsm code;
  code.addi(t0, t0, 1);
  code.word(0xf2030053);  // fmv.d.x f0, t1
  code.addi(t0, t0, 1);
  RiscvAsm::Label here = code.bound();
  code.j(here);
  rig.load(kCode, code);
  REQUIRE(rig.run_to(kCode + 12, 8));
  CHECK((rig.x(t0) == 2 && s.f[0] == 0x1122));
  CHECK((s.mstatus & (mstatus::kFs | mstatus::kSd)) == (mstatus::kFs | mstatus::kSd));
}
