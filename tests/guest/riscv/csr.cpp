// CSR access: rights, WARL fields, read-modify-write forms, views, what changes the state key.
#include "tests/guest/riscv/hart_rig.h"
#include "tests/support/catch.h"

using namespace lyre;
using namespace lyre::test;
using namespace lyre::riscv;

namespace {

// csrrw/csrrs/csrrc (kind 1 to 3), immediates (5 to 7).
uint32_t csr_word(unsigned kind, unsigned rd, unsigned csr, unsigned rs1) { return csr << 20 | rs1 << 15 | kind << 12 | rd << 7 | 0x73; }

// Writes x10's `value` with csrrw and reads back with csrrs.
uint64_t write_read(HartRig& rig, unsigned csr, uint64_t value) {
  rig.x(a0) = value;
  rig.execute({csr_word(1, 0, csr, a0), csr_word(2, a1, csr, 0)});
  return rig.x(a1);
}

// Runs one instruction in `privilege` with traps to M at a known place; returns mcause, or ~0 if it went through.
uint64_t cause_of(HartRig& rig, uint32_t word, Privilege privilege, uint64_t status = 0) {
  State& state = rig.state();
  state.mstatus = (state.mstatus & ~mstatus::kMpp) | status;
  state.mtvec = HartRig::kRam + 0x800;
  state.medeleg = 0;
  state.mcause = ~uint64_t{0};
  state.privilege = privilege;
  rig.load(HartRig::kRam, {word, 0x00000073});  // ecall behind it
  state.pc = HartRig::kRam;
  bool there = rig.run_to(HartRig::kRam + 0x800, 8);
  state.privilege = Privilege::kMachine;
  if (!there) return ~uint64_t{1};
  return state.mepc == HartRig::kRam ? state.mcause : ~uint64_t{0};
}

void open_memory(HartRig& rig) {  // PMP: everything for everybody
  rig.x(a0) = ~uint64_t{0};
  rig.x(a1) = 0x1f;
  rig.execute({csr_word(1, 0, kPmpaddr0, a0), csr_word(1, 0, kPmpcfg0, a1)});
}

}  // namespace

TEST_CASE("plain CSRs keep what is written, within their masks") {
  HartRig rig;
  for (unsigned csr : {kSscratch, kMscratch, kScause, kMcause, kStval, kMtval}) CHECK(write_read(rig, csr, 0x123456789abcdef1) == 0x123456789abcdef1);
  for (unsigned csr : {kSepc, kMepc}) CHECK(write_read(rig, csr, 0xffffffff80000003) == 0xffffffff80000002);
  for (unsigned csr : {kStvec, kMtvec}) CHECK(write_read(rig, csr, 0x80000003) == 0x80000001);
}

TEST_CASE("WARL registers take legal values only") {
  HartRig rig;
  CHECK(write_read(rig, kMedeleg, ~uint64_t{0}) == 0xb3ff);
  CHECK(write_read(rig, kMideleg, ~uint64_t{0}) == 0x2222);
  CHECK(write_read(rig, kCsrMie, ~uint64_t{0}) == 0x2aaa);
  CHECK(write_read(rig, kMisa, 0) == rig.state().misa);
  CHECK(write_read(rig, kMcounteren, ~uint64_t{0}) == 0xffffffff);
  CHECK(write_read(rig, kMcountinhibit, ~uint64_t{0}) == 0xfffffffd);
  // menvcfg: CBIE 2 is reserved.
  CHECK(write_read(rig, kMenvcfg, 0x30) == 0x30);
  CHECK(write_read(rig, kMenvcfg, 0x20 | 0x40) == 0x70);
  // satp: an unsupported mode leaves everything as it was.
  CHECK(write_read(rig, kSatp, uint64_t{8} << 60 | 0x123) == (uint64_t{8} << 60 | 0x123));
  CHECK(write_read(rig, kSatp, uint64_t{5} << 60 | 0x456) == (uint64_t{8} << 60 | 0x123));
  CHECK(write_read(rig, kSatp, 0) == 0);
}

