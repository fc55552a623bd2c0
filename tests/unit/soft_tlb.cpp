// The soft TLB: what hits, what a flush takes away, that arrays survive switching and grow without losing entries.
#include "runtime/mem/soft_tlb.h"

#include "tests/support/catch.h"

using namespace lyre;
using namespace lyre::runtime;

namespace {

struct Fixture {
  std::unique_ptr<ir::VcpuBlock> block = std::make_unique<ir::VcpuBlock>();
  SoftTlb tlb{*block};
  std::vector<std::byte> ram = std::vector<std::byte>(kPageSize);

  void fill(uint64_t page, uint64_t gpa, bool writable = true, bool store_hits = true, uint8_t page_bits = 12, bool global = false) {
    SoftTlb::Fill fill;
    fill.page = {page}, fill.gpa = {gpa}, fill.host = ram.data(), fill.page_bits = page_bits;
    fill.readable = true, fill.writable = writable, fill.store_hits = store_hits, fill.global = global;
    tlb.fill(fill);
  }
  // As emitted code compares.
  bool read_hits(uint64_t address, unsigned size = 1) { return tlb.entry_for({address}).read_tag == (address & (kPageMask | (size - 1))); }
  bool write_hits(uint64_t address, unsigned size = 1) { return tlb.entry_for({address}).write_tag == (address & (kPageMask | (size - 1))); }
};

}  // namespace

TEST_CASE("soft TLB: a filled page hits for aligned accesses and reaches its host page") {
  Fixture f;
  CHECK_FALSE(f.read_hits(0x5000));
  f.fill(0x5000, 0x80001000);
  CHECK(f.read_hits(0x5008, 8));
  CHECK(f.write_hits(0x5ff8, 8));
  CHECK_FALSE(f.read_hits(0x5001, 8));
  CHECK(f.tlb.entry_for({0x5010}).addend + 0x5010 == reinterpret_cast<uintptr_t>(f.ram.data()) + 0x10);
}

TEST_CASE("soft TLB: clean and code pages do not hit for stores") {
  Fixture f;
  f.fill(0x5000, 0x80001000, true, false);
  CHECK(f.read_hits(0x5000));
  CHECK_FALSE(f.write_hits(0x5000));
}

TEST_CASE("soft TLB: switching spaces and back keeps entries, spaces do not see each other's") {
  Fixture f;
  f.tlb.select(1, 0);
  f.fill(0x5000, 0x80001000);
  f.tlb.select(2, 0);
  CHECK_FALSE(f.read_hits(0x5000));
  f.tlb.select(1, 1);
  CHECK_FALSE(f.read_hits(0x5000));
  f.tlb.select(1, 0);
  CHECK(f.read_hits(0x5000));
}

TEST_CASE("soft TLB: a space pushed out comes back empty") {
  Fixture f;
  f.tlb.select(1, 0);
  f.fill(0x5000, 0x80001000);
  for (uint64_t space = 100; space < 140; ++space) f.tlb.select(space, 0);
  f.tlb.select(1, 0);
  CHECK_FALSE(f.read_hits(0x5000));
}

TEST_CASE("soft TLB: flushes") {
  Fixture f;
  f.tlb.select(1, 0);
  f.fill(0x5000, 0x80001000);
  f.fill(0x6000, 0x80002000);
  f.tlb.select(2, 0);
  f.fill(0x5000, 0x80003000);
  SECTION("of one page, in every space") {
    f.tlb.flush_page({0x5123});
    CHECK_FALSE(f.read_hits(0x5000));
    f.tlb.select(1, 0);
    CHECK_FALSE(f.read_hits(0x5000));
    CHECK(f.read_hits(0x6000));
  }
  SECTION("of everything") {
    f.tlb.flush_all();
    CHECK_FALSE(f.read_hits(0x5000));
    f.tlb.select(1, 0);
    CHECK_FALSE(f.read_hits(0x6000));
  }
  SECTION("of a physical page") {
    f.tlb.flush_physical({0x80001000}, kPageSize);
    CHECK(f.read_hits(0x5000));
    f.tlb.select(1, 0);
    CHECK_FALSE(f.read_hits(0x5000));
    CHECK(f.read_hits(0x6000));
  }
}

