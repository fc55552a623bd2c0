// Type rules of single instructions, for the verifier.
#pragma once
#include <string>

#include "ir/region.h"

namespace lyre::ir {

// Whether the operation gives a value (loads always, calls when they have a type, stores never).
bool has_result(const Inst& inst);
// Empty: the types, aux and imm of the instruction are right. Arguments must exist and have values.
std::string check_inst(const Region& region, const Inst& inst);

}  // namespace lyre::ir
