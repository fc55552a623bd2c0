// Rows against binutils, where riscv64-linux-gnu-as and -objdump are installed: the text of every row that objdump knows, and which words are instructions
// at all, for both widths. Fixed seeds. Divergences are listed with their reasons.
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <sstream>
#include <string>

#include "frontend/riscv/disasm.h"
#include "tests/decode/random_word.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_file.h"

using namespace lyre;
using namespace lyre::riscv;

namespace {

// What the assembler of Debian 12 (2.40) can be told to accept; later extensions are checked by riscv_encodings.cpp.
constexpr std::string_view kKnown[] = {"zicsr", "zifencei", "zihintpause", "zawrs", "zba",  "zbb",   "zbc",  "zbs",     "zbkb",    "zbkc",   "zbkx",
                                       "zknd",  "zkne",     "zknh",        "zksed", "zksh", "zfh", "zfhmin", "svinval", "zicbom", "zicbop", "zicboz"};
bool binutils_knows(const Row& row, unsigned xlen) {
  ExtSet known;
  for (unsigned k = 0; k < kNamedExtCount; ++k) {
    std::string_view name = kExtInfo[k].name;
    bool base = name.size() == 1 || name == "zmmul" || name == "zaamo" || name == "zalrsc" || name == "zca" || name == "zcd" || name == "zcf";
    if (base) known.add(static_cast<Ext>(k));
    for (std::string_view listed : kKnown)
      if (name == listed) known.add(static_cast<Ext>(k));
  }
  known.add(xlen == 32 ? Ext::rv32 : Ext::rv64);
  return row.needs.met_by(known);
}

// Words that only one side takes for an instruction, by the name that side gives, and why.
struct Divergence {
  std::string_view name;
  std::string_view reason;
};
constexpr Divergence kOnlyOurs[] = {
    {"fence", "reserved fm, rd and rs1 are to be ignored (Unprivileged ISA 2.7); objdump wants zeros"},
    {"fence.tso", "the same"},
    {"fence.i", "the same for its immediate, rd and rs1"},
    {"fcvt.d.s", "conversions that are exact have a rounding mode all the same; objdump knows only rne"},
    {"fcvt.d.w", "the same"},
    {"fcvt.d.wu", "the same"},
    {"fcvt.s.h", "the same"},
    {"fcvt.d.h", "the same"},
};
constexpr Divergence kOnlyObjdump[] = {
    {"uret", "the N extension was withdrawn"},
    {"hret", "removed from the privileged architecture"},
    {"sfence.vm", "removed from the privileged architecture"},
    {"dret", "debug mode only"},
    {"hinval.vvma", "H extension"}, {"hinval.gvma", "H extension"}, {"hfence.vvma", "H extension"}, {"hfence.gvma", "H extension"},
    {"hlv.b", "H extension"}, {"hlv.bu", "H extension"}, {"hlv.h", "H extension"}, {"hlv.hu", "H extension"}, {"hlv.w", "H extension"},
    {"hlv.wu", "H extension"}, {"hlv.d", "H extension"}, {"hlvx.hu", "H extension"}, {"hlvx.wu", "H extension"}, {"hsv.b", "H extension"},
    {"hsv.h", "H extension"}, {"hsv.w", "H extension"}, {"hsv.d", "H extension"},
    {"aes64ks1i", "round numbers above 10 are reserved"},
    {"c.addi16sp", "a zero immediate is reserved"},
};
// RV32 only: amounts of 32 and more are reserved, or custom ones; objdump prints them.
constexpr Divergence kOnlyObjdump32[] = {
    {"slli", "bit 5 of a shift amount"}, {"srli", "the same"},   {"srai", "the same"},   {"rori", "the same"},  {"bclri", "the same"}, {"bexti", "the same"},
    {"binvi", "the same"},               {"bseti", "the same"},  {"c.slli", "the same"}, {"c.srli", "the same"}, {"c.srai", "the same"},
};
template <size_t Count>
bool listed(const Divergence (&list)[Count], std::string_view name) {
  for (const Divergence& divergence : list)
    if (divergence.name == name) return true;
  return false;
}

// Differences of style that are kept.
bool same_but_for_style(const Row& row, std::string ours, const std::string& theirs) {
  std::string_view operands = row.operands;
  if (operands.find("target") != std::string_view::npos) ours.erase(ours.rfind("0x"), 2);  // branch targets have no 0x there
  if (ours == theirs) return true;
  // Control registers that this model does not have are numbers here, those newer than the assembler are numbers there.
  if (operands.find("csr") != std::string_view::npos && (ours.find(",0x") != std::string::npos || theirs.find(",0x") != std::string::npos)) return true;
  // Compressed shifts by zero are hints; objdump gives them the name that RV128 has for them.
  if (ours.ends_with(",0x0") && theirs.find("64\t") != std::string::npos) return true;
  // Exact conversions: the rounding mode is left out there.
  return listed(kOnlyOurs, row.name) && ours == theirs + ",rne";
}

bool have_binutils() { return std::system("riscv64-linux-gnu-objdump --version > /dev/null 2>&1 && riscv64-linux-gnu-as --version > /dev/null 2>&1") == 0; }

struct Line {
  uint64_t address;
  uint32_t word;
  std::string text;
};

// Disassembly of words, in order.
std::vector<Line> objdump(const std::vector<uint32_t>& words, unsigned xlen) {
  tests::TemporaryFile source(""), object(""), listing("");
  {
    std::ofstream out(source.path());
    out << ".option norelax\n.option arch, +zmmul";
    for (std::string_view name : kKnown) out << ",+" << name;
    out << "\n";
    for (uint32_t word : words) out << ".insn " << ((word & 3) == 3 ? 4 : 2) << ", " << word << "\n";
  }
  std::string assemble = "riscv64-linux-gnu-as -march=rv" + std::to_string(xlen) + "gc -o " + object.path() + " " + source.path();
  std::string list = "riscv64-linux-gnu-objdump -d -z -M no-aliases " + object.path() + " > " + listing.path();
  REQUIRE(std::system(assemble.c_str()) == 0);
  REQUIRE(std::system(list.c_str()) == 0);
  std::vector<Line> lines;
  std::ifstream in(listing.path());
  std::string line;
  while (std::getline(in, line)) {
    size_t colon = line.find(":\t");
    if (colon == std::string::npos) continue;
    Line made;
    made.address = std::stoull(line.substr(0, colon), nullptr, 16);
    size_t text = line.find('\t', colon + 2);
    if (text == std::string::npos) continue;
    made.word = static_cast<uint32_t>(std::stoull(line.substr(colon + 2, text - colon - 2), nullptr, 16));
    made.text = line.substr(text + 1);
    if (size_t comment = made.text.find(" #"); comment != std::string::npos) made.text.resize(comment);
    if (size_t symbol = made.text.find(" <"); symbol != std::string::npos) made.text.resize(symbol);
    while (!made.text.empty() && (made.text.back() == ' ' || made.text.back() == '\t')) made.text.pop_back();
    lines.push_back(made);
  }
  REQUIRE(lines.size() == words.size());
  return lines;
}

bool is_data(const Line& line) { return line.text.compare(0, 1, ".") == 0 || line.text.compare(0, 2, "0x") == 0; }

std::unique_ptr<RiscvCpu> reference_cpu(unsigned xlen) {
  std::vector<std::string> features = {"+g", "+c"};
  for (std::string_view name : kKnown) features.push_back("+" + std::string(name));
  Result<std::unique_ptr<RiscvCpu>> cpu = create_riscv_cpu(xlen == 32 ? "rv32i" : "rv64i", features, xlen);
  if (!cpu) FAIL(cpu.error().message);
  return std::move(*cpu);
}

}  // namespace

