// Text form of IR, for people, tests and failure reports. print and parse are inverse: what one gives the other takes, nops included.
//
//   region start=0x1000 key=0x0 {
//   block0:
//     check -> +0 !s0
//     v1: i64 = get @16(sp)
//     v2: i64 = load.4.s [v1 + 8] !s0
//     set @80(a0), v2
//     exit_if_cmp.lt_s v1, v2 -> +16 !s1
//     exit_direct.call -> +4 !s1
//   s0: pc +0 insn 0 {@16(sp): v1}
//   s1: after s0, pc +4 insn 1 {@80(a0): v2}
//   }
//
// A value's number is the index of its instruction; a parser accepts any names (v followed by a number) and renumbers.
// Names in parentheses and comments (";" to the end of the line) are for the reader, the parser skips them. Cold.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "ir/region.h"
#include "runtime/base/result.h"

namespace lyre::ir {

struct TextNames {
  std::function<std::string(uint16_t offset)> slot;      // empty: offsets only
  std::function<std::string(unsigned helper)> helper;
};

std::string print(const Region& region, const TextNames& names = {});
std::string print_inst(const Region& region, ValueId id, const TextNames& names = {});
// The error names the line.
Result<Region> parse(std::string_view text);

const char* type_name(Type type);

}  // namespace lyre::ir
