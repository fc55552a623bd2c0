// Value numbering of pure operations: an equal one emitted earlier is used again. The table is direct-mapped and forgets on a
// collision, so cost and memory are constant.
#include "ir/pass/local.h"

namespace lyre::ir {
namespace {

// Fields are spread over the word; the multiplication brings them all into the top byte.
uint32_t hash(const Inst& inst) {
  uint64_t word = inst.imm ^ (uint64_t{inst.args[0]} << 32 | inst.args[1]) ^ (uint64_t{inst.args[2]} << 20 ^ uint64_t{inst.args[3]} << 44);
  word += uint64_t{static_cast<uint8_t>(inst.op)} << 13 ^ uint64_t{static_cast<uint8_t>(inst.type)} << 23 ^ uint64_t{inst.aux} << 27;
  return static_cast<uint32_t>((word * 0x9e3779b97f4a7c15u) >> 56);
}

bool same(const Inst& a, const Inst& b) {
  return a.op == b.op && a.type == b.type && a.aux == b.aux && a.imm == b.imm && a.args[0] == b.args[0] && a.args[1] == b.args[1] &&
         a.args[2] == b.args[2] && a.args[3] == b.args[3];
}

}  // namespace

ValueId value_number(PassScratch& scratch, const Inst* insts, uint32_t size, const Inst& inst) {
  static_assert(PassScratch::kNumbers == 256);
  PassScratch::Number& number = scratch.numbers[hash(inst)];
  if (number.stamp == scratch.number_stamp && same(insts[number.value], inst)) return number.value;
  number = {scratch.number_stamp, size};
  return kNoId;
}

}  // namespace lyre::ir