TEST_CASE("soft TLB: flushing one address of a large page takes the whole of it") {
  Fixture f;
  f.fill(0x200000, 0x80201000, true, true, 21);
  f.fill(0x3ff000, 0x803ff000, true, true, 21);
  f.fill(0x8000, 0x80008000);
  SECTION("inside") {
    f.tlb.flush_page({0x212000});
    CHECK_FALSE(f.read_hits(0x200000));
    CHECK_FALSE(f.read_hits(0x3ff000));
  }
  SECTION("outside") {
    f.tlb.flush_page({0x8000});
    CHECK(f.read_hits(0x200000));
    CHECK(f.read_hits(0x3ff000));
    CHECK_FALSE(f.read_hits(0x8000));
  }
  SECTION("two large pages far apart are covered by one range") {
    f.fill(0x7f0000000000, 0x90000000, true, true, 30);
    f.tlb.flush_page({0x7f0000001000});
    CHECK_FALSE(f.read_hits(0x7f0000000000));
    f.fill(0x200000, 0x80201000, true, true, 21);
    f.tlb.flush_page({0x201000});
    CHECK_FALSE(f.read_hits(0x200000));
  }
}

TEST_CASE("soft TLB: flushing a large page leaves others far away") {
  Fixture f;
  f.fill(0xffffffff80201000, 0x80201000, true, true, 21);
  f.fill(0xff60000000402000, 0x80402000, true, true, 21);
  f.fill(0xff60000000604000, 0x80604000, true, true, 21);
  f.fill(0xff20000000003000, 0x90003000);
  f.tlb.flush_page({0xff20000000003000});
  CHECK_FALSE(f.read_hits(0xff20000000003000));
  CHECK(f.read_hits(0xffffffff80201000));
  f.tlb.flush_page({0xff60000000400000});
  CHECK_FALSE(f.read_hits(0xff60000000402000));
}

TEST_CASE("soft TLB: a flush of address spaces keeps global pages and other spaces") {
  const unsigned pages = GENERATE(3u, 600u);  // 600: more than are remembered one by one
  Fixture f;
  const uint64_t mask = 0xff00;
  for (uint64_t space : {0x100u, 0x101u, 0x200u}) {
    f.tlb.select(space, 0);
    for (unsigned i = 0; i < pages; ++i) f.fill(0x1000 * i, 0x80001000 + 0x1000 * i, true, true, 12, i == 1);
  }
  auto check = [&](uint64_t space, bool local) {
    f.tlb.select(space, 0);
    CHECK(f.read_hits(pages > 256 ? 0x190000 : 0x2000) == local);
    if (pages <= 256) CHECK(f.read_hits(0x1000));
  };
  f.tlb.flush_spaces(mask, 0x100);
  check(0x100, false);
  check(0x101, false);
  check(0x200, true);
  f.tlb.flush_spaces(mask, 0x200);
  check(0x200, false);
  f.tlb.select(0x200, 0);
  f.fill(0x2000, 0x80003000);
  CHECK(f.read_hits(0x2000));
  f.tlb.flush_all();
  CHECK_FALSE(f.read_hits(0x2000));
}

TEST_CASE("soft TLB: growth keeps entries and is asked for by conflicts") {
  Fixture f;
  const uint64_t before = f.block->tlb_mask;
  for (int round = 0; round < 4; ++round)
    for (uint64_t page = 0; page < 2048; ++page) f.fill(page << 12, 0x80000000 + (page << 12));
  REQUIRE(f.tlb.wants_safe_point());
  CHECK(f.block->exit_request.load() == 1);
  uint64_t hits = 0;
  for (uint64_t page = 0; page < 2048; ++page) hits += f.read_hits(page << 12);
  f.tlb.safe_point();
  CHECK(f.block->tlb_mask > before);
  uint64_t after = 0;
  for (uint64_t page = 0; page < 2048; ++page) after += f.read_hits(page << 12);
  CHECK(after == hits);
}

TEST_CASE("soft TLB: a page that becomes code loses its store entries in every space") {
  Fixture f;
  f.tlb.select(1, 0);
  f.fill(0x5000, 0x80001000);
  f.tlb.select(2, 0);
  f.fill(0x9000, 0x80001000);
  f.tlb.drop_writes({0x80001000});
  CHECK_FALSE(f.write_hits(0x9000));
  CHECK(f.read_hits(0x9000));
  f.tlb.select(1, 0);
  CHECK_FALSE(f.write_hits(0x5000));
}

TEST_CASE("soft TLB: device pages never hit inline") {
  Fixture f;
  SoftTlb::Fill fill;
  fill.page = {0x10000000}, fill.gpa = {0x10000000}, fill.readable = fill.writable = true;
  f.tlb.fill(fill);
  CHECK_FALSE(f.read_hits(0x10000000));
  CHECK_FALSE(f.write_hits(0x10000000));
}
