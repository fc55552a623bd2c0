// Listings of translated code: what stands between instructions is shown as data, and what is shown as instructions is
// where jumps go.
#include <cstdlib>
#include <set>
#include <sstream>
#include <string>

#include "tests/unit/x64_rig.h"

namespace lyre::backend {
namespace {

struct Listing {
  std::set<uint64_t> instructions, data;  // addresses of lines
  std::set<uint64_t> jumps;               // where those instructions jump and call to
};

Listing read_listing(const std::string& text) {
  Listing listing;
  std::istringstream in(text);
  std::string line;
  while (std::getline(in, line)) {
    const size_t colon = line.find(": ");
    REQUIRE(colon != std::string::npos);
    const uint64_t address = std::strtoull(line.c_str(), nullptr, 16);
    const std::string words = line.substr(colon + 2);
    if (words[0] == '.') {
      listing.data.insert(address);
      continue;
    }
    listing.instructions.insert(address);
    const size_t space = words.find(' ');
    if ((words[0] == 'j' || words.starts_with("call")) && words.compare(space + 1, 2, "0x") == 0)
      listing.jumps.insert(std::strtoull(words.c_str() + space + 1, nullptr, 16));
  }
  return listing;
}

TEST_CASE("x64: a listing shows data as data") {
  X64Rig rig;
  auto region = rig.compile(
      "region start=0x40000000 key=0x0 insns=4 {\n check -> +0 !s0\n"
      " v1: i64 = get @80\n v2: i64 = load.8 [v1 + 8] !s0\n set @88, v2\n"
      " v3: f64 = get @264\n v4: f64 = constant 0x3fb999999999999a\n v5: f64 = fmul v3, v4\n set @256, v5\n"
      " v6: i64 = get @96\n v7: i64 = constant 77\n v8: i1 = cmp.eq v6, v7\n exit_if v8 -> +64 !s1\n"
      " store.4 [v1 + 16], v2 !s1\n v9: i64 = clock_ns\n set @96, v9\n exit_direct -> +16 !s2\n"
      " s0: pc +0 insn 0 {}\n s1: pc +12 insn 3 {}\n s2: pc +16 insn 4 {}\n}\n",
      false);
  REQUIRE(region);
  const std::string text = rig.backend->disassemble(*region);
  CAPTURE(text);
  const Listing listing = read_listing(text);
  const auto begin = reinterpret_cast<uint64_t>(region->code), end = begin + region->code_bytes;
  for (uint64_t target : listing.jumps) {
    if (target < begin || target >= end) continue;  // a thunk
    CAPTURE(target);
    CHECK(listing.instructions.count(target) == 1);
  }
  CHECK(listing.jumps.size() >= 8);
  // Where the guest goes on, and the literal.
  CHECK(text.find(".quad 0x0000000040000010") != std::string::npos);
  CHECK(text.find(".quad 0x0000000040000040") != std::string::npos);
  CHECK(text.find(".quad 0x3fb999999999999a") != std::string::npos);
  for (const ExitSite& exit : region->exits) CHECK(listing.data.count(begin + exit.key_offset) == 1);
  for (const StatePoint& point : region->states.points()) {
    CHECK(listing.instructions.count(begin + point.host_offset) == 1);  // jmp resume
    CHECK(listing.data.count(begin + point.host_offset + 5) == 1);      // its data
    CHECK(listing.data.count(begin + point.host_offset + 5 + 8) == 1);  // 12 bytes: a quad and a long
    CHECK(listing.instructions.count(begin + point.host_offset + 5 + 12) == 1);
  }
  CHECK(region->states.points().size() == 2);
}

}  // namespace
}  // namespace lyre::backend
