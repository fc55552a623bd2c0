#include "runtime/cli/option_list.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <vector>

#include "runtime/base/nearest.h"

namespace lyre::cli {
namespace {

// Takes one item off the front: up to a single comma; `,,` becomes one comma of the value.
std::string take_item(std::string_view& text) {
  std::string item;
  size_t i = 0;
  for (; i < text.size(); ++i) {
    if (text[i] == ',') {
      if (i + 1 >= text.size() || text[i + 1] != ',') break;
      ++i;
    }
    item.push_back(text[i]);
  }
  text.remove_prefix(std::min(text.size(), i + 1));
  return item;
}

int suffix_shift(char c) {
  switch (c) {
    case 'b':
    case 'B':
      return 0;
    case 'k':
    case 'K':
      return 10;
    case 'm':
    case 'M':
      return 20;
    case 'g':
    case 'G':
      return 30;
    case 't':
    case 'T':
      return 40;
    case 'p':
    case 'P':
      return 50;
    case 'e':
    case 'E':
      return 60;
    default:
      return -1;
  }
}

}  // namespace

Result<machine::OptionList> parse_option_list(std::string_view text, std::string_view implied) {
  machine::OptionList list;
  if (!text.empty() && text.front() == '{') return Error{"JSON is not understood here, write prop=value,..."};
  bool first = true;
  while (!text.empty()) {
    const std::string item = take_item(text);
    const size_t equals = item.find('=');
    const std::string name = item.substr(0, equals);
    if (name.empty())
      return Error{equals == item.npos ? "an empty property between commas"
                                       : "a property without a name in '" + item + "'"};
    if (equals != item.npos) {
      list.items.emplace_back(name, item.substr(equals + 1));
    } else if (first && !implied.empty()) {
      list.items.emplace_back("", item);
    } else {
      list.items.emplace_back(name, "on");
    }
    first = false;
  }
  if (!implied.empty()) {
    auto named = std::find_if(list.items.begin(), list.items.end(), [&](auto& item) { return item.first == implied; });
    if (named != list.items.end()) {
      named->first.clear();
      std::rotate(list.items.begin(), named, named + 1);
    }
  }
  return list;
}

Result<uint64_t> parse_size(std::string_view text, uint64_t unit) {
  const Error bad{"'" + std::string(text) +
                  "' is not a size, expected a number with an optional suffix k, M, G, T, P or E"};
  const bool hex = text.starts_with("0x") || text.starts_with("0X");
  std::string_view digits = text;
  double scale = static_cast<double>(unit);
  if (!hex && !text.empty() && suffix_shift(text.back()) >= 0) {
    scale = std::ldexp(1.0, suffix_shift(text.back()));
    digits.remove_suffix(1);
  }
  if (hex) digits.remove_prefix(2);
  if (digits.empty() || digits.front() == '-' || digits.front() == '+') return bad;
  uint64_t whole = 0;
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), whole, hex ? 16 : 10);
  if (error != std::errc()) return bad;
  if (end == digits.data() + digits.size()) {
    const auto factor = static_cast<uint64_t>(scale);
    if (whole > UINT64_MAX / factor) return Error{"'" + std::string(text) + "' is too large"};
    return whole * factor;
  }
  double fraction = 0;
  auto [last, problem] =
      std::from_chars(digits.data(), digits.data() + digits.size(), fraction, std::chars_format::fixed);
  if (hex || problem != std::errc() || last != digits.data() + digits.size() || scale <= 1) return bad;
  if (fraction * scale >= 0x1p64) return Error{"'" + std::string(text) + "' is too large"};
  return static_cast<uint64_t>(fraction * scale);
}

Result<uint64_t> parse_count(std::string_view name, std::string_view text, uint64_t max) {
  uint64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size() || value > max) {
    return Error{"'" + std::string(name) + "' expects a number up to " + std::to_string(max) + ", not '" +
                 std::string(text) + "'"};
  }
  return value;
}

Status check_names(const machine::OptionList& options, std::initializer_list<std::string_view> known) {
  for (const auto& [name, value] : options.items) {
    if (name.empty() || std::find(known.begin(), known.end(), name) != known.end()) continue;
    return Error{"no property '" + name + "'" + did_you_mean(name, {known.begin(), known.size()})};
  }
  return Ok{};
}

bool asks_for_help(const machine::OptionList& options) {
  return std::any_of(options.items.begin(), options.items.end(), [](const auto& item) {
    return (item.first.empty() && is_help(item.second)) || (is_help(item.first) && item.second == "on");
  });
}

}  // namespace lyre::cli
