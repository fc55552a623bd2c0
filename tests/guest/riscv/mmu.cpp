// Page walks by table: PTE bits x access x privilege x SUM/MXR, levels, superpages, A/D updating, Svnapot, Svpbmt, faults of table reads.
#include "frontend/riscv/mmu.h"

#include "tests/guest/riscv/hart_rig.h"
#include "tests/support/catch.h"

using namespace lyre;
using namespace lyre::test;
using namespace lyre::riscv;
using frontend::Access;
using frontend::Translation;

namespace {

constexpr uint64_t kV = 1, kR = 2, kW = 4, kX = 8, kU = 16, kG = 32, kA = 64, kD = 128;
constexpr uint64_t kRoot = HartRig::kRam + 0x10000, kTables = HartRig::kRam + 0x11000, kPage = HartRig::kRam + 0x20000;

// One address mapped through `levels` tables; the leaf stands at `leaf_level`.
struct WalkRig : HartRig {
  WalkRig() {
    x(a0) = ~uint64_t{0}, x(a1) = 0x1f;
    RiscvAsm open;
    open.csrw(kPmpaddr0, a0);
    open.csrw(kPmpcfg0, a1);
    execute(open.finish());
  }
  uint64_t map(unsigned mode, uint64_t address, uint64_t leaf, unsigned leaf_level = 0) {
    state().satp = uint64_t{mode} << 60 | kRoot >> 12;
    uint64_t table = kRoot;
    for (unsigned level = mode - 5; level-- > 0;) {
      uint64_t at = table + (address >> (12 + 9 * level) & 511) * 8;
      if (level == leaf_level) {
        poke(at, leaf);
        return at;
      }
      table = kTables + 0x1000 * level;
      poke(at, table >> 12 << 10 | kV);
    }
    return 0;
  }
  Translation walk(uint64_t address, Access access, unsigned index) { return cpu->walk(*block, Gva{address}, access, index); }
};

uint64_t leaf(uint64_t physical, uint64_t flags) { return physical >> 12 << 10 | flags; }
uint32_t page_fault(Access access) {
  return access == Access::kFetch ? kInstructionPageFault : access == Access::kLoad ? kLoadPageFault : kStorePageFault;
}
uint32_t access_fault(Access access) { return access == Access::kFetch ? kInstructionAccess : access == Access::kLoad ? kLoadAccess : kStoreAccess; }

// The rights table of 12.3.1, written out a second time.
bool allowed(uint64_t flags, Access access, unsigned index) {
  bool user = index == kMmuUser || index == (kMmuUser | kMmuMxr), sum = (index & 3) == kMmuSupervisorSum, mxr = index & kMmuMxr;
  bool user_page = flags & kU;
  if (user && !user_page) return false;
  if (!user && user_page && (access == Access::kFetch || !sum)) return false;
  switch (access) {
    case Access::kFetch: return flags & kX;
    case Access::kLoad: return (flags & kR) || (mxr && (flags & kX));
    default: return flags & kW;
  }
}

}  // namespace

TEST_CASE("rights of leaf entries") {
  WalkRig rig;
  for (uint64_t rwx = 1; rwx < 8; ++rwx)
    for (uint64_t user : {uint64_t{0}, kU})
      for (unsigned index : {0u, 1u, 2u, 4u, 5u, 6u})
        for (Access access : {Access::kFetch, Access::kLoad, Access::kStore}) {
          uint64_t flags = kV | rwx << 1 | user | kA | kD;
          rig.map(8, 0x5000, leaf(kPage, flags));
          Translation t = rig.walk(0x5123, access, index);
          CAPTURE(rwx, user, index, static_cast<unsigned>(access));
          bool reserved = (rwx & 3) == 2;  // W without R
          REQUIRE(t.ok == (!reserved && allowed(flags, access, index)));
          if (t.ok) {
            CHECK(t.gpa.value == kPage + 0x123);
            CHECK(t.page_bits == 12);
            CHECK(t.readable == allowed(flags, Access::kLoad, index));
            CHECK(t.writable == allowed(flags, Access::kStore, index));
            CHECK(t.executable == allowed(flags, Access::kFetch, index));
          } else {
            CHECK((t.fault.cause == page_fault(access) && t.fault.value == 0x5123));
          }
        }
}

