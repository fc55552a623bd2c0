// Spellings shared by the printer and the parser of IR text.
#pragma once
#include <span>

#include "ir/types.h"

namespace lyre::ir {

inline constexpr const char* kTypeNames[] = {"void", "i1", "i8", "i16", "i32", "i64", "i128", "f16", "f32", "f64", "f80"};
inline constexpr const char* kCondNames[] = {"eq", "ne", "lt_s", "ge_s", "lt_u", "ge_u", "le_s", "gt_s", "le_u", "gt_u"};
inline constexpr const char* kFloatCondNames[] = {"eq_quiet", "lt_quiet", "le_quiet", "lt_signaling", "le_signaling", "unordered"};
inline constexpr const char* kRoundingNames[] = {"nearest_even", "toward_zero", "down", "up", "dynamic"};
inline constexpr const char* kRmwNames[] = {"swap", "add", "and", "or", "xor", "min_s", "max_s", "min_u", "max_u"};
inline constexpr const char* kOrderingNames[] = {"relaxed", "acquire", "release", "acq_rel", "seq_cst"};
inline constexpr const char* kHintNames[] = {"", "call", "return"};


}  // namespace lyre::ir
