// The built-in SBI. Chapter numbers are those of the RISC-V Supervisor Binary Interface Specification 2.0. See sbi.h.
//
// A trap swaps sp with mscratch, which points to the hart's area; the caller-saved registers are kept there, and every handler ends in one
// of two ways out: with a0 and a1 as results, or with all registers as they were. Handlers use caller-saved registers only.
// Remote fences: the caller sets the kind in the target's area, then takes a ticket there, then raises its machine software interrupt, then
// waits until the target has served that ticket. While it waits it serves its own, so that two harts that fence each other both get on.
// Supervisor IPIs go through the ACLINT's SSWI: no machine-mode trap at the other end.
#include "machine/firmware/sbi.h"

#include <bit>
#include <string_view>

#include "machine/devices/sifive_test.h"
#include "machine/firmware/riscv_assembler.h"
#include "runtime/base/check.h"

namespace lyre::machine {
namespace {

using R = RiscvAssembler;
using enum RiscvAssembler::Reg;
using Label = RiscvAssembler::Label;

enum Csr : unsigned {
  kScounteren = 0x106, kStimecmp = 0x14d, kSatp = 0x180, kMstatus = 0x300, kMedeleg = 0x302, kMideleg = 0x303, kMie = 0x304, kMtvec = 0x305,
  kMcounteren = 0x306, kMenvcfg = 0x30a, kMcountinhibit = 0x320, kMscratch = 0x340, kMepc = 0x341, kMcause = 0x342, kMip = 0x344,
  kPmpcfg0 = 0x3a0, kPmpaddr0 = 0x3b0, kPmpaddr1 = 0x3b1, kMcycle = 0xb00, kMinstret = 0xb02, kMvendorid = 0xf11, kMarchid = 0xf12,
  kMimpid = 0xf13, kMhartid = 0xf14,
};

// Extension ids (chapters 4 to 12).
constexpr uint64_t kBase = 0x10, kTime = 0x54494d45, kIpi = 0x735049, kRfence = 0x52464e43, kHsm = 0x48534d, kSrst = 0x53525354,
                   kDbcn = 0x4442434e, kPmu = 0x504d55;
constexpr uint64_t kExtensions[] = {kBase, kTime, kIpi, kRfence, kHsm, kSrst, kDbcn, kPmu};
constexpr int kNotSupported = -2, kInvalidParameter = -3, kInvalidAddress = -5, kAlreadyAvailable = -6;
constexpr uint64_t kSpecVersion = 2u << 24, kImplementation = 0x4c59, kImplementationVersion = 1;

// A hart's area.
constexpr int kAreaBits = 8;
constexpr int kState = 0x00, kStartAddress = 0x08, kOpaque = 0x10, kTicket = 0x18, kServed = 0x1c, kKinds = 0x20, kGo = 0x24, kHart = 0x28, kSaved = 0x40;
constexpr int kStarted = 0, kStopped = 1, kStartPending = 2;  // as hart_get_status reports them (9.3)
constexpr int kKindFenceI = 1, kKindSfence = 2;
constexpr R::Reg kKept[] = {ra, t0, t1, t2, t3, t4, t5, t6, a0, a1, a2, a3, a4, a5, a6, a7};

constexpr uint64_t kMsie = 1 << 3, kMtie = 1 << 7, kSsip = 1 << 1, kStip = 1 << 5;
constexpr int kCauseSupervisorCall = 9;
constexpr uint64_t kMaxConsoleBytes = 4096;  // of one call, so that a hart is not away for long

class Sbi {
 public:
  explicit Sbi(const SbiConfig& config) : c_(config) {}
  SbiImage make();

 private:
  void boot();
  void park();
  void enter_supervisor();
  void trap();
  void dispatch();
  void way_out();
  void interrupts();
  void serve_tickets();
  void put_character();
  void base();
  void time();
  void ipi();
  void remote_fence();
  void hart_start();
  void hart_state();
  void reset();
  void console();
  void console_write();
  void counters();
  void legacy();
  template <typename Body>
  void for_each_hart(Body body);
  void area_of(R::Reg to, R::Reg hart, R::Reg scratch);
  void msip_of(R::Reg to, R::Reg hart);
  void result(int error, uint64_t value = 0);
  void function(int id, Label handler);
  void print(std::string_view text);

