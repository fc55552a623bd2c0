// Thread: one thread of the guest process on one host thread: its registers, its loop, its signals. Everything runs on
// that thread but for what is marked.
//
// Signals. The host's mask is the guest's, but for those that a fault raises, which are never blocked in the host. A
// handler of ours notes one signal and leaves the host's mask full, so that the kernel goes on queueing; translated
// code is left at its next check, the guest's frame is built, and the host's mask becomes the guest's again. While a
// system call is made the thread's epoch is even.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "frontend/plain_env.h"
#include "ir/abi.h"
#include "runtime/exec/code_source.h"
#include "runtime/linux/limits.h"
#include "runtime/linux/process.h"
#include "runtime/linux/signal_map.h"
#include "runtime/linux/trace_area.h"

namespace lyre::linux_user {

struct CloneRequest;
struct SeccompFilter;
struct SyscallRow;
class Debugger;

// What a system call gives back besides values and -errno: registers are as they shall be.
inline constexpr int64_t kRegistersSet = -1000;

class Thread final : public frontend::PlainEnv, public runtime::CodeUser {
 public:
  Thread(Process& process, std::shared_ptr<SignalTable> signals, std::shared_ptr<Limits> limits);
  ~Thread() override;
  static Thread* current() noexcept;
  static void set_current(Thread* thread) noexcept;

  Process& process() { return process_; }
  ir::VcpuBlock& block() { return *block_; }
  SignalTable& signals() { return *signals_; }
  std::shared_ptr<SignalTable> shared_signals() { return signals_; }
  Limits& limits() { return *limits_; }
  std::shared_ptr<Limits> shared_limits() { return limits_; }

  // Runs guest code until the thread ends; returns its status (low byte of exit()).
  int run();
  void end(int status) { ended_ = true, status_ = status; }
  // Under a debugger (debugger.h): null in all other processes, and in a child that borrows its parent's memory.
  Debugger* debugger() const { return debugger_; }
  void set_debugger(Debugger* debugger) { debugger_ = debugger; }
  void* debug_record() const { return debug_record_; }
  void set_debug_record(void* record) { debug_record_ = record; }
  void set_debug_key(uint64_t key) {
    if (key != debug_key_) debug_key_ = key, key_stale_ = true;
  }
  // The host's number of this thread; 0: it has not begun. (any thread)
  int tid() const { return area_.tid.load(std::memory_order_relaxed); }
  // On the host thread that this object is to run on, before it runs; forked: the only one of a new process.
  void started(bool forked = false);
  // A child that runs in its parent's memory until it executes.
  bool borrows() const { return borrows_; }
  void set_borrows() { borrows_ = true, debugger_ = nullptr; }
  // (any thread) It waits at a block's end for the end of the process.
  bool held() const { return held_back_.load(std::memory_order_acquire); }
  void rest(bool rests);  // it waits, holding no pointers to blocks
  bool has_handler_for_noted();  // a signal is noted, and a handler of the guest's is to run for it
  uint64_t clear_child_tid = 0;  // set_tid_address: zeroed and woken when the thread ends

  // A host call that signals may interrupt.
  int64_t call_host(long number, uint64_t a = 0, uint64_t b = 0, uint64_t c = 0, uint64_t d = 0, uint64_t e = 0,
                    uint64_t f = 0);

  // Signals (signals.cpp).
  uint64_t mask() const { return mask_; }
  void set_mask(uint64_t mask);
  // For the time of one system call (sigsuspend, ppoll): what blocks while a handler runs that ends it.
  void set_call_mask(uint64_t mask) { call_mask_ = guest_signals(mask), has_call_mask_ = true; }
  int64_t sigreturn();
  int64_t sigaltstack(uint64_t new_stack, uint64_t old_stack);
  void inherit_signals(const Thread& parent, bool keep_stack);
  void block_all_in_host();
  // ptrace (tracee.cpp; trace_area.h says how it goes).
  bool traced() const { return area_.traced; }
  void become_traced(bool seized, uint32_t options);
  void lose_tracer() noexcept;  // also from the signal handler
  void inherit_tracer(const Thread& parent, const CloneRequest& request);
  std::string tracer_text() const;             // for the emulator that is executed
  bool begin_traced(const std::string& text);  // there, before run(); false: no such text
  void pass_to_kernel(int signal);             // it is about to be sent to this thread, and not for the tracer to see

  // Seccomp (seccomp.cpp). A thread's filters are changed by itself, or by others under the process's list of threads.
  int seccomp_mode() const { return seccomp_mode_.load(std::memory_order_acquire); }
  const SeccompFilter* filters() const { return filters_.load(std::memory_order_acquire); }
  // False: it is in another mode, which it can not leave.
  bool set_seccomp_mode(int mode, const SeccompFilter* newest);

  // From the host's signal handlers.
  void note_signal(const SigInfo& info, void* context);

