// Real-time signals whose number in the host is another than the guest's (-t), for a guest that shall not meet those
// that other programs of this host use. A permutation of 32..64; signals below are the same everywhere. Set before the
// first thread; any thread reads it. Without -t nothing is looked at.
#pragma once
#include <array>
#include <cstdint>
#include <string>

#include "runtime/base/result.h"

namespace lyre::linux_user {

struct SyscallCall;
struct SigInfo;

// "TSIG HSIG N[,TSIG HSIG N...]": N signals from TSIG of the guest are those from HSIG of the host. The guest's others
// have their own numbers where these are free, else the lowest that are. Errors: not of that form, not real-time.
Status set_signal_map(const std::string& text);
bool has_signal_map() noexcept;
int host_signal(int guest) noexcept;
int guest_signal(int host) noexcept;
uint64_t host_signals(uint64_t guest) noexcept;  // sets: bit number - 1
uint64_t guest_signals(uint64_t host) noexcept;

// A system call whose arguments name signals, made with the host's numbers; what comes back has the guest's.
class MappedSignals {
 public:
  explicit MappedSignals(SyscallCall& call);
  int64_t after(int64_t result);

 private:
  SyscallCall& call_;
  uint64_t out_ = 0;  // the guest's place for a set or a siginfo
  uint64_t set_ = 0, pair_[2] = {};
  alignas(8) unsigned char info_[128] = {};
};

}  // namespace lyre::linux_user