TEST_CASE("every mode and level, superpages, canonical addresses") {
  WalkRig rig;
  for (unsigned mode : {8u, 9u, 10u})
    for (unsigned level = 0; level < mode - 5; ++level) {
      unsigned bits = 12 + 9 * level;
      uint64_t address = uint64_t{1} << bits | 0x234, physical = kPage & ~((uint64_t{1} << bits) - 1);
      rig.map(mode, address, leaf(physical, kV | kR | kA | kG), level);
      Translation t = rig.walk(address, Access::kLoad, kMmuSupervisor);
      CAPTURE(mode, level);
      REQUIRE(t.ok);
      CHECK((t.gpa.value == (physical | 0x234) && t.page_bits == bits && t.global && !t.writable));
      if (level) {  // misaligned superpage
        rig.map(mode, address, leaf(physical | 0x1000, kV | kR | kA), level);
        CHECK(rig.walk(address, Access::kLoad, kMmuSupervisor).fault.cause == kLoadPageFault);
      }
      // The sign bit of the address space must fill the upper bits.
      unsigned top = 12 + 9 * (mode - 5) - 1;
      CHECK(rig.walk(address | uint64_t{1} << (top + 1), Access::kLoad, kMmuSupervisor).fault.cause == kLoadPageFault);
      CHECK(rig.walk(address | uint64_t{1} << 63, Access::kStore, kMmuSupervisor).fault.cause == kStorePageFault);
    }
  rig.map(8, 0xffffffffc0000000, leaf(0x80000000, kV | kR | kX | kA), 2);
  CHECK(rig.walk(0xffffffffc0000010, Access::kFetch, kMmuSupervisor).gpa.value == 0x80000010);
}

TEST_CASE("reserved and invalid entries fault") {
  WalkRig rig;
  auto cause = [&](uint64_t entry, unsigned level = 0) {
    rig.map(8, 0x5000, entry, level);
    Translation t = rig.walk(0x5000, Access::kLoad, kMmuSupervisor);
    return t.ok ? 0 : t.fault.cause;
  };
  uint64_t good = leaf(kPage, kV | kR | kA | kD);
  CHECK(cause(good) == 0);
  CHECK(cause(good & ~kV) == kLoadPageFault);
  for (unsigned bit = 54; bit < 61; ++bit) CHECK(cause(good | uint64_t{1} << bit) == kLoadPageFault);
  CHECK(cause(leaf(kPage, kV)) == kLoadPageFault);                      // a pointer at the last level
  CHECK(cause(leaf(kTables, kV | kA), 1) == kLoadPageFault);            // pointers have no A, D, U
  CHECK(cause(leaf(kTables, kV | kU), 1) == kLoadPageFault);
  CHECK(cause(leaf(0x10000000, kV), 1) == kLoadAccess);                 // a table where nothing is
  // Svpbmt: only with menvcfg.PBMTE, and never 3.
  CHECK(cause(good | uint64_t{1} << 61) == kLoadPageFault);
  rig.state().menvcfg |= envcfg::kPbmte;
  CHECK(cause(good | uint64_t{1} << 61) == 0);
  CHECK(cause(good | uint64_t{2} << 61) == 0);
  CHECK(cause(good | uint64_t{3} << 61) == kLoadPageFault);
  // Svnapot: 64 KiB at the last level only.
  uint64_t napot = leaf((kPage & ~uint64_t{0xffff}) | 0x8000, kV | kR | kA | kD) | uint64_t{1} << 63;
  CHECK(cause(napot) == 0);
  Translation t = rig.walk(0x5678, Access::kLoad, kMmuSupervisor);
  CHECK((t.page_bits == 16 && t.gpa.value == ((kPage & ~uint64_t{0xffff}) | 0x5678)));
  CHECK(cause(napot ^ uint64_t{1} << 12) == kLoadPageFault);
  CHECK(cause(leaf(0x80000000 | 0x8000, kV | kR | kA | kD) | uint64_t{1} << 63, 1) == kLoadPageFault);
}

