// The log of -d ITEMS, -D FILE, -dfilter RANGE. Threads: any; a line is written whole. Cold unless its class is on:
// test `log_on(kLogExec)` (one relaxed load) before building a message.
#pragma once
#include <atomic>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "runtime/base/result.h"

namespace lyre {

enum LogClass : uint32_t {
  kLogInAsm = 1u << 0,
  kLogOp = 1u << 1,
  kLogOpOpt = 1u << 2,
  kLogOutAsm = 1u << 3,
  kLogExec = 1u << 4,
  kLogInt = 1u << 5,
  kLogMmu = 1u << 6,
  kLogCpu = 1u << 7,
  kLogGuestErrors = 1u << 8,
  kLogUnimp = 1u << 9,
  kLogPage = 1u << 10,
  kLogNoChain = 1u << 11,
};

namespace detail {
extern std::atomic<uint32_t> g_log_mask;
}
inline bool log_on(uint32_t classes) { return detail::g_log_mask.load(std::memory_order_relaxed) & classes; }

struct LogItem {
  std::string_view name;
  LogClass bit;
  std::string_view help;
};
std::span<const LogItem> log_items();  // what `-d help` lists

// Comma-separated items as after -d ("all": every class but nochain); an unknown item is an error that names the nearest one.
Status log_set_items(std::string_view items);
// File as after -D, `%d` becomes the process id. Standard error until set.
Status log_set_file(const std::string& path);
// Ranges as after -dfilter: a+len, a-b, a..b, comma-separated. Applies to in_asm, op, op_opt, out_asm, exec.
Status log_set_filter(std::string_view ranges);
bool log_in_filter(uint64_t guest_pc);

// printf-style; a missing newline at the end is added. One call is written by one write.
void log_line(const char* format, ...) __attribute__((format(printf, 1, 2)));
void log_text(std::string_view text);

// A guest-triggerable message: at most `kLogRateBurst` lines a second for one call site, then a count of what was left out.
struct LogRate {
  std::atomic<int64_t> window_start_ns{0};
  std::atomic<uint32_t> count{0};
};
bool log_rate_allows(LogRate& rate);

#define LYRE_GUEST_ERROR(...)                                                             \
  do {                                                                                    \
    static ::lyre::LogRate rate_;                                                         \
    if (::lyre::log_on(::lyre::kLogGuestErrors) && ::lyre::log_rate_allows(rate_)) ::lyre::log_line(__VA_ARGS__); \
  } while (0)
#define LYRE_UNIMP(...)                                                                   \
  do {                                                                                    \
    static ::lyre::LogRate rate_;                                                         \
    if (::lyre::log_on(::lyre::kLogUnimp) && ::lyre::log_rate_allows(rate_)) ::lyre::log_line(__VA_ARGS__); \
  } while (0)

}  // namespace lyre
