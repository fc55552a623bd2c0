// Texts about a hart: `info registers` and the names of faults.
#include <cstdio>

#include "frontend/riscv/cpu.h"
#include "frontend/riscv/fp_helpers.h"
#include "frontend/riscv/trap.h"
#include "runtime/base/bits.h"

namespace lyre::riscv {
namespace {

// As many digits as the register has.
void append(std::string& text, const char* name, uint64_t value, unsigned xlen) {
  char line[40];
  std::snprintf(line, sizeof line, " %-8s %0*llx\n", name, static_cast<int>(xlen / 4), static_cast<unsigned long long>(value & low_mask(xlen)));
  text += line;
}

// Four registers a line, as name/ABI name and value.
void append_bank(std::string& text, const uint64_t (&values)[32], char bank, const char (&names)[32][5], unsigned bits) {
  for (unsigned i = 0; i < 32; ++i) {
    char label[16], cell[48];
    std::snprintf(label, sizeof label, "%c%u/%.4s", bank, i, names[i]);
    std::snprintf(cell, sizeof cell, " %-8s %0*llx%s", label, static_cast<int>(bits / 4), static_cast<unsigned long long>(values[i] & low_mask(bits)), i % 4 == 3 ? "\n" : "");
    text += cell;
  }
}

constexpr char kIntegerNames[32][5] = {"zero", "ra", "sp", "gp", "tp",  "t0",  "t1", "t2", "s0", "s1", "a0", "a1", "a2", "a3", "a4", "a5",
                                           "a6",   "a7", "s2", "s3", "s4",  "s5",  "s6", "s7", "s8", "s9", "s10", "s11", "t3", "t4", "t5", "t6"};
constexpr char kFloatNames[32][5] = {"ft0", "ft1", "ft2", "ft3", "ft4", "ft5", "ft6",  "ft7",  "fs0", "fs1", "fa0",
                                         "fa1", "fa2", "fa3", "fa4", "fa5", "fa6", "fa7",  "fs2",  "fs3", "fs4", "fs5",
                                         "fs6", "fs7", "fs8", "fs9", "fs10", "fs11", "ft8", "ft9", "ft10", "ft11"};

}  // namespace

std::string RiscvCpu::registers(const ir::VcpuBlock& vcpu) const {
  const State& state = vcpu.as<State>();
  const unsigned xlen = config_.xlen;
  std::string text;
  append(text, "pc", state.pc, xlen);
  append(text, "mhartid", state.hart_id, xlen);
  append(text, "mstatus", state.mstatus, xlen);
  uint64_t pending = state.pending_pins.load(std::memory_order_relaxed) | state.mip_software;
  const std::pair<const char*, uint64_t> kRegisters[] = {
      {"mip", pending}, {"mie", state.mie}, {"mideleg", state.mideleg}, {"medeleg", state.medeleg}, {"mtvec", state.mtvec}, {"stvec", state.stvec},
      {"mepc", state.mepc}, {"sepc", state.sepc}, {"mcause", state.mcause}, {"scause", state.scause}, {"mtval", state.mtval}, {"stval", state.stval},
      {"mscratch", state.mscratch}, {"sscratch", state.sscratch}, {"satp", state.satp},
      {"priv", static_cast<uint64_t>(state.privilege)}};
  for (const auto& [name, value] : kRegisters) append(text, name, value, xlen);
  append(text, "stimecmp", state.stimecmp, 64);
  append_bank(text, state.x, 'x', kIntegerNames, xlen);
  if (has(Ext::f)) {
    append(text, "fcsr", state.fflags | flags_from_mxcsr(vcpu.guest_mxcsr) | uint64_t{state.frm} << 5, xlen);
    append_bank(text, state.f, 'f', kFloatNames, 64);
  }
  return text;
}

std::string RiscvCpu::fault_name(uint32_t cause) const {
  constexpr const char* kNames[] = {"instruction address misaligned", "instruction access fault", "illegal instruction", "breakpoint",
                                    "load address misaligned", "load access fault", "store/AMO address misaligned", "store/AMO access fault",
                                    "environment call from U-mode", "environment call from S-mode", nullptr, "environment call from M-mode",
                                    "instruction page fault", "load page fault", nullptr, "store/AMO page fault"};
  if (cause < std::size(kNames) && kNames[cause]) return kNames[cause];
  return "exception " + std::to_string(cause);
}

}  // namespace lyre::riscv
