// Operand words and how each is printed; register names.
#include "frontend/riscv/disasm.h"

#include <cstdlib>
#include <string_view>

#include "frontend/riscv/sysreg.h"
#include "runtime/base/bits.h"

namespace lyre::riscv {

namespace {

constexpr char kRegisterNames[32][5] = {"zero", "ra", "sp", "gp", "tp", "t0", "t1", "t2", "s0", "s1", "a0",  "a1",  "a2", "a3", "a4", "a5",
                                        "a6",   "a7", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "t3", "t4", "t5", "t6"};
constexpr char kFloatNames[32][5] = {"ft0", "ft1", "ft2", "ft3", "ft4", "ft5", "ft6", "ft7", "fs0", "fs1", "fa0",  "fa1",  "fa2", "fa3", "fa4",  "fa5",
                                     "fa6", "fa7", "fs2", "fs3", "fs4", "fs5", "fs6", "fs7", "fs8", "fs9", "fs10", "fs11", "ft8", "ft9", "ft10", "ft11"};

std::string decimal(int64_t value) { return std::to_string(value); }
std::string hex(uint64_t value) {
  char text[18];
  char* first = text + sizeof text;
  do {
    *--first = "0123456789abcdef"[value & 15];
    value >>= 4;
  } while (value);
  *--first = 'x';
  *--first = '0';
  return std::string(first, text + sizeof text);
}

// An immediate as a list of its pieces in the word, most significant first: "12 6:5" is bit 12, then bits 6 to 5.
struct Piece {
  uint8_t high, low, to;  // word bits [high:low] go to immediate bits from `to`
};
struct Immediate {
  Piece pieces[8];
  uint8_t sign_bit;  // 0: unsigned
};
int64_t value_of(const Immediate& immediate, uint32_t word) {
  uint64_t value = 0;
  for (const Piece& piece : immediate.pieces) {
    if (!piece.high) break;
    value |= bits(word, piece.low, piece.high - piece.low + 1u) << piece.to;
  }
  return immediate.sign_bit ? sign_extend(value, immediate.sign_bit + 1u) : static_cast<int64_t>(value);
}

enum class Kind : uint8_t { kRegister, kFloat, kDecimal, kHex, kHex20, kTarget, kRounding, kCsr, kFence, kRegisterText };
struct Operand {
  char name[12];
  Kind kind;
  Immediate from;   // registers: the field; compressed three-bit registers add 8
  uint8_t add = 0;
};

constexpr Operand kOperands[] = {
    {"rd", Kind::kRegister, {{{11, 7, 0}}, 0}},
    {"rs1", Kind::kRegister, {{{19, 15, 0}}, 0}},
    {"rs2", Kind::kRegister, {{{24, 20, 0}}, 0}},
    {"frd", Kind::kFloat, {{{11, 7, 0}}, 0}},
    {"frs1", Kind::kFloat, {{{19, 15, 0}}, 0}},
    {"frs2", Kind::kFloat, {{{24, 20, 0}}, 0}},
    {"frs3", Kind::kFloat, {{{31, 27, 0}}, 0}},
    {"rm", Kind::kRounding, {{{14, 12, 0}}, 0}},
    {"csr", Kind::kCsr, {{{31, 20, 0}}, 0}},
    {"uimm5", Kind::kDecimal, {{{19, 15, 0}}, 0}},
    {"imm12", Kind::kDecimal, {{{31, 20, 0}}, 11}},
    {"off12", Kind::kDecimal, {{{31, 20, 0}}, 11}},
    {"soff12", Kind::kDecimal, {{{31, 25, 5}, {11, 7, 0}}, 11}},
    {"poff", Kind::kDecimal, {{{31, 25, 5}}, 11}},
    {"imm20", Kind::kHex20, {{{31, 12, 0}}, 0}},
    {"shamt6", Kind::kHex, {{{25, 20, 0}}, 0}},
    {"shamt5", Kind::kHex, {{{24, 20, 0}}, 0}},
    {"rnum", Kind::kHex, {{{23, 20, 0}}, 0}},
    {"bs", Kind::kHex, {{{31, 30, 0}}, 0}},
    {"target20", Kind::kTarget, {{{31, 31, 20}, {19, 12, 12}, {20, 20, 11}, {30, 21, 1}}, 20}},
    {"target12", Kind::kTarget, {{{31, 31, 12}, {7, 7, 11}, {30, 25, 5}, {11, 8, 1}}, 12}},
    {"pred", Kind::kFence, {{{27, 24, 0}}, 0}},
    {"succ", Kind::kFence, {{{23, 20, 0}}, 0}},
    {"mop_r", Kind::kDecimal, {{{30, 30, 4}, {27, 26, 2}, {21, 20, 0}}, 0}},
    {"mop_rr", Kind::kDecimal, {{{30, 30, 2}, {27, 26, 0}}, 0}},
    // Compressed.
    {"sp", Kind::kRegisterText, {}, 2},
    {"crs2", Kind::kRegister, {{{6, 2, 0}}, 0}},
    {"cfrs2", Kind::kFloat, {{{6, 2, 0}}, 0}},
    {"crd_l", Kind::kRegister, {{{4, 2, 0}}, 0}, 8},
    {"cfrd_l", Kind::kFloat, {{{4, 2, 0}}, 0}, 8},
    {"crd_h", Kind::kRegister, {{{9, 7, 0}}, 0}, 8},
    {"crs1", Kind::kRegister, {{{9, 7, 0}}, 0}, 8},
    {"cimm6", Kind::kDecimal, {{{12, 12, 5}, {6, 2, 0}}, 5}},
    {"cshamt6", Kind::kHex, {{{12, 12, 5}, {6, 2, 0}}, 0}},
    {"clui", Kind::kHex20, {{{12, 12, 5}, {6, 2, 0}}, 5}},
    {"caddi4spn", Kind::kDecimal, {{{10, 7, 6}, {12, 11, 4}, {5, 5, 3}, {6, 6, 2}}, 0}},
    {"caddi16sp", Kind::kDecimal, {{{12, 12, 9}, {4, 3, 7}, {5, 5, 6}, {2, 2, 5}, {6, 6, 4}}, 9}},
    {"cb_off", Kind::kDecimal, {{{5, 5, 1}, {6, 6, 0}}, 0}},
    {"ch_off", Kind::kDecimal, {{{5, 5, 1}}, 0}},
    {"cw_off", Kind::kDecimal, {{{5, 5, 6}, {12, 10, 3}, {6, 6, 2}}, 0}},
    {"cd_off", Kind::kDecimal, {{{6, 5, 6}, {12, 10, 3}}, 0}},
    {"clwsp", Kind::kDecimal, {{{3, 2, 6}, {12, 12, 5}, {6, 4, 2}}, 0}},
    {"cldsp", Kind::kDecimal, {{{4, 2, 6}, {12, 12, 5}, {6, 5, 3}}, 0}},
    {"cswsp", Kind::kDecimal, {{{8, 7, 6}, {12, 9, 2}}, 0}},
    {"csdsp", Kind::kDecimal, {{{9, 7, 6}, {12, 10, 3}}, 0}},
    {"ctarget11", Kind::kTarget, {{{12, 12, 11}, {8, 8, 10}, {10, 9, 8}, {6, 6, 7}, {7, 7, 6}, {2, 2, 5}, {11, 11, 4}, {5, 3, 1}}, 11}},
    {"ctarget8", Kind::kTarget, {{{12, 12, 8}, {6, 5, 6}, {2, 2, 5}, {11, 10, 3}, {4, 3, 1}}, 8}},
};

const Operand* find_operand(std::string_view name) {
  for (const Operand& operand : kOperands)
    if (name == operand.name) return &operand;
  return nullptr;
}

std::string text_of(const Operand& operand, uint32_t word, Gva pc, unsigned xlen) {
  int64_t value = value_of(operand.from, word);
  switch (operand.kind) {
    case Kind::kRegister: return kRegisterNames[(value + operand.add) & 31];
    case Kind::kRegisterText: return kRegisterNames[operand.add];
    case Kind::kFloat: return kFloatNames[(value + operand.add) & 31];
    case Kind::kDecimal: return decimal(value);
    case Kind::kHex: return hex(static_cast<uint64_t>(value));
    case Kind::kHex20: return hex(static_cast<uint64_t>(value) & 0xfffff);
    case Kind::kTarget: return hex((pc.value + static_cast<uint64_t>(value)) & low_mask(xlen));
    case Kind::kCsr: {
      const Csr* csr = find_csr(static_cast<unsigned>(value));
      if (!csr) return hex(static_cast<uint64_t>(value));
      // A row for several registers has the first one's name, which ends in its number, and an h where it is an upper half.
      std::string name = csr->name;
      unsigned index = static_cast<unsigned>(value) - csr->number;
      if (!index) return name;
      size_t end = name.find_last_of("0123456789") + 1, digits = name.find_last_not_of("0123456789", end - 1) + 1;
      return name.substr(0, digits) + std::to_string(std::strtoul(name.c_str() + digits, nullptr, 10) + index) + name.substr(end);
    }
    case Kind::kRounding: {
      constexpr const char* kModes[] = {"rne", "rtz", "rdn", "rup", "rmm", "unknown", "unknown", ""};
      return kModes[value & 7];
    }
    case Kind::kFence: {
      std::string set;
      for (unsigned k = 0; k < 4; ++k)
        if (value & (8 >> k)) set += "iorw"[k];
      return set.empty() ? "unknown" : set;
    }
  }
  return {};
}

bool is_word(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'; }

// Splits an operand string into words and what stands between them.
template <typename Word, typename Other>
void scan(std::string_view operands, Word on_word, Other on_other) {
  while (!operands.empty()) {
    size_t length = 0;
    while (length < operands.size() && is_word(operands[length])) ++length;
    if (length) {
      on_word(operands.substr(0, length));
      operands.remove_prefix(length);
    } else {
      on_other(operands[0]);
      operands.remove_prefix(1);
    }
  }
}

}  // namespace

const char* register_name(unsigned reg) { return kRegisterNames[reg & 31]; }
const char* float_register_name(unsigned reg) { return kFloatNames[reg & 31]; }

bool operands_known(const Row& row) {
  bool known = true;
  scan(row.operands, [&](std::string_view word) { known = known && find_operand(word); }, [](char) {});
  return known;
}

std::string disassemble_row(const Row& row, uint32_t word, Gva pc, unsigned xlen) {
  std::string text = row.name;
  if (row.picture.field_mask('q')) {
    constexpr const char* kSuffixes[] = {"", ".rl", ".aq", ".aqrl"};
    text += kSuffixes[word >> 25 & 3];
  }
  if (row.operands[0]) text += '\t';
  scan(
      row.operands,
      [&](std::string_view name) {
        const Operand* operand = find_operand(name);
        if (operand) text += text_of(*operand, word, pc, xlen);
      },
      [&](char other) { text += other; });
  // Dynamic rounding is not printed.
  if (text.back() == ',') text.pop_back();
  return text;
}

std::string RiscvCpu::disassemble(std::span<const uint8_t> bytes, Gva pc, unsigned& length) const {
  length = 0;
  if (bytes.size() < 2) return {};
  uint32_t word = static_cast<uint32_t>(bytes[0] | bytes[1] << 8);
  bool is_wide = (word & 3) == 3;
  if (is_wide) {
    if (bytes.size() < 4) return {};
    word |= static_cast<uint32_t>(bytes[2]) << 16 | static_cast<uint32_t>(bytes[3]) << 24;
  }
  const Row* row = find_row(word);
  if (!row) return (is_wide ? ".4byte\t" : ".2byte\t") + hex(word);
  length = is_wide ? 4 : 2;
  return disassemble_row(*row, word, pc, config_.xlen);
}

}  // namespace lyre::riscv
