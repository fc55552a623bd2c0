// The built-in SBI: start-up, traps and what serves other harts. See sbi.h; the calls are in sbi_calls.cpp.
//
// A trap swaps sp with mscratch, which points to the hart's area; the caller-saved registers are kept there, and every
// handler ends in one of two ways out: with a0 and a1 as results, or with all registers as they were. Handlers use
// caller-saved registers only. Remote fences: the caller sets the kind in the target's area, then takes a ticket there,
// then raises its machine software interrupt, then waits until the target has served that ticket. While it waits it
// serves its own, so that two harts that fence each other both get on. Supervisor IPIs go through the ACLINT's SSWI: no
// machine-mode trap at the other end.
#include "machine/firmware/sbi.h"

#include <algorithm>
#include <bit>

#include "machine/devices/sifive_test.h"
#include "machine/firmware/sbi_parts.h"
#include "runtime/base/check.h"

namespace lyre::machine {
namespace sbi {

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

uint64_t Sbi::supervisor_bytes() const {
  uint64_t reach = narrow() ? (uint64_t{1} << 32) - c_.base.value : ~uint64_t{0};
  return std::min(c_.ram_bytes, reach) - region_;
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
  a_.sx(a0, kHart, sp);
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
  // menvcfg: stimecmp (63), page-based memory types (62), hardware A and D bits (61), cbo.zero (7), cbo.clean (6),
  // cbo.inval as such (5:4). Bits of extensions that the hart lacks stay zero.
  constexpr uint64_t kEnvironment = uint64_t{7} << 61 | 0xf0;
  set(kMenvcfg, kEnvironment);
  if (narrow()) set(kMenvcfgh, kEnvironment >> 32);
  if (c_.sstc) set(kStimecmp, ~uint64_t{0});
  if (c_.sstc && narrow()) set(kStimecmph, ~uint64_t{0});
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
  a_.lx(a0, kHart, sp);
  a_.lx(a1, kOpaque, sp);
  a_.lx(a2, kStartAddress, sp);
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
  a_.li(t0, 0x800);  // MPP = S
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
  for (R::Reg reg : kKept) a_.sx(reg, at, sp), at += 8;
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
  a_.sx(a1, kA1, sp);
  a_.bind(out_a0_);
  a_.sx(a0, kA0, sp);
  a_.bind(out_all_);
  int at = kSaved;
  for (R::Reg reg : kKept) a_.lx(reg, at, sp), at += 8;
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
  a_.lx(a4, kHart, sp);
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

void Sbi::print(std::string_view text) {
  for (char c : text) {
    a_.li(a0, static_cast<uint8_t>(c));
    a_.call(put_);
  }
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
  for (unsigned hart = 1; hart < c_.harts; ++hart)
    image.bytes[kCodeRoom + (uint64_t{hart} << kAreaBits) + kState] = std::byte{kStopped};
  return image;
}

}  // namespace sbi

SbiImage make_sbi(const SbiConfig& config) { return sbi::Sbi(config).make(); }

}  // namespace lyre::machine
