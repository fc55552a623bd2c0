// Rows against the installed Capstone, where it knows RISC-V (from version 5 on) and the row: which instruction a word is, and its operands. Fixed seed.
// Divergences are listed with their reasons. What Capstone does not know is compared with objdump (riscv_objdump.cpp).
#include <capstone/capstone.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "frontend/riscv/disasm.h"
#include "tests/decode/random_word.h"
#include "tests/support/catch.h"

using namespace lyre;
using namespace lyre::riscv;

namespace {

#if CS_API_MAJOR >= 5

constexpr int kFillings = 40;

// Rows that Capstone names or prints differently, how, and why.
enum class How : uint8_t {
  kOtherName,   // `instead`, with whatever operands
  kLeavesOut,   // operands are missing, the others are in order
  kOtherOrder,  // the same operands
  kOneOther,    // one operand may be anything
};
struct Divergence {
  std::string_view name;  // with a dot at its end: all rows that begin so
  How how;
  std::string_view instead;
  std::string_view reason;
};
constexpr Divergence kDivergences[] = {
    {"pause", How::kOtherName, "fence", "a hint: Capstone shows what its encoding does without the extension"},
    {"ntl.", How::kOtherName, "add", "the same"},
    {"prefetch.", How::kOtherName, "ori", "the same"},
    {"c.addi", How::kOtherName, "c.nop", "the same, for register zero"},
    {"c.mop.", How::kOtherName, "c.lui", "Zcmop took encodings that were reserved when Capstone's tables were made"},
    {"jal", How::kLeavesOut, "", "register ra is left out"},
    {"sfence.vma", How::kLeavesOut, "", "registers zero are left out"},
    {"fcvt.d.s", How::kLeavesOut, "", "exact conversions have a rounding mode all the same; Capstone leaves out rne"},
    {"fcvt.d.w", How::kLeavesOut, "", "the same"},
    {"fcvt.d.wu", How::kLeavesOut, "", "the same"},
    {"jalr", How::kOtherOrder, "", "Capstone writes rd, rs1, offset; binutils and we rd, offset(rs1)"},
    {"csrrw", How::kOneOther, "", "control registers that one of the two has no name for are numbers there"},
    {"csrrs", How::kOneOther, "", "the same"},
    {"csrrc", How::kOneOther, "", "the same"},
    {"csrrwi", How::kOneOther, "", "the same"},
    {"csrrsi", How::kOneOther, "", "the same"},
    {"csrrci", How::kOneOther, "", "the same"},
};

// "a0,-8(sp)" as {"a0", "-8", "sp"}: numbers in decimal, whatever they were written in.
std::vector<std::string> operands_of(std::string_view text) {
  std::vector<std::string> list;
  std::string word;
  auto end_word = [&] {
    if (word.empty()) return;
    char* rest = nullptr;
    const bool negative = word[0] == '-';
    const uint64_t value = std::strtoull(word.c_str() + negative, &rest, 0);
    if (*rest == 0) word = std::to_string(static_cast<int64_t>(negative ? 0 - value : value));
    list.push_back(word);
    word.clear();
  };
  for (char c : text) {
    if (c == ',' || c == '(' || c == ')' || c == ' ') end_word();
    else word += c;
  }
  end_word();
  return list;
}

// An alias leaves out operands that its name says: what it prints stands in ours in the same order.
bool is_part(const std::vector<std::string>& part, const std::vector<std::string>& whole) {
  size_t at = 0;
  for (const std::string& word : whole)
    if (at < part.size() && part[at] == word) ++at;
  return at == part.size();
}

// What one of the two says of a word.
struct Reading {
  std::string name;  // of the instruction, whatever alias is printed
  bool alias = false;
  std::vector<std::string> operands;
};

bool diverges_as_listed(const Divergence& listed, const Reading& theirs, const Reading& ours) {
  if (listed.how == How::kOtherName) return theirs.name == listed.instead;
  if (theirs.name != ours.name) return false;
  std::vector<std::string> left = theirs.operands, right = ours.operands;
  if (listed.how == How::kLeavesOut) return is_part(left, right);
  if (listed.how == How::kOtherOrder) {
    std::sort(left.begin(), left.end());
    std::sort(right.begin(), right.end());
    return left == right;
  }
  for (size_t k = 0; k < left.size(); ++k) {
    std::vector<std::string> others = left;
    others.erase(others.begin() + static_cast<ptrdiff_t>(k));
    if (is_part(others, right) && (theirs.alias || left.size() == right.size())) return true;
  }
  return false;
}

bool agree(const Reading& theirs, const Reading& ours) {
  if (theirs.name == ours.name && (theirs.alias ? is_part(theirs.operands, ours.operands) : theirs.operands == ours.operands)) return true;
  for (const Divergence& listed : kDivergences)
    if ((listed.name.ends_with('.') ? ours.name.starts_with(listed.name) : ours.name == listed.name) && diverges_as_listed(listed, theirs, ours))
      return true;
  return false;
}

struct Decoder {
  Decoder() { open = cs_open(CS_ARCH_RISCV, static_cast<cs_mode>(CS_MODE_RISCV64 | CS_MODE_RISCVC), &handle) == CS_ERR_OK; }
  ~Decoder() {
    if (open) cs_close(&handle);
  }
  csh handle = 0;
  bool open = false;
};

TEST_CASE("rows are what Capstone takes them for") {
  Decoder capstone;
  if (!capstone.open) {
    WARN("the installed Capstone was built without RISC-V: rows are compared with objdump only");
    return;
  }
  std::unique_ptr<RiscvCpu> cpu = std::move(*create_riscv_cpu("max", {}));
  std::mt19937 random(5);
  std::set<std::string> known;
  std::map<std::string, int> differing;
  unsigned rows = 0, compared = 0;
  for (std::span<const Row> file : all_rows()) {
    for (const Row& row : file) {
      ++rows;
      for (int k = 0; k < kFillings; ++k) {
        const uint32_t word = test::random_word(row.picture, random);
        if (cpu->find_row(word) != &row) continue;  // another row's words, or a model without it
        const uint8_t bytes[4] = {static_cast<uint8_t>(word), static_cast<uint8_t>(word >> 8), static_cast<uint8_t>(word >> 16),
                                  static_cast<uint8_t>(word >> 24)};
        cs_insn* insn = nullptr;
        if (cs_disasm(capstone.handle, bytes, row.bytes(), 0, 1, &insn) != 1) continue;
        known.insert(row.name);
        ++compared;
        Reading theirs{cs_insn_name(capstone.handle, insn->id), false, operands_of(insn->op_str)}, ours;
        theirs.alias = theirs.name != insn->mnemonic;
        const std::string shown = std::string(insn->mnemonic) + " " + insn->op_str;
        const unsigned size = insn->size;
        cs_free(insn, 1);
        const std::string printed = disassemble_row(row, word, Gva{0});
        const size_t tab = std::min(printed.find('\t'), printed.size());
        ours.name = printed.substr(0, tab);
        ours.operands = operands_of(std::string_view(printed).substr(std::min(tab + 1, printed.size())));
        if ((size == row.bytes() && agree(theirs, ours)) || differing[row.name]++ >= 2) continue;
        std::ostringstream text;
        text << std::hex << word << ": ours '" << printed << "', Capstone '" << shown << "' (" << theirs.name << ")";
        FAIL_CHECK(text.str());
      }
    }
  }
  WARN("Capstone " << CS_VERSION_MAJOR << "." << CS_VERSION_MINOR << " knows " << known.size() << " of " << rows << " rows, " << compared << " words compared");
  CHECK(known.size() >= 200);
}

#else

TEST_CASE("rows are what Capstone takes them for") {
  WARN("Capstone " << CS_API_MAJOR << "." << CS_API_MINOR << " knows no RISC-V: rows are compared with objdump only");
}

#endif

}  // namespace