TEST_CASE("mstatus has its fields, MPP is WARL, SD follows FS") {
  HartRig rig;
  uint64_t fixed = mstatus::kUxl64 | mstatus::kSxl64;
  CHECK(write_read(rig, kMstatus, 0) == fixed);
  CHECK(write_read(rig, kMstatus, 0x800) == (fixed | 0x800));
  CHECK(write_read(rig, kMstatus, 0x1000) == (fixed | 0x800));  // MPP 2 keeps the old value
  CHECK(write_read(rig, kMstatus, 0x4000) == (fixed | 0x4000));
  CHECK(write_read(rig, kMstatus, 0x6000) == (fixed | 0x6000 | mstatus::kSd));
  // The S-mode view shows and changes its own fields only.
  CHECK(write_read(rig, kMstatus, mstatus::kTsr | mstatus::kMie | mstatus::kSum) == (fixed | mstatus::kTsr | mstatus::kMie | mstatus::kSum));
  CHECK(write_read(rig, kSstatus, mstatus::kMxr | mstatus::kMpie) == (mstatus::kUxl64 | mstatus::kMxr));
  CHECK(rig.state().mstatus == (fixed | mstatus::kTsr | mstatus::kMie | mstatus::kMxr));
}

TEST_CASE("set and clear forms return the old value and touch only their bits") {
  HartRig rig;
  rig.state().sscratch = 0xf0f0;
  rig.x(a0) = 0x00ff;
  rig.execute({csr_word(2, a1, kSscratch, a0), csr_word(3, a2, kSscratch, a0), csr_word(6, a3, kSscratch, 5), csr_word(7, a4, kSscratch, 4),
               csr_word(5, a5, kSscratch, 9)});
  CHECK(rig.x(a1) == 0xf0f0);
  CHECK(rig.x(a2) == 0xf0ff);
  CHECK(rig.x(a3) == 0xf000);
  CHECK(rig.x(a4) == 0xf005);
  CHECK(rig.x(a5) == 0xf001);
  CHECK(rig.state().sscratch == 9);
  // A swap of one register with itself as source and destination.
  rig.x(tp) = 77;
  rig.execute({csr_word(1, tp, kSscratch, tp)});
  CHECK(rig.x(tp) == 9);
  CHECK(rig.state().sscratch == 77);
}

TEST_CASE("SIE is set and cleared inline, and a pending interrupt is seen") {
  HartRig rig;
  State& state = rig.state();
  rig.execute({csr_word(6, a1, kSstatus, 2)});
  CHECK((rig.x(a1) & 2) == 0);
  CHECK((state.mstatus & mstatus::kSie) != 0);
  rig.execute({csr_word(7, a1, kSstatus, 2)});
  CHECK((rig.x(a1) & 2) == 2);
  CHECK((state.mstatus & mstatus::kSie) == 0);
  // MIE is not in sstatus' view; other immediate bits do nothing.
  rig.execute({csr_word(6, 0, kSstatus, 0x1f)});
  CHECK((state.mstatus & (mstatus::kSie | mstatus::kMie)) == mstatus::kSie);

  state.mtvec = HartRig::kRam + 0x800;
  state.mie = kMsip;
  rig.set_pin(3, true);
  rig.block->exit_request.store(0);
  state.mstatus &= ~mstatus::kMie;
  rig.load(HartRig::kRam, {csr_word(6, 0, kMstatus, 8), 0x0000006f});  // j .
  state.pc = HartRig::kRam;
  REQUIRE(rig.run_to(HartRig::kRam + 0x800, 8));
  CHECK(state.mcause == (uint64_t{1} << 63 | 3));
}

TEST_CASE("access rights: privilege, read-only, missing registers") {
  HartRig rig;
  open_memory(rig);
  CHECK(cause_of(rig, csr_word(2, a0, kMscratch, 0), Privilege::kSupervisor) == kIllegalInstruction);
  CHECK(rig.state().mtval == csr_word(2, a0, kMscratch, 0));
  CHECK(cause_of(rig, csr_word(2, a0, kSscratch, 0), Privilege::kUser) == kIllegalInstruction);
  CHECK(cause_of(rig, csr_word(2, a0, kSscratch, 0), Privilege::kSupervisor) == ~uint64_t{0});
  CHECK(cause_of(rig, csr_word(1, a0, kMhartid, a1), Privilege::kMachine) == kIllegalInstruction);
  CHECK(cause_of(rig, csr_word(2, a0, kMhartid, 0), Privilege::kMachine) == ~uint64_t{0});
  CHECK(cause_of(rig, csr_word(2, a0, 0x5a8, 0), Privilege::kMachine) == kIllegalInstruction);
  CHECK(cause_of(rig, csr_word(2, a0, kPmpcfg0 + 1, 0), Privilege::kMachine) == kIllegalInstruction);
  CHECK(cause_of(rig, csr_word(2, a0, kPmpcfg0 + 2, 0), Privilege::kMachine) == ~uint64_t{0});
  // Reading the entropy source must be an instruction that writes.
  CHECK(cause_of(rig, csr_word(2, a0, kSeed, 0), Privilege::kMachine) == kIllegalInstruction);
  CHECK(cause_of(rig, csr_word(1, a0, kSeed, 0), Privilege::kMachine) == ~uint64_t{0});
  CHECK(cause_of(rig, csr_word(1, a0, kSeed, 0), Privilege::kSupervisor) == kIllegalInstruction);
  // TVM takes satp away from S-mode.
  CHECK(cause_of(rig, csr_word(2, a0, kSatp, 0), Privilege::kSupervisor) == ~uint64_t{0});
  CHECK(cause_of(rig, csr_word(2, a0, kSatp, 0), Privilege::kSupervisor, mstatus::kTvm) == kIllegalInstruction);
}