TEST_CASE("A and D: faults without Svadu, updates with it") {
  WalkRig rig;
  uint64_t at = rig.map(8, 0x5000, leaf(kPage, kV | kR | kW));
  CHECK(rig.walk(0x5000, Access::kLoad, kMmuSupervisor).fault.cause == kLoadPageFault);
  CHECK(rig.peek(at) == leaf(kPage, kV | kR | kW));
  rig.map(8, 0x5000, leaf(kPage, kV | kR | kW | kA));
  Translation t = rig.walk(0x5000, Access::kLoad, kMmuSupervisor);
  CHECK((t.ok && !t.writable));  // a store has to walk again
  CHECK(rig.walk(0x5000, Access::kStore, kMmuSupervisor).fault.cause == kStorePageFault);

  rig.state().menvcfg |= envcfg::kAdue;
  rig.map(8, 0x5000, leaf(kPage, kV | kR | kW));
  t = rig.walk(0x5000, Access::kLoad, kMmuSupervisor);
  CHECK((t.ok && !t.writable));
  CHECK(rig.peek(at) == leaf(kPage, kV | kR | kW | kA));
  t = rig.walk(0x5000, Access::kStore, kMmuSupervisor);
  CHECK((t.ok && t.writable));
  CHECK(rig.peek(at) == leaf(kPage, kV | kR | kW | kA | kD));
  // Somebody takes the write right away between the read and the update.
  rig.map(8, 0x5000, leaf(kPage, kV | kR | kW));
  rig.interfere = kW;
  CHECK(rig.walk(0x5000, Access::kStore, kMmuSupervisor).fault.cause == kStorePageFault);
  CHECK(rig.peek(at) == leaf(kPage, kV | kR));
  // An access that is not permitted changes nothing.
  rig.map(8, 0x5000, leaf(kPage, kV | kR));
  CHECK(rig.walk(0x5000, Access::kStore, kMmuSupervisor).fault.cause == kStorePageFault);
  CHECK(rig.peek(at) == leaf(kPage, kV | kR));
}

TEST_CASE("PMP guards the page and the tables") {
  WalkRig rig;
  rig.map(8, 0x5000, leaf(kPage, kV | kR | kW | kX | kA | kD));
  auto region = [&](unsigned entry, uint64_t base, uint64_t size, unsigned rights) {
    write_pmpaddr(*rig.block, kPmpaddr0 + entry, base >> 2 | (size / 8 - 1));
    uint64_t shift = 8 * entry, config = read_pmpcfg(*rig.block, kPmpcfg0);
    write_pmpcfg(*rig.block, kPmpcfg0, (config & ~(uint64_t{0xff} << shift)) | uint64_t{0x18 | rights} << shift);
  };
  // Entry 0 stands before the one that opens everything.
  write_pmpaddr(*rig.block, kPmpaddr0 + 1, ~uint64_t{0});
  region(0, kPage, 0x1000, 1);
  write_pmpcfg(*rig.block, kPmpcfg0, 0x1f19);
  CHECK(rig.walk(0x5000, Access::kLoad, kMmuSupervisor).ok);
  CHECK(rig.walk(0x5000, Access::kStore, kMmuSupervisor).fault.cause == kStoreAccess);
  CHECK(rig.walk(0x5000, Access::kFetch, kMmuSupervisor).fault.cause == kInstructionAccess);
  CHECK(!rig.walk(0x5000, Access::kLoad, kMmuSupervisor).writable);
  region(0, kTables + 0x1000, 0x1000, 0);  // the last-level table
  for (Access access : {Access::kLoad, Access::kStore, Access::kFetch})
    CHECK(rig.walk(0x5000, access, kMmuSupervisor).fault.cause == access_fault(access));
}

