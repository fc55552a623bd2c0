// Debugger: the guest's threads under a debugger (-g): where they stop, what is told of it, and how each goes on. The
// debugger's conversation is elsewhere (gdb_stub.h). All threads stop together: a thread has stopped when it waits
// here, or while the host works on a system call of it, from which it comes back here first.
//
// Invariants: no block starts at or runs over a breakpoint. An instruction that runs alone, or with watchpoints, is a
// block under a key of its own, so blocks of a process without debugger are as they always are. Guest memory is never
// patched. Threads: the first part is called by guest threads, of themselves; the second by the debugger's thread, and
// but for stop() and what is marked only while all have stopped. Lock order: AddressSpace's, then this one's.
#pragma once
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "runtime/debug/target.h"
#include "runtime/linux/thread.h"

namespace lyre::linux_user {

class Debugger {
 public:
  explicit Debugger(Process& process);
  ~Debugger();

  // ---- guest threads
  void begin(Thread& thread);  // before its first instruction
  void end(Thread& thread);
  // Before the block at `pc` is looked up. False: it stopped; everything is to be looked at again.
  bool before(Thread& thread, uint64_t pc);
  void after(Thread& thread, uint64_t pc);  // translated code was left, and what it left for has been done
  bool alone(const Thread& thread) const;   // the next block is one instruction: it is not linked
  // Around a call of the host's that may wait.
  void call_begins(Thread& thread);
  void call_ends(Thread& thread);
  void syscall_begins(Thread& thread, uint64_t number);
  // Afterwards. False: the debugger has set the registers meanwhile, which are not to be touched.
  bool syscall_ends(Thread& thread, uint64_t number, int64_t& result);
  // Before a signal is delivered. False: the debugger took it away; it may also have put another into its place.
  bool reports(Thread& thread, SigInfo& info);
  // An access of translated code under a watchpoint: it is left in front of it.
  bool watched(Thread& thread, uint64_t address, unsigned bytes, bool store);
  // The process is about to end; returns when the debugger knows.
  void exits(int status);
  void dies(int signal);
  void forked_child(Thread& survivor);  // it goes on without debugger
  // A signal of the host's that only ends a wait (in the handler).
  static bool is_kick(const SigInfo& info);

  // For a program that the process is about to execute: the debugger's connection stays open for it, by this option's
  // value, if the debugger can follow; empty: it can not. `keep` false: it was not executed.
  std::string hand_over(bool keep);

  const std::vector<uint64_t>* breakpoints() const { return &breakpoints_; }

  // ---- the debugger
  // (any thread) `notify` is called, on any thread, when all have stopped or the process is about to end.
  void set_notify(std::function<void()> notify) { notify_ = std::move(notify); }
  void wait_for_first_thread();
  // (any thread) What is handed over; -1: nobody follows.
  struct Connection {
    int connection = -1, listener = -1;
    unsigned agreed = 0;
    std::vector<int> files;
  };
  void set_connection(const Connection& connection);
  void set_passed(uint64_t signals) { passed_ = signals; }
  bool stopped();  // (any thread)
  debug::StopEvent take_stop();
  bool ending(debug::StopEvent& event);  // (any thread)
  void ended();                          // the debugger knows
  void attach();
  void detach();
  void stop();  // (any thread)
  void resume(std::span<const debug::Resume> actions);
  std::vector<unsigned> threads();
  bool read_register(unsigned tid, unsigned number, uint64_t& value);
  bool write_register(unsigned tid, unsigned number, uint64_t value);
  std::optional<SigInfo> siginfo(unsigned tid);
  void set_points(std::span<const debug::Point> points);
  void pass_signals(std::span<const unsigned> signals);
  void catch_syscalls(bool on, std::span<const uint64_t> numbers);

 private:
  struct Record;
  Record* find(const Thread& thread);
  Record* find(unsigned tid);
  const debug::Point* watch_at(uint64_t address, unsigned bytes, bool store) const;
  bool breaks_at(uint64_t pc) const;
  bool catches(uint64_t number) const;
  // With the lock held.
  void request_stop();
  void announce();
  void wait_here(Record& record, std::unique_lock<std::mutex>& lock);
  void stop_with(Record& record, const debug::StopEvent& event, const SigInfo& info,
                 std::unique_lock<std::mutex>& lock);
  void tell_end(const debug::StopEvent& event);
  void watch_defaults(bool on);

  Process& process_;
  std::function<void()> notify_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::unique_ptr<Record>> records_;
  bool began_ = false;
  std::atomic<bool> stop_{true};  // it waits for a debugger before the first instruction
  bool announced_ = false;
  struct Stop {
    debug::StopEvent event;
    bool again;  // the thread will meet it again when it goes on
  };
  std::deque<Stop> stops_;
  unsigned last_thread_ = 0;
  bool fresh_ = true;  // the debugger has not let it run yet
  std::optional<debug::StopEvent> end_;
  bool end_known_ = false;
  std::atomic<bool> attached_{false};
  std::vector<uint64_t> breakpoints_;  // sorted
  std::vector<debug::Point> watchpoints_;
  Connection connection_;
  uint64_t passed_ = 0;  // signals that are not reported
  bool catching_ = false;
  std::vector<uint64_t> caught_;  // empty: all
};

// Numbers of signals as gdb has them.
unsigned gdb_signal(int signal);
int signal_of_gdb(unsigned number);  // 0: none

}  // namespace lyre::linux_user