TEST_CASE("interrupt registers: delegation decides what S-mode sees") {
  HartRig rig;
  State& state = rig.state();
  CHECK(write_read(rig, kMideleg, kSsip | kSeip) == (kSsip | kSeip));
  CHECK(write_read(rig, kCsrMie, kMtip) == kMtip);
  CHECK(write_read(rig, kCsrSie, ~uint64_t{0}) == (kSsip | kSeip));
  CHECK(state.mie == (kMtip | kSsip | kSeip));
  // SEIP: software's bit and the controller's pin are or-ed for reads; a set on mip works on software's bit alone.
  rig.set_pin(9, true);
  rig.x(a0) = kSsip;
  rig.execute({csr_word(2, a1, kMip, a0), csr_word(2, a2, kMip, 0)});
  CHECK(rig.x(a1) == kSeip);
  CHECK(rig.x(a2) == (kSeip | kSsip));
  rig.set_pin(9, false);
  CHECK(write_read(rig, kMip, kSeip) == kSeip);
  CHECK(write_read(rig, kMip, 0) == 0);
  // From S-mode only SSIP can be cleared.
  rig.set_pin(1, true);
  rig.set_pin(1, false);  // a latch
  CHECK(write_read(rig, kSip, kSsip) == kSsip);
  CHECK(write_read(rig, kSip, 0) == 0);
}

TEST_CASE("fcsr is one register in three views") {
  HartRig rig;
  rig.state().mstatus |= mstatus::kFs;
  CHECK(write_read(rig, kFcsr, 0xff) == 0xff);
  CHECK(write_read(rig, kFflags, 0x15) == 0x15);
  CHECK(write_read(rig, kFrm, 9) == 1);
  rig.execute({csr_word(2, a0, kFcsr, 0), csr_word(5, 0, kFcsr, 0)});
  CHECK(rig.x(a0) == 0x35);
  CHECK(cause_of(rig, csr_word(2, a0, kFcsr, 0), Privilege::kMachine) == ~uint64_t{0});
  rig.state().mstatus &= ~mstatus::kFs;
  CHECK(cause_of(rig, csr_word(2, a0, kFcsr, 0), Privilege::kMachine) == kIllegalInstruction);
  // Writing it makes FS dirty.
  rig.state().mstatus |= uint64_t{1} << 13;
  rig.execute({csr_word(5, 0, kFflags, 1)});
  CHECK((rig.state().mstatus & (mstatus::kFs | mstatus::kSd)) == (mstatus::kFs | mstatus::kSd));
}

TEST_CASE("state enables guard senvcfg and sstateen0") {
  HartRig rig;
  open_memory(rig);
  CHECK(write_read(rig, kMstateen0, ~uint64_t{0}) == (stateen::kEnvcfg | stateen::kSe0));
  CHECK(cause_of(rig, csr_word(2, a0, kSenvcfg, 0), Privilege::kSupervisor) == ~uint64_t{0});
  CHECK(cause_of(rig, csr_word(2, a0, kSstateen0, 0), Privilege::kSupervisor) == ~uint64_t{0});
  CHECK(write_read(rig, kMstateen0, 0) == 0);
  CHECK(cause_of(rig, csr_word(2, a0, kSenvcfg, 0), Privilege::kSupervisor) == kIllegalInstruction);
  CHECK(cause_of(rig, csr_word(2, a0, kSstateen0, 0), Privilege::kSupervisor) == kIllegalInstruction);
}

TEST_CASE("extensions that are off take their CSRs with them") {
  HartRig rig(test_backend(), {"sstc=off", "zicntr=off"});
  CHECK(cause_of(rig, csr_word(2, a0, kStimecmp, 0), Privilege::kMachine) == kIllegalInstruction);
  CHECK(cause_of(rig, csr_word(2, a0, kTime, 0), Privilege::kMachine) == kIllegalInstruction);
}
