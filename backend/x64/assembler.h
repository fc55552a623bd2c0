// Assembler: xbyak as an encoder over a buffer that is not its own, plus direct encoders for the few dozen forms that make up most emitted code
// (they write bytes without xbyak's operand checks). Fixups are by offset; xbyak labels are not used. Registers are the allocator's numbers.
// Users keep kSlack bytes free before each group of calls (ensure()); overflow is sticky in `full()`.
#pragma once
#define XBYAK_NO_EXCEPTION
#ifndef XBYAK_NO_OP_NAMES
#define XBYAK_NO_OP_NAMES
#endif
// Without NDEBUG it includes <iostream>, whose initialiser would link streams and locales (3,000 relocations) into every program.
#pragma push_macro("NDEBUG")
#undef NDEBUG
#define NDEBUG 1
#include <xbyak/xbyak.h>
#pragma pop_macro("NDEBUG")

#include <cstring>

#include "backend/regalloc/registers.h"
#include "ir/abi.h"
#include "ir/types.h"

namespace lyre::backend::x64 {

inline constexpr Reg kRax = 0, kRcx = 1, kRdx = 2, kRbx = 3, kRsp = 4, kRbp = 5, kRsi = 6, kRdi = 7, kR8 = 8, kR9 = 9, kR10 = 10, kR11 = 11, kR12 = 12,
                     kR13 = 13, kR14 = 14, kR15 = 15;

// x86 condition codes.
enum Cc : uint8_t { kCcO, kCcNo, kCcB, kCcAe, kCcE, kCcNe, kCcBe, kCcA, kCcS, kCcNs, kCcP, kCcNp, kCcL, kCcGe, kCcLe, kCcG };
constexpr Cc cc_of(ir::Cond cond) {
  constexpr Cc kCodes[] = {kCcE, kCcNe, kCcL, kCcGe, kCcB, kCcAe, kCcLe, kCcG, kCcBe, kCcA};
  return kCodes[static_cast<unsigned>(cond)];
}
constexpr Cc invert(Cc cc) { return static_cast<Cc>(cc ^ 1); }

// The eight operations of opcodes 00-3f.
enum Alu : uint8_t { kAdd, kOr, kAdc, kSbb, kAnd, kSub, kXor, kCmp };
enum Shift : uint8_t { kRol, kRor, kShl = 4, kShr, kSar = 7 };

// Memory operand: [base + index * scale + disp]; base is never kNoReg.
struct Mem {
  Reg base = kRbp;
  Reg index = kNoReg;
  uint8_t scale_log2 = 0;
  int32_t disp = 0;
};
inline constexpr bool fits32(uint64_t value) { return static_cast<int64_t>(value) == static_cast<int32_t>(value); }
inline constexpr bool fits8(int64_t value) { return value == static_cast<int8_t>(value); }

// Field of the vCPU block, through the biased register.
template <typename Field>
Mem vcpu_field(Field ir::VcpuBlock::*field) {
  const ir::VcpuBlock* none = nullptr;
  return {kRbp, kNoReg, 0, static_cast<int32_t>(reinterpret_cast<intptr_t>(&(none->*field))) - static_cast<int32_t>(ir::kBias)};
}
constexpr Mem block_mem(size_t offset) { return {kRbp, kNoReg, 0, static_cast<int32_t>(offset) - static_cast<int32_t>(ir::kBias)}; }

constexpr Reg hw_reg(Reg reg) { return static_cast<Reg>(hw(reg)); }

class Assembler : public Xbyak::CodeGenerator {
  // Where the next bytes go, kept in a register: through the members, each byte written would make the compiler load and store them again.
  class Cursor {
   public:
    explicit Cursor(Assembler& assembler) : assembler_(assembler), at_(assembler.top_ + assembler.size_) {}
    ~Cursor() { assembler_.size_ = offset(); }
    uint32_t offset() const { return static_cast<uint32_t>(at_ - assembler_.top_); }
    void byte(unsigned value) { *at_++ = static_cast<uint8_t>(value); }
    void dword(uint32_t value) { memcpy(at_, &value, 4), at_ += 4; }
    void qword(uint64_t value) { memcpy(at_, &value, 8), at_ += 8; }
    void rex(bool w, Reg reg, Reg index, Reg rm, bool byte_rm = false, bool byte_reg = false) {
      unsigned bits = (w ? 8u : 0u) | (reg & 8u) >> 1 | (index != kNoReg ? (index & 8u) >> 2 : 0u) | (rm & 8u) >> 3;
      if (bits || (byte_rm && rm >= 4) || (byte_reg && reg >= 4)) byte(0x40 | bits);
    }
    void vex_prefix(unsigned pp, Reg reg, Reg first, Reg index, Reg rm) {
      const unsigned r = (~reg & 8u) << 4, x = index != kNoReg ? (~index & 8u) << 3 : 0x40u, b = (~rm & 8u) << 2;
      const unsigned tail = (~first & 15u) << 3 | pp;
      if (x && b) {
        byte(0xc5), byte(r | tail);
      } else {
        byte(0xc4), byte(r | x | b | 1), byte(tail);
      }
    }
    void modrm_rr(unsigned reg, Reg rm) { byte(0xc0 | (reg & 7) << 3 | (rm & 7)); }
    void modrm_mem(unsigned reg, Mem mem) {
      // Base 5 (rbp, r13) has no form without displacement; base 4 (rsp, r12) needs a SIB byte.
      unsigned mod = mem.disp == 0 && (mem.base & 7) != 5 ? 0 : fits8(mem.disp) ? 1 : 2;
      if (mem.index != kNoReg || (mem.base & 7) == 4) {
        byte(mod << 6 | (reg & 7) << 3 | 4);
        byte(static_cast<unsigned>(mem.scale_log2) << 6 | (mem.index != kNoReg ? (mem.index & 7u) << 3 : 4u << 3) | (mem.base & 7u));
      } else {
        byte(mod << 6 | (reg & 7) << 3 | (mem.base & 7u));
      }
      if (mod == 1) byte(static_cast<uint8_t>(mem.disp));
      if (mod == 2) dword(static_cast<uint32_t>(mem.disp));
    }