TEST_CASE("a large page that PMP splits is reported in pieces") {
  WalkRig rig;
  rig.map(8, 0x40000000, leaf(0x80000000, kV | kR | kA), 2);
  CHECK(rig.walk(0x40000000, Access::kLoad, kMmuSupervisor).page_bits == 30);
  write_pmpaddr(*rig.block, kPmpaddr0 + 1, ~uint64_t{0});
  write_pmpaddr(*rig.block, kPmpaddr0, 0x80200000 >> 2 | (0x200000 / 8 - 1));
  write_pmpcfg(*rig.block, kPmpcfg0, 0x1f18);
  CHECK(rig.walk(0x40000000, Access::kLoad, kMmuSupervisor).page_bits == 21);
  CHECK(rig.walk(0x40200000, Access::kLoad, kMmuSupervisor).fault.cause == kLoadAccess);
  CHECK(rig.walk(0x40400000, Access::kLoad, kMmuSupervisor).page_bits == 22);
}

TEST_CASE("indices: MPRV, SUM and MXR choose them, fetches go by privilege") {
  HartRig rig;
  State& s = rig.state();
  CHECK(rig.cpu->mmu_index(*rig.block) == kMmuMachine);
  s.mstatus |= mstatus::kMprv;  // MPP = U
  CHECK(rig.cpu->mmu_index(*rig.block) == kMmuUser);
  s.mstatus |= uint64_t{1} << 11 | mstatus::kMxr;
  CHECK(rig.cpu->mmu_index(*rig.block) == (kMmuSupervisor | kMmuMxr));
  CHECK(rig.cpu->fetch_mmu_index(*rig.block) == kMmuMachine);
  s.mstatus = mstatus::kSum;
  s.privilege = Privilege::kSupervisor;
  CHECK(rig.cpu->mmu_index(*rig.block) == kMmuSupervisorSum);
  CHECK(rig.cpu->fetch_mmu_index(*rig.block) == kMmuSupervisor);
}

TEST_CASE("status writes tell the runtime, fences flush") {
  HartRig rig;
  rig.x(a0) = mstatus::kMprv;
  RiscvAsm code;
  code.csrrs(zero, kMstatus, a0);
  code.sfence_vma();
  code.li(a1, 0x12345678);
  code.sfence_vma(a1);
  code.li(a2, 0x1234);
  code.sfence_vma(zero, a2);
  rig.execute(code.finish());
  CHECK(rig.mmu_index == kMmuUser);
  CHECK(rig.flushes == 1);
  CHECK(rig.flushed_spaces == std::vector{std::pair{uint64_t{0xffff} << 44, uint64_t{0x1234} << 44}});
  CHECK(rig.flushed_pages == std::vector<uint64_t>{0x12345678});
}

TEST_CASE("guest code runs through page tables, and a fault tells the address") {
  WalkRig rig;
  State& s = rig.state();
  uint64_t virtual_code = 0x7000, virtual_data = 0x9000;
  rig.map(8, virtual_code, leaf(HartRig::kRam + 0x3000, kV | kR | kX | kU | kA));
  rig.map(8, virtual_data, leaf(kPage, kV | kR | kU | kA));
  RiscvAsm code;
  code.li(a0, virtual_data + 8);
  code.ld(a1, a0);
  code.sd(a1, a0);
  rig.load(HartRig::kRam + 0x3000, code);
  rig.poke(kPage + 8, 4711);
  s.mtvec = HartRig::kRam + 0x4000;
  s.privilege = Privilege::kUser;
  s.pc = virtual_code;
  REQUIRE(rig.run_to(HartRig::kRam + 0x4000, 4));
  CHECK(rig.x(a1) == 4711);
  CHECK((s.mcause == kStorePageFault && s.mtval == virtual_data + 8 && s.mepc == virtual_code + code.here() - 4));
}
