// Verifier. Checks, in this order (the text of the error starts with the instruction):
//   blocks       ranges follow each other and cover all instructions; exactly one terminator, last; a region without blocks is one block
//   params       only at a block's start, imm = position, count as the block says, none in the entry block
//   values       arguments exist, have a value, and dominate their use
//   pool         argument lists lie in the pool
//   types        per operation: argument and result types, width rules of zext, sext, trunc, bitcast, loads and stores
//   aux, imm     conditions, roundings, read-modify-write kinds, memory operations, slot ranges, helper numbers are in range
//   jumps        the target exists, gets as many arguments as it has parameters, of their types
//   loops        the target of a back edge is marked as a loop header and has a check before anything but parameters
//   slots        one width per state slot, no two slots overlap; no `set` once state is forwarded
//   snapshots    present on memory and exit operations (and calls, before forwarding); parents come first; entries lie in the table, name a
//                slot once, and name values of the entry's type that dominate the operation
// Cold: debugging and tests.
#pragma once
#include <span>
#include <string>

#include "ir/abi.h"
#include "ir/region.h"

namespace lyre::ir {

struct VerifyOptions {
  bool forwarded = false;               // state has been forwarded: no set
  std::span<const HelperInfo> helpers;  // empty: helper numbers and counts are not checked
};
// Empty: valid. Else one sentence.
std::string verify(const Region& region, const VerifyOptions& options = {});

}  // namespace lyre::ir
