// Text of RISC-V instructions, from their rows. The form is that of binutils without aliases: "addi\ta0,a0,1", shift amounts and upper immediates in
// hexadecimal, branch targets as addresses. Cold.
#pragma once
#include <string>

#include "frontend/riscv/isa.h"

namespace lyre::riscv {

// `word`: 16-bit instructions in the low half. Every operand word of the row must be known: tests/decode checks all rows.
std::string disassemble_row(const Row& row, uint32_t word, Gva pc, unsigned xlen);
bool operands_known(const Row& row);

}  // namespace lyre::riscv
