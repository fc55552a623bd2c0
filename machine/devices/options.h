// Reading property lists of the command line: typed values with one clear sentence when one does not parse. Cold.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "machine/boards/machine.h"
#include "runtime/base/result.h"

namespace lyre::machine {

// The last value given for a name; null: none.
const std::string* find_option(const OptionList& options, std::string_view name);
std::string option_or(const OptionList& options, std::string_view name, std::string_view otherwise);

// `where` starts the error sentence: "-drive" or "-device virtio-blk-pci". An absent property leaves `value` alone.
Status read_bool(const OptionList& options, std::string_view where, std::string_view name, bool& value);
// Decimal, 0x or octal; at most `max`.
Status read_number(const OptionList& options, std::string_view where, std::string_view name, uint64_t max, uint64_t& value);
// A number with an optional k, M, G, T (powers of 1024), as in -m; without a suffix: bytes.
Status read_size(const OptionList& options, std::string_view where, std::string_view name, uint64_t& value);
// One of `choices`; value becomes its index.
Status read_choice(const OptionList& options, std::string_view where, std::string_view name,
                   std::span<const std::string_view> choices, unsigned& value);
bool parse_bool(std::string_view text, bool& value);
bool parse_number(std::string_view text, uint64_t max, uint64_t& value);
bool parse_size(std::string_view text, uint64_t& value);

// Every name must be one of `known` or begin with one of them that ends in '.'.
Status check_names(const OptionList& options, std::string_view where, std::span<const std::string_view> known);

}  // namespace lyre::machine
