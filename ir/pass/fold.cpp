// stand-in until written below
#include "ir/pass/local.h"
namespace lyre::ir {
ValueId fold(Emitter&, Inst&) { return kNoId; }
}  // namespace lyre::ir
