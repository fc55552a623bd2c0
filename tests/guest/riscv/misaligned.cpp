// Plain accesses at every alignment, across page borders and where the second page faults: the hart does them (Zicclsm), and a fault leaves everything
// as it was before the instruction.
#include "tests/guest/riscv/encode.h"
#include "tests/guest/riscv/hart_rig.h"
#include "tests/support/catch.h"

using namespace lyre;
using namespace lyre::test;

namespace {

using U = uint64_t;
constexpr U kData = HartRig::kRam + 0x2000;

}  // namespace

TEST_CASE("misaligned loads and stores are done, across pages too") {
  for (const char* host : {"interp", "x64"}) {
    HartRig rig(host, {}, 1);
    struct Size {
      const char *load, *store;
      unsigned bytes;
    };
    for (const Size& size : {Size{"lhu", "sh", 2}, {"lwu", "sw", 4}, {"ld", "sd", 8}}) {
      for (U address = kData - 9; address < kData + 9; ++address) {
        INFO(host << " " << size.load << " at " << std::hex << address);
        for (U at = kData - 32; at < kData + 32; at += 8) rig.poke(at, at * 0x9e3779b97f4a7c15);
        U expected = 0;
        std::memcpy(&expected, rig.at(address), size.bytes);
        rig.x(a1) = address - 5;
        rig.execute({encode(size.load, {{'d', a0}, {'a', a1}, {'i', 5}})});
        CHECK(rig.x(a0) == expected);
        rig.x(a2) = 0x1122334455667788;
        std::vector<std::byte> before(rig.at(kData - 32), rig.at(kData - 32) + 64);
        rig.execute({encode(size.store, {{'a', a1}, {'b', a2}, {'i', 5}})});
        std::memcpy(before.data() + (address - (kData - 32)), &rig.x(a2), size.bytes);
        CHECK(std::memcmp(before.data(), rig.at(kData - 32), 64) == 0);
      }
    }
  }
}

TEST_CASE("an access whose end is missing faults with nothing done") {
  HartRig rig;
  constexpr U kEnd = HartRig::kRam + HartRig::kRamBytes;
  rig.state().mtvec = HartRig::kRam + 0x800;
  rig.poke(kEnd - 8, 0x0102030405060708);
  struct Case {
    uint32_t word;
    U cause;
  };
  for (const Case& each : {Case{encode("ld", {{'d', a0}, {'a', a1}, {'i', 0}}), riscv::kLoadAccess}, {encode("sd", {{'a', a1}, {'b', a2}, {'i', 0}}), riscv::kStoreAccess}}) {
    rig.x(a0) = 42, rig.x(a1) = kEnd - 4, rig.x(a2) = ~U{0};
    rig.load(HartRig::kRam, {encode("addi", {{'d', a3}, {'a', 0}, {'i', 7}}), each.word, 0x0000006f});
    rig.state().pc = HartRig::kRam;
    REQUIRE(rig.run_to(HartRig::kRam + 0x800, 10));
    CHECK(rig.state().mcause == each.cause);
    CHECK(rig.state().mepc == HartRig::kRam + 4);
    CHECK(rig.x(a0) == 42);
    CHECK(rig.x(a3) == 7);
    CHECK(rig.peek(kEnd - 8) == 0x0102030405060708);
  }
}
