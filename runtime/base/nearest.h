// The nearest name for "did you mean" in error sentences. Cold.
#pragma once
#include <span>
#include <string>
#include <string_view>

namespace lyre {

// The name with the smallest edit distance (insert, delete, replace, swap of neighbours; case ignored), or, when `name` is its start
// or a part of it, that one; empty if none is within a third of the length.
std::string nearest_name(std::string_view name, std::span<const std::string_view> names);

// ", did you mean 'x'?" or nothing: the tail of an error sentence.
std::string did_you_mean(std::string_view name, std::span<const std::string_view> names);

}  // namespace lyre
