// LYRE_CHECK: our own invariants. On failure prints the place, the sentence and, through a hook that the execution
// engine installs, guest pc, IR and host code of the running block; then aborts.
#pragma once

namespace lyre {

[[noreturn]] void check_failed(const char* file, int line, const char* condition, const char* sentence) noexcept;

// Called once by check_failed before abort; must not allocate more than it needs and must not check.
using CheckReport = void (*)() noexcept;
void set_check_report(CheckReport report) noexcept;

}  // namespace lyre

#define LYRE_CHECK(condition, sentence) \
  (__builtin_expect(static_cast<bool>(condition), 1) ? void(0) : ::lyre::check_failed(__FILE__, __LINE__, #condition, sentence))
