// A small RISC-V assembler for guest programs in tests: RV64IMA, Zicsr, the privileged returns. Encodings from the unprivileged manual, chapter
// "RV32/64G Instruction Set Listings"; written apart from the decoder's rows on purpose.
#pragma once
#include <cstdint>
#include <stdexcept>
#include <vector>

namespace lyre::test {

enum Reg : uint32_t {
  zero, ra, sp, gp, tp, t0, t1, t2, s0, s1, a0, a1, a2, a3, a4, a5, a6, a7, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11, t3, t4, t5, t6
};

class RiscvAsm {
 public:
  struct Label {
    uint32_t id;
  };
  uint64_t here() const { return code_.size() * 4; }
  Label label() { return labels_.push_back(~uint64_t{0}), Label{static_cast<uint32_t>(labels_.size() - 1)}; }
  void bind(Label l) { labels_[l.id] = here(); }
  Label bound() {
    Label l = label();
    bind(l);
    return l;
  }
  void word(uint32_t w) { code_.push_back(w); }

  void r(uint32_t f7, uint32_t f3, uint32_t op, Reg d, Reg a, Reg b) { word(f7 << 25 | b << 20 | a << 15 | f3 << 12 | uint32_t{d} << 7 | op); }
  void i(uint32_t f3, uint32_t op, Reg d, Reg a, int32_t imm) { word(static_cast<uint32_t>(imm & 0xfff) << 20 | a << 15 | f3 << 12 | uint32_t{d} << 7 | op); }
  void s(uint32_t f3, Reg base, Reg value, int32_t imm) {
    auto u = static_cast<uint32_t>(imm);
    word((u >> 5 & 0x7f) << 25 | value << 20 | base << 15 | f3 << 12 | (u & 31) << 7 | 0x23);
  }
  void add(Reg d, Reg a, Reg b) { r(0, 0, 0x33, d, a, b); }
  void sub(Reg d, Reg a, Reg b) { r(0x20, 0, 0x33, d, a, b); }
  void xor_(Reg d, Reg a, Reg b) { r(0, 4, 0x33, d, a, b); }
  void or_(Reg d, Reg a, Reg b) { r(0, 6, 0x33, d, a, b); }
  void and_(Reg d, Reg a, Reg b) { r(0, 7, 0x33, d, a, b); }
  void sltu(Reg d, Reg a, Reg b) { r(0, 3, 0x33, d, a, b); }
  void mul(Reg d, Reg a, Reg b) { r(1, 0, 0x33, d, a, b); }
  void addi(Reg d, Reg a, int32_t imm) { i(0, 0x13, d, a, imm); }
  void andi(Reg d, Reg a, int32_t imm) { i(7, 0x13, d, a, imm); }
  void ori(Reg d, Reg a, int32_t imm) { i(6, 0x13, d, a, imm); }
  void slli(Reg d, Reg a, int32_t n) { i(1, 0x13, d, a, n); }
  void srli(Reg d, Reg a, int32_t n) { i(5, 0x13, d, a, n); }
  void addiw(Reg d, Reg a, int32_t imm) { i(0, 0x1b, d, a, imm); }
  void mv(Reg d, Reg a) { addi(d, a, 0); }
  void lui(Reg d, uint32_t imm20) { word(imm20 << 12 | uint32_t{d} << 7 | 0x37); }
  void auipc(Reg d, uint32_t imm20) { word(imm20 << 12 | uint32_t{d} << 7 | 0x17); }
  // Any constant: twelve bits at a time from the top.
  void li(Reg d, uint64_t value) {
    auto v = static_cast<int64_t>(value);
    if (v >= -2048 && v < 2048) return addi(d, zero, static_cast<int32_t>(v));
    if (v >= INT32_MIN && v <= INT32_MAX - 0x800) {
      lui(d, static_cast<uint32_t>((v + 0x800) >> 12) & 0xfffff);
      return addiw(d, d, static_cast<int32_t>(v << 52 >> 52));
    }
    int64_t low = v << 52 >> 52;
    li(d, static_cast<uint64_t>((v - low) >> 12));
    slli(d, d, 12);
    addi(d, d, static_cast<int32_t>(low));
  }
  void lb(Reg d, Reg base, int32_t o = 0) { i(0, 3, d, base, o); }
  void lw(Reg d, Reg base, int32_t o = 0) { i(2, 3, d, base, o); }
  void ld(Reg d, Reg base, int32_t o = 0) { i(3, 3, d, base, o); }
  void sb(Reg v, Reg base, int32_t o = 0) { s(0, base, v, o); }
  void sw(Reg v, Reg base, int32_t o = 0) { s(2, base, v, o); }
  void sd(Reg v, Reg base, int32_t o = 0) { s(3, base, v, o); }
  void beq(Reg a, Reg b, Label to) { branch(0, a, b, to); }
  void bne(Reg a, Reg b, Label to) { branch(1, a, b, to); }
  void blt(Reg a, Reg b, Label to) { branch(4, a, b, to); }
  void bge(Reg a, Reg b, Label to) { branch(5, a, b, to); }
  void bltu(Reg a, Reg b, Label to) { branch(6, a, b, to); }
  void bgeu(Reg a, Reg b, Label to) { branch(7, a, b, to); }
  void jal(Reg d, Label to) {
    fixups_.push_back({here(), to.id, true});
    word(uint32_t{d} << 7 | 0x6f);
  }
  void j(Label to) { jal(zero, to); }
  void jalr(Reg d, Reg a, int32_t o = 0) { i(0, 0x67, d, a, o); }
  void ret() { jalr(zero, ra); }
  void fence(uint32_t pred = 15, uint32_t succ = 15) { word(pred << 24 | succ << 20 | 0x0f); }
  void fence_i() { word(0x100f); }
  void ecall() { word(0x73); }
  void ebreak() { word(0x100073); }
  void mret() { word(0x30200073); }
  void sret() { word(0x10200073); }
  void wfi() { word(0x10500073); }
  void sfence_vma(Reg a = zero, Reg asid = zero) { r(9, 0, 0x73, zero, a, asid); }
  void csrrw(Reg d, uint32_t csr, Reg a) { i(1, 0x73, d, a, static_cast<int32_t>(csr)); }
  void csrrs(Reg d, uint32_t csr, Reg a) { i(2, 0x73, d, a, static_cast<int32_t>(csr)); }
  void csrrc(Reg d, uint32_t csr, Reg a) { i(3, 0x73, d, a, static_cast<int32_t>(csr)); }
  void csrr(Reg d, uint32_t csr) { csrrs(d, csr, zero); }
  void csrw(uint32_t csr, Reg a) { csrrw(zero, csr, a); }
  void lr_w(Reg d, Reg a) { r(0x08, 2, 0x2f, d, a, zero); }
  void lr_d(Reg d, Reg a) { r(0x08, 3, 0x2f, d, a, zero); }
  void sc_w(Reg d, Reg v, Reg a) { r(0x0c, 2, 0x2f, d, a, v); }
  void sc_d(Reg d, Reg v, Reg a) { r(0x0c, 3, 0x2f, d, a, v); }
  void amoadd_w(Reg d, Reg v, Reg a) { r(0x00, 2, 0x2f, d, a, v); }
  void amoadd_d(Reg d, Reg v, Reg a) { r(0x00, 3, 0x2f, d, a, v); }
  void amoswap_w_aq(Reg d, Reg v, Reg a) { r(0x06, 2, 0x2f, d, a, v); }
  void amoxor_d(Reg d, Reg v, Reg a) { r(0x10, 3, 0x2f, d, a, v); }
  void amomaxu_d(Reg d, Reg v, Reg a) { r(0x70, 3, 0x2f, d, a, v); }

