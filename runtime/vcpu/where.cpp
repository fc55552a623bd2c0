// Where a vCPU is, for `info stuck` and SIGQUIT, without stopping it: its thread gets a signal, looks up its own host
// pc in the handler and goes on.
#include <pthread.h>
#include <time.h>

#include <cinttypes>
#include <csignal>
#include <cstdio>

#include "runtime/vcpu/vcpu.h"

namespace lyre::runtime {
namespace {

constexpr int kSignal = SIGURG;  // ignored by default, and used by nobody else here
constexpr int kPatienceMs = 50;

thread_local Vcpu* vcpu_of_thread = nullptr;

void on_signal(int, siginfo_t*, void* context) {
  if (vcpu_of_thread) vcpu_of_thread->note_place(context);
}

void install_handler() {
  static const bool installed = [] {
    struct sigaction action = {};
    action.sa_sigaction = on_signal;
    action.sa_flags = SA_SIGINFO | SA_RESTART;
    sigemptyset(&action.sa_mask);
    return sigaction(kSignal, &action, nullptr) == 0;
  }();
  (void)installed;  // without it the report names the block that was last entered from the loop
}

std::string hex(uint64_t value) {
  char text[24];
  std::snprintf(text, sizeof text, "0x%" PRIx64, value);
  return text;
}

}  // namespace

void Vcpu::watch_thread() {
  install_handler();
  vcpu_of_thread = this;
  use_lock_notes(&locks_);
}

void Vcpu::unwatch_thread() {
  use_lock_notes(nullptr);
  vcpu_of_thread = nullptr;
}

void Vcpu::note_place(const void* signal_context) {
  const backend::Backend::Place place =
      shared_.backend.place_of(*block_, signal_context, access_.load(std::memory_order_relaxed) != kNoAccess);
  place_known_.store(place.known, std::memory_order_relaxed);
  place_exact_.store(place.exact, std::memory_order_relaxed);
  place_block_.store(place.block.value, std::memory_order_relaxed);
  place_pc_.store(place.pc.value, std::memory_order_relaxed);
  places_.fetch_add(1, std::memory_order_release);
}

// False: the thread does not run, or did not answer in time.
bool Vcpu::ask_place() {
  std::unique_lock joining(join_mutex_, std::try_to_lock);
  if (!joining || !thread_.joinable()) return false;
  const uint32_t before = places_.load(std::memory_order_acquire);
  if (pthread_kill(thread_.native_handle(), kSignal) != 0) return false;
  for (int waited = 0; waited < kPatienceMs; ++waited) {
    if (places_.load(std::memory_order_acquire) != before) return place_known_.load(std::memory_order_relaxed);
    const timespec millisecond{0, 1'000'000};
    nanosleep(&millisecond, nullptr);
  }
  return false;
}

std::string Vcpu::report() {
  const bool asleep = waiting(), turn = waiting_for_turn_.load(std::memory_order_relaxed),
             stopped = pause_.load(std::memory_order_relaxed);
  std::string text = "cpu " + std::to_string(index_) + ": ";
  text += asleep ? "waiting for an interrupt" : turn ? "waiting for its turn" : stopped ? "stopped" : "running";
  if (!asleep && !turn && ask_place()) {
    if (place_exact_.load(std::memory_order_relaxed))
      text += ", guest pc " + hex(place_pc_.load(std::memory_order_relaxed));
    text += ", block at guest pc " + hex(place_block_.load(std::memory_order_relaxed));
  } else {
    text += ", last entered the block at guest pc " + hex(running_pc().value);
  }
  const uint64_t access = access_.load(std::memory_order_relaxed);
  if (access != kNoAccess) {
    IoBus* bus = shared_.memory.io_bus();
    const std::string name = bus ? bus->io_name({access}) : std::string();
    text += ", accessing " + hex(access) + (name.empty() ? "" : " (" + name + ")");
  }
  const std::string locks = locks_.text();
  if (!locks.empty()) text += ", " + locks;
  return text + ", " +
         std::to_string(std::atomic_ref<uint64_t>(counters_.loop_entries).load(std::memory_order_relaxed)) +
         " blocks entered from the loop\n";
}

}  // namespace lyre::runtime
