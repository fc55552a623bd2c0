// Compare fusion: a conditional exit or a select that tests a comparison does the comparison itself, so that a host can use its
// condition flags. The comparison may have other uses; then it stays, else dce drops it.
#include "ir/pass/local.h"

namespace lyre::ir {

void fuse_compare(const Emitter& out, Inst& inst) {
  if (inst.op != Op::exit_if && inst.op != Op::select) return;
  const Inst& test = out[inst.args[0]];
  if (test.op != Op::cmp) return;
  inst.aux = test.aux;
  if (inst.op == Op::exit_if) {
    inst.op = Op::exit_if_cmp;
  } else {
    inst.op = Op::select_cmp;
    inst.args[3] = inst.args[2];
    inst.args[2] = inst.args[1];
  }
  inst.args[0] = test.args[0];
  inst.args[1] = test.args[1];
}

}  // namespace lyre::ir