  // The guest's code that we know of may be stale: riscv_flush_icache, membarrier.
  uint64_t epoch() const override { return epoch_.load(std::memory_order_acquire); }  // (any thread)
  void request_forget() override {                                                    // (any thread)
    forget_.store(true, std::memory_order_release);
    block_->exit_request.store(1, std::memory_order_seq_cst);
  }
  void drop_writes(Gpa) override {}

  // GuestEnv
  void state_key_changed() override { key_stale_ = true, update_key(); }
  int64_t now_ns() override;
  void instruction_fence() override { process_.space().flush_shared_code(0, 0); }

 private:
  void update_key();
  void attend();
  void hold_back();
  runtime::TranslationBlock* find_block(uint64_t pc);
  void act_on_fault();
  void make_syscall();
  int64_t call(const frontend::SyscallRegs& regs);
  int64_t watched_call(frontend::SyscallRegs regs);
  void log_entry(const runtime::TranslationBlock& block, uint64_t pc);
  template <bool kDebugged>
  void loop();
  int64_t debugged_call(long number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f);

  // tracee.cpp
  void unlist();
  void show_registers();
  void take_registers();
  void drop_written_code();
  int trace_stop(uint32_t code, const SigInfo& info, uint64_t message, int otherwise);
  void trace_event(uint32_t code, uint64_t message);
  bool trace_signal(SigInfo& info, bool forced);
  void attend_tracer();
  void stop_at_call(uint64_t message);
  bool trace_entry(frontend::SyscallRegs& regs, int64_t& result);
  int64_t trace_exit(uint64_t first_argument, int64_t result);
  bool after_tracer(frontend::SyscallRegs& regs, uint64_t first_argument, int64_t& result, int32_t none_below);
  bool trace_seccomp(frontend::SyscallRegs& regs, uint16_t data, int64_t& result);

  // seccomp.cpp. False: the call is not made, and this is its result.
  bool seccomp_allows(frontend::SyscallRegs& regs, int64_t& result, bool after_tracer);
  void end_by_seccomp(int signal);

  // signals.cpp
  void deliver_noted();
  void deliver(const SigInfo& info, bool forced);
  void deliver_now(const SigInfo& info, bool forced);
  bool build_frame(const SigInfo& info, const SignalTable::Action& action);
  void raise_for_fault(int signal, int code, uint64_t address);
  void release_held();
  bool on_alternate_stack(uint64_t sp) const { return sp - alternate_base_ < alternate_bytes_; }

  Process& process_;
  std::shared_ptr<SignalTable> signals_;
  std::shared_ptr<Limits> limits_;
  std::unique_ptr<ir::VcpuBlock> block_;
  uint64_t state_key_ = 0;
  bool key_stale_ = true;
  bool ended_ = false;
  int status_ = 0;
  uint64_t retried_pc_ = 0, retried_address_ = 0;
  unsigned retries_ = 0;

  // A signal that a host handler noted; the mask in the host is full from then on. Written by the handler on this
  // thread.
  TraceArea area_;
  volatile uint8_t& noted_ = area_.pending.noted;
  int interrupted_ = 0;  // a call was left for the tracer's sake, and ends by a handler as its host's call would have (ERESTART*)
  uint64_t interrupted_pc_ = 0;
  SigInfo noted_info_;
  uint64_t held_ = 0;  // signals that a fault can raise, sent by somebody while the guest blocks them
  SigInfo held_info_[kSignals + 1];
  uint64_t mask_ = 0;
  uint64_t call_mask_ = 0;
  bool has_call_mask_ = false;
  uint64_t alternate_base_ = 0, alternate_bytes_ = 0;
  int32_t alternate_flags_ = 0;  // as asked for; without bytes there is none

  Debugger* debugger_ = nullptr;
  void* debug_record_ = nullptr;
  uint64_t debug_key_ = 0;  // part of the state key
  bool rested_ = false;
  bool borrows_ = false;
  std::atomic<bool> held_back_{false};

  std::atomic<uint8_t> seccomp_mode_{0};
  std::atomic<const SeccompFilter*> filters_{nullptr};

  std::atomic<uint64_t> epoch_{0};
  std::atomic<bool> forget_{false};
};

// The host's pc behind the `int3` at which this process stops for its tracer.
bool at_trace_stop(uint64_t host_pc) noexcept;

// Installs what every guest process needs: handlers for faults. Once, at start.
void install_fault_handlers();
// And for what ends a program with a core file, which is to be the guest's.
void install_core_handlers(SignalTable& table);
// The host's disposition follows the guest's.
int64_t set_host_action(int signal, const SignalTable::Action& action);
// While a debugger is there every signal that would end or stop the process comes to us first.
void watch_default_signals(SignalTable& table, bool on);
// Ends the process as by this signal, with the note that tools look for.
[[noreturn]] void die_by_signal(const SigInfo& info);

}  // namespace lyre::linux_user
