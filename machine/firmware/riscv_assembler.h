// A small assembler for RV64IMA and RV32IMA and the privileged instructions, for firmware that the emulator makes
// itself. Instructions are functions named after them, operands in assembly order; labels may be used before they are
// bound. Cold.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "runtime/base/types.h"

namespace lyre::machine {

class RiscvAssembler {
 public:
  enum Reg : uint8_t {
    zero,
    ra,
    sp,
    gp,
    tp,
    t0,
    t1,
    t2,
    s0,
    s1,
    a0,
    a1,
    a2,
    a3,
    a4,
    a5,
    a6,
    a7,
    s2,
    s3,
    s4,
    s5,
    s6,
    s7,
    s8,
    s9,
    s10,
    s11,
    t3,
    t4,
    t5,
    t6
  };
  struct Label {
    size_t id;
  };

  explicit RiscvAssembler(unsigned xlen = 64) : xlen_(xlen) {}

  Label label();  // to be bound later
  void bind(Label label);
  Label here();  // label() and bind()
  size_t size() const { return words_.size() * 4; }
  std::vector<std::byte> finish();  // every used label is bound

  void li(Reg rd, uint64_t value);  // RV32: the low half
  void mv(Reg rd, Reg rs) { addi(rd, rs, 0); }
  void addi(Reg rd, Reg rs, int imm) { i_type(0x13, 0, rd, rs, imm); }
  // On 32 bits whatever the width: the plain instructions of RV32.
  void addiw(Reg rd, Reg rs, int imm) { i_type(xlen_ == 32 ? 0x13 : 0x1b, 0, rd, rs, imm); }
  void andi(Reg rd, Reg rs, int imm) { i_type(0x13, 7, rd, rs, imm); }
  void slli(Reg rd, Reg rs, int shift) { i_type(0x13, 1, rd, rs, shift); }
  void srli(Reg rd, Reg rs, int shift) { i_type(0x13, 5, rd, rs, shift); }
  void add(Reg rd, Reg a, Reg b) { r_type(0x33, 0, 0x00, rd, a, b); }
  void sub(Reg rd, Reg a, Reg b) { r_type(0x33, 0, 0x20, rd, a, b); }
  void subw(Reg rd, Reg a, Reg b) { r_type(xlen_ == 32 ? 0x33 : 0x3b, 0, 0x20, rd, a, b); }
  void sll(Reg rd, Reg a, Reg b) { r_type(0x33, 1, 0x00, rd, a, b); }
  void or_(Reg rd, Reg a, Reg b) { r_type(0x33, 6, 0x00, rd, a, b); }
  void lbu(Reg rd, int offset, Reg base) { i_type(0x03, 4, rd, base, offset); }
  void lw(Reg rd, int offset, Reg base) { i_type(0x03, 2, rd, base, offset); }
  void lx(Reg rd, int offset, Reg base) { i_type(0x03, xlen_ == 32 ? 2 : 3, rd, base, offset); }  // a register
  void sb(Reg value, int offset, Reg base) { s_type(0, value, base, offset); }
  void sw(Reg value, int offset, Reg base) { s_type(2, value, base, offset); }
  void sx(Reg value, int offset, Reg base) { s_type(xlen_ == 32 ? 2 : 3, value, base, offset); }
  void lr_w(Reg rd, Reg address) { r_type(0x2f, 2, 0x08 | kAcquireRelease, rd, address, zero); }
  void sc_w(Reg rd, Reg value, Reg address) { r_type(0x2f, 2, 0x0c | kAcquireRelease, rd, address, value); }
  void amoadd_w(Reg rd, Reg value, Reg address) { r_type(0x2f, 2, 0x00 | kAcquireRelease, rd, address, value); }
  void amoswap_w(Reg rd, Reg value, Reg address) { r_type(0x2f, 2, 0x04 | kAcquireRelease, rd, address, value); }
  void amoor_w(Reg rd, Reg value, Reg address) { r_type(0x2f, 2, 0x20 | kAcquireRelease, rd, address, value); }
  void csrr(Reg rd, unsigned csr) { csr_op(2, rd, csr, zero); }
  void csrw(unsigned csr, Reg rs) { csr_op(1, zero, csr, rs); }
  void csrs(unsigned csr, Reg rs) { csr_op(2, zero, csr, rs); }
  void csrc(unsigned csr, Reg rs) { csr_op(3, zero, csr, rs); }
  void csrrw(Reg rd, unsigned csr, Reg rs) { csr_op(1, rd, csr, rs); }
  void beq(Reg a, Reg b, Label to) { branch(0, a, b, to); }
  void bne(Reg a, Reg b, Label to) { branch(1, a, b, to); }
  void blt(Reg a, Reg b, Label to) { branch(4, a, b, to); }
  void bge(Reg a, Reg b, Label to) { branch(5, a, b, to); }
  void bltu(Reg a, Reg b, Label to) { branch(6, a, b, to); }
  void bgeu(Reg a, Reg b, Label to) { branch(7, a, b, to); }
  void beqz(Reg a, Label to) { beq(a, zero, to); }
  void bnez(Reg a, Label to) { bne(a, zero, to); }
  void j(Label to) { jump(zero, to); }
  void call(Label to) { jump(ra, to); }
  void ret() { i_type(0x67, 0, zero, ra, 0); }
  void la(Reg rd, Label to);
  void fence() { emit(0x0ff0000f); }
  void fence_i() { emit(0x0000100f); }
  void sfence_vma() { emit(0x12000073); }
  void wfi() { emit(0x10500073); }
  void mret() { emit(0x30200073); }
  void ecall() { emit(0x00000073); }
  void word(uint32_t value) { emit(value); }

 private:
  static constexpr unsigned kAcquireRelease = 3;
  enum class Use : uint8_t { kBranch, kJump, kAddress };
  struct Reference {
    size_t word, label;
    Use use;
  };

  void emit(uint32_t word) { words_.push_back(word); }
  void r_type(uint32_t opcode, uint32_t f3, uint32_t f7, Reg rd, Reg rs1, Reg rs2);
  void i_type(uint32_t opcode, uint32_t f3, Reg rd, Reg rs1, int imm);
  void s_type(uint32_t f3, Reg value, Reg base, int imm);
  void csr_op(uint32_t f3, Reg rd, unsigned csr, Reg rs);
  void branch(uint32_t f3, Reg a, Reg b, Label to);
  void jump(Reg rd, Label to);
  void resolve(const Reference& reference);

  unsigned xlen_;
  std::vector<uint32_t> words_;
  std::vector<size_t> labels_;  // word index; kUnbound
  std::vector<Reference> references_;
};

}  // namespace lyre::machine
