#include "machine/devices/options.h"

#include <charconv>
#include <cmath>

#include "runtime/base/nearest.h"

namespace lyre::machine {
namespace {

Error bad_value(std::string_view where, std::string_view name, const std::string& value, std::string_view wanted) {
  return Error{std::string(where) + ": '" + std::string(name) + "=" + value + "' is not " + std::string(wanted)};
}

}  // namespace

const std::string* find_option(const OptionList& options, std::string_view name) {
  const std::string* found = nullptr;
  for (const auto& [key, value] : options.items) {
    if (key == name) found = &value;
  }
  return found;
}

std::string option_or(const OptionList& options, std::string_view name, std::string_view otherwise) {
  const std::string* value = find_option(options, name);
  return value ? *value : std::string(otherwise);
}

bool parse_bool(std::string_view text, bool& value) {
  for (std::string_view yes : {"on", "yes", "true", "y"}) {
    if (text == yes) return value = true, true;
  }
  for (std::string_view no : {"off", "no", "false", "n"}) {
    if (text == no) return value = false, true;
  }
  return false;
}

bool parse_number(std::string_view text, uint64_t max, uint64_t& value) {
  int base = 10;
  if (text.starts_with("0x") || text.starts_with("0X")) {
    base = 16;
    text.remove_prefix(2);
  } else if (text.size() > 1 && text[0] == '0') {
    base = 8;
  }
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  if (error != std::errc() || end != text.data() + text.size() || text.empty() || number > max) return false;
  value = number;
  return true;
}

bool parse_size(std::string_view text, uint64_t& value) {
  unsigned shift = 0;
  if (!text.empty()) {
    switch (text.back()) {
      case 'b': case 'B': shift = 0; text.remove_suffix(1); break;
      case 'k': case 'K': shift = 10; text.remove_suffix(1); break;
      case 'm': case 'M': shift = 20; text.remove_suffix(1); break;
      case 'g': case 'G': shift = 30; text.remove_suffix(1); break;
      case 't': case 'T': shift = 40; text.remove_suffix(1); break;
      default: break;
    }
  }
  if (const size_t point = text.find('.'); point != text.npos && shift) {  // 1.5G
    double number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || end != text.data() + text.size() || number < 0) return false;
    const double bytes = std::ldexp(number, static_cast<int>(shift));
    if (bytes >= 0x1p63) return false;
    value = static_cast<uint64_t>(bytes);
    return true;
  }
  uint64_t number = 0;
  if (!parse_number(text, ~uint64_t{0} >> shift, number)) return false;
  value = number << shift;
  return true;
}

Status read_bool(const OptionList& options, std::string_view where, std::string_view name, bool& value) {
  const std::string* text = find_option(options, name);
  if (text && !parse_bool(*text, value)) return bad_value(where, name, *text, "on or off");
  return Ok{};
}

Status read_number(const OptionList& options, std::string_view where, std::string_view name, uint64_t max, uint64_t& value) {
  const std::string* text = find_option(options, name);
  if (text && !parse_number(*text, max, value)) return bad_value(where, name, *text, "a number up to " + std::to_string(max));
  return Ok{};
}

Status read_size(const OptionList& options, std::string_view where, std::string_view name, uint64_t& value) {
  const std::string* text = find_option(options, name);
  if (text && !parse_size(*text, value)) return bad_value(where, name, *text, "a size (a number with k, M, G or T)");
  return Ok{};
}

Status read_choice(const OptionList& options, std::string_view where, std::string_view name,
                   std::span<const std::string_view> choices, unsigned& value) {
  const std::string* text = find_option(options, name);
  if (!text) return Ok{};
  std::string all;
  for (unsigned i = 0; i < choices.size(); ++i) {
    if (*text == choices[i]) {
      value = i;
      return Ok{};
    }
    all += (i ? ", " : "") + std::string(choices[i]);
  }
  return bad_value(where, name, *text, "one of: " + all);
}

Status check_names(const OptionList& options, std::string_view where, std::span<const std::string_view> known) {
  for (const auto& [name, value] : options.items) {
    bool found = false;
    for (std::string_view k : known) {
      found = found || name == k || (k.ends_with('.') && std::string_view(name).starts_with(k));
    }
    if (!found) return Error{std::string(where) + ": there is no property '" + name + "'" + did_you_mean(name, known)};
  }
  return Ok{};
}

}  // namespace lyre::machine
