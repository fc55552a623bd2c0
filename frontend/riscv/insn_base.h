// Bodies of base instructions that compressed ones stand for (insn_i.cpp, insn_m.cpp, insn_b.cpp; insn_f.cpp for loads and stores of float registers).
#pragma once
#include "frontend/riscv/isa.h"

namespace lyre::riscv {

Next lui(Insn& i);
Next jal(Insn& i);
Next jalr(Insn& i);
Next beq(Insn& i);
Next bne(Insn& i);
Next lbu(Insn& i);
Next lh(Insn& i);
Next lhu(Insn& i);
Next lw(Insn& i);
Next ld(Insn& i);
Next sb(Insn& i);
Next sh(Insn& i);
Next sw(Insn& i);
Next sd(Insn& i);
Next addi(Insn& i);
Next andi(Insn& i);
Next xori(Insn& i);
Next slli(Insn& i);
Next srli(Insn& i);
Next srai(Insn& i);
Next addiw(Insn& i);
Next add(Insn& i);
Next sub(Insn& i);
Next xor_(Insn& i);
Next or_(Insn& i);
Next and_(Insn& i);
Next addw(Insn& i);
Next subw(Insn& i);
Next mul(Insn& i);

}  // namespace lyre::riscv
