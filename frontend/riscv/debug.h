// RISC-V as a debugger sees it. Register numbers are those that gdb and its stubs agree on: x0..x31 are 0..31, pc 32,
// f0..f31 33..64, CSR n is 65 + n, and the privilege stands behind the CSRs.
#pragma once
#include "frontend/guest_debug.h"

namespace lyre::riscv {

class RiscvCpu;

class RiscvDebug final : public frontend::GuestDebug {
 public:
  // user: a Linux program's registers, without those of higher privileges.
  explicit RiscvDebug(const RiscvCpu& cpu, bool user = false) : cpu_(cpu), user_(user) {}
  std::string document(std::string_view name) const override;
  unsigned core_registers() const override { return 33; }
  unsigned register_bytes(unsigned number) const override;
  bool read_register(ir::VcpuBlock& vcpu, unsigned number, uint64_t& value) const override;
  bool write_register(ir::VcpuBlock& vcpu, unsigned number, uint64_t value) const override;
  bool physical(ir::VcpuBlock& vcpu, Gva address, Gpa& result) const override;  // mmu.cpp
  uint64_t address_mask() const override;

 private:
  std::string core_document() const;
  std::string float_document() const;
  std::string csr_document() const;
  bool visible(unsigned csr) const;
  const RiscvCpu& cpu_;
  const bool user_;
};

}  // namespace lyre::riscv
