// Zca, Zcb, Zcmop: compressed instructions. Each stands for a base instruction (Unprivileged ISA, "RVC instruction set listings"): its body makes that
// word and runs that body, so their meanings can not differ. Floating-point loads and stores are in insn_f*.cpp.
#include "frontend/riscv/insn_base.h"
#include "runtime/base/bits.h"

namespace lyre::riscv {

using ir::Op;
using ir::Type;

namespace {

// Registers of the short formats: full fields, and the three-bit ones for x8..x15.
uint32_t rd_full(const Insn& i) { return i.word >> 7 & 31; }
uint32_t rs2_full(const Insn& i) { return i.word >> 2 & 31; }
uint32_t reg_high(const Insn& i) { return 8 + (i.word >> 7 & 7); }
uint32_t reg_low(const Insn& i) { return 8 + (i.word >> 2 & 7); }

// Bits [from, from + count) of the word, moved to `to`.
uint32_t move(uint32_t word, unsigned from, unsigned count, unsigned to) { return (word >> from & ((1u << count) - 1)) << to; }

// Immediates, by format (the manual prints them as imm[...] rows).
uint32_t imm6(uint32_t w) { return static_cast<uint32_t>(sign_extend(move(w, 12, 1, 5) | move(w, 2, 5, 0), 6)); }
uint32_t shamt6(uint32_t w) { return move(w, 12, 1, 5) | move(w, 2, 5, 0); }
uint32_t addi4spn_imm(uint32_t w) { return move(w, 11, 2, 4) | move(w, 7, 4, 6) | move(w, 6, 1, 2) | move(w, 5, 1, 3); }
uint32_t addi16sp_imm(uint32_t w) {
  return static_cast<uint32_t>(sign_extend(move(w, 12, 1, 9) | move(w, 6, 1, 4) | move(w, 5, 1, 6) | move(w, 3, 2, 7) | move(w, 2, 1, 5), 10));
}
uint32_t word_offset(uint32_t w) { return move(w, 10, 3, 3) | move(w, 6, 1, 2) | move(w, 5, 1, 6); }
uint32_t double_offset(uint32_t w) { return move(w, 10, 3, 3) | move(w, 5, 2, 6); }
uint32_t lwsp_offset(uint32_t w) { return move(w, 12, 1, 5) | move(w, 4, 3, 2) | move(w, 2, 2, 6); }
uint32_t ldsp_offset(uint32_t w) { return move(w, 12, 1, 5) | move(w, 5, 2, 3) | move(w, 2, 3, 6); }
uint32_t swsp_offset(uint32_t w) { return move(w, 9, 4, 2) | move(w, 7, 2, 6); }
uint32_t sdsp_offset(uint32_t w) { return move(w, 10, 3, 3) | move(w, 7, 3, 6); }
uint32_t jump_offset(uint32_t w) {
  return static_cast<uint32_t>(sign_extend(move(w, 12, 1, 11) | move(w, 11, 1, 4) | move(w, 9, 2, 8) | move(w, 8, 1, 10) | move(w, 7, 1, 6) | move(w, 6, 1, 7) |
                                               move(w, 3, 3, 1) | move(w, 2, 1, 5), 12));
}
uint32_t branch_offset(uint32_t w) {
  return static_cast<uint32_t>(
      sign_extend(move(w, 12, 1, 8) | move(w, 10, 2, 3) | move(w, 5, 2, 6) | move(w, 3, 2, 1) | move(w, 2, 1, 5), 9));
}

// The field parts of base formats; opcodes and functions do not matter, since the body is chosen here.
uint32_t r_type(uint32_t rd, uint32_t rs1, uint32_t rs2) { return rd << 7 | rs1 << 15 | rs2 << 20; }
uint32_t i_type(uint32_t rd, uint32_t rs1, uint32_t imm) { return rd << 7 | rs1 << 15 | imm << 20; }
uint32_t s_type(uint32_t rs1, uint32_t rs2, uint32_t imm) { return rs1 << 15 | rs2 << 20 | move(imm, 0, 5, 7) | move(imm, 5, 7, 25); }
uint32_t b_type(uint32_t rs1, uint32_t rs2, uint32_t imm) {
  return rs1 << 15 | rs2 << 20 | move(imm, 11, 1, 7) | move(imm, 1, 4, 8) | move(imm, 5, 6, 25) | move(imm, 12, 1, 31);
}
uint32_t j_type(uint32_t rd, uint32_t imm) {
  return rd << 7 | move(imm, 12, 8, 12) | move(imm, 11, 1, 20) | move(imm, 1, 10, 21) | move(imm, 20, 1, 31);
}

Next as(Insn& i, Body body, uint32_t word) {
  Insn base(i, word);
  return body(base);
}

Next c_addi4spn(Insn& i) { return as(i, addi, i_type(reg_low(i), 2, addi4spn_imm(i.word))); }
Next c_lw(Insn& i) { return as(i, lw, i_type(reg_low(i), reg_high(i), word_offset(i.word))); }
Next c_ld(Insn& i) { return as(i, ld, i_type(reg_low(i), reg_high(i), double_offset(i.word))); }
Next c_sw(Insn& i) { return as(i, sw, s_type(reg_high(i), reg_low(i), word_offset(i.word))); }
Next c_sd(Insn& i) { return as(i, sd, s_type(reg_high(i), reg_low(i), double_offset(i.word))); }
Next c_addi(Insn& i) { return as(i, addi, i_type(rd_full(i), rd_full(i), imm6(i.word))); }
Next c_addiw(Insn& i) { return as(i, addiw, i_type(rd_full(i), rd_full(i), imm6(i.word))); }
Next c_li(Insn& i) { return as(i, addi, i_type(rd_full(i), 0, imm6(i.word))); }
Next c_addi16sp(Insn& i) { return as(i, addi, i_type(2, 2, addi16sp_imm(i.word))); }
Next c_lui(Insn& i) { return as(i, lui, rd_full(i) << 7 | imm6(i.word) << 12); }
Next c_srli(Insn& i) { return as(i, srli, i_type(reg_high(i), reg_high(i), shamt6(i.word))); }
Next c_srai(Insn& i) { return as(i, srai, i_type(reg_high(i), reg_high(i), shamt6(i.word))); }
Next c_andi(Insn& i) { return as(i, andi, i_type(reg_high(i), reg_high(i), imm6(i.word))); }
Next c_sub(Insn& i) { return as(i, sub, r_type(reg_high(i), reg_high(i), reg_low(i))); }
Next c_xor(Insn& i) { return as(i, xor_, r_type(reg_high(i), reg_high(i), reg_low(i))); }
Next c_or(Insn& i) { return as(i, or_, r_type(reg_high(i), reg_high(i), reg_low(i))); }
Next c_and(Insn& i) { return as(i, and_, r_type(reg_high(i), reg_high(i), reg_low(i))); }
Next c_subw(Insn& i) { return as(i, subw, r_type(reg_high(i), reg_high(i), reg_low(i))); }
Next c_addw(Insn& i) { return as(i, addw, r_type(reg_high(i), reg_high(i), reg_low(i))); }
Next c_jal(Insn& i) { return as(i, jal, j_type(1, jump_offset(i.word))); }
Next c_j(Insn& i) { return as(i, jal, j_type(0, jump_offset(i.word))); }
Next c_beqz(Insn& i) { return as(i, beq, b_type(reg_high(i), 0, branch_offset(i.word))); }
Next c_bnez(Insn& i) { return as(i, bne, b_type(reg_high(i), 0, branch_offset(i.word))); }
Next c_slli(Insn& i) { return as(i, slli, i_type(rd_full(i), rd_full(i), shamt6(i.word))); }
Next c_lwsp(Insn& i) { return as(i, lw, i_type(rd_full(i), 2, lwsp_offset(i.word))); }
Next c_ldsp(Insn& i) { return as(i, ld, i_type(rd_full(i), 2, ldsp_offset(i.word))); }
Next c_swsp(Insn& i) { return as(i, sw, s_type(2, rs2_full(i), swsp_offset(i.word))); }
Next c_sdsp(Insn& i) { return as(i, sd, s_type(2, rs2_full(i), sdsp_offset(i.word))); }
Next c_jr(Insn& i) { return as(i, jalr, i_type(0, rd_full(i), 0)); }
Next c_jalr(Insn& i) { return as(i, jalr, i_type(1, rd_full(i), 0)); }
Next c_mv(Insn& i) { return as(i, add, r_type(rd_full(i), 0, rs2_full(i))); }
Next c_add(Insn& i) { return as(i, add, r_type(rd_full(i), rd_full(i), rs2_full(i))); }
Next c_ebreak(Insn& i) { return i.raise(kBreakpoint, i.pc()); }
// All zeros is defined to be illegal, so that running into cleared memory stops.
Next c_unimp(Insn& i) { return i.illegal(); }

// Zcb
uint32_t byte_offset(uint32_t w) { return move(w, 6, 1, 0) | move(w, 5, 1, 1); }
uint32_t half_offset(uint32_t w) { return move(w, 5, 1, 1); }
Next c_lbu(Insn& i) { return as(i, lbu, i_type(reg_low(i), reg_high(i), byte_offset(i.word))); }
Next c_lhu(Insn& i) { return as(i, lhu, i_type(reg_low(i), reg_high(i), half_offset(i.word))); }
Next c_lh(Insn& i) { return as(i, lh, i_type(reg_low(i), reg_high(i), half_offset(i.word))); }
Next c_sb(Insn& i) { return as(i, sb, s_type(reg_high(i), reg_low(i), byte_offset(i.word))); }
Next c_sh(Insn& i) { return as(i, sh, s_type(reg_high(i), reg_low(i), half_offset(i.word))); }
Next c_zext_b(Insn& i) { return as(i, andi, i_type(reg_high(i), reg_high(i), 255)); }
Next c_not(Insn& i) { return as(i, xori, i_type(reg_high(i), reg_high(i), ~0u)); }
Next c_mul(Insn& i) { return as(i, mul, r_type(reg_high(i), reg_high(i), reg_low(i))); }
Next c_sext_b(Insn& i) {
  i.set_x(reg_high(i), i.b.sext<Type::kI64>(i.b.trunc<Type::kI8>(i.x(reg_high(i)))));
  return Next::kContinue;
}
Next c_sext_h(Insn& i) {
  i.set_x(reg_high(i), i.b.sext<Type::kI64>(i.b.trunc<Type::kI16>(i.x(reg_high(i)))));
  return Next::kContinue;
}
Next c_zext_h(Insn& i) {
  i.set_x(reg_high(i), i.b.zext<Type::kI64>(i.b.trunc<Type::kI16>(i.x(reg_high(i)))));
  return Next::kContinue;
}
Next c_zext_w(Insn& i) {
  i.set_x(reg_high(i), i.b.zext<Type::kI64>(i.b.trunc<Type::kI32>(i.x(reg_high(i)))));
  return Next::kContinue;
}

Next c_mop(Insn&) { return Next::kContinue; }

// Capital letters: reserved where zero. Where only rd = 0 is a hint (c.li, c.mv, ...), the base body drops the write.
constexpr Row kRows[] = {
    {c_unimp, "c.unimp", "000 00000000 000 00", "", Ext::zca},
    {c_addi4spn, "c.addi4spn", "000 IIIIIIII ddd 00", "crd_l,sp,caddi4spn", Ext::zca},
    {c_lw, "c.lw", "010 iii aaa ii ddd 00", "crd_l,cw_off(crs1)", Ext::zca},
    {c_ld, "c.ld", "011 iii aaa ii ddd 00", "crd_l,cd_off(crs1)", Ext::zca && Ext::rv64},
    {c_sw, "c.sw", "110 iii aaa ii bbb 00", "crd_l,cw_off(crs1)", Ext::zca},
    {c_sd, "c.sd", "111 iii aaa ii bbb 00", "crd_l,cd_off(crs1)", Ext::zca && Ext::rv64},
    {c_addi, "c.addi", "000 i ddddd iiiii 01", "rd,cimm6", Ext::zca},
    {c_addiw, "c.addiw", "001 i DDDDD iiiii 01", "rd,cimm6", Ext::zca && Ext::rv64},
    {c_li, "c.li", "010 i ddddd iiiii 01", "rd,cimm6", Ext::zca},
    {c_addi16sp, "c.addi16sp", "011 I 00010 IIIII 01", "sp,caddi16sp", Ext::zca},
    {c_lui, "c.lui", "011 I ddddd IIIII 01", "rd,clui", Ext::zca},
    {c_srli, "c.srli", "100 s 00 ddd sssss 01", "crd_h,cshamt6", Ext::zca && Ext::rv64},
    {c_srai, "c.srai", "100 s 01 ddd sssss 01", "crd_h,cshamt6", Ext::zca && Ext::rv64},
    {c_srli, "c.srli", "100 0 00 ddd sssss 01", "crd_h,cshamt6", Ext::zca && Ext::rv32},
    {c_srai, "c.srai", "100 0 01 ddd sssss 01", "crd_h,cshamt6", Ext::zca && Ext::rv32},
    {c_andi, "c.andi", "100 i 10 ddd iiiii 01", "crd_h,cimm6", Ext::zca},
    {c_sub, "c.sub", "100 0 11 ddd 00 bbb 01", "crd_h,crd_l", Ext::zca},
    {c_xor, "c.xor", "100 0 11 ddd 01 bbb 01", "crd_h,crd_l", Ext::zca},
    {c_or, "c.or", "100 0 11 ddd 10 bbb 01", "crd_h,crd_l", Ext::zca},
    {c_and, "c.and", "100 0 11 ddd 11 bbb 01", "crd_h,crd_l", Ext::zca},
    {c_subw, "c.subw", "100 1 11 ddd 00 bbb 01", "crd_h,crd_l", Ext::zca && Ext::rv64},
    {c_addw, "c.addw", "100 1 11 ddd 01 bbb 01", "crd_h,crd_l", Ext::zca && Ext::rv64},
    {c_jal, "c.jal", "001 iiiiiiiiiii 01", "ctarget11", Ext::zca && Ext::rv32},
    {c_j, "c.j", "101 iiiiiiiiiii 01", "ctarget11", Ext::zca},
    {c_beqz, "c.beqz", "110 iii aaa iiiii 01", "crd_h,ctarget8", Ext::zca},
    {c_bnez, "c.bnez", "111 iii aaa iiiii 01", "crd_h,ctarget8", Ext::zca},
    {c_slli, "c.slli", "000 s ddddd sssss 10", "rd,cshamt6", Ext::zca && Ext::rv64},
    {c_slli, "c.slli", "000 0 ddddd sssss 10", "rd,cshamt6", Ext::zca && Ext::rv32},
    {c_lwsp, "c.lwsp", "010 i DDDDD iiiii 10", "rd,clwsp(sp)", Ext::zca},
    {c_ldsp, "c.ldsp", "011 i DDDDD iiiii 10", "rd,cldsp(sp)", Ext::zca && Ext::rv64},
    {c_jr, "c.jr", "100 0 AAAAA 00000 10", "rd", Ext::zca},
    {c_mv, "c.mv", "100 0 ddddd BBBBB 10", "rd,crs2", Ext::zca},
    {c_jalr, "c.jalr", "100 1 AAAAA 00000 10", "rd", Ext::zca},
    {c_ebreak, "c.ebreak", "100 1 00000 00000 10", "", Ext::zca},
    {c_add, "c.add", "100 1 ddddd BBBBB 10", "rd,crs2", Ext::zca},
    {c_swsp, "c.swsp", "110 iiiiii bbbbb 10", "crs2,cswsp(sp)", Ext::zca},
    {c_sdsp, "c.sdsp", "111 iiiiii bbbbb 10", "crs2,csdsp(sp)", Ext::zca && Ext::rv64},
    {c_lbu, "c.lbu", "100 000 aaa ii ddd 00", "crd_l,cb_off(crs1)", Ext::zcb},
    {c_lhu, "c.lhu", "100 001 aaa 0i ddd 00", "crd_l,ch_off(crs1)", Ext::zcb},
    {c_lh, "c.lh", "100 001 aaa 1i ddd 00", "crd_l,ch_off(crs1)", Ext::zcb},
    {c_sb, "c.sb", "100 010 aaa ii bbb 00", "crd_l,cb_off(crs1)", Ext::zcb},
    {c_sh, "c.sh", "100 011 aaa 0i bbb 00", "crd_l,ch_off(crs1)", Ext::zcb},
    {c_zext_b, "c.zext.b", "100 111 ddd 11 000 01", "crd_h", Ext::zcb},
    {c_sext_b, "c.sext.b", "100 111 ddd 11 001 01", "crd_h", Ext::zcb && Ext::zbb},
    {c_zext_h, "c.zext.h", "100 111 ddd 11 010 01", "crd_h", Ext::zcb && Ext::zbb},
    {c_sext_h, "c.sext.h", "100 111 ddd 11 011 01", "crd_h", Ext::zcb && Ext::zbb},
    {c_zext_w, "c.zext.w", "100 111 ddd 11 100 01", "crd_h", Ext::zcb && Ext::zba && Ext::rv64},
    {c_not, "c.not", "100 111 ddd 11 101 01", "crd_h", Ext::zcb},
    {c_mul, "c.mul", "100 111 ddd 10 bbb 01", "crd_h,crd_l", Ext::zcb && Ext::zmmul},
    {c_mop, "c.mop.1", "011 0 00001 00000 01", "", Ext::zcmop},
    {c_mop, "c.mop.3", "011 0 00011 00000 01", "", Ext::zcmop},
    {c_mop, "c.mop.5", "011 0 00101 00000 01", "", Ext::zcmop},
    {c_mop, "c.mop.7", "011 0 00111 00000 01", "", Ext::zcmop},
    {c_mop, "c.mop.9", "011 0 01001 00000 01", "", Ext::zcmop},
    {c_mop, "c.mop.11", "011 0 01011 00000 01", "", Ext::zcmop},
    {c_mop, "c.mop.13", "011 0 01101 00000 01", "", Ext::zcmop},
    {c_mop, "c.mop.15", "011 0 01111 00000 01", "", Ext::zcmop},
};

}  // namespace

std::span<const Row> rows_c() { return kRows; }

}  // namespace lyre::riscv
