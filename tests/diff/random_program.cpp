#include "tests/diff/random_program.h"

#include <algorithm>
#include <string_view>

#include "tests/decode/random_word.h"

namespace lyre::diff {

namespace {

using riscv::Row;

bool mentions(const Row& row, std::string_view text) { return std::string_view(row.operands).find(text) != std::string_view::npos; }

// Instructions that need more than one hart's registers and memory are not drawn: privileged ones, and waiting.
std::vector<const Row*> drawable(const riscv::RiscvCpu& cpu) {
  std::vector<const Row*> rows;
  for (std::span<const Row> file : riscv::all_rows()) {
    if (file.data() == riscv::rows_sys().data()) continue;
    for (const Row& row : file) {
      std::string_view name = row.name;
      if (name.starts_with("wrs.") || name == "c.ebreak" || name == "c.unimp") continue;
      if (row.needs.met_by(cpu.config().extensions)) rows.push_back(&row);
    }
  }
  return rows;
}

// Sets a field of adjacent bits.
void put(uint32_t& word, uint32_t mask, uint32_t value) {
  if (mask) word = (word & ~mask) | (value << std::countr_zero(mask) & mask);
}

uint32_t draw(const Row& row, std::mt19937& random) {
  const decode::Picture& picture = row.picture;
  for (;;) {
    uint32_t word = test::random_word(picture, random);
    bool memory = mentions(row, "(rs1)") || mentions(row, "(crs1)");
    uint32_t base = picture.field_mask('a'), destination = picture.field_mask('d');
    if (memory && random() % 16) {
      put(word, base, std::popcount(base) == 3 ? random() % 2 : kBaseRegisters[random() % 3]);
      // Short displacements most of the time: signed twelve bits reach beyond the pages that are there.
      if (mentions(row, "off12") && random() % 4) word &= row.picture.value | ~(picture.field_mask('i') & 0xf8000000);
      if (row.picture.field_mask('q') && random() % 4) put(word, base, 9);  // atomics on the aligned base
    }
    // Few registers, so that values meet; the loop counter is left alone, base registers mostly.
    if (std::popcount(destination) == 5) {
      if (random() % 2) put(word, destination, 10 + random() % 8);
      unsigned rd = word >> std::countr_zero(destination) & 31;
      bool integer = mentions(row, "rd") && !mentions(row, "frd");
      if (integer && (rd == kLoopRegister || (rd + 1 == kLoopRegister && std::string_view(row.name) == "amocas.d"))) continue;  // RV32: a pair
      if (integer && std::count(std::begin(kBaseRegisters), std::end(kBaseRegisters), rd) && random() % 16) continue;
    }
    if (picture.matches(word)) return word;
  }
}

}  // namespace

RandomProgram random_program(uint64_t seed, unsigned length, const riscv::RiscvCpu& cpu, const std::vector<bool>& skip) {
  std::vector<const Row*> rows = drawable(cpu);
  RandomProgram program;
  for (unsigned k = 0; k < length; ++k) {
    std::mt19937 random(static_cast<uint32_t>(seed * 1000003 + k));
    const Row& row = *rows[random() % rows.size()];
    bool jump = mentions(row, "target") || std::string_view(row.name).find("jalr") != std::string_view::npos || std::string_view(row.name) == "c.jr";
    if (jump && random() % 4) continue;  // fewer ends
    uint32_t word = draw(row, random);
    if (k < skip.size() && skip[k]) continue;
    // A jump to the start would loop without the counter.
    if (mentions(row, "target")) {
      unsigned size = 0;
      uint8_t bytes[4] = {static_cast<uint8_t>(word), static_cast<uint8_t>(word >> 8), static_cast<uint8_t>(word >> 16), static_cast<uint8_t>(word >> 24)};
      std::string text = cpu.disassemble(bytes, Gva{program.bytes.size()}, size);
      if (text.ends_with(",0x0") || text.ends_with("\t0x0")) continue;
    }
    program.append(word);
  }
  // s11 -= 1; back to the start while it is not zero.
  program.append(0xfffd8d93);
  auto back = static_cast<uint32_t>(-static_cast<int32_t>(program.bytes.size()));
  program.append((back >> 12 & 1) << 31 | (back >> 5 & 63) << 25 | kLoopRegister << 15 | 1u << 12 | (back >> 1 & 15) << 8 | (back >> 11 & 1) << 7 | 0x63);
  program.append(0x00008067);  // ret
  return program;
}

}  // namespace lyre::diff
