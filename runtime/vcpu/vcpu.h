// Vcpu: one virtual CPU and its thread: the vCPU block, its TLBs, and the execution loop. It is the guest's environment (GuestEnv).
// Threads: everything runs on the vCPU's own thread but for what is marked (any thread).
#pragma once
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "backend/backend.h"
#include "frontend/guest_isa.h"
#include "ir/abi.h"
#include "runtime/exec/code_cache.h"
#include "runtime/exec/counters.h"
#include "runtime/exec/fetch_tlb.h"
#include "runtime/exec/translator.h"
#include "runtime/mem/physical_map.h"
#include "runtime/mem/soft_tlb.h"
#include "runtime/vcpu/clock.h"
#include "runtime/vcpu/debug.h"

namespace lyre::runtime {

// thread=single: who may run guest code. First come, first served: a vCPU that gives up its turn goes behind those that wait.
class Turn {
 public:
  void lock() {
    std::unique_lock lock(mutex_);
    const uint64_t mine = next_++;
    changed_.wait(lock, [&] { return serving_ == mine; });
  }
  void unlock() {
    std::lock_guard lock(mutex_);
    ++serving_;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  uint64_t next_ = 0, serving_ = 0;
};

class Vcpu;

// What the vCPUs of one machine share.
struct VcpuShared {
  const frontend::GuestCpu& cpu;
  PhysicalMap& memory;
  VirtualClock& clock;
  TimerService& timers;
  backend::Backend& backend;
  CodeCache& cache;
  bool single_thread = false;
  bool counted = false, one_insn_per_tb = false;
  Turn turn{};  // thread=single: held while running guest code
  // thread=single: who runs gives its turn to the next.
  std::atomic<bool> slice_over{false};
  std::atomic<Vcpu*> runner{nullptr};
  void end_slice();  // (any thread)
  DebugPoints debug{};
};

class Vcpu final : public frontend::GuestEnv, public CodeUser, CodeFetcher {
 public:
  Vcpu(VcpuShared& shared, unsigned index);
  ~Vcpu() override;

  // Control, from one other thread at a time.
  void start();
  void request_pause();              // (any thread)
  void wait_paused();
  void resume();
  void stop();                       // joins
  void reset(Gva pc);                // while paused or not started
  void set_irq(unsigned input, bool level);  // (any thread)
  void kick();                       // (any thread) look up from guest code soon

  ir::VcpuBlock& block() { return *block_; }
  SoftTlb& tlb() { return tlb_; }
  const Counters& counters() const { return counters_; }
  Counters& counters() { return counters_; }
  VcpuShared& shared() { return shared_; }
  unsigned index() const { return index_; }

  // Quiescence: even while outside translated code and without pointers to blocks. (any thread)
  uint64_t epoch() const override { return epoch_.load(std::memory_order_acquire); }
  // Guest physical memory changed its nature there: translations are dropped before this vCPU runs on. (any thread)
  void request_remap(Gpa address, uint64_t size);
  // The cache retired blocks: jump cache and return stack, which may name them, are cleared before this vCPU runs on. (any thread)
  void request_forget() override { forget_.store(true, std::memory_order_release), kick(); }
  void drop_writes(Gpa page) override { tlb_.drop_writes(page); }
  Gva running_pc() const { return {running_pc_.load(std::memory_order_relaxed)}; }  // (any thread) block last entered from the loop
  bool waiting() const { return waiting_.load(std::memory_order_relaxed); }
  // Where it is, in one line: whether it runs, guest pc and block, the device that it accesses, locks that it holds and waits for. Neither stops it nor
  // waits for a lock. From one other thread at a time. (runtime/vcpu/where.cpp)
  std::string report();
  void note_place(const void* signal_context);  // in a signal handler of its thread

  // Under a debugger (debug.cpp), while paused.
  void set_debug_action(DebugAction action) { debug_action_ = action; }
  void debug_changed();
  void debug_released();

  // Slow paths (runtime/mem/slow_path.cpp).
  uint64_t slow_load(Gva address, ir::MemOp op);
  void slow_store(Gva address, uint64_t value, ir::MemOp op);
  uint64_t slow_rmw(Gva address, uint64_t operand, ir::MemOp op, ir::RmwKind kind);
  uint64_t slow_cmpxchg(Gva address, uint64_t expected, uint64_t desired, ir::MemOp op);

  // GuestEnv
  bool read_physical(Gpa address, unsigned size, uint64_t& value) override;
  bool update_physical(Gpa address, unsigned size, uint64_t& expected, uint64_t desired, bool& done) override;
  void flush_tlb_all() override;
  void flush_tlb_page(Gva page) override;
  void flush_tlb_spaces(uint64_t mask, uint64_t value) override;
  void set_address_space(uint64_t id, unsigned mmu_index) override;
  void state_key_changed() override;
  void interrupts_changed() override;
  int64_t now_ns() override;
  void set_timer(unsigned timer, int64_t deadline_ns) override;
  void wait_for_interrupt() override;
  uint64_t instructions_retired() override;
  void instruction_fence() override;

