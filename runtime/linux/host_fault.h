// The last SIGSEGV or SIGBUS that the host's memory management sent to this thread for an access of the guest's, as the
// signal handler noted it.
#pragma once
#include <cstdint>

#include "ir/abi.h"

namespace lyre::linux_user {

constexpr uint32_t host_fault_aux(int signal, int code) {
  return static_cast<uint32_t>(signal) << 16 | static_cast<uint32_t>(code & 0xffff);
}
constexpr int host_fault_signal(uint32_t aux) { return static_cast<int>(aux >> 16); }
constexpr int host_fault_code(uint32_t aux) { return static_cast<int16_t>(aux & 0xffff); }

// This thread's; written by the handler (signals.cpp).
ir::Fault& last_host_fault() noexcept;

}  // namespace lyre::linux_user
