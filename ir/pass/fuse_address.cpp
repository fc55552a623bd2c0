// Address fusion: the constant part of an address becomes the access's displacement, which hosts have for free. Guest addresses wrap
// at 64 bits and so does base + displacement, so moving the constant changes nothing as long as it fits.
#include "ir/pass/local.h"

namespace lyre::ir {

void fuse_address(const Emitter& out, Inst& inst) {
  const Inst* address = &out[inst.args[0]];
  while (address->op == Op::add && out.is_constant(address->args[1])) {
    int64_t sum;
    if (__builtin_add_overflow(int64_t{inst.displacement()}, static_cast<int64_t>(out[address->args[1]].imm), &sum)) return;
    if (sum != static_cast<int32_t>(sum)) return;
    inst.imm = (inst.imm & 0xffffffff) | static_cast<uint64_t>(sum) << 32;
    inst.args[0] = address->args[0];
    address = &out[inst.args[0]];
  }
}

}  // namespace lyre::ir