 private:
  friend class FetchTlb;
  const FetchEntry* fetch_page(Gva pc, ir::Fault& fault) override { return fetch_.find(*this, pc, fault); }
  void loop();
  bool attend(std::unique_lock<Turn>& turn);  // requests; false: stop
  void sleep_until_wakeup(std::unique_lock<Turn>& turn);
  void take_turn(std::unique_lock<Turn>& turn);
  void forget_code_pages_of_space();
  TranslationBlock* lookup_at(Gva pc, uint64_t key);
  void know_code_page(const FetchEntry& page, Gva pc);
  void remember_jump(const TranslationBlock& block);
  void update_key();
  void expect_no_global_code();
  void log_exec(const TranslationBlock& block);
  void debug_stop(const DebugStop& stop);
  bool debug_enter(uint64_t pc);
  void debug_left(uint64_t pc, bool faulted);
  bool leave_for_watchpoint(Gva address, unsigned bytes, bool store);
  // The access is watched, and the block is left before it.
  bool watched(Gva address, unsigned bytes, bool store) {
    return !shared_.debug.watchpoints.empty() && leave_for_watchpoint(address, bytes, store);
  }
  void watch_thread();
  void unwatch_thread();
  bool ask_place();

  // Translation for a data access. ok: entry filled (RAM: host usable; device: physical address).
  struct Target {
    bool ok = false;
    Hva host = nullptr;      // null: device or not cachable
    Gpa gpa;
    bool device = false;
    bool code_page = false;  // RAM that holds translated code: a store must tell the cache
  };
  Target resolve(Gva address, frontend::Access access);
  Target resolve_uncached(const frontend::Translation& walked, frontend::Access access);
  bool device_read(Gva address, Gpa gpa, unsigned size, uint64_t& value);
  bool device_write(Gva address, Gpa gpa, unsigned size, uint64_t value);
  void polled(Gpa gpa, uint64_t value);
  Hva atomic_target(Gva address, ir::MemOp op);
  void finish_code_store(unsigned size);

  VcpuShared& shared_;
  const unsigned index_;
  std::unique_ptr<ir::VcpuBlock> block_;
  SoftTlb tlb_;
  FetchTlb fetch_;
  Counters counters_;
  Translator translator_;
  std::vector<std::unique_ptr<Timer>> timers_;

  uint32_t keep_code_page_[ir::kCodePages] = {};  // all ones: the slot holds a global mapping, kept across address spaces
  uint64_t space_ = 0;
  uint64_t fetch_space_ = 0;          // whose number the key has: space_, or one for global code (GuestCpu::global_space)
  bool global_code_ = true;
  unsigned mmu_index_ = 0;
  uint64_t state_key_ = 0;
  bool key_stale_ = true;
  bool wfi_ = false;
  DebugAction debug_action_ = DebugAction::kRun;
  bool single_ = false;               // the next instruction runs alone
  std::optional<Watchpoint> watch_hit_;  // the block was left before this access
  std::optional<uint64_t> told_pc_;      // of the instruction whose access was reported: next time it is done
  uint64_t step_insns_ = 0, step_pc_ = 0;
  Gpa code_store_;                    // an atomic operation writes into a page of code
  bool code_store_pending_ = false;
  Gpa polled_address_;
  uint64_t polled_value_ = 0;
  unsigned polled_times_ = 0;

  std::atomic<uint64_t> epoch_{0};
  std::atomic<bool> forget_{false};
  std::atomic<bool> remap_{false};
  std::atomic<uint64_t> running_pc_{0};
  std::atomic<bool> waiting_{false};
  std::atomic<bool> waiting_for_turn_{false};
  LockNotes locks_;
  static constexpr uint64_t kNoAccess = ~uint64_t{0};
  std::atomic<uint64_t> access_{kNoAccess};  // physical address of the device access under way
  std::atomic<bool> place_known_{false}, place_exact_{false};
  std::atomic<uint64_t> place_block_{0}, place_pc_{0};
  std::atomic<uint32_t> places_{0};          // how often it said where it is
  std::mutex join_mutex_;                    // the thread is being joined, or asked where it is
  std::atomic<bool> look_{false};     // interrupts may have become deliverable
  std::atomic<bool> pause_{true};
  std::atomic<bool> stop_{false};
  std::mutex mutex_;                  // sleep, pause, resume
  std::condition_variable wake_, paused_changed_;
  bool paused_ = false;
  std::thread thread_;
};

// `prepare`: gives vCPUs that never ran their reset state.
std::unique_ptr<DebugVcpus> make_debug_vcpus(VcpuShared& shared, std::span<const std::unique_ptr<Vcpu>> vcpus, std::function<void()> prepare);

// Entries of VcpuBlock::helpers below kFirstGuestHelper.
void install_runtime_helpers(ir::VcpuBlock& block);

}  // namespace lyre::runtime
