// The loop of a guest thread: find a block, run it, act on why it left: link, system call, signal.
#include "runtime/linux/thread.h"

#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>

#include <thread>

#include "runtime/base/check.h"
#include "runtime/base/log.h"
#include "runtime/linux/debugger.h"
#include "runtime/linux/host_fault.h"
#include "runtime/linux/safe_syscall.h"
#include "runtime/linux/signal_map.h"
#include "runtime/linux/strace.h"
#include "runtime/linux/syscall.h"
#include "runtime/linux/watched_access.h"

namespace lyre::linux_user {
namespace {

thread_local Thread* t_current = nullptr;

uint64_t no_memory_probe(ir::VcpuBlock* block, uint64_t address, bool store) noexcept {
  const auto& cpu = static_cast<Thread*>(block->owner)->process().cpu();
  block->fault = cpu.misaligned_fault(Gva{address}, store ? frontend::Access::kStore : frontend::Access::kLoad);
  block->leave = static_cast<uint32_t>(ir::Leave::kFault);
  return 0;
}
// The only slow accesses of direct memory: those that must be aligned and are not.
uint64_t misaligned_load(ir::VcpuBlock* block, uint64_t address, uint64_t) noexcept {
  return no_memory_probe(block, address, false);
}
uint64_t misaligned_store(ir::VcpuBlock* block, uint64_t address, uint64_t, uint64_t) noexcept {
  return no_memory_probe(block, address, true);
}
uint64_t misaligned_cmpxchg(ir::VcpuBlock* block, uint64_t address, uint64_t, uint64_t, uint64_t) noexcept {
  return no_memory_probe(block, address, true);
}
uint64_t read_clock(ir::VcpuBlock* block) noexcept { return static_cast<uint64_t>(block->env->now_ns()); }

}  // namespace

Thread* Thread::current() noexcept { return t_current; }
void Thread::set_current(Thread* thread) noexcept { t_current = thread; }

Thread::Thread(Process& process, std::shared_ptr<SignalTable> signals, std::shared_ptr<Limits> limits)
    : process_(process),
      signals_(std::move(signals)),
      limits_(std::move(limits)),
      block_(std::make_unique<ir::VcpuBlock>()),
      debugger_(process.debugger()) {
  block_->env = this;
  block_->owner = this;
  block_->helpers[ir::kHelperSlowLoad] = ir::helper_function(misaligned_load);
  block_->helpers[ir::kHelperSlowStore] = ir::helper_function(misaligned_store);
  block_->helpers[ir::kHelperSlowRmw] = ir::helper_function(misaligned_store);
  block_->helpers[ir::kHelperSlowCmpxchg] = ir::helper_function(misaligned_cmpxchg);
  block_->helpers[ir::kHelperClock] = ir::helper_function(read_clock);
  std::span<const ir::HelperInfo> helpers = process.cpu().helpers();
  for (size_t i = 0; i < helpers.size(); ++i) block_->helpers[ir::kFirstGuestHelper + i] = helpers[i].function;
  if (debugger_) install_watched_access(*block_);
  block_->use_jump_entries(ir::kFewJumpCacheEntries);
  process.backend().prepare(*block_);
  process.cache().add_user(*this);
  process.add_thread(*this);
}

Thread::~Thread() {
  unlist();
  process_.remove_thread(*this);
  process_.cache().remove_user(*this);
}

int64_t Thread::now_ns() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t Thread::call_host(long number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f) {
  if (debugger_) return debugged_call(number, a, b, c, d, e, f);
  return interruptible_syscall(reinterpret_cast<const volatile int*>(&area_.pending), number, a, b, c, d, e, f);
}

int64_t Thread::debugged_call(long number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f) {
  debugger_->call_begins(*this);
  const int64_t result = interruptible_syscall(reinterpret_cast<const volatile int*>(&area_.pending), number, a, b, c, d, e, f);
  debugger_->call_ends(*this);
  return result;
}

void Thread::rest(bool rests) {
  if (rests ? epoch_.load(std::memory_order_relaxed) & 1 : rested_) {
    epoch_.fetch_add(1, std::memory_order_release);
    rested_ = rests;
    key_stale_ = true;
  }
}

void Thread::update_key() {
  key_stale_ = false;
  state_key_ = process_.cpu().state_key(*block_) | debug_key_;
  constexpr uint64_t kNotZero = uint64_t{1} << 32;  // no bit of a state key
  if (block_->key == (state_key_ | kNotZero)) return;
  block_->key = state_key_ | kNotZero;
  block_->empty_return_stack();  // returns do not compare the key
}

// Requests from outside, between two entries of translated code.
void Thread::attend() {
  block_->exit_request.store(0, std::memory_order_seq_cst);
  epoch_.fetch_add(2, std::memory_order_release);
  if (forget_.exchange(false, std::memory_order_acq_rel)) block_->forget_jumps();
  if (process_.cache().has_pending()) process_.cache().quiesce();
  if (process_.holds_threads()) hold_back();
  if (noted_) deliver_noted();
  if (area_.pending.attention) attend_tracer();
}

// Another thread ends the process and looks at this one's registers meanwhile.
void Thread::hold_back() {
  if (process_.holder() == this) return;
  block_all_in_host();
  held_back_.store(true, std::memory_order_release);
  for (;;) host_syscall(SYS_ppoll, 0, 0, 0, 0, 0);
}

runtime::TranslationBlock* Thread::find_block(uint64_t pc) {
  const runtime::BlockKey key{{pc}, {pc}, state_key_};
  if (auto* block = process_.cache().find(key, [](const runtime::TranslationBlock&) { return true; })) return block;
  return process_.translate({pc}, state_key_, block_->fault);
}

void Thread::log_entry(const runtime::TranslationBlock& block, uint64_t pc) {
  if (log_on(kLogExec) && log_in_filter(pc))
    log_line("Trace %u: %p [%016llx/%016llx]\n", block_->index, static_cast<const void*>(block.code->code),
             static_cast<unsigned long long>(block.key.state), static_cast<unsigned long long>(pc));
  if (log_on(kLogCpu) && log_in_filter(pc)) log_text(process_.cpu().registers(*block_));
}

int Thread::run() {
  epoch_.fetch_add(1, std::memory_order_release);  // odd: running
  key_stale_ = true;
  if (debugger_) {
    Debugger& debugger = *debugger_;
    debugger.begin(*this);
    loop<true>();
    if (debugger_) debugger.end(*this);
  }
  loop<false>();
  epoch_.fetch_add(1, std::memory_order_release);
  return status_;
}

// Until the thread has ended; under a debugger also until it is another process's, which has none.
template <bool kDebugged>
void Thread::loop() {
  ir::VcpuBlock& block = *block_;
  backend::Backend& backend = process_.backend();
  backend::Backend::Left left;
  ir::Leave why = ir::Leave::kNone;
  while (!ended_) {
    if (block.exit_request.load(std::memory_order_acquire)) {
      left.from = nullptr;  // may be freed from here on
      attend();
      continue;  // a tracer may have taken its time
    }
    if constexpr (kDebugged) {
      if (!debugger_) return;
      if (!debugger_->before(*this, process_.abi().pc(block))) {
        left.from = nullptr;
        continue;
      }
    }
    if (key_stale_) update_key();
    const uint64_t pc = process_.abi().pc(block);
    runtime::TranslationBlock* next = find_block(pc);
    if (!next) {
      left.from = nullptr;
      if (block.fault.cause == ir::kNoCodeRoom) {
        block.exit_request.store(1, std::memory_order_relaxed);
        std::this_thread::yield();
        continue;
      }
      act_on_fault();
      if constexpr (kDebugged) if (debugger_) debugger_->after(*this, pc);
      continue;
    }
    if (kDebugged && debugger_->alone(*this)) {
      left.from = nullptr;
    } else if (!log_on(kLogExec | kLogCpu | kLogNoChain)) {
      if (why == ir::Leave::kDirect && left.from && backend.can_link()) {
        process_.cache().link(*left.from, left.exit, *next, 0);
      } else if ((why == ir::Leave::kIndirect || why == ir::Leave::kRestart) && next->code->code) {
        block.remember_jump(pc, next->code->code);
      }
    } else {
      log_entry(*next, pc);
    }
    block.leave = 0;
    left = backend.run(block, *next->code);
    why = static_cast<ir::Leave>(block.leave);
    block.leave = 0;
    if (why == ir::Leave::kFault) {
      left.from = nullptr;
      act_on_fault();
    }
    if constexpr (kDebugged) {
      if (!debugger_) return;
      if (debugger_->alone(*this)) why = ir::Leave::kNone;
      debugger_->after(*this, pc);
    }
  }
}

void Thread::act_on_fault() {
  const ir::Fault fault = block_->fault;
  if (fault.cause == ir::kHostMemoryFault) {
    const int signal = host_fault_signal(fault.aux), code = host_fault_code(fault.aux);
    // A store to a page of translated code: the code goes, the store is made again. Not for ever, should the host
    // refuse for a reason of its own.
    if (signal == SIGSEGV && code == SEGV_ACCERR && fault.value2) {
      const uint64_t pc = process_.abi().pc(*block_);
      retries_ = pc == retried_pc_ && fault.value == retried_address_ ? retries_ + 1 : 0;
      retried_pc_ = pc, retried_address_ = fault.value;
      if (retries_ < 10000 && process_.space().write_fault(fault.value)) return;
    }
    return raise_for_fault(signal, code, fault.value);
  }
  const frontend::FaultSignal signal = process_.abi().signal_of(*block_, fault);
  if (signal.signal) return raise_for_fault(signal.signal, signal.code, signal.address);
  make_syscall();
}

static int64_t dispatch_mapped(SyscallCall& call) {
  MappedSignals signals(call);
  return signals.after(dispatch(call));
}

int64_t Thread::call(const frontend::SyscallRegs& regs) {
  SyscallCall call{*this, process_, process_.memory(), regs.number, {}, process_.row(regs.number)};
  for (unsigned k = 0; k < 6; ++k) call.args[k] = regs.args[k];
  if (process_.options.strace) strace_begin(call);
  if (debugger_) debugger_->syscall_begins(*this, regs.number);
  int64_t result = has_signal_map() ? dispatch_mapped(call) : dispatch(call);
  if (process_.options.strace) strace_end(call, result);
  if (debugger_ && !debugger_->syscall_ends(*this, regs.number, result)) result = kRegistersSet;
  return result;
}

int64_t Thread::watched_call(frontend::SyscallRegs regs) {
  const uint64_t first = regs.args[0];
  int64_t result = 0;
  bool made = true;
  area_.restart = 0;
  if (traced()) {
    if (area_.stop_at_calls) {
      made = trace_entry(regs, result);
    } else {  // for what stops within the call
      process_.abi().finish_syscall(*block_, -ENOSYS);
      show_registers();
      process_.abi().restart_syscall(*block_, first);
    }
  }
  if (made && seccomp_mode()) made = seccomp_allows(regs, result, false);
  if (made) result = call(regs);
  if (traced() && area_.changed) {  // at a stop within the call
    take_registers();
    process_.abi().restart_syscall(*block_, first);
  }
  return traced() && area_.stop_at_calls && !ended_ ? trace_exit(first, result) : result;
}

void Thread::make_syscall() {
  const frontend::SyscallRegs regs = process_.abi().syscall(*block_);
  epoch_.fetch_add(1, std::memory_order_release);  // even: no pointers to blocks
  const int64_t result = area_.watch.load(std::memory_order_acquire) ? watched_call(regs) : call(regs);
  epoch_.fetch_add(1, std::memory_order_release);
  if (result == kRegistersSet) {
    key_stale_ = true;
  } else if (result == kRestart) {
    interrupted_ = std::exchange(area_.restart, 0), interrupted_pc_ = process_.abi().pc(*block_);
    if (!interrupted_) has_call_mask_ = false;  // the call was not made
    // A signal is noted: it is delivered with the pc at the instruction, which is executed again after the handler.
    block_->exit_request.store(1, std::memory_order_relaxed);
  } else {
    process_.abi().finish_syscall(*block_, result);
  }
  if (has_call_mask_ && !noted_ && !interrupted_) has_call_mask_ = false;
}

}  // namespace lyre::linux_user
