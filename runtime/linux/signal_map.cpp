#include "runtime/linux/signal_map.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "runtime/linux/syscall.h"

namespace lyre::linux_user {
namespace {

constexpr int kFirst = 32, kLast = 64;
bool g_mapped = false;
int8_t g_to_host[kLast + 1], g_to_guest[kLast + 1];  // 0: not given yet

uint64_t mapped(uint64_t set, int (*number)(int) noexcept) {
  uint64_t result = set & ((uint64_t{1} << (kFirst - 1)) - 1);
  for (int signal = kFirst; signal <= kLast; ++signal)
    if (set >> (signal - 1) & 1) result |= uint64_t{1} << (number(signal) - 1);
  return result;
}

// struct sigevent: value, signal, way of telling.
constexpr size_t kEventBytes = 64;

}  // namespace

Status set_signal_map(const std::string& text) {
  const Error wrong{"'" + text + "' is not 'TSIG HSIG N[,TSIG HSIG N...]' with real-time signals, 32 to 64"};
  memset(g_to_host, 0, sizeof g_to_host);
  memset(g_to_guest, 0, sizeof g_to_guest);
  for (size_t at = 0; at < text.size();) {
    int guest = 0, host = 0, count = 0, used = 0;
    if (sscanf(text.c_str() + at, "%d %d %d%n", &guest, &host, &count, &used) != 3) return wrong;
    at += static_cast<size_t>(used);
    if (guest < kFirst || host < kFirst || count < 1 || guest > kLast + 1 - count || host > kLast + 1 - count)
      return wrong;
    for (int k = 0; k < count; ++k) {
      if (g_to_host[guest + k] || g_to_guest[host + k]) return Error{"'" + text + "' maps a signal twice"};
      g_to_host[guest + k] = static_cast<int8_t>(host + k), g_to_guest[host + k] = static_cast<int8_t>(guest + k);
    }
    if (at < text.size() && text[at++] != ',') return wrong;
  }
  auto give = [](int guest, int host) {
    if (g_to_host[guest] || g_to_guest[host]) return;
    g_to_host[guest] = static_cast<int8_t>(host), g_to_guest[host] = static_cast<int8_t>(guest);
  };
  for (int signal = kFirst; signal <= kLast; ++signal) give(signal, signal);
  for (int guest = kFirst; guest <= kLast; ++guest)
    for (int host = kFirst; host <= kLast; ++host) give(guest, host);
  g_mapped = true;
  return Ok{};
}

bool has_signal_map() noexcept { return g_mapped; }
int host_signal(int guest) noexcept { return g_mapped && guest >= kFirst && guest <= kLast ? g_to_host[guest] : guest; }
int guest_signal(int host) noexcept { return g_mapped && host >= kFirst && host <= kLast ? g_to_guest[host] : host; }
uint64_t host_signals(uint64_t guest) noexcept { return g_mapped ? mapped(guest, host_signal) : guest; }
uint64_t guest_signals(uint64_t host) noexcept { return g_mapped ? mapped(host, guest_signal) : host; }

MappedSignals::MappedSignals(SyscallCall& call) : call_(call) {
  if (!call.row) return;
  auto number = [&](unsigned k) { call.args[k] = static_cast<uint64_t>(host_signal(call.i(k))); };
  auto set = [&](unsigned k) {
    if (call.memory.get(call.args[k], set_))
      set_ = host_signals(set_), call.args[k] = reinterpret_cast<uint64_t>(&set_);
  };
  auto event = [&](unsigned k) {
    int32_t signal;
    if (!call.args[k] || !call.memory.read(call.args[k], info_, kEventBytes)) return;
    memcpy(&signal, info_ + 8, sizeof signal);
    signal = host_signal(signal);
    memcpy(info_ + 8, &signal, sizeof signal);
    call.args[k] = reinterpret_cast<uint64_t>(info_);
  };
  switch (call.row->id) {
    case Sys::kill:
    case Sys::tkill:
    case Sys::rt_sigqueueinfo:
    case Sys::pidfd_send_signal:
      number(1);
      break;
    case Sys::tgkill:
    case Sys::rt_tgsigqueueinfo:
      number(2);
      break;
    case Sys::fcntl:
      if (call.i(1) == F_SETSIG) number(2);
      return;
    case Sys::rt_sigsuspend:
      set(0);
      break;
    case Sys::signalfd4:
      set(1);
      break;
    case Sys::ppoll:
      set(3);
      break;
    case Sys::epoll_pwait:
    case Sys::epoll_pwait2:
      set(4);
      break;
    case Sys::pselect6:
      if (call.args[5] && call.memory.get(call.args[5], pair_) && call.memory.get(pair_[0], set_)) {
        set_ = host_signals(set_), pair_[0] = reinterpret_cast<uint64_t>(&set_);
        call.args[5] = reinterpret_cast<uint64_t>(pair_);
      }
      return;
    case Sys::timer_create:
      event(1);
      break;
    case Sys::mq_notify:
      event(1);
      break;
    case Sys::rt_sigtimedwait:
      set(0);
      if (call.args[1]) out_ = call.args[1], call.args[1] = reinterpret_cast<uint64_t>(info_);
      return;
    default:
      return;
  }
}

int64_t MappedSignals::after(int64_t result) {
  if (!call_.row || result < 0) return result;
  if (call_.row->id == Sys::rt_sigtimedwait) {
    const int signal = guest_signal(static_cast<int>(result));
    memcpy(info_, &signal, sizeof signal);
    if (out_ && !call_.memory.write(out_, info_, sizeof info_)) return -EFAULT;
    return signal;
  }
  if (call_.row->id == Sys::fcntl && call_.i(1) == F_GETSIG) return guest_signal(static_cast<int>(result));
  if (uint64_t set; call_.row->id == Sys::rt_sigpending && call_.memory.get(call_.args[0], set))
    if (!call_.memory.put(call_.args[0], guest_signals(set))) return -EFAULT;
  return result;
}

}  // namespace lyre::linux_user
