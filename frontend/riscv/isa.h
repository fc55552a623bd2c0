// How an instruction is written down: a body that builds IR, and a row (function, name, picture, operands, extension) in the same file. Decoder,
// disassembler, random generator and coverage list derive from the rows; each file's rows reach them through the list in isa.cpp.
//
// Pictures: 32 or 16 characters, spaces ignored; 0 and 1 are fixed, letters are fields, a capital letter: that field is not zero. By convention
// d = rd, a = rs1, b = rs2, c = rs3, i = immediate, s = shift amount, m = rounding mode, q/r = aq/rl. Of two rows that match, the one with more fixed
// bits wins.
// Widths: a row exists for RV32 and RV64 unless it needs Ext::rv32 or Ext::rv64; one body serves both wherever it can, and asks Insn::narrow() where not.
// Operands: words that disasm.cpp knows (its kOperands lists them), separated by commas: "rd,rs1,imm12", "rd,off12(rs1)".
#pragma once
#include <cstdint>
#include <span>

#include "frontend/decode/picture.h"
#include "frontend/guest_isa.h"
#include "frontend/riscv/cpu.h"
#include "frontend/riscv/extensions.h"
#include "frontend/riscv/state.h"

namespace lyre::riscv {

using frontend::Next;
using ir::F32;
using ir::F64;
using ir::I1;
using ir::I32;
using ir::I64;

// One instruction being translated. Made on the stack per instruction; hot.
class Insn {
 public:
  Insn(const RiscvCpu& cpu_, frontend::InsnContext& context_, uint32_t word_) : cpu(cpu_), context(context_), b(context_.b), word(word_) {}
  // The same instruction seen as another word: compressed ones as what they stand for.
  Insn(const Insn& short_form, uint32_t word_) : Insn(short_form.cpu, short_form.context, word_) {}
  const RiscvCpu& cpu;
  frontend::InsnContext& context;
  ir::Builder& b;
  const uint32_t word;  // 16-bit instructions: upper half zero

  uint32_t key() const { return static_cast<uint32_t>(context.state_key); }

  // Fields of 32-bit instructions.
  unsigned rd() const { return word >> 7 & 31; }
  unsigned rs1() const { return word >> 15 & 31; }
  unsigned rs2() const { return word >> 20 & 31; }
  unsigned rs3() const { return word >> 27; }
  unsigned funct3() const { return word >> 12 & 7; }
  unsigned rm() const { return funct3(); }
  unsigned shamt() const { return word >> 20 & 63; }
  unsigned csr() const { return word >> 20; }
  int32_t imm_i() const { return static_cast<int32_t>(word) >> 20; }
  int32_t imm_s() const { return (static_cast<int32_t>(word) >> 25 << 5) | static_cast<int32_t>(word >> 7 & 31); }
  int32_t imm_b() const {
    return (static_cast<int32_t>(word) >> 31 << 12) | static_cast<int32_t>((word >> 7 & 1) << 11 | (word >> 25 & 63) << 5 | (word >> 8 & 15) << 1);
  }
  int32_t imm_u() const { return static_cast<int32_t>(word & 0xfffff000); }
  int32_t imm_j() const {
    return (static_cast<int32_t>(word) >> 31 << 20) | static_cast<int32_t>((word >> 12 & 255) << 12 | (word >> 20 & 1) << 11 | (word >> 21 & 1023) << 1);
  }

  bool narrow() const { return cpu.narrow(); }  // RV32: known when translating, so that bodies choose and generated code does not

  // Integer registers: x0 reads as constant 0, writes to it are dropped. set_x takes what already has register form (state.h), set_wrapped any value: RV32
  // keeps its low half.
  I64 x(unsigned reg) { return reg ? b.get<ir::Type::kI64>(x_slot(reg)) : b.i64(0); }
  void set_x(unsigned reg, I64 value) {
    if (reg) b.set(x_slot(reg), value);
  }
  void set_wrapped(unsigned reg, I64 value) {
    if (reg) b.set(x_slot(reg), narrow() ? b.sext<ir::Type::kI64>(b.trunc<ir::Type::kI32>(value)) : value);
  }
  // Low 32 bits; results are sign-extended.
  I32 w(unsigned reg) { return reg ? b.trunc<ir::Type::kI32>(x(reg)) : b.i32(0); }
  void set_w(unsigned reg, I32 value) {
    if (reg) b.set(x_slot(reg), b.sext<ir::Type::kI64>(value));
  }
  // The low half without its sign, for RV32 bodies that compute in 64 bits.
  I64 low_half(unsigned reg) { return reg ? b.zext<ir::Type::kI64>(w(reg)) : b.i64(0); }
  I64 imm(int64_t value) { return b.i64(static_cast<uint64_t>(value)); }
  // Address of this instruction, plus bytes.
  I64 pc(int64_t displacement = 0) { return b.guest_pc(context.pc_offset + displacement); }
  I64 next_pc() { return pc(context.length); }

  // The instruction has had its effects: what leaves from here on counts it.
  void completed() { b.completed(static_cast<int32_t>(context.pc_offset + context.length)); }

  // Raise an exception, precisely, before any effect of this instruction. They end the region.
  Next illegal() { return raise(kIllegalInstruction, b.i64(word)); }
  Next raise(Cause cause, I64 tval);
  // The same if `condition`; translation goes on.
  void raise_if(I1 condition, Cause cause, I64 tval);
  // For instructions after which the loop must look around (privileged state, code fences): pc := next instruction, leave to the loop.
  Next leave_to_loop() {
    b.set(kPcSlot, next_pc());
    completed();
    b.exit_loop();
    return Next::kEnded;
  }
};

using Body = Next (*)(Insn&);

// No pointers but the body: the table costs one relocation a row.
struct Row {
  Body body;
  decode::Picture picture;
  Needs needs;
  char name[18] = {};
  char operands[26] = {};

  consteval Row(Body body_, const char* name_, const char* picture_, const char* operands_, Needs needs_)
      : body(body_), picture(picture_), needs(needs_) {
    decode::copy_text(name, name_);
    decode::copy_text(operands, operands_);
  }
  unsigned bytes() const { return picture.width / 8; }
};

std::span<const Row> rows_i();
std::span<const Row> rows_m();
std::span<const Row> rows_a();
std::span<const Row> rows_c();
std::span<const Row> rows_b();
std::span<const Row> rows_k();
std::span<const Row> rows_cache();
std::span<const Row> rows_sys();     // insn_sys.cpp
std::span<const Row> rows_float();   // insn_f.cpp: F and D
std::span<const Row> rows_float2();  // insn_f_*.cpp: Zfh, Zfhmin, Zfa
std::span<const Row> rows_float_c(); // compressed floating-point loads and stores
// ABI names: "sp", "fa0".
const char* register_name(unsigned reg);
const char* float_register_name(unsigned reg);
// All of the above, one span a file.
std::span<const std::span<const Row>> all_rows();

}  // namespace lyre::riscv
