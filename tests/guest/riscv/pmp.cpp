// PMP registers and matching: granularity as firmware probes it, TOR and NAPOT, locks, M-mode, Smepmp's table.
#include "frontend/riscv/pmp.h"

#include "tests/guest/riscv/hart_rig.h"
#include "tests/support/catch.h"

using namespace lyre;
using namespace lyre::test;
using namespace lyre::riscv;

namespace {

struct PmpRig : HartRig {
  void address(unsigned entry, uint64_t value) { write_pmpaddr(*block, kPmpaddr0 + entry, value); }
  uint64_t address(unsigned entry) { return read_pmpaddr(*block, kPmpaddr0 + entry); }
  void config(unsigned entry, unsigned value) {
    uint64_t shift = 8 * (entry % 8), word = read_pmpcfg(*block, kPmpcfg0 + entry / 8 * 2);
    write_pmpcfg(*block, kPmpcfg0 + entry / 8 * 2, (word & ~(uint64_t{0xff} << shift)) | uint64_t{value} << shift);
  }
  unsigned config(unsigned entry) { return read_pmpcfg(*block, kPmpcfg0 + entry / 8 * 2) >> 8 * (entry % 8) & 0xff; }
  unsigned rights(uint64_t at, Privilege privilege) { return pmp_rights(state(), Gpa{at}, privilege); }
};

}  // namespace

TEST_CASE("granularity is found by writing ones (3.7.1)") {
  PmpRig rig;
  rig.config(0, 0);
  rig.address(0, ~uint64_t{0});
  CHECK(rig.address(0) == (((uint64_t{1} << 54) - 1) & ~uint64_t{0x3ff}));  // lowest set bit 10: 4 KiB
  rig.config(0, 0x18);
  rig.address(0, 0);
  CHECK(rig.address(0) == 0x1ff);
  rig.config(0, 0x08);
  CHECK(rig.address(0) == 0);
  rig.config(0, 0x10);  // NA4 can not be chosen: the mode stays
  CHECK(rig.config(0) == 0x08);
  rig.config(0, 0x1a);  // W without R
  CHECK(rig.config(0) == 0x18);
  CHECK(read_pmpaddr(*rig.block, kPmpaddr0 + 16) == 0);
}

TEST_CASE("the lowest matching entry decides; without one only M-mode passes") {
  PmpRig rig;
  CHECK(rig.rights(0x80000000, Privilege::kSupervisor) == 0);
  CHECK(rig.rights(0x80000000, Privilege::kMachine) == 7);
  // TOR over [0x80000000, 0x80010000) read-only, behind a NAPOT hole of 4 KiB without rights.
  rig.address(0, 0x80004000 >> 2 | 0x1ff);
  rig.config(0, 0x18);
  rig.address(1, 0x80000000 >> 2);
  rig.address(2, 0x80010000 >> 2);
  rig.config(2, 0x09);
  CHECK(rig.rights(0x7fffffff, Privilege::kUser) == 0);
  CHECK(rig.rights(0x80000000, Privilege::kUser) == kPmpRead);
  CHECK(rig.rights(0x80003fff, Privilege::kUser) == kPmpRead);
  CHECK(rig.rights(0x80004000, Privilege::kUser) == 0);
  CHECK(rig.rights(0x80005000, Privilege::kSupervisor) == kPmpRead);
  CHECK(rig.rights(0x8000ffff, Privilege::kUser) == kPmpRead);
  CHECK(rig.rights(0x80010000, Privilege::kUser) == 0);
  CHECK(rig.rights(0x80004000, Privilege::kMachine) == 7);
  CHECK(pmp_uniform_bits(rig.state(), Gpa{0x80004000}, 21) == 12);
  CHECK(pmp_uniform_bits(rig.state(), Gpa{0x80008000}, 21) == 15);
  CHECK(pmp_uniform_bits(rig.state(), Gpa{0x80200000}, 21) == 21);
  // The largest NAPOT range is everything.
  rig.address(3, ~uint64_t{0});
  rig.config(3, 0x1f);
  CHECK(rig.rights(0, Privilege::kUser) == 7);
  CHECK(rig.rights((uint64_t{1} << 56) - 1, Privilege::kUser) == 7);
}

TEST_CASE("locked entries bind M-mode and can not be changed") {
  PmpRig rig;
  rig.address(1, 0x80000000 >> 2);
  rig.address(2, 0x80001000 >> 2);
  rig.config(2, 0x89);
  CHECK(rig.rights(0x80000000, Privilege::kMachine) == kPmpRead);
  rig.config(2, 0);
  CHECK(rig.config(2) == 0x89);
  rig.address(2, 0);
  rig.address(1, 0);  // the bottom of a locked TOR range
  CHECK(rig.rights(0x80000000, Privilege::kMachine) == kPmpRead);
  CHECK(rig.address(1) == 0x80000000 >> 2);
}

TEST_CASE("mseccfg: sticky bits, and the table of Smepmp") {
  PmpRig rig;
  write_mseccfg(*rig.block, kMseccfg, seccfg::kRlb | seccfg::kMml);
  CHECK(read_mseccfg(*rig.block, kMseccfg) == (seccfg::kRlb | seccfg::kMml));
  CHECK(rig.rights(0x1000, Privilege::kMachine) == (kPmpRead | kPmpWrite));  // nothing matches: no execution
  // L R W X -> rights of M-mode and of S/U, as rwx letters.
  struct Line {
    unsigned lrwx;
    const char *machine, *user;
  };
  for (Line line : {Line{0b0000, "", ""}, Line{0b0001, "", "x"}, Line{0b0010, "rw", "r"}, Line{0b0011, "rw", "rw"}, Line{0b0100, "", "r"},
                    Line{0b0101, "", "rx"}, Line{0b0110, "", "rw"}, Line{0b0111, "", "rwx"}, Line{0b1000, "", ""}, Line{0b1001, "x", ""},
                    Line{0b1010, "x", "x"}, Line{0b1011, "rx", "x"}, Line{0b1100, "r", ""}, Line{0b1101, "rx", ""}, Line{0b1110, "rw", ""},
                    Line{0b1111, "r", "r"}}) {
    auto parse = [](const char* text) {
      unsigned rights = 0;
      for (; *text; ++text) rights |= *text == 'r' ? kPmpRead : *text == 'w' ? kPmpWrite : kPmpExecute;
      return rights;
    };
    unsigned config = 0x18 | (line.lrwx & 8 ? 0x80 : 0) | (line.lrwx & 4 ? 1 : 0) | (line.lrwx & 2) | (line.lrwx & 1 ? 4 : 0);
    rig.address(0, 0x80000000 >> 2 | 0x1ff);
    rig.config(0, config);
    CAPTURE(line.lrwx);
    REQUIRE(rig.config(0) == config);
    CHECK(rig.rights(0x80000000, Privilege::kMachine) == parse(line.machine));
    CHECK(rig.rights(0x80000000, Privilege::kUser) == parse(line.user));
  }
  write_mseccfg(*rig.block, kMseccfg, 0);
  CHECK(read_mseccfg(*rig.block, kMseccfg) == seccfg::kMml);  // MML stays, RLB may go
  rig.config(1, 0x98 | 4);                                    // would add executable memory for M-mode
  CHECK(rig.config(1) == 0);
  write_mseccfg(*rig.block, kMseccfg, seccfg::kMmwp);
  CHECK(rig.rights(0x1000, Privilege::kMachine) == 0);
}
