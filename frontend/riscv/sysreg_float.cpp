// fflags, frm, fcsr. Run by helpers with the guest's MXCSR live. See fp_helpers.h.
#include <immintrin.h>

#include "frontend/riscv/fp_helpers.h"
#include "frontend/riscv/sysreg.h"

namespace lyre::riscv {
namespace {

void set_mxcsr(ir::VcpuBlock& vcpu, uint32_t value) {
  _mm_setcsr(value);
  vcpu.guest_mxcsr = value;
}

}  // namespace

uint64_t read_fflags(ir::VcpuBlock& vcpu, unsigned) { return vcpu.as<State>().fflags | flags_from_mxcsr(_mm_getcsr()); }
uint64_t read_frm(ir::VcpuBlock& vcpu, unsigned) { return vcpu.as<State>().frm; }
uint64_t read_fcsr(ir::VcpuBlock& vcpu, unsigned number) { return read_fflags(vcpu, number) | uint64_t{vcpu.as<State>().frm} << 5; }

void write_fflags(ir::VcpuBlock& vcpu, unsigned, uint64_t value) {
  vcpu.as<State>().fflags = value & 31;
  set_mxcsr(vcpu, _mm_getcsr() & ~kMxcsrFlags);
}
void write_frm(ir::VcpuBlock& vcpu, unsigned, uint64_t value) {
  State& state = vcpu.as<State>();
  state.frm = value & 7;
  set_mxcsr(vcpu, (_mm_getcsr() & ~kMxcsrRounding) | mxcsr_rounding(state.frm));
  vcpu.env->state_key_changed();
}
void write_fcsr(ir::VcpuBlock& vcpu, unsigned number, uint64_t value) {
  write_fflags(vcpu, number, value);
  write_frm(vcpu, number, value >> 5);
}

}  // namespace lyre::riscv
