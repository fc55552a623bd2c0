// RV32I and RV64I: computation, loads and stores, branches, fences. System instructions are in insn_sys.cpp.
#include "frontend/riscv/insn_base.h"

namespace lyre::riscv {

using ir::Cond;
using ir::MemOp;
using ir::Op;
using ir::Type;

namespace {

// Writing x0 is a hint: nothing is built. Operations with an identity operand become moves, as compilers write them (mv, li, neg, not).
Next write(Insn& i, I64 value) {
  i.set_x(i.rd(), value);
  return Next::kContinue;
}

Next bitwise(Insn& i, Op op) {
  if (!i.rd()) return Next::kContinue;
  return write(i, i.b.binary(op, i.x(i.rs1()), i.x(i.rs2())));
}

Next bitwise_imm(Insn& i, Op op) {
  if (!i.rd()) return Next::kContinue;
  return write(i, i.b.binary(op, i.x(i.rs1()), i.imm(i.imm_i())));
}

Next binary_w(Insn& i, Op op) {
  if (!i.rd()) return Next::kContinue;
  i.set_w(i.rd(), i.b.binary(op, i.w(i.rs1()), i.w(i.rs2())));
  return Next::kContinue;
}

Next shift_imm_w(Insn& i, Op op) {
  if (!i.rd()) return Next::kContinue;
  i.set_w(i.rd(), i.b.binary(op, i.w(i.rs1()), i.b.i32(i.rs2())));
  return Next::kContinue;
}

// Sums and shifts of RV32 are the word instructions of RV64.
Next binary(Insn& i, Op op) { return i.narrow() ? binary_w(i, op) : bitwise(i, op); }

Next shift_imm(Insn& i, Op op) {
  if (!i.rd()) return Next::kContinue;
  I64 value = i.x(i.rs1());
  if (!i.shamt()) return write(i, value);
  return i.narrow() ? shift_imm_w(i, op) : write(i, i.b.binary(op, value, i.imm(i.shamt())));
}

Next set_if(Insn& i, Cond cond, I64 right) {
  if (!i.rd()) return Next::kContinue;
  return write(i, i.b.zext<Type::kI64>(i.b.cmp(cond, i.x(i.rs1()), right)));
}

MemOp plain(unsigned size_log2, bool sign_extend) {
  MemOp op;
  op.size_log2 = static_cast<uint8_t>(size_log2);
  op.sign_extend = sign_extend;
  op.atomic = true;  // when naturally aligned (Unprivileged ISA, RVWMO: memory operations up to XLEN wide)
  return op;
}

Next load(Insn& i, unsigned size_log2, bool sign_extend) {
  // A load into x0 still faults.
  return write(i, i.b.load<Type::kI64>(i.x(i.rs1()), plain(size_log2, sign_extend), i.imm_i()));
}

Next store(Insn& i, unsigned size_log2) {
  i.b.store(i.x(i.rs1()), i.x(i.rs2()), plain(size_log2, false), i.imm_s());
  return Next::kContinue;
}

// Without compressed instructions a target that is not a multiple of four faults at the jump, and only when it is taken.
bool misaligned_target(const Insn& i, int64_t displacement) { return !i.cpu.has(Ext::zca) && displacement & 3; }

Next branch(Insn& i, Cond cond) {
  I1 taken = i.b.cmp(cond, i.x(i.rs1()), i.x(i.rs2()));
  int32_t displacement = i.imm_b();
  if (misaligned_target(i, displacement)) {
    i.raise_if(taken, kInstructionMisaligned, i.pc(displacement));
    return Next::kContinue;
  }
  return i.context.branch_if(taken, displacement);
}

bool is_link(unsigned reg) { return reg == 1 || reg == 5; }  // Unprivileged ISA 2.5: ra and t0

}  // namespace

Next lui(Insn& i) {
  if (!i.rd()) return Next::kContinue;
  return write(i, i.imm(i.imm_u()));
}

static Next auipc(Insn& i) {
  if (!i.rd()) return Next::kContinue;
  i.set_wrapped(i.rd(), i.pc(i.imm_u()));
  return Next::kContinue;
}

Next jal(Insn& i) {
  int32_t displacement = i.imm_j();
  if (misaligned_target(i, displacement)) return i.raise(kInstructionMisaligned, i.pc(displacement));
  if (i.rd()) i.set_wrapped(i.rd(), i.next_pc());
  return i.context.jump(displacement, is_link(i.rd()) ? ir::kHintCall : ir::kHintNone);
}

Next jalr(Insn& i) {
  I64 target = i.x(i.rs1());
  if (i.imm_i()) target = i.b.add(target, i.imm(i.imm_i()));
  target = i.b.and_(target, i.imm(i.narrow() ? int64_t{0xfffffffe} : -2));
  if (!i.cpu.has(Ext::zca))
    i.raise_if(i.b.cmp(Cond::kNe, i.b.and_(target, i.imm(2)), i.imm(0)), kInstructionMisaligned, target);
  if (i.rd()) i.set_wrapped(i.rd(), i.next_pc());
  // Unprivileged ISA, table "Return-address stack prediction hints"; of pop and push together only the push is told.
  uint8_t hint = is_link(i.rd()) ? ir::kHintCall : is_link(i.rs1()) ? ir::kHintReturn : ir::kHintNone;
  return i.context.jump_indirect(target, hint);
}

Next beq(Insn& i) { return branch(i, Cond::kEq); }
Next bne(Insn& i) { return branch(i, Cond::kNe); }
static Next blt(Insn& i) { return branch(i, Cond::kLtS); }
static Next bge(Insn& i) { return branch(i, Cond::kGeS); }
static Next bltu(Insn& i) { return branch(i, Cond::kLtU); }
static Next bgeu(Insn& i) { return branch(i, Cond::kGeU); }

static Next lb(Insn& i) { return load(i, 0, true); }
Next lh(Insn& i) { return load(i, 1, true); }
Next lw(Insn& i) { return load(i, 2, true); }
Next ld(Insn& i) { return load(i, 3, false); }
Next lbu(Insn& i) { return load(i, 0, false); }
Next lhu(Insn& i) { return load(i, 1, false); }
static Next lwu(Insn& i) { return load(i, 2, false); }
Next sb(Insn& i) { return store(i, 0); }
Next sh(Insn& i) { return store(i, 1); }
Next sw(Insn& i) { return store(i, 2); }
Next sd(Insn& i) { return store(i, 3); }

Next addi(Insn& i) {
  if (!i.rd()) return Next::kContinue;
  if (!i.rs1()) return write(i, i.imm(i.imm_i()));
  if (!i.imm_i()) return write(i, i.x(i.rs1()));
  return i.narrow() ? addiw(i) : bitwise_imm(i, Op::add);
}
static Next slti(Insn& i) { return set_if(i, Cond::kLtS, i.imm(i.imm_i())); }
static Next sltiu(Insn& i) { return set_if(i, Cond::kLtU, i.imm(i.imm_i())); }
Next xori(Insn& i) {
  if (i.imm_i() == -1 && i.rd()) return write(i, i.b.not_(i.x(i.rs1())));
  return bitwise_imm(i, Op::xor_);
}
static Next ori(Insn& i) { return bitwise_imm(i, Op::or_); }
Next andi(Insn& i) { return bitwise_imm(i, Op::and_); }
Next slli(Insn& i) { return shift_imm(i, Op::shl); }
Next srli(Insn& i) { return shift_imm(i, Op::shr); }
Next srai(Insn& i) { return shift_imm(i, Op::sar); }

Next add(Insn& i) {
  if (!i.rs1() && i.rd()) return write(i, i.x(i.rs2()));
  return binary(i, Op::add);
}
Next sub(Insn& i) {
  if (!i.rs1() && i.rd() && !i.narrow()) return write(i, i.b.neg(i.x(i.rs2())));
  return binary(i, Op::sub);
}
static Next sll(Insn& i) { return binary(i, Op::shl); }
static Next slt(Insn& i) { return set_if(i, Cond::kLtS, i.x(i.rs2())); }
static Next sltu(Insn& i) { return set_if(i, Cond::kLtU, i.x(i.rs2())); }
Next xor_(Insn& i) { return bitwise(i, Op::xor_); }
static Next srl(Insn& i) { return binary(i, Op::shr); }
static Next sra(Insn& i) { return binary(i, Op::sar); }
Next or_(Insn& i) { return bitwise(i, Op::or_); }
Next and_(Insn& i) { return bitwise(i, Op::and_); }

Next addiw(Insn& i) {
  if (!i.rd()) return Next::kContinue;
  I32 value = i.w(i.rs1());
  i.set_w(i.rd(), i.imm_i() ? i.b.add(value, i.b.i32(static_cast<uint32_t>(i.imm_i()))) : value);
  return Next::kContinue;
}
static Next slliw(Insn& i) { return shift_imm_w(i, Op::shl); }
static Next srliw(Insn& i) { return shift_imm_w(i, Op::shr); }
static Next sraiw(Insn& i) { return shift_imm_w(i, Op::sar); }
Next addw(Insn& i) { return binary_w(i, Op::add); }
Next subw(Insn& i) { return binary_w(i, Op::sub); }
static Next sllw(Insn& i) { return binary_w(i, Op::shl); }
static Next srlw(Insn& i) { return binary_w(i, Op::shr); }
static Next sraw(Insn& i) { return binary_w(i, Op::sar); }

// Predecessor and successor sets have bits i, o, r, w; device accesses are ordered like memory ones. fm = 8 is fence.tso; other modes and the fields rd
// and rs1 are reserved and treated as a normal fence (Unprivileged ISA 2.7).
static Next fence(Insn& i) {
  uint32_t before = i.word >> 24 & 15, after = i.word >> 20 & 15;
  bool loads_before = before & 0xa, stores_before = before & 5, loads_after = after & 0xa, stores_after = after & 5;
  unsigned bits = 0;
  if (loads_before && loads_after) bits |= ir::kFenceLoadLoad;
  if (loads_before && stores_after) bits |= ir::kFenceLoadStore;
  if (stores_before && loads_after) bits |= ir::kFenceStoreLoad;
  if (stores_before && stores_after) bits |= ir::kFenceStoreStore;
  if (i.word >> 28 == 8) bits &= ~unsigned{ir::kFenceStoreLoad};
  if (bits) i.b.fence(static_cast<uint8_t>(bits));
  return Next::kContinue;
}

// Zihintpause: a fence with an empty successor set; other vCPUs are host threads, so nothing has to give way.
static Next pause(Insn&) { return Next::kContinue; }

static Next fence_i(Insn& i) {
  i.b.call<Type::kVoid>(kHelperInstructionFence, {});
  return i.leave_to_loop();
}

static constexpr Row kRows[] = {
    {lui, "lui", "iiii iiii iiii iiii iiii ddddd 0110111", "rd,imm20", Ext::i},
    {auipc, "auipc", "iiii iiii iiii iiii iiii ddddd 0010111", "rd,imm20", Ext::i},
    {jal, "jal", "iiii iiii iiii iiii iiii ddddd 1101111", "rd,target20", Ext::i},
    {jalr, "jalr", "iiiiiiiiiiii aaaaa 000 ddddd 1100111", "rd,off12(rs1)", Ext::i},
    {beq, "beq", "iiiiiii bbbbb aaaaa 000 iiiii 1100011", "rs1,rs2,target12", Ext::i},
    {bne, "bne", "iiiiiii bbbbb aaaaa 001 iiiii 1100011", "rs1,rs2,target12", Ext::i},
    {blt, "blt", "iiiiiii bbbbb aaaaa 100 iiiii 1100011", "rs1,rs2,target12", Ext::i},
    {bge, "bge", "iiiiiii bbbbb aaaaa 101 iiiii 1100011", "rs1,rs2,target12", Ext::i},
    {bltu, "bltu", "iiiiiii bbbbb aaaaa 110 iiiii 1100011", "rs1,rs2,target12", Ext::i},
    {bgeu, "bgeu", "iiiiiii bbbbb aaaaa 111 iiiii 1100011", "rs1,rs2,target12", Ext::i},
    {lb, "lb", "iiiiiiiiiiii aaaaa 000 ddddd 0000011", "rd,off12(rs1)", Ext::i},
    {lh, "lh", "iiiiiiiiiiii aaaaa 001 ddddd 0000011", "rd,off12(rs1)", Ext::i},
    {lw, "lw", "iiiiiiiiiiii aaaaa 010 ddddd 0000011", "rd,off12(rs1)", Ext::i},
    {ld, "ld", "iiiiiiiiiiii aaaaa 011 ddddd 0000011", "rd,off12(rs1)", Ext::i && Ext::rv64},
    {lbu, "lbu", "iiiiiiiiiiii aaaaa 100 ddddd 0000011", "rd,off12(rs1)", Ext::i},
    {lhu, "lhu", "iiiiiiiiiiii aaaaa 101 ddddd 0000011", "rd,off12(rs1)", Ext::i},
    {lwu, "lwu", "iiiiiiiiiiii aaaaa 110 ddddd 0000011", "rd,off12(rs1)", Ext::i && Ext::rv64},
    {sb, "sb", "iiiiiii bbbbb aaaaa 000 iiiii 0100011", "rs2,soff12(rs1)", Ext::i},
    {sh, "sh", "iiiiiii bbbbb aaaaa 001 iiiii 0100011", "rs2,soff12(rs1)", Ext::i},
    {sw, "sw", "iiiiiii bbbbb aaaaa 010 iiiii 0100011", "rs2,soff12(rs1)", Ext::i},
    {sd, "sd", "iiiiiii bbbbb aaaaa 011 iiiii 0100011", "rs2,soff12(rs1)", Ext::i && Ext::rv64},
    {addi, "addi", "iiiiiiiiiiii aaaaa 000 ddddd 0010011", "rd,rs1,imm12", Ext::i},
    {slti, "slti", "iiiiiiiiiiii aaaaa 010 ddddd 0010011", "rd,rs1,imm12", Ext::i},
    {sltiu, "sltiu", "iiiiiiiiiiii aaaaa 011 ddddd 0010011", "rd,rs1,imm12", Ext::i},
    {xori, "xori", "iiiiiiiiiiii aaaaa 100 ddddd 0010011", "rd,rs1,imm12", Ext::i},
    {ori, "ori", "iiiiiiiiiiii aaaaa 110 ddddd 0010011", "rd,rs1,imm12", Ext::i},
    {andi, "andi", "iiiiiiiiiiii aaaaa 111 ddddd 0010011", "rd,rs1,imm12", Ext::i},
    {slli, "slli", "000000 ssssss aaaaa 001 ddddd 0010011", "rd,rs1,shamt6", Ext::i && Ext::rv64},
    {srli, "srli", "000000 ssssss aaaaa 101 ddddd 0010011", "rd,rs1,shamt6", Ext::i && Ext::rv64},
    {srai, "srai", "010000 ssssss aaaaa 101 ddddd 0010011", "rd,rs1,shamt6", Ext::i && Ext::rv64},
    {slli, "slli", "0000000 sssss aaaaa 001 ddddd 0010011", "rd,rs1,shamt5", Ext::i && Ext::rv32},
    {srli, "srli", "0000000 sssss aaaaa 101 ddddd 0010011", "rd,rs1,shamt5", Ext::i && Ext::rv32},
    {srai, "srai", "0100000 sssss aaaaa 101 ddddd 0010011", "rd,rs1,shamt5", Ext::i && Ext::rv32},
    {add, "add", "0000000 bbbbb aaaaa 000 ddddd 0110011", "rd,rs1,rs2", Ext::i},
    {sub, "sub", "0100000 bbbbb aaaaa 000 ddddd 0110011", "rd,rs1,rs2", Ext::i},
    {sll, "sll", "0000000 bbbbb aaaaa 001 ddddd 0110011", "rd,rs1,rs2", Ext::i},
    {slt, "slt", "0000000 bbbbb aaaaa 010 ddddd 0110011", "rd,rs1,rs2", Ext::i},
    {sltu, "sltu", "0000000 bbbbb aaaaa 011 ddddd 0110011", "rd,rs1,rs2", Ext::i},
    {xor_, "xor", "0000000 bbbbb aaaaa 100 ddddd 0110011", "rd,rs1,rs2", Ext::i},
    {srl, "srl", "0000000 bbbbb aaaaa 101 ddddd 0110011", "rd,rs1,rs2", Ext::i},
    {sra, "sra", "0100000 bbbbb aaaaa 101 ddddd 0110011", "rd,rs1,rs2", Ext::i},
    {or_, "or", "0000000 bbbbb aaaaa 110 ddddd 0110011", "rd,rs1,rs2", Ext::i},
    {and_, "and", "0000000 bbbbb aaaaa 111 ddddd 0110011", "rd,rs1,rs2", Ext::i},
    {addiw, "addiw", "iiiiiiiiiiii aaaaa 000 ddddd 0011011", "rd,rs1,imm12", Ext::i && Ext::rv64},
    {slliw, "slliw", "0000000 sssss aaaaa 001 ddddd 0011011", "rd,rs1,shamt5", Ext::i && Ext::rv64},
    {srliw, "srliw", "0000000 sssss aaaaa 101 ddddd 0011011", "rd,rs1,shamt5", Ext::i && Ext::rv64},
    {sraiw, "sraiw", "0100000 sssss aaaaa 101 ddddd 0011011", "rd,rs1,shamt5", Ext::i && Ext::rv64},
    {addw, "addw", "0000000 bbbbb aaaaa 000 ddddd 0111011", "rd,rs1,rs2", Ext::i && Ext::rv64},
    {subw, "subw", "0100000 bbbbb aaaaa 000 ddddd 0111011", "rd,rs1,rs2", Ext::i && Ext::rv64},
    {sllw, "sllw", "0000000 bbbbb aaaaa 001 ddddd 0111011", "rd,rs1,rs2", Ext::i && Ext::rv64},
    {srlw, "srlw", "0000000 bbbbb aaaaa 101 ddddd 0111011", "rd,rs1,rs2", Ext::i && Ext::rv64},
    {sraw, "sraw", "0100000 bbbbb aaaaa 101 ddddd 0111011", "rd,rs1,rs2", Ext::i && Ext::rv64},
    {fence, "fence", "mmmm pppp ssss aaaaa 000 ddddd 0001111", "pred,succ", Ext::i},
    {fence, "fence.tso", "1000 0011 0011 aaaaa 000 ddddd 0001111", "", Ext::i},
    {pause, "pause", "0000 0001 0000 00000 000 00000 0001111", "", Ext::zihintpause},
    {fence_i, "fence.i", "iiiiiiiiiiii aaaaa 001 ddddd 0001111", "", Ext::zifencei},
};
std::span<const Row> rows_i() { return kRows; }

}  // namespace lyre::riscv