  const SbiConfig& c_;
  R a_;
  Label areas_ = a_.label(), park_ = a_.label(), wait_ = a_.label(), enter_ = a_.label(), trap_ = a_.label(), fatal_ = a_.label(), serve_ = a_.label(), put_ = a_.label();
  Label out_result_ = a_.label(), out_a0_ = a_.label(), out_all_ = a_.label(), ok_ = a_.label();
  Label not_supported_ = a_.label(), invalid_ = a_.label(), bad_address_ = a_.label(), set_timer_ = a_.label();
  Label interrupt_ = a_.label(), base_ = a_.label(), time_ = a_.label(), ipi_ = a_.label(), rfence_ = a_.label(), hsm_ = a_.label(),
        srst_ = a_.label(), dbcn_ = a_.label(), pmu_ = a_.label(), legacy_ = a_.label(), shutdown_ = a_.label();
  uint64_t region_ = 0;
};

void Sbi::area_of(R::Reg to, R::Reg hart, R::Reg scratch) {
  a_.slli(scratch, hart, kAreaBits);
  a_.la(to, areas_);
  a_.add(to, to, scratch);
}

void Sbi::msip_of(R::Reg to, R::Reg hart) {
  LYRE_CHECK(to != hart, "the hart number is still needed");
  a_.li(to, c_.clint.value >> 2);
  a_.add(to, to, hart);
  a_.slli(to, to, 2);
}

void Sbi::result(int error, uint64_t value) {
  a_.li(a0, static_cast<uint64_t>(int64_t{error}));
  a_.li(a1, value);
  a_.j(out_result_);
}

void Sbi::function(int id, Label handler) {
  a_.li(t0, static_cast<uint64_t>(id));
  a_.beq(a6, t0, handler);
}

void Sbi::boot() {
  a_.csrr(a0, kMhartid);
  a_.li(t0, c_.harts);
  Label known = a_.label();
  a_.bltu(a0, t0, known);
  Label lost = a_.here();
  a_.wfi();
  a_.j(lost);
  a_.bind(known);
  area_of(sp, a0, t0);
  a_.sd(a0, kHart, sp);
  a_.la(t0, trap_);
  a_.csrw(kMtvec, t0);
  auto set = [&](unsigned csr, uint64_t value) {
    a_.li(t0, value);
    a_.csrw(csr, t0);
  };
  // Everything that a supervisor can handle is its own: all but calls to us. Misaligned accesses never trap.
  set(kMedeleg, (0xffff | 3 << 18) & ~(uint64_t{1} << kCauseSupervisorCall | 1 << 11));
  set(kMideleg, 0x2222);
  set(kMcounteren, 0xffffffff);
  set(kScounteren, 7);
  set(kMcountinhibit, 0);
  // menvcfg: stimecmp (63), page-based memory types (62), hardware A and D bits (61), cbo.zero (7), cbo.clean (6), cbo.inval as such (5:4).
  // Bits of extensions that the hart lacks stay zero.
  set(kMenvcfg, uint64_t{7} << 61 | 0xf0);
  if (c_.sstc) set(kStimecmp, ~uint64_t{0});
  // PMP 0: our own memory, no access; PMP 1: the rest, all access.
  set(kPmpaddr0, c_.base.value >> 2 | (region_ / 8 - 1));
  set(kPmpaddr1, ~uint64_t{0});
  set(kPmpcfg0, 0x1f18);
  a_.sfence_vma();
  a_.bnez(a0, wait_);
  if (c_.next.value == 0) {
    print("sbi: there is nothing to start: no kernel and no flash image\n");
    return a_.j(wait_);
  }
  a_.li(a2, c_.next.value);
  a_.j(enter_);
}

// Waits for hart_start. sp = area. A hart that comes from reset has been stopped from the beginning.
void Sbi::park() {
  a_.bind(park_);
  a_.li(t0, kStopped);
  a_.sw(t0, kState, sp);
  a_.bind(wait_);
  a_.csrw(kMscratch, sp);
  a_.li(t0, kMsie);
  a_.csrw(kMie, t0);
  Label wait = a_.here();
  a_.wfi();
  a_.csrr(t0, kMip);
  a_.andi(t0, t0, kMsie);
  a_.beqz(t0, wait);
  a_.call(serve_);
  a_.addi(t0, sp, kGo);
  a_.amoswap_w(t1, zero, t0);
  a_.beqz(t1, wait);
  a_.sw(zero, kState, sp);
  a_.ld(a0, kHart, sp);
  a_.ld(a1, kOpaque, sp);
  a_.ld(a2, kStartAddress, sp);
  a_.j(enter_);
}

// a0, a1: the supervisor's; a2: where it starts (9.1, table of initial state: satp and SIE are zero).
void Sbi::enter_supervisor() {
  a_.bind(enter_);
  a_.csrw(kMscratch, sp);
  a_.csrw(kMepc, a2);
  a_.csrw(kSatp, zero);
  a_.li(t0, kMsie);
  a_.csrw(kMie, t0);
  a_.li(t0, kSsip);
  a_.csrc(kMip, t0);
  a_.li(t0, 0x1800 | 0x1aa);  // MPP, SPP, MPIE, SPIE, MIE, SIE
  a_.csrc(kMstatus, t0);
  a_.li(t0, 0x800);           // MPP = S
  a_.csrs(kMstatus, t0);
  a_.sfence_vma();
  a_.fence_i();
  a_.mret();
}

void Sbi::trap() {
  while (a_.size() % 64) a_.addi(zero, zero, 0);  // mtvec has alignment rules
  a_.bind(trap_);
  a_.csrrw(sp, kMscratch, sp);
  int at = kSaved;
  for (R::Reg reg : kKept) a_.sd(reg, at, sp), at += 8;
  a_.csrr(t0, kMcause);
  a_.blt(t0, zero, interrupt_);
  a_.li(t1, kCauseSupervisorCall);
  a_.bne(t0, t1, fatal_);
  dispatch();
}

void Sbi::dispatch() {
  a_.csrr(t0, kMepc);
  a_.addi(t0, t0, 4);
  a_.csrw(kMepc, t0);
  const std::pair<uint64_t, Label> extensions[] = {{kTime, time_}, {kIpi, ipi_}, {kRfence, rfence_}, {kDbcn, dbcn_},
                                                   {kBase, base_}, {kHsm, hsm_}, {kSrst, srst_},     {kPmu, pmu_}};
  for (auto& [id, handler] : extensions) {
    Label other = a_.label();
    a_.li(t0, id);
    a_.bne(a7, t0, other);
    a_.j(handler);
    a_.bind(other);
  }
  a_.li(t0, 9);
  Label unknown = a_.label();
  a_.bgeu(a7, t0, unknown);
  a_.j(legacy_);
  a_.bind(unknown);
  a_.bind(not_supported_);
  result(kNotSupported);
}

void Sbi::way_out() {
  a_.bind(invalid_);
  result(kInvalidParameter);
  a_.bind(bad_address_);
  result(kInvalidAddress);
  a_.bind(ok_);
  a_.li(a0, 0);
  a_.li(a1, 0);
  a_.bind(out_result_);
  constexpr int kA0 = kSaved + 8 * 8, kA1 = kSaved + 8 * 9;
  static_assert(kKept[8] == a0 && kKept[9] == a1);
  a_.sd(a1, kA1, sp);
  a_.bind(out_a0_);
  a_.sd(a0, kA0, sp);
  a_.bind(out_all_);
  int at = kSaved;
  for (R::Reg reg : kKept) a_.ld(reg, at, sp), at += 8;
  a_.csrrw(sp, kMscratch, sp);
  a_.mret();

  // A trap that cannot be: say so and stop the machine with a code.
  a_.bind(fatal_);
  print("sbi: unexpected machine-mode trap\n");
  a_.li(t0, c_.test.value);
  a_.li(t1, uint64_t{0xff} << 16 | SifiveTest::kFail);
  a_.sw(t1, 0, t0);
  Label stay = a_.here();
  a_.wfi();
  a_.j(stay);
}

void Sbi::interrupts() {
  a_.bind(interrupt_);
  a_.andi(t0, t0, 0xff);
  a_.li(t1, 7);
  Label software = a_.label();
  a_.bne(t0, t1, software);
  // The machine timer stands in for the supervisor's where there is no stimecmp.
  a_.li(t0, kMtie);
  a_.csrc(kMie, t0);
  a_.li(t0, kStip);
  a_.csrs(kMip, t0);
  a_.j(out_all_);
  a_.bind(software);
  a_.call(serve_);
  a_.j(out_all_);
}

// Serves the tickets of this hart. Uses a4 to a6.
void Sbi::serve_tickets() {
  a_.bind(serve_);
  a_.ld(a4, kHart, sp);
  msip_of(a5, a4);
  a_.sw(zero, 0, a5);
  a_.fence();
  a_.lw(a4, kTicket, sp);
  a_.fence();
  a_.addi(a5, sp, kKinds);
  a_.amoswap_w(a5, zero, a5);
  Label no_fence_i = a_.label(), no_sfence = a_.label();
  a_.andi(a6, a5, kKindFenceI);
  a_.beqz(a6, no_fence_i);
  a_.fence_i();
  a_.bind(no_fence_i);
  a_.andi(a6, a5, kKindSfence);
  a_.beqz(a6, no_sfence);
  a_.sfence_vma();
  a_.bind(no_sfence);
  a_.fence();
  a_.sw(a4, kServed, sp);
  a_.ret();
}

// Writes the byte in a0. Uses t3, t4.
void Sbi::put_character() {
  a_.bind(put_);
  a_.li(t3, c_.uart.value);
  Label wait = a_.here();
  a_.lbu(t4, 5, t3);
  a_.andi(t4, t4, 0x20);
  a_.beqz(t4, wait);
  a_.sb(a0, 0, t3);
  a_.ret();
}

// Chapter 4.
void Sbi::base() {
  a_.bind(base_);
  Label probe = a_.label(), found = a_.label();
  auto answer = [&](int id, auto load) {
    Label next = a_.label();
    a_.li(t0, static_cast<uint64_t>(id));
    a_.bne(a6, t0, next);
    load();
    a_.li(a0, 0);
    a_.j(out_result_);
    a_.bind(next);
  };
  answer(0, [&] { a_.li(a1, kSpecVersion); });
  answer(1, [&] { a_.li(a1, kImplementation); });
  answer(2, [&] { a_.li(a1, kImplementationVersion); });
  answer(4, [&] { a_.csrr(a1, kMvendorid); });
  answer(5, [&] { a_.csrr(a1, kMarchid); });
  answer(6, [&] { a_.csrr(a1, kMimpid); });
  function(3, probe);
  a_.j(not_supported_);
  a_.bind(probe);
  for (uint64_t id : kExtensions) {
    a_.li(t0, id);
    a_.beq(a0, t0, found);
  }
  for (uint64_t id : {0, 1, 2, 3, 8}) {  // the legacy calls that are there
    a_.li(t0, id);
    a_.beq(a0, t0, found);
  }
  a_.j(ok_);
  a_.bind(found);
  result(0, 1);
}

// Chapter 6.
void Sbi::time() {
  a_.bind(time_);
  a_.bnez(a6, not_supported_);
  a_.call(set_timer_);
  a_.j(ok_);
  a_.bind(set_timer_);
  if (c_.sstc) {
    a_.csrw(kStimecmp, a0);
    return a_.ret();
  }
  a_.ld(t0, kHart, sp);
  a_.slli(t0, t0, 3);
  a_.li(t1, c_.clint.value + 0x4000);
  a_.add(t0, t0, t1);
  a_.sd(a0, 0, t0);
  a_.li(t0, kStip);
  a_.csrc(kMip, t0);
  a_.li(t0, kMtie);
  a_.csrs(kMie, t0);
  a_.ret();
}

void Sbi::print(std::string_view text) {
  for (char c : text) {
    a_.li(a0, static_cast<uint8_t>(c));
    a_.call(put_);
  }
}

// Runs the body with t0 = hart for those of the mask a0 from hart a1 on, or for all if a1 is -1 (3.1). Keeps a0, a1; uses t0 to t2.
template <typename Body>
void Sbi::for_each_hart(Body body) {
  Label all = a_.label(), next = a_.label(), skip = a_.label(), done = a_.label();
  a_.li(t2, ~uint64_t{0});
  a_.mv(t0, zero);
  a_.li(t1, 0);
  a_.beq(a1, t2, all);
  a_.li(t2, c_.harts);
  a_.bgeu(a1, t2, invalid_);
  a_.mv(t0, a1);
  a_.mv(t1, a0);
  a_.bind(next);
  a_.beqz(t1, done);
  a_.andi(t2, t1, 1);
  a_.beqz(t2, skip);
  a_.li(t2, c_.harts);
  a_.bgeu(t0, t2, invalid_);
  body();
  a_.bind(skip);
  a_.srli(t1, t1, 1);
  a_.addi(t0, t0, 1);
  a_.j(next);
  a_.bind(all);
  body();
  a_.addi(t0, t0, 1);
  a_.li(t2, c_.harts);
  a_.bltu(t0, t2, all);
  a_.bind(done);
}

// Chapter 7.
void Sbi::ipi() {
  a_.bind(ipi_);
  a_.bnez(a6, not_supported_);
  a_.fence();
  for_each_hart([&] {
    a_.li(t2, c_.sswi.value);
    a_.slli(t3, t0, 2);
    a_.add(t2, t2, t3);
    a_.li(t3, 1);
    a_.sw(t3, 0, t2);
  });
  a_.j(ok_);
}

// Chapter 8. The address range and the ASID are not looked at: the target forgets all translations.
void Sbi::remote_fence() {
  a_.bind(rfence_);
  Label fence_i = a_.label();
  a_.li(t4, kKindFenceI);
  a_.beqz(a6, fence_i);
  a_.li(t4, kKindSfence);
  a_.li(t0, 2);
  a_.bltu(t0, a6, not_supported_);
  a_.bind(fence_i);
  a_.fence();
  for_each_hart([&] {
    area_of(t6, t0, t5);
    a_.addi(t5, t6, kKinds);
    a_.amoor_w(zero, t4, t5);
    a_.addi(t5, t6, kTicket);
    a_.li(t3, 1);
    a_.amoadd_w(zero, t3, t5);
    msip_of(t5, t0);
    a_.sw(t3, 0, t5);
  });
  for_each_hart([&] {
    area_of(t6, t0, t5);
    a_.lw(t3, kTicket, t6);
    Label wait = a_.here(), served = a_.label();
    a_.lw(t5, kServed, t6);
    a_.subw(t5, t3, t5);
    a_.bge(zero, t5, served);
    a_.call(serve_);
    a_.j(wait);
    a_.bind(served);
  });
  a_.fence();
  a_.j(ok_);
}

// 9.1: a0 = hart, a1 = address, a2 = opaque.
void Sbi::hart_start() {
  Label busy = a_.label();
  a_.li(t0, c_.harts);
  a_.bgeu(a0, t0, invalid_);
  a_.li(t0, c_.base.value + region_);
  a_.sub(t0, a1, t0);
  a_.li(t1, c_.ram_bytes - region_);
  a_.bgeu(t0, t1, bad_address_);
  area_of(t6, a0, t5);
  static_assert(kState == 0);
  a_.li(t1, kStopped);
  a_.li(t2, kStartPending);
  Label again = a_.here();
  a_.lr_w(t0, t6);
  a_.bne(t0, t1, busy);
  a_.sc_w(t0, t2, t6);
  a_.bnez(t0, again);
  a_.sd(a1, kStartAddress, t6);
  a_.sd(a2, kOpaque, t6);
  a_.addi(t5, t6, kGo);
  a_.li(t3, 1);
  a_.amoswap_w(zero, t3, t5);
  msip_of(t5, a0);
  a_.sw(t3, 0, t5);
  a_.j(ok_);
  a_.bind(busy);
  result(kAlreadyAvailable);
}

// Chapter 9.
void Sbi::hart_state() {
  a_.bind(hsm_);
  Label start = a_.label(), stop = a_.label(), status = a_.label(), suspend = a_.label();
  function(0, start);
  function(1, stop);
  function(2, status);
  function(3, suspend);
  a_.j(not_supported_);
  a_.bind(start);
  hart_start();
  a_.bind(stop);
  a_.j(park_);
  a_.bind(status);
  a_.li(t0, c_.harts);
  a_.bgeu(a0, t0, invalid_);
  area_of(t6, a0, t5);
  a_.lw(a1, kState, t6);
  a_.li(a0, 0);
  a_.j(out_result_);
  a_.bind(suspend);  // only the default retentive suspend: wait and return
  a_.addiw(a0, a0, 0);
  a_.bnez(a0, not_supported_);
  a_.wfi();
  a_.j(ok_);
}

// Chapter 10: type 0 shutdown, 1 cold and 2 warm reboot; reason 1: system failure.
void Sbi::reset() {
  a_.bind(srst_);
  Label reboot = a_.label(), finish = a_.label();
  a_.bnez(a6, not_supported_);
  a_.addiw(a0, a0, 0);
  a_.li(t0, 3);
  a_.bgeu(a0, t0, invalid_);
  a_.bnez(a0, reboot);
  a_.li(t1, uint64_t{1} << 16 | SifiveTest::kFail);
  a_.addiw(a1, a1, 0);
  a_.li(t0, 1);
  a_.beq(a1, t0, finish);
  a_.bind(shutdown_);
  a_.li(t1, SifiveTest::kPass);
  a_.j(finish);
  a_.bind(reboot);
  a_.li(t1, SifiveTest::kReset);
  a_.bind(finish);
  a_.li(t0, c_.test.value);
  a_.sw(t1, 0, t0);
  Label stay = a_.here();
  a_.wfi();
  a_.j(stay);
}

// 12.1 and 12.2 share the check of the buffer: a0 = bytes, a1 and a2 = address; the whole of it is RAM that is not ours.
void Sbi::console() {
  a_.bind(dbcn_);
  Label byte = a_.label(), buffer = a_.label(), read = a_.label();
  function(2, byte);
  a_.li(t0, 2);
  a_.bltu(a6, t0, buffer);
  a_.j(not_supported_);
  a_.bind(byte);
  a_.call(put_);
  a_.j(ok_);
  a_.bind(buffer);
  a_.beqz(a0, ok_);
  a_.bnez(a2, invalid_);
  a_.li(t0, c_.base.value + region_);
  a_.sub(t1, a1, t0);
  a_.li(t0, c_.ram_bytes - region_);
  a_.bgeu(t1, t0, invalid_);
  a_.sub(t0, t0, t1);
  a_.bltu(t0, a0, invalid_);
  Label short_enough = a_.label();
  a_.li(t0, kMaxConsoleBytes);
  a_.bgeu(t0, a0, short_enough);
  a_.mv(a0, t0);
  a_.bind(short_enough);
  a_.add(t0, a1, a0);
  a_.mv(t1, a1);
  a_.bnez(a6, read);
  console_write();

  a_.bind(read);  // what is there now, up to the buffer's size
  a_.li(t3, c_.uart.value);
  Label done = a_.label(), next = a_.here();
  a_.lbu(t4, 5, t3);
  a_.andi(t4, t4, 1);
  a_.beqz(t4, done);
  a_.lbu(t4, 0, t3);
  a_.sb(t4, 0, t1);
  a_.addi(t1, t1, 1);
  a_.bltu(t1, t0, next);
  a_.bind(done);
  a_.sub(a1, t1, a1);
  a_.li(a0, 0);
  a_.j(out_result_);
}

// From t1 to t0; a1 is the start.
void Sbi::console_write() {
  Label next = a_.here();
  a_.lbu(a0, 0, t1);
  a_.call(put_);
  a_.addi(t1, t1, 1);
  a_.bltu(t1, t0, next);
  a_.sub(a1, t1, a1);
  a_.li(a0, 0);
  a_.j(out_result_);
}

// Chapter 11, for the two fixed counters: cycle is counter 0, instret counter 2. They always count, so starting only sets a value.
void Sbi::counters() {
  a_.bind(pmu_);
  Label number = a_.label(), info = a_.label(), match = a_.label(), start = a_.label();
  function(0, number);
  function(1, info);
  function(2, match);
  function(3, start);
  a_.li(t0, 4);
  a_.beq(a6, t0, ok_);
  a_.j(not_supported_);
  a_.bind(number);
  result(0, 3);

  a_.bind(info);  // CSR number, and width less one from bit 12
  a_.li(t0, 2);
  a_.bltu(t0, a0, invalid_);
  a_.andi(t0, a0, 1);
  a_.bnez(t0, invalid_);
  a_.li(a1, 0xc00 | 63 << 12);
  a_.add(a1, a1, a0);
  a_.li(a0, 0);
  a_.j(out_result_);

  a_.bind(match);  // a0, a1: base and mask of counters; a3: event 1 cycles, 2 instructions
  Label chosen = a_.label();
  a_.li(t1, 0);
  a_.li(t0, 1);
  a_.beq(a3, t0, chosen);
  a_.li(t1, 2);
  a_.li(t0, 2);
  a_.bne(a3, t0, not_supported_);
  a_.bind(chosen);
  a_.sub(t1, t1, a0);
  Label in_mask = a_.label(), shifted = a_.label();
  a_.blt(t1, zero, not_supported_);
  a_.bind(in_mask);
  a_.beqz(t1, shifted);
  a_.srli(a1, a1, 1);
  a_.addi(t1, t1, -1);
  a_.j(in_mask);
  a_.bind(shifted);
  a_.andi(a1, a1, 1);
  a_.beqz(a1, not_supported_);
  a_.addi(a1, a3, -1);  // event 1 -> 0, event 2 -> 2
  a_.slli(a1, a1, 1);
  a_.li(a0, 0);
  a_.j(out_result_);

  a_.bind(start);  // a0, a1: counters; a2 bit 0: set them to a3
  a_.andi(t0, a2, 1);
  a_.beqz(t0, ok_);
  Label no_cycle = a_.label(), no_instret = a_.label();
  a_.li(t0, 3);
  a_.bgeu(a0, t0, invalid_);
  a_.sll(a1, a1, a0);
  a_.andi(t0, a1, 1);
  a_.beqz(t0, no_cycle);
  a_.csrw(kMcycle, a3);
  a_.bind(no_cycle);
  a_.andi(t0, a1, 4);
  a_.beqz(t0, no_instret);
  a_.csrw(kMinstret, a3);
  a_.bind(no_instret);
  a_.j(ok_);
}

// Chapter 5. These return in a0 alone.
void Sbi::legacy() {
  a_.bind(legacy_);
  Label timer = a_.label(), put = a_.label(), get = a_.label(), clear = a_.label(), good = a_.label(), none = a_.label(), off = a_.label();
  const std::pair<int, Label> calls[] = {{0, timer}, {1, put}, {2, get}, {3, clear}, {8, off}};
  for (auto& [id, handler] : calls) {
    a_.li(t0, static_cast<uint64_t>(id));
    a_.beq(a7, t0, handler);
  }
  a_.j(not_supported_);
  a_.bind(off);
  a_.j(shutdown_);
  a_.bind(timer);
  a_.call(set_timer_);
  a_.j(good);
  a_.bind(put);
  a_.call(put_);
  a_.j(good);
  a_.bind(get);
  a_.li(t3, c_.uart.value);
  a_.lbu(t4, 5, t3);
  a_.andi(t4, t4, 1);
  a_.beqz(t4, none);
  a_.lbu(a0, 0, t3);
  a_.j(out_a0_);
  a_.bind(none);
  a_.li(a0, ~uint64_t{0});
  a_.j(out_a0_);
  a_.bind(clear);
  a_.li(t0, kSsip);
  a_.csrc(kMip, t0);
  a_.bind(good);
  a_.li(a0, 0);
  a_.j(out_a0_);
}

SbiImage Sbi::make() {
  constexpr uint64_t kCodeRoom = 4096;
  region_ = std::bit_ceil(kCodeRoom + (uint64_t{c_.harts} << kAreaBits));
  boot();
  park();
  enter_supervisor();
  trap();
  way_out();
  interrupts();
  serve_tickets();
  put_character();
  time();
  ipi();
  remote_fence();
  base();
  hart_state();
  reset();
  console();
  counters();
  legacy();
  while (a_.size() % 256) a_.word(0);
  LYRE_CHECK(a_.size() <= kCodeRoom, "the SBI's code fits into its page");
  while (a_.size() < kCodeRoom) a_.word(0);
  a_.bind(areas_);
  SbiImage image{.bytes = a_.finish(), .region = region_};
  image.bytes.resize(kCodeRoom + (uint64_t{c_.harts} << kAreaBits));
  for (unsigned hart = 1; hart < c_.harts; ++hart) image.bytes[kCodeRoom + (uint64_t{hart} << kAreaBits) + kState] = std::byte{kStopped};
  return image;
}

}  // namespace

SbiImage make_sbi(const SbiConfig& config) { return Sbi(config).make(); }

}  // namespace lyre::machine
