#include "runtime/base/log.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <memory>
#include <vector>

#include "runtime/base/nearest.h"

namespace lyre {
namespace detail {
std::atomic<uint32_t> g_log_mask{0};
}

namespace {

constexpr uint32_t kLogRateBurst = 20;
constexpr int64_t kLogRateWindowNs = 1'000'000'000;

// In the order of their bits.
constexpr std::array<LogItem, 12> kItems = {{
    {"in_asm", kLogInAsm, "guest instructions of each block, when it is translated"},
    {"op", kLogOp, "intermediate code of each block before the passes"},
    {"op_opt", kLogOpOpt, "intermediate code of each block after the passes"},
    {"out_asm", kLogOutAsm, "host instructions of each block"},
    {"exec", kLogExec, "each block as it is entered from the dispatcher (nochain: all of them)"},
    {"int", kLogInt, "interrupts and exceptions"},
    {"mmu", kLogMmu, "page walks and their results"},
    {"cpu", kLogCpu, "guest registers before each block"},
    {"guest_errors", kLogGuestErrors, "things that a guest must not do"},
    {"unimp", kLogUnimp, "things that the guest asked for and that are not there"},
    {"page", kLogPage, "guest memory layout"},
    {"nochain", kLogNoChain, "do not link blocks, so that exec and cpu are complete"},
}};

struct Range {
  uint64_t first, last;  // both inclusive
};

std::atomic<int> g_fd{STDERR_FILENO};
// Null: everything. Published whole; replaced sets are kept, because another thread may still read one.
std::atomic<const std::vector<Range>*> g_filter{nullptr};

int64_t monotonic_ns() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

template <typename F>
void for_each_item(std::string_view list, F&& f) {
  while (!list.empty()) {
    const size_t comma = list.find(',');
    f(list.substr(0, comma));
    list = comma == list.npos ? std::string_view() : list.substr(comma + 1);
  }
}

bool parse_number(std::string_view text, uint64_t& value) {
  const bool hex = text.starts_with("0x") || text.starts_with("0X");
  if (hex) text.remove_prefix(2);
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, hex ? 16 : 10);
  return !text.empty() && error == std::errc() && end == text.data() + text.size();
}

// a+len, a-len (len bytes before a, up to and with a), a..b: the three forms that a QEMU user knows.
bool parse_range(std::string_view text, Range& range) {
  size_t at = text.find("..");
  size_t width = 2;
  if (at == text.npos) {
    at = text.find_first_of("+-");
    width = 1;
  }
  uint64_t a = 0, b = 0;
  if (at == text.npos || !parse_number(text.substr(0, at), a) || !parse_number(text.substr(at + width), b))
    return false;
  if (width == 2) {
    range = {a, b};
    return a <= b;
  }
  if (b == 0) return false;
  range = text[at] == '+' ? Range{a, a + (b - 1)} : Range{a - (b - 1), a};
  return range.first <= range.last;
}

void write_all(const char* data, size_t size) {
  const int fd = g_fd.load(std::memory_order_relaxed);
  while (size) {
    const ssize_t n = ::write(fd, data, size);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return;  // nowhere to complain to
    data += n;
    size -= static_cast<size_t>(n);
  }
}

}  // namespace

std::span<const LogItem> log_items() { return kItems; }

Status log_set_items(std::string_view items) {
  uint32_t mask = 0;
  std::string unknown;
  for_each_item(items, [&](std::string_view item) {
    if (item == "all") {
      mask |= ~uint32_t{0} & ~uint32_t{kLogNoChain};
      return;
    }
    for (const LogItem& known : kItems) {
      if (known.name == item) {
        mask |= known.bit;
        return;
      }
    }
    if (unknown.empty()) unknown = item;
  });
  if (!unknown.empty()) {
    std::vector<std::string_view> names;
    for (const LogItem& known : kItems) names.push_back(known.name);
    return Error{"unknown log item '" + unknown + "'" + did_you_mean(unknown, names)};
  }
  detail::g_log_mask.store(mask, std::memory_order_relaxed);
  return Ok{};
}

Status log_set_file(const std::string& path) {
  std::string name = path;
  if (size_t at = name.find("%d"); at != name.npos) name.replace(at, 2, std::to_string(getpid()));
  const int fd = open(name.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);
  if (fd < 0) return Error{"cannot open log file '" + name + "': " + std::strerror(errno)};
  const int old = g_fd.exchange(fd);
  if (old != STDERR_FILENO) close(old);
  return Ok{};
}

Status log_set_filter(std::string_view ranges) {
  auto set = std::make_unique<std::vector<Range>>();
  std::string bad;
  for_each_item(ranges, [&](std::string_view text) {
    Range range{};
    if (parse_range(text, range)) {
      set->push_back(range);
    } else if (bad.empty()) {
      bad = text;
    }
  });
  if (!bad.empty())
    return Error{"invalid address range '" + bad + "', expected START+LENGTH, END-LENGTH or FIRST..LAST"};
  static std::vector<std::unique_ptr<std::vector<Range>>> kept;
  kept.push_back(std::move(set));
  g_filter.store(kept.back()->empty() ? nullptr : kept.back().get(), std::memory_order_release);
  return Ok{};
}

bool log_in_filter(uint64_t guest_pc) {
  const std::vector<Range>* set = g_filter.load(std::memory_order_acquire);
  if (!set) return true;
  for (const Range& range : *set) {
    if (guest_pc >= range.first && guest_pc <= range.last) return true;
  }
  return false;
}

void log_line(const char* format, ...) {
  char small[512];  // enough for nearly all; one byte stays for the newline
  va_list arguments, again;
  va_start(arguments, format);
  va_copy(again, arguments);
  const int wanted = std::vsnprintf(small, sizeof small - 1, format, arguments);
  va_end(arguments);
  if (wanted > 0) {
    const size_t length = static_cast<size_t>(wanted);
    std::string large;
    char* text = small;
    if (length >= sizeof small - 1) {
      large.resize(length + 2);
      std::vsnprintf(large.data(), length + 1, format, again);
      text = large.data();
    }
    const bool whole = text[length - 1] == '\n';
    if (!whole) text[length] = '\n';
    write_all(text, length + (whole ? 0 : 1));
  }
  va_end(again);
}

void log_text(std::string_view text) { write_all(text.data(), text.size()); }

bool log_rate_allows(LogRate& rate) {
  const int64_t now = monotonic_ns();
  int64_t start = rate.window_start_ns.load(std::memory_order_relaxed);
  if (start == 0 || now - start >= kLogRateWindowNs) {
    // One thread opens the new window and reports what the old one swallowed.
    if (rate.window_start_ns.compare_exchange_strong(start, now, std::memory_order_relaxed)) {
      const uint32_t seen = rate.count.exchange(0, std::memory_order_relaxed);
      if (seen > kLogRateBurst) log_line("(%u more like the next line were left out)\n", seen - kLogRateBurst);
    }
  }
  return rate.count.fetch_add(1, std::memory_order_relaxed) < kLogRateBurst;
}

}  // namespace lyre