TEST_CASE("rows print as objdump prints them") {
  if (!have_binutils()) {
    WARN("riscv64-linux-gnu binutils are not installed: not compared");
    return;
  }
  const unsigned xlen = GENERATE(32u, 64u);
  std::unique_ptr<RiscvCpu> cpu = reference_cpu(xlen);
  std::mt19937 random(2);
  std::vector<uint32_t> words;
  for (std::span<const Row> file : all_rows())
    for (const Row& row : file)
      if (binutils_knows(row, xlen))
        for (int k = 0; k < 40; ++k) words.push_back(test::random_word(row.picture, random));
  std::map<std::string, int> differing;
  for (const Line& line : objdump(words, xlen)) {
    uint8_t bytes[4] = {static_cast<uint8_t>(line.word), static_cast<uint8_t>(line.word >> 8), static_cast<uint8_t>(line.word >> 16), static_cast<uint8_t>(line.word >> 24)};
    unsigned length = 0;
    std::string ours = cpu->disassemble(bytes, Gva{line.address}, length);
    const Row* row = cpu->find_row(line.word);
    std::string key = row ? row->name : "?";
    if (row && same_but_for_style(*row, ours, line.text)) continue;
    if (is_data(line) && listed(kOnlyOurs, key)) continue;
    if (differing[key]++ >= 3) continue;
    std::ostringstream word;
    word << std::hex << line.word;
    UNSCOPED_INFO(word.str() << ": ours '" << ours << "', objdump '" << line.text << "'");
    CHECK(ours == line.text);
  }
}

TEST_CASE("what is an instruction and what is not, as objdump sees it") {
  if (!have_binutils()) return;
  const unsigned xlen = GENERATE(32u, 64u);
  std::unique_ptr<RiscvCpu> cpu = reference_cpu(xlen);
  std::mt19937 random(3);
  std::vector<uint32_t> words;
  for (int k = 0; k < 60000; ++k) {
    uint32_t word = static_cast<uint32_t>(random());
    if (k % 2) {
      // Near an instruction: one or two bits of a real one flipped.
      std::span<const Row> file = all_rows()[random() % all_rows().size()];
      if (file.empty()) continue;
      const Row& row = file[random() % file.size()];
      word = test::random_word(row.picture, random);
      word ^= 1u << random() % 32;
      if (random() & 1) word ^= 1u << random() % 32;
    }
    if ((word & 3) != 3) word &= 0xffff;
    if ((word & 0x1f) == 0x1f) continue;  // longer than 32 bits
    words.push_back(word);
  }
  std::map<std::string, int> differing;
  for (const Line& line : objdump(words, xlen)) {
    const Row* row = cpu->find_row(line.word);
    if ((row != nullptr) != is_data(line)) continue;
    std::string key = row ? row->name : line.text.substr(0, line.text.find('\t'));
    if (row ? listed(kOnlyOurs, key) : listed(kOnlyObjdump, key)) continue;
    if (!row && xlen == 32 && listed(kOnlyObjdump32, key)) continue;
    if (line.text.find("unknown") != std::string::npos) continue;  // a reserved rounding mode
    if (differing[key]++ >= 3) continue;
    std::ostringstream word;
    word << std::hex << line.word;
    UNSCOPED_INFO(word.str() << ": ours " << (row ? row->name : "illegal") << ", objdump '" << line.text << "'");
    CHECK((row != nullptr) == !is_data(line));
  }
}
