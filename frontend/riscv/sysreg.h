// Control and status registers: numbers and field masks, the table (one row a register), and the accessors by file. RISC-V Privileged ISA,
// chapter "Control and Status Registers (CSRs)".
//
// A row says how translated code may treat the register:
//   - `slot`: no side effects: read and written inline (write: old & ~mask | value & mask);
//   - otherwise read/write functions run in a helper. `allowed` is asked first at run time where rights do not sit in the state key.
// RV32 sees a register that is wider than 32 bits (kWide) as two: the row of the upper half names the lower one, whose functions serve both and always
// carry the whole value. Functions of the others take and give 32-bit values, in any form. access_narrow() is the whole of one access there.
// Rows with kChangesContext may change the state key or the address space; their writes are the last thing of an instruction and may leave the block.
// Threads: the hart's own.
#pragma once
#include <cstdint>
#include <span>

#include "frontend/guest_isa.h"
#include "frontend/riscv/extensions.h"
#include "frontend/riscv/state.h"
#include "ir/abi.h"

namespace lyre::riscv {

enum CsrNumber : uint16_t {
  kFflags = 0x001, kFrm = 0x002, kFcsr = 0x003, kSeed = 0x015,
  kCycle = 0xc00, kTime = 0xc01, kInstret = 0xc02, kHpmcounter3 = 0xc03,
  kSstatus = 0x100, kCsrSie = 0x104, kStvec = 0x105, kScounteren = 0x106, kSenvcfg = 0x10a, kSstateen0 = 0x10c,
  kSscratch = 0x140, kSepc = 0x141, kScause = 0x142, kStval = 0x143, kSip = 0x144, kStimecmp = 0x14d, kSatp = 0x180, kScountovf = 0xda0,
  kMvendorid = 0xf11, kMarchid = 0xf12, kMimpid = 0xf13, kMhartid = 0xf14, kMconfigptr = 0xf15,
  kMstatus = 0x300, kMisa = 0x301, kMedeleg = 0x302, kMideleg = 0x303, kCsrMie = 0x304, kMtvec = 0x305, kMcounteren = 0x306, kMenvcfg = 0x30a,
  kMstateen0 = 0x30c, kMcountinhibit = 0x320, kMhpmevent3 = 0x323,
  kMscratch = 0x340, kMepc = 0x341, kMcause = 0x342, kMtval = 0x343, kMip = 0x344,
  kPmpcfg0 = 0x3a0, kPmpaddr0 = 0x3b0, kMseccfg = 0x747,
  kMcycle = 0xb00, kMinstret = 0xb02, kMhpmcounter3 = 0xb03,
  // RV32: upper halves.
  kCycleh = 0xc80, kTimeh = 0xc81, kInstreth = 0xc82, kHpmcounter3h = 0xc83, kMcycleh = 0xb80, kMinstreth = 0xb82, kMhpmcounter3h = 0xb83,
  kStimecmph = 0x15d, kMstatush = 0x310, kMedelegh = 0x312, kMenvcfgh = 0x31a, kMstateen0h = 0x31c, kMhpmevent3h = 0x723, kMseccfgh = 0x757,
};

// mstatus (Privileged 3.1.6) and its S-mode view.
namespace mstatus {
inline constexpr uint64_t kSie = 1 << 1, kMie = 1 << 3, kSpie = 1 << 5, kMpie = 1 << 7, kSpp = 1 << 8, kVs = 3 << 9, kMpp = 3 << 11, kFs = 3 << 13;
inline constexpr uint64_t kMprv = 1 << 17, kSum = 1 << 18, kMxr = 1 << 19, kTvm = 1 << 20, kTw = 1 << 21, kTsr = 1 << 22;
inline constexpr uint64_t kUxl64 = uint64_t{2} << 32, kSxl64 = uint64_t{2} << 34, kSd = uint64_t{1} << 63;  // RV32: SD is RiscvCpu::top_bit()
inline constexpr unsigned kMppShift = 11, kFsShift = 13;
inline constexpr uint64_t kSstatusWrite = kSie | kSpie | kSpp | kVs | kFs | kSum | kMxr;
}  // namespace mstatus

// Interrupts: bits of mip and mie.
inline constexpr uint64_t kSsip = 1 << 1, kMsip = 1 << 3, kStip = 1 << 5, kMtip = 1 << 7, kSeip = 1 << 9, kMeip = 1 << 11, kLcofip = 1 << 13;

namespace envcfg {
inline constexpr uint64_t kFiom = 1, kCbie = 3 << 4, kCbcfe = 1 << 6, kCbze = 1 << 7;
inline constexpr uint64_t kAdue = uint64_t{1} << 61, kPbmte = uint64_t{1} << 62, kStce = uint64_t{1} << 63;
}  // namespace envcfg

namespace seccfg {
inline constexpr uint64_t kMml = 1, kMmwp = 2, kRlb = 4, kUseed = 1 << 8, kSseed = 1 << 9;
}  // namespace seccfg

namespace stateen {
inline constexpr uint64_t kEnvcfg = uint64_t{1} << 62, kSe0 = uint64_t{1} << 63;
}  // namespace stateen

enum CsrFlags : uint8_t {
  kChangesContext = 1,  // writes may change the state key or the address space
  kNeedsFloat = 2,      // illegal while mstatus.FS is Off
  kTrapsVm = 4,         // illegal under kKeyTrapVm
  kWide = 8,            // 64 bits on RV32 too
};

struct Csr {
  uint16_t number;
  char name[14] = {};
  Needs needs = Ext::zicsr;
  uint8_t flags = 0;
  uint16_t low = 0;     // RV32: number of the register whose upper half this is; 0: none
  uint16_t slot = 0;    // state offset, inline access; 0: functions
  uint64_t mask = 0;    // of inline writes
  uint64_t (*read)(ir::VcpuBlock& vcpu, unsigned number) = nullptr;
  void (*write)(ir::VcpuBlock& vcpu, unsigned number, uint64_t value) = nullptr;  // value is raw: the function applies WARL rules
  bool (*allowed)(const ir::VcpuBlock& vcpu, unsigned number) = nullptr;          // nullptr: always
  // What read-modify-write instructions modify, where it differs from what is read (mip.SEIP).
  uint64_t (*read_for_modify)(ir::VcpuBlock& vcpu, unsigned number) = nullptr;
  uint16_t count = 1;   // registers number .. number + count - 1 share the row
};

// One CSR instruction of RV32, rights and halves included: `kind` 1 write, 2 set, 3 clear. Returns what the register held, in register form. False: illegal,
// nothing was done.
bool access_narrow(ir::VcpuBlock& vcpu, unsigned number, unsigned kind, bool reads, bool writes, uint64_t operand, uint64_t& old);

// The row of a CSR, whether or not the model has it; nullptr: none.
const Csr* find_csr(unsigned number);
std::span<const Csr> csr_rows();
// Bits 9:8: lowest privilege; bits 11:10 both set: read-only (Privileged 2.1).
constexpr unsigned csr_privilege(unsigned number) { return number >> 8 & 3; }
constexpr bool csr_read_only(unsigned number) { return number >> 10 == 3; }

// The register of which `number` is a part: itself, but for upper halves.
constexpr unsigned whole_csr(const Csr& csr, unsigned number) { return csr.low ? csr.low + (number - csr.number) : number; }

// Groups of accessors.
// sysreg_float.cpp: flags live in State::fflags and in the host's control register (see fp_helpers.h).
uint64_t read_fflags(ir::VcpuBlock& vcpu, unsigned number);
uint64_t read_frm(ir::VcpuBlock& vcpu, unsigned number);
uint64_t read_fcsr(ir::VcpuBlock& vcpu, unsigned number);
void write_fflags(ir::VcpuBlock& vcpu, unsigned number, uint64_t value);
void write_frm(ir::VcpuBlock& vcpu, unsigned number, uint64_t value);
void write_fcsr(ir::VcpuBlock& vcpu, unsigned number, uint64_t value);

// sysreg_counters.cpp.
inline constexpr unsigned kCounterTimers = 1;  // timer number of counter n: kCounterTimers + n; 0 is stimecmp
bool counter_allowed(const ir::VcpuBlock& vcpu, unsigned number);
uint64_t read_counter(ir::VcpuBlock& vcpu, unsigned number);
void write_counter(ir::VcpuBlock& vcpu, unsigned number, uint64_t value);
uint64_t read_time(ir::VcpuBlock& vcpu, unsigned number);
uint64_t read_mcountinhibit(ir::VcpuBlock& vcpu, unsigned number);
void write_mcountinhibit(ir::VcpuBlock& vcpu, unsigned number, uint64_t value);
uint64_t read_mhpmevent(ir::VcpuBlock& vcpu, unsigned number);
void write_mhpmevent(ir::VcpuBlock& vcpu, unsigned number, uint64_t value);
uint64_t read_scountovf(ir::VcpuBlock& vcpu, unsigned number);
bool stimecmp_allowed(const ir::VcpuBlock& vcpu, unsigned number);
uint64_t read_stimecmp(ir::VcpuBlock& vcpu, unsigned number);
void write_stimecmp(ir::VcpuBlock& vcpu, unsigned number, uint64_t value);
void reset_counters(State& state);
void rearm_stimecmp(ir::VcpuBlock& vcpu);
// The privilege changed: counters with mode filters start or stop. Cheap when there are none.
void counters_privilege_changed(ir::VcpuBlock& vcpu);
// Counter n's overflow timer fired; on the hart's thread.
void counters_settle(ir::VcpuBlock& vcpu);

// pmp.cpp.
uint64_t read_pmpcfg(ir::VcpuBlock& vcpu, unsigned number);
void write_pmpcfg(ir::VcpuBlock& vcpu, unsigned number, uint64_t value);
uint64_t read_pmpaddr(ir::VcpuBlock& vcpu, unsigned number);
void write_pmpaddr(ir::VcpuBlock& vcpu, unsigned number, uint64_t value);
uint64_t read_mseccfg(ir::VcpuBlock& vcpu, unsigned number);
void write_mseccfg(ir::VcpuBlock& vcpu, unsigned number, uint64_t value);

// mstatus as written through either view: WARL, SD, and what follows (address space, interrupts). Returns the new value; the caller decides whether to leave.
uint64_t write_status(ir::VcpuBlock& vcpu, uint64_t value, uint64_t mask);

}  // namespace lyre::riscv
