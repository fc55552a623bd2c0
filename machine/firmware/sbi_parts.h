// Inside the built-in SBI: the numbers that its parts share and the class that emits it. sbi.cpp has start-up and
// traps, sbi_calls.cpp the calls. Chapter numbers are those of the RISC-V Supervisor Binary Interface
// Specification 2.0.
#pragma once
#include <cstdint>
#include <string_view>

#include "machine/firmware/riscv_assembler.h"
#include "machine/firmware/sbi.h"

namespace lyre::machine::sbi {

using R = RiscvAssembler;
using enum RiscvAssembler::Reg;
using Label = RiscvAssembler::Label;

enum Csr : unsigned {
  kScounteren = 0x106,
  kStimecmp = 0x14d,
  kStimecmph = 0x15d,
  kSatp = 0x180,
  kMstatus = 0x300,
  kMedeleg = 0x302,
  kMideleg = 0x303,
  kMie = 0x304,
  kMtvec = 0x305,
  kMcounteren = 0x306,
  kMenvcfg = 0x30a,
  kMenvcfgh = 0x31a,
  kMcountinhibit = 0x320,
  kMscratch = 0x340,
  kMepc = 0x341,
  kMcause = 0x342,
  kMip = 0x344,
  kPmpcfg0 = 0x3a0,
  kPmpaddr0 = 0x3b0,
  kPmpaddr1 = 0x3b1,
  kMcycle = 0xb00,
  kMinstret = 0xb02,
  kMcycleh = 0xb80,
  kMinstreth = 0xb82,
  kMvendorid = 0xf11,
  kMarchid = 0xf12,
  kMimpid = 0xf13,
  kMhartid = 0xf14,
};

// Extension ids (chapters 4 to 12).
inline constexpr uint64_t kBase = 0x10, kTime = 0x54494d45, kIpi = 0x735049, kRfence = 0x52464e43, kHsm = 0x48534d,
                          kSrst = 0x53525354, kDbcn = 0x4442434e, kPmu = 0x504d55;
inline constexpr uint64_t kExtensions[] = {kBase, kTime, kIpi, kRfence, kHsm, kSrst, kDbcn, kPmu};
inline constexpr int kNotSupported = -2, kInvalidParameter = -3, kInvalidAddress = -5, kAlreadyAvailable = -6;
inline constexpr uint64_t kSpecVersion = 2u << 24, kImplementation = 0x4c59, kImplementationVersion = 1;

// A hart's area.
inline constexpr int kAreaBits = 8;
inline constexpr int kState = 0x00, kStartAddress = 0x08, kOpaque = 0x10, kTicket = 0x18, kServed = 0x1c, kKinds = 0x20,
                     kGo = 0x24, kHart = 0x28, kSaved = 0x40;
inline constexpr int kStarted = 0, kStopped = 1, kStartPending = 2;  // as hart_get_status reports them (9.3)
inline constexpr int kKindFenceI = 1, kKindSfence = 2;
inline constexpr R::Reg kKept[] = {ra, t0, t1, t2, t3, t4, t5, t6, a0, a1, a2, a3, a4, a5, a6, a7};

inline constexpr uint64_t kMsie = 1 << 3, kMtie = 1 << 7, kSsip = 1 << 1, kStip = 1 << 5;
inline constexpr int kCauseSupervisorCall = 9;
inline constexpr uint64_t kMaxConsoleBytes = 4096;  // of one call, so that a hart is not away for long

class Sbi {
 public:
  explicit Sbi(const SbiConfig& config) : c_(config), a_(config.xlen) {}
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
  bool narrow() const { return c_.xlen == 32; }
  uint64_t supervisor_bytes() const;  // from the end of our region, as far as RAM and addresses reach

  const SbiConfig& c_;
  R a_;
  Label areas_ = a_.label(), park_ = a_.label(), wait_ = a_.label(), enter_ = a_.label(), trap_ = a_.label(),
        fatal_ = a_.label(), serve_ = a_.label(), put_ = a_.label();
  Label out_result_ = a_.label(), out_a0_ = a_.label(), out_all_ = a_.label(), ok_ = a_.label();
  Label not_supported_ = a_.label(), invalid_ = a_.label(), bad_address_ = a_.label(), set_timer_ = a_.label();
  Label interrupt_ = a_.label(), base_ = a_.label(), time_ = a_.label(), ipi_ = a_.label(), rfence_ = a_.label(),
        hsm_ = a_.label(), srst_ = a_.label(), dbcn_ = a_.label(), pmu_ = a_.label(), legacy_ = a_.label(),
        shutdown_ = a_.label();
  uint64_t region_ = 0;
};

}  // namespace lyre::machine::sbi