   private:
    Assembler& assembler_;
    uint8_t* at_;
  };

 public:
  static constexpr size_t kSlack = 4096;
  Assembler() : CodeGenerator(sizeof(dummy_), dummy_) {}
  void rebase(uint8_t* buffer, size_t bytes) {
    top_ = buffer, maxSize_ = bytes, size_ = 0;
    full_ = false;
    Xbyak::ClearError();
  }
  uint32_t at() const { return static_cast<uint32_t>(size_); }
  uint8_t* base() { return top_; }
  void skip(unsigned bytes) { size_ += bytes; }
  // Room for kSlack more bytes? If not, starts over at the buffer's begin so that nothing is overwritten outside: the result is thrown away.
  bool ensure() {
    if (size_ + kSlack <= maxSize_) return true;
    full_ = true;
    size_ = 0;
    return false;
  }
  bool full() const { return full_; }

  static Xbyak::Reg64 r64(Reg reg) { return Xbyak::Reg64(static_cast<int>(hw(reg))); }
  static Xbyak::Reg32 r32(Reg reg) { return Xbyak::Reg32(static_cast<int>(hw(reg))); }
  static Xbyak::Xmm x(Reg reg) { return Xbyak::Xmm(static_cast<int>(hw(reg))); }
  static Xbyak::Address address(Mem mem, uint32_t bits) {
    Xbyak::RegExp exp(r64(mem.base));
    if (mem.index != kNoReg) exp = exp + r64(mem.index) * (1 << mem.scale_log2);
    return Xbyak::AddressFrame(bits)[exp + static_cast<size_t>(static_cast<int64_t>(mem.disp))];
  }

