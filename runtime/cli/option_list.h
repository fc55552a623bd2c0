// The small languages inside option arguments: `prop=value,...` lists with `,,` for a comma, sizes with suffixes,
// counts. Cold.
#pragma once
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

#include "machine/boards/machine.h"
#include "runtime/base/result.h"

namespace lyre::cli {

// "virtio-blk-device,drive=d0,packed=on". The first item may come without a name if `implied` is given; it is kept
// under the empty name and goes first, also when it was typed as implied=VALUE. Any other item without '=' is a flag:
// its value is "on". Errors: no implied name and a first item without '=' is still a flag; an empty property name;
// JSON.
Result<machine::OptionList> parse_option_list(std::string_view text, std::string_view implied = {});

// "128", "1.5G", "64k": bytes; a number without suffix counts `unit` bytes. Suffixes b k K M G T P E, in powers of
// 1024.
Result<uint64_t> parse_size(std::string_view text, uint64_t unit);
Result<uint64_t> parse_count(std::string_view name, std::string_view text, uint64_t max);

// Error: a property that is not in `known`, with the nearest one.
Status check_names(const machine::OptionList& options, std::initializer_list<std::string_view> known);

inline bool is_help(std::string_view text) { return text == "help" || text == "?"; }
// "help" stands alone among the items: NAME,help.
bool asks_for_help(const machine::OptionList& options);

}  // namespace lyre::cli
