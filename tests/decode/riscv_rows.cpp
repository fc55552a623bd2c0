// The rows against each other: words, pictures, operands and the decoder agree.
#include <set>
#include <string>

#include "frontend/riscv/disasm.h"
#include "runtime/base/bits.h"
#include "tests/decode/random_word.h"
#include "tests/support/catch.h"

using namespace lyre;
using namespace lyre::riscv;

namespace {

std::unique_ptr<RiscvCpu> make_cpu(std::string_view model, std::vector<std::string> features = {}, unsigned xlen = 64) {
  Result<std::unique_ptr<RiscvCpu>> cpu = create_riscv_cpu(model, features, xlen);
  if (!cpu) FAIL(cpu.error().message);
  return std::move(*cpu);
}

const Row* slow_find(const RiscvCpu& cpu, uint32_t word) {
  unsigned width = (word & 3) == 3 ? 32 : 16;
  const Row* best = nullptr;
  for (std::span<const Row> file : all_rows())
    for (const Row& row : file)
      if (row.picture.width == width && row.needs.met_by(cpu.config().extensions) && row.picture.matches(word) && (!best || row.picture.rank > best->picture.rank))
        best = &row;
  return best;
}

}  // namespace

TEST_CASE("every row has known operands and a width that its low bits say") {
  for (std::span<const Row> file : all_rows()) {
    for (const Row& row : file) {
      INFO(row.name << " " << row.operands);
      CHECK(operands_known(row));
      CHECK((row.picture.mask & 3) == 3);
      CHECK(((row.picture.value & 3) == 3) == (row.picture.width == 32));
    }
  }
}

TEST_CASE("no two rows of one model claim a word with equal right") {
  std::unique_ptr<RiscvCpu> cpu = make_cpu("max", {}, GENERATE(32u, 64u));
  std::vector<const Row*> rows;
  for (std::span<const Row> file : all_rows())
    for (const Row& row : file)
      if (row.needs.met_by(cpu->config().extensions)) rows.push_back(&row);
  for (size_t a = 0; a < rows.size(); ++a) {
    for (size_t b = a + 1; b < rows.size(); ++b) {
      const decode::Picture &p = rows[a]->picture, &q = rows[b]->picture;
      if (p.width != q.width || (p.value ^ q.value) & p.mask & q.mask) continue;
      // They overlap: one must be a part of the other, or its nonzero fields must exclude the other.
      bool nested = (p.mask & q.mask) == p.mask || (p.mask & q.mask) == q.mask;
      bool excluded = false;
      for (uint32_t field : p.nonzero) excluded = excluded || (field && (field & q.mask) == field && !(field & q.value));
      for (uint32_t field : q.nonzero) excluded = excluded || (field && (field & p.mask) == field && !(field & p.value));
      INFO(rows[a]->name << " and " << rows[b]->name);
      CHECK((nested || excluded));
      if (nested && p.mask == q.mask) CHECK(excluded);
    }
  }
}

TEST_CASE("the decoder finds what a search of all rows finds") {
  std::mt19937 random(1);
  struct Named {
    unsigned xlen;
    std::string model;
  };
  for (auto& [xlen, model] : {Named{64, "rv64i"}, {64, "rv64gc"}, {64, "rv64"}, {64, "max"}, {32, "rv32i"}, {32, "rv32gc"}, {32, "rv32"}, {32, "max"}}) {
    std::unique_ptr<RiscvCpu> cpu = make_cpu(model, {}, xlen);
    for (std::span<const Row> file : all_rows()) {
      for (const Row& row : file) {
        for (int k = 0; k < 30; ++k) {
          uint32_t word = test::random_word(row.picture, random);
          const Row* found = cpu->find_row(word);
          INFO(model << " " << row.name << " " << std::hex << word);
          REQUIRE(found == slow_find(*cpu, word));
          if (row.needs.met_by(cpu->config().extensions)) REQUIRE(found);
        }
      }
    }
    for (int k = 0; k < 20000; ++k) {
      uint32_t word = static_cast<uint32_t>(random());
      if ((word & 3) != 3) word &= 0xffff;
      INFO(model << " " << std::hex << word);
      REQUIRE(cpu->find_row(word) == slow_find(*cpu, word));
    }
  }
}

TEST_CASE("features are resolved with what they need, and refused by name") {
  CHECK(make_cpu("rv64")->isa_string().substr(0, 11) == "rv64imafdc_");
  CHECK_FALSE(make_cpu("rv64", {"f=off"})->has(Ext::d));
  CHECK_FALSE(make_cpu("rv64", {"f=off"})->has(Ext::zcd));
  CHECK(make_cpu("rv64i", {"+d"})->has(Ext::f));
  CHECK(make_cpu("rv64i", {"zkn=on"})->has(Ext::zkne));
  CHECK(make_cpu("max", {"-zba"})->has(Ext::zbb));
  CHECK_FALSE(make_cpu("max", {"zba=off"})->has(Ext::zba));
  auto message = [](std::string_view model, std::vector<std::string> features, unsigned xlen = 64) {
    Result<std::unique_ptr<RiscvCpu>> cpu = create_riscv_cpu(model, features, xlen);
    return cpu ? std::string() : cpu.error().message;
  };
  CHECK(message("rv46", {}).find("did you mean 'rv64'") != std::string::npos);
  CHECK(message("rv64", {"zbaa=on"}).find("did you mean 'zba'") != std::string::npos);
  CHECK(message("rv64", {"zba=maybe"}).find("'on' or 'off'") != std::string::npos);
  CHECK(message("rv64", {"d=on", "f=off"}).find("switched off") != std::string::npos);
}

TEST_CASE("each width has its own models and features") {
  CHECK(make_cpu("", {}, 32)->config().model == "rv32");
  CHECK(make_cpu("", {}, 32)->isa_string().substr(0, 11) == "rv32imafdc_");
  CHECK(make_cpu("", {}, 32)->mmu_type() == "riscv,sv32");
  CHECK(make_cpu("", {"sv32=off"}, 32)->mmu_type() == "riscv,none");
  CHECK(make_cpu("rv32i", {"+c", "+f"}, 32)->has(Ext::zcf));
  CHECK_FALSE(make_cpu("rv64i", {"+c", "+f"})->has(Ext::zcf));
  CHECK(make_cpu("max", {}, 32)->has(Ext::zacas));
  auto message = [](std::string_view model, std::vector<std::string> features, unsigned xlen) {
    Result<std::unique_ptr<RiscvCpu>> cpu = create_riscv_cpu(model, features, xlen);
    return cpu ? std::string() : cpu.error().message;
  };
  CHECK(message("rv64", {}, 32).find("there is no riscv32 CPU model 'rv64'") != std::string::npos);
  CHECK(message("rv32", {}, 64).find("there is no riscv64 CPU model") != std::string::npos);
  CHECK(message("rv32", {"svpbmt=on"}, 32).find("riscv32 CPUs have no feature 'svpbmt'") != std::string::npos);
  CHECK(message("rv32", {"sv39=on"}, 32).find("have no feature 'sv39'") != std::string::npos);
  CHECK(message("rv64", {"zcf=on"}, 64).find("have no feature 'zcf'") != std::string::npos);
}