  // Direct encoders. w: 64-bit operation, else 32-bit.
  void byte(unsigned value) { top_[size_++] = static_cast<uint8_t>(value); }
  void dword(uint32_t value) { memcpy(top_ + size_, &value, 4), size_ += 4; }
  void qword(uint64_t value) { memcpy(top_ + size_, &value, 8), size_ += 8; }
  void rr(bool w, unsigned opcode, Reg reg, Reg rm) {
    Cursor c(*this);
    c.rex(w, reg, kNoReg, rm);
    c.byte(opcode);
    c.modrm_rr(reg, rm);
  }
  void rr0f(bool w, unsigned opcode, Reg reg, Reg rm, bool byte_rm = false) {
    Cursor c(*this);
    c.rex(w, reg, kNoReg, rm, byte_rm);
    c.byte(0x0f), c.byte(opcode);
    c.modrm_rr(reg, rm);
  }
  void rm(bool w, unsigned opcode, Reg reg, Mem mem, bool byte_reg = false) {
    Cursor c(*this);
    c.rex(w, reg, mem.index, mem.base, false, byte_reg);
    c.byte(opcode);
    c.modrm_mem(reg, mem);
  }
  void rm0f(bool w, unsigned opcode, Reg reg, Mem mem) {
    Cursor c(*this);
    c.rex(w, reg, mem.index, mem.base);
    c.byte(0x0f), c.byte(opcode);
    c.modrm_mem(reg, mem);
  }

  void rm0f_byte(bool w, unsigned opcode, Reg reg, Mem mem, bool byte_reg) {
    Cursor c(*this);
    c.rex(w, reg, mem.index, mem.base, false, byte_reg);
    c.byte(0x0f), c.byte(opcode);
    c.modrm_mem(reg, mem);
  }