  // The program, labels resolved.
  const std::vector<uint32_t>& finish() {
    for (const Fixup& fixup : fixups_) {
      if (labels_[fixup.label] == ~uint64_t{0}) throw std::logic_error("label not bound");
      auto o = static_cast<uint32_t>(static_cast<int64_t>(labels_[fixup.label]) - static_cast<int64_t>(fixup.at));
      uint32_t& w = code_[fixup.at / 4];
      if (fixup.jump) w |= (o >> 20 & 1) << 31 | (o >> 1 & 0x3ff) << 21 | (o >> 11 & 1) << 20 | (o >> 12 & 0xff) << 12;
      else w |= (o >> 12 & 1) << 31 | (o >> 5 & 0x3f) << 25 | (o >> 1 & 0xf) << 8 | (o >> 11 & 1) << 7;
    }
    fixups_.clear();
    return code_;
  }

 private:
  struct Fixup {
    uint64_t at;
    uint32_t label;
    bool jump;
  };
  void branch(uint32_t f3, Reg a, Reg b, Label to) {
    fixups_.push_back({here(), to.id, false});
    word(b << 20 | a << 15 | f3 << 12 | 0x63);
  }
  std::vector<uint32_t> code_;
  std::vector<uint64_t> labels_;
  std::vector<Fixup> fixups_;
};

}  // namespace lyre::test
