// RISC-V assembler. Formats: RISC-V Unprivileged ISA, chapters 2.3 and 2.5. See riscv_assembler.h.
#include "machine/firmware/riscv_assembler.h"

#include <cstring>

#include "runtime/base/bits.h"
#include "runtime/base/check.h"

namespace lyre::machine {
namespace {

constexpr size_t kUnbound = ~size_t{0};

constexpr bool fits(int64_t value, unsigned width) { return sign_extend(static_cast<uint64_t>(value), width) == value; }

uint32_t branch_bits(int64_t offset) {
  auto u = static_cast<uint64_t>(offset);
  return static_cast<uint32_t>(bits(u, 12, 1) << 31 | bits(u, 5, 6) << 25 | bits(u, 1, 4) << 8 | bits(u, 11, 1) << 7);
}

uint32_t jump_bits(int64_t offset) {
  auto u = static_cast<uint64_t>(offset);
  return static_cast<uint32_t>(bits(u, 20, 1) << 31 | bits(u, 1, 10) << 21 | bits(u, 11, 1) << 20 |
                               bits(u, 12, 8) << 12);
}

}  // namespace

RiscvAssembler::Label RiscvAssembler::label() {
  labels_.push_back(kUnbound);
  return {labels_.size() - 1};
}

void RiscvAssembler::bind(Label label) {
  LYRE_CHECK(labels_[label.id] == kUnbound, "a label is bound once");
  labels_[label.id] = words_.size();
}

RiscvAssembler::Label RiscvAssembler::here() {
  Label made = label();
  bind(made);
  return made;
}

void RiscvAssembler::r_type(uint32_t opcode, uint32_t f3, uint32_t f7, Reg rd, Reg rs1, Reg rs2) {
  emit(f7 << 25 | uint32_t{rs2} << 20 | uint32_t{rs1} << 15 | f3 << 12 | uint32_t{rd} << 7 | opcode);
}

void RiscvAssembler::i_type(uint32_t opcode, uint32_t f3, Reg rd, Reg rs1, int imm) {
  LYRE_CHECK(fits(imm, 12), "an immediate has 12 bits");
  emit((static_cast<uint32_t>(imm) & 0xfff) << 20 | uint32_t{rs1} << 15 | f3 << 12 | uint32_t{rd} << 7 | opcode);
}

void RiscvAssembler::s_type(uint32_t f3, Reg value, Reg base, int imm) {
  LYRE_CHECK(fits(imm, 12), "an immediate has 12 bits");
  uint32_t u = static_cast<uint32_t>(imm) & 0xfff;
  emit((u >> 5) << 25 | uint32_t{value} << 20 | uint32_t{base} << 15 | f3 << 12 | (u & 0x1f) << 7 | 0x23);
}

void RiscvAssembler::csr_op(uint32_t f3, Reg rd, unsigned csr, Reg rs) {
  emit(csr << 20 | uint32_t{rs} << 15 | f3 << 12 | uint32_t{rd} << 7 | 0x73);
}

void RiscvAssembler::branch(uint32_t f3, Reg a, Reg b, Label to) {
  references_.push_back({words_.size(), to.id, Use::kBranch});
  emit(uint32_t{b} << 20 | uint32_t{a} << 15 | f3 << 12 | 0x63);
}

void RiscvAssembler::jump(Reg rd, Label to) {
  references_.push_back({words_.size(), to.id, Use::kJump});
  emit(uint32_t{rd} << 7 | 0x6f);
}

void RiscvAssembler::la(Reg rd, Label to) {
  references_.push_back({words_.size(), to.id, Use::kAddress});
  emit(uint32_t{rd} << 7 | 0x17);
  i_type(0x13, 0, rd, rd, 0);
}

// lui and addiw for 32 bits; larger values from the top, twelve bits at a time.
void RiscvAssembler::li(Reg rd, uint64_t value) {
  if (xlen_ == 32) value = static_cast<uint64_t>(sign_extend(value, 32));
  auto number = static_cast<int64_t>(value);
  if (fits(number, 12)) return addi(rd, zero, static_cast<int>(number));
  int low = static_cast<int>(sign_extend(value, 12));
  if (fits(number, 32)) {
    emit((static_cast<uint32_t>(number - low) & 0xfffff000) | uint32_t{rd} << 7 | 0x37);
    if (low) addiw(rd, rd, low);
    return;
  }
  uint64_t rest = (value - static_cast<uint64_t>(int64_t{low})) >> 12;
  li(rd, static_cast<uint64_t>(sign_extend(rest, 52)));
  slli(rd, rd, 12);
  if (low) addi(rd, rd, low);
}

void RiscvAssembler::resolve(const Reference& reference) {
  size_t target = labels_[reference.label];
  LYRE_CHECK(target != kUnbound, "a label that is used is bound");
  int64_t offset = (static_cast<int64_t>(target) - static_cast<int64_t>(reference.word)) * 4;
  uint32_t& word = words_[reference.word];
  switch (reference.use) {
    case Use::kBranch:
      LYRE_CHECK(fits(offset, 13), "a branch reaches 4 KiB");
      word |= branch_bits(offset);
      return;
    case Use::kJump:
      LYRE_CHECK(fits(offset, 21), "a jump reaches 1 MiB");
      word |= jump_bits(offset);
      return;
    case Use::kAddress: {
      int64_t low = sign_extend(static_cast<uint64_t>(offset), 12);
      word |= static_cast<uint32_t>(offset - low) & 0xfffff000;
      words_[reference.word + 1] |= static_cast<uint32_t>(low & 0xfff) << 20;
      return;
    }
  }
}

std::vector<std::byte> RiscvAssembler::finish() {
  for (const Reference& reference : references_) resolve(reference);
  references_.clear();
  std::vector<std::byte> bytes(size());
  std::memcpy(bytes.data(), words_.data(), bytes.size());
  return bytes;
}

}  // namespace lyre::machine