  void mov_rr(bool w, Reg dst, Reg src) { rr(w, 0x8b, dst, src); }
  void alu_rr(Alu op, bool w, Reg dst, Reg src) { rr(w, op * 8u + 3, dst, src); }
  void alu_rm(Alu op, bool w, Reg dst, Mem src) { rm(w, op * 8u + 3, dst, src); }
  void alu_mr(Alu op, bool w, Mem dst, Reg src) { rm(w, op * 8u + 1, src, dst); }
  void alu_ri(Alu op, bool w, Reg dst, int32_t imm) {
    Cursor c(*this);
    if (fits8(imm)) {
      c.rex(w, 0, kNoReg, dst);
      c.byte(0x83), c.modrm_rr(op, dst), c.byte(static_cast<uint8_t>(imm));
    } else {
      c.rex(w, 0, kNoReg, dst);
      if (dst == kRax) {
        c.byte(op * 8u + 5);
      } else {
        c.byte(0x81), c.modrm_rr(op, dst);
      }
      c.dword(static_cast<uint32_t>(imm));
    }
  }
  void alu_mi(Alu op, bool w, Mem dst, int32_t imm) {
    Cursor c(*this);
    c.rex(w, 0, dst.index, dst.base);
    c.byte(fits8(imm) ? 0x83 : 0x81);
    c.modrm_mem(op, dst);
    if (fits8(imm)) {
      c.byte(static_cast<uint8_t>(imm));
    } else {
      c.dword(static_cast<uint32_t>(imm));
    }
  }
  void test_rr(bool w, Reg a, Reg b) { rr(w, 0x85, b, a); }
  void test_ri(bool w, Reg a, int32_t imm) {
    Cursor c(*this);
    c.rex(w, 0, kNoReg, a);
    c.byte(0xf7), c.modrm_rr(0, a), c.dword(static_cast<uint32_t>(imm));
  }
  // Shortest form that keeps flags.
  void mov_ri(Reg dst, uint64_t imm) {
    Cursor c(*this);
    if (imm <= 0xffffffff) {
      c.rex(false, 0, kNoReg, dst);
      c.byte(0xb8 + (dst & 7)), c.dword(static_cast<uint32_t>(imm));
    } else if (fits32(imm)) {
      c.rex(true, 0, kNoReg, dst);
      c.byte(0xc7), c.modrm_rr(0, dst), c.dword(static_cast<uint32_t>(imm));
    } else {
      c.rex(true, 0, kNoReg, dst);
      c.byte(0xb8 + (dst & 7)), c.qword(imm);
    }
  }
  void zero(Reg dst) { rr(false, 0x33, dst, dst); }
  void load(bool w, Reg dst, Mem src) { rm(w, 0x8b, dst, src); }
  // bytes: 1, 2, 4, 8.
  void store(unsigned bytes, Mem dst, Reg src) {
    if (bytes == 2) byte(0x66);
    rm(bytes == 8, bytes == 1 ? 0x88 : 0x89, src, dst, bytes == 1);
  }
  void store_imm(unsigned bytes, Mem dst, int32_t imm) {
    Cursor c(*this);
    if (bytes == 2) c.byte(0x66);
    c.rex(bytes == 8, 0, dst.index, dst.base);
    c.byte(bytes == 1 ? 0xc6 : 0xc7);
    c.modrm_mem(0, dst);
    if (bytes == 1) {
      c.byte(static_cast<uint8_t>(imm));
    } else if (bytes == 2) {
      c.byte(static_cast<uint8_t>(imm)), c.byte(static_cast<uint8_t>(imm >> 8));
    } else {
      c.dword(static_cast<uint32_t>(imm));
    }
  }
  void lea_rm(bool w, Reg dst, Mem src) { rm(w, 0x8d, dst, src); }
  void shift_ri(Shift op, bool w, Reg dst, unsigned count) {
    Cursor c(*this);
    c.rex(w, 0, kNoReg, dst);
    c.byte(count == 1 ? 0xd1 : 0xc1), c.modrm_rr(op, dst);
    if (count != 1) c.byte(count);
  }
  void shift_cl(Shift op, bool w, Reg dst) {
    Cursor c(*this);
    c.rex(w, 0, kNoReg, dst);
    c.byte(0xd3), c.modrm_rr(op, dst);
  }
  void unary(unsigned ext, bool w, Reg reg) {  // f7 group: 2 not, 3 neg, 4 mul, 5 imul, 6 div, 7 idiv
    Cursor c(*this);
    c.rex(w, 0, kNoReg, reg);
    c.byte(0xf7), c.modrm_rr(static_cast<Reg>(ext), reg);
  }
  void movzx(unsigned from_bytes, Reg dst, Reg src) { rr0f(false, from_bytes == 1 ? 0xb6 : 0xb7, dst, src, from_bytes == 1); }
  void movsx(unsigned from_bytes, bool w, Reg dst, Reg src) {
    if (from_bytes == 4) {
      rr(true, 0x63, dst, src);
    } else {
      rr0f(w, from_bytes == 1 ? 0xbe : 0xbf, dst, src, from_bytes == 1);
    }
  }
  void imul_rr(bool w, Reg dst, Reg src) { rr0f(w, 0xaf, dst, src); }
  void imul_rri(bool w, Reg dst, Reg src, int32_t imm) {
    rr(w, fits8(imm) ? 0x6b : 0x69, dst, src);
    if (fits8(imm)) {
      byte(static_cast<uint8_t>(imm));
    } else {
      dword(static_cast<uint32_t>(imm));
    }
  }
  void setcc_r(Cc cc, Reg dst) {
    Cursor c(*this);
    c.rex(false, 0, kNoReg, dst, true);
    c.byte(0x0f), c.byte(0x90u + cc), c.modrm_rr(0, dst);
  }
  void cmov(Cc cc, bool w, Reg dst, Reg src) { rr0f(w, 0x40u + cc, dst, src); }

  // Scalar floating point, opcode in map 0f. is_double chooses the prefix f2 or f3 (00 or 66 for compares: packed_prefix).
  void sse(unsigned prefix, unsigned opcode, Reg reg, Reg rm) {
    Cursor c(*this);
    if (prefix) c.byte(prefix);
    c.rex(false, hw_reg(reg), kNoReg, hw_reg(rm));
    c.byte(0x0f), c.byte(opcode), c.modrm_rr(hw_reg(reg), hw_reg(rm));
  }
  void sse_m(unsigned prefix, unsigned opcode, Reg reg, Mem mem) {
    Cursor c(*this);
    if (prefix) c.byte(prefix);
    c.rex(false, hw_reg(reg), mem.index, mem.base);
    c.byte(0x0f), c.byte(opcode), c.modrm_mem(hw_reg(reg), mem);
  }
  // Operand at a rip-relative place; returns the displacement field for bind_far().
  uint32_t sse_literal(unsigned prefix, unsigned opcode, Reg reg) {
    Cursor c(*this);
    if (prefix) c.byte(prefix);
    c.rex(false, hw_reg(reg), kNoReg, 0);
    c.byte(0x0f), c.byte(opcode), c.byte((reg & 7u) << 3 | 5), c.dword(0);
    return c.offset() - 4;
  }
  // VEX.128 map 0f, three operands. pp: 0 none, 1 66, 2 f3, 3 f2.
  void vex(unsigned pp, unsigned opcode, Reg reg, Reg first, Reg rm) {
    Cursor c(*this);
    c.vex_prefix(pp, hw_reg(reg), hw_reg(first), kNoReg, hw_reg(rm));
    c.byte(opcode), c.modrm_rr(hw_reg(reg), hw_reg(rm));
  }
  void vex_m(unsigned pp, unsigned opcode, Reg reg, Reg first, Mem mem) {
    Cursor c(*this);
    c.vex_prefix(pp, hw_reg(reg), hw_reg(first), mem.index, mem.base);
    c.byte(opcode), c.modrm_mem(hw_reg(reg), mem);
  }

