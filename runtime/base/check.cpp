#include "runtime/base/check.h"

#include <atomic>
#include <cstdio>
#include <cstdlib>

namespace lyre {
namespace {
std::atomic<CheckReport> g_report{nullptr};
}

void set_check_report(CheckReport report) noexcept { g_report.store(report); }

void check_failed(const char* file, int line, const char* condition, const char* sentence) noexcept {
  std::fprintf(stderr, "lyrebird: internal error at %s:%d: %s (%s)\n", file, line, sentence, condition);
  if (CheckReport report = g_report.exchange(nullptr)) report();
  std::abort();
}

}  // namespace lyre
