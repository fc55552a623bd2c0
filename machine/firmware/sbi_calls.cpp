// The calls of the built-in SBI, one function an extension. Chapter numbers are those of the RISC-V Supervisor Binary
// Interface Specification 2.0. Arguments are in a0 to a5, the function in a6, the extension in a7, the hart's area in
// sp.
#include "machine/devices/sifive_test.h"
#include "machine/firmware/sbi_parts.h"

namespace lyre::machine::sbi {

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
  // RV32 passes the halves in a0 and a1; the low one is kept out of the way until the high one is there.
  if (c_.sstc) {
    if (narrow()) {
      a_.li(t0, ~uint64_t{0});
      a_.csrw(kStimecmp, t0);
      a_.csrw(kStimecmph, a1);
    }
    a_.csrw(kStimecmp, a0);
    return a_.ret();
  }
  a_.lx(t0, kHart, sp);
  a_.slli(t0, t0, 3);
  a_.li(t1, c_.clint.value + 0x4000);
  a_.add(t0, t0, t1);
  if (narrow()) {
    a_.li(t1, ~uint64_t{0});
    a_.sw(t1, 0, t0);
    a_.sw(a1, 4, t0);
  }
  a_.sx(a0, 0, t0);
  a_.li(t0, kStip);
  a_.csrc(kMip, t0);
  a_.li(t0, kMtie);
  a_.csrs(kMie, t0);
  a_.ret();
}

// Runs the body with t0 = hart for those of the mask a0 from hart a1 on, or for all if a1 is -1 (3.1). Keeps a0, a1;
// uses t0 to t2.
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
  a_.li(t1, supervisor_bytes());
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
  a_.sx(a1, kStartAddress, t6);
  a_.sx(a2, kOpaque, t6);
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

// 12.1 and 12.2 share the check of the buffer: a0 = bytes, a1 and a2 = address; the whole of it is RAM that is not
// ours.
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
  a_.li(t0, supervisor_bytes());
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

// Chapter 11, for the two fixed counters: cycle is counter 0, instret counter 2. They always count, so starting only
// sets a value.
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

  a_.bind(start);  // a0, a1: counters; a2 bit 0: set them to a3 (RV32: and a4)
  a_.andi(t0, a2, 1);
  a_.beqz(t0, ok_);
  Label no_cycle = a_.label(), no_instret = a_.label();
  a_.li(t0, 3);
  a_.bgeu(a0, t0, invalid_);
  a_.sll(a1, a1, a0);
  a_.andi(t0, a1, 1);
  a_.beqz(t0, no_cycle);
  a_.csrw(kMcycle, a3);
  if (narrow()) a_.csrw(kMcycleh, a4);
  a_.bind(no_cycle);
  a_.andi(t0, a1, 4);
  a_.beqz(t0, no_instret);
  a_.csrw(kMinstret, a3);
  if (narrow()) a_.csrw(kMinstreth, a4);
  a_.bind(no_instret);
  a_.j(ok_);
}

// Chapter 5. These return in a0 alone.
void Sbi::legacy() {
  a_.bind(legacy_);
  Label timer = a_.label(), put = a_.label(), get = a_.label(), clear = a_.label(), good = a_.label(),
        none = a_.label(), off = a_.label();
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

}  // namespace lyre::machine::sbi