  void push_imm(int32_t imm) {
    byte(fits8(imm) ? 0x6a : 0x68);
    if (fits8(imm)) {
      byte(static_cast<uint8_t>(imm));
    } else {
      dword(static_cast<uint32_t>(imm));
    }
  }
  void ret_pop(unsigned bytes) { byte(0xc2), byte(bytes), byte(bytes >> 8); }
  // Address relative to rip; returns the offset of the displacement field.
  uint32_t lea_rip(Reg dst) {
    byte(0x48u | (dst & 8u) >> 1), byte(0x8d), byte((dst & 7u) << 3 | 5), dword(0);
    return at() - 4;
  }
  // Jumps; return the offset of the displacement field, for bind().
  uint32_t jcc_far(Cc cc) {
    byte(0x0f), byte(0x80u + cc), dword(0);
    return at() - 4;
  }
  uint32_t call_far() {
    byte(0xe8), dword(0);
    return at() - 4;
  }
  uint32_t jmp_far() {
    byte(0xe9), dword(0);
    return at() - 4;
  }
  uint32_t jcc_near(Cc cc) {
    byte(0x70u + cc), byte(0);
    return at() - 1;
  }
  uint32_t jmp_near() {
    byte(0xeb), byte(0);
    return at() - 1;
  }
  void bind_far(uint32_t field) { patch(field, at()); }
  void patch(uint32_t field, uint32_t target) {
    int32_t distance = static_cast<int32_t>(target) - static_cast<int32_t>(field + 4);
    memcpy(top_ + field, &distance, 4);
  }
  void bind_near(uint32_t field) { top_[field] = static_cast<uint8_t>(at() - (field + 1)); }
  void jmp_back(uint32_t target) {
    int32_t distance = static_cast<int32_t>(target) - static_cast<int32_t>(at() + 2);
    if (fits8(distance)) {
      byte(0xeb), byte(static_cast<uint8_t>(distance));
    } else {
      patch(jmp_far(), target);
    }
  }
  void jcc_back(Cc cc, uint32_t target) {
    int32_t distance = static_cast<int32_t>(target) - static_cast<int32_t>(at() + 2);
    if (fits8(distance)) {
      byte(0x70u + cc), byte(static_cast<uint8_t>(distance));
    } else {
      patch(jcc_far(cc), target);
    }
  }
  // Multi-byte nops (Intel SDM volume 2, NOP, table 4-12).
  void nops(unsigned count) {
    static constexpr uint8_t kNops[8][8] = {{},
                                            {0x90},
                                            {0x66, 0x90},
                                            {0x0f, 0x1f, 0x00},
                                            {0x0f, 0x1f, 0x40, 0x00},
                                            {0x0f, 0x1f, 0x44, 0x00, 0x00},
                                            {0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00},
                                            {0x0f, 0x1f, 0x80, 0x00, 0x00, 0x00, 0x00}};
    while (count) {
      unsigned step = count < 7 ? count : 7;
      memcpy(top_ + size_, kNops[step], step);
      size_ += step, count -= step;
    }
  }

 private:
  inline static uint8_t dummy_[64];
  bool full_ = false;
};

}  // namespace lyre::backend::x64
