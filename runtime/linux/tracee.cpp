// The traced side of ptrace: publishing stops and going on as the tracer says. trace_area.h has the whole picture.
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "runtime/linux/clone.h"
#include "runtime/linux/safe_syscall.h"
#include "runtime/linux/signal_map.h"
#include "runtime/linux/syscall.h"
#include "runtime/linux/thread.h"

// rdi = the area. The one place where `int3` is executed; behind it the tracer has had its say.
asm(R"(
  .pushsection .text
  .type lyre_trace_stop, @function
lyre_trace_stop:
  movabs $0x6c79726574726163, %rax
  int3
lyre_trace_stopped:
  ret
  .popsection
)");
extern "C" {
void lyre_trace_stop(lyre::linux_user::TraceArea*) noexcept;
extern const char lyre_trace_stopped[] __attribute__((visibility("hidden")));
}

namespace lyre::linux_user {

TraceProcess g_trace_process;

namespace {

static_assert(kTraceMagic == 0x6c79726574726163);
constexpr uint32_t event_code(unsigned event) { return SIGTRAP | event << 8; }
constexpr uint64_t bit_of(int signal) { return uint64_t{1} << (signal - 1); }
constexpr uint8_t kOpNone = 0, kOpEntry = 1, kOpExit = 2, kOpSeccomp = 3;  // PTRACE_SYSCALL_INFO_*
constexpr unsigned kEventStop = 128;                                       // PTRACE_EVENT_STOP
constexpr uint64_t kMessageEntry = 1, kMessageExit = 2;                    // PTRACE_EVENTMSG_SYSCALL_*
constexpr int64_t kFirstError = -4095;

}  // namespace

bool at_trace_stop(uint64_t host_pc) noexcept { return host_pc == reinterpret_cast<uint64_t>(lyre_trace_stopped); }

void Thread::started(bool forked) {
  area_.tid.store(static_cast<int32_t>(host_syscall(SYS_gettid)), std::memory_order_relaxed);
  area_.exit_request = &block_->exit_request;
  area_.actions = reinterpret_cast<uint64_t>(signals_->actions);
  const SafeCallPlaces places = safe_call_places();
  area_.call_begin = places.begin, area_.call = places.call, area_.call_interrupted = places.interrupted;
  process_.with_threads([&](auto) {
    area_.next = forked ? nullptr : g_trace_process.first.load();
    g_trace_process.first = &area_;  // a forked child is alone
  });
}

void Thread::unlist() {
  process_.with_threads([&](auto) {
    for (std::atomic<TraceArea*>* at = &g_trace_process.first; *at; at = &at->load()->next)
      if (*at == &area_) return at->store(area_.next);
  });
}

void Thread::lose_tracer() noexcept {
  area_.traced = area_.stop_at_calls = 0;
  area_.watch.fetch_and(~uint32_t{kWatchTrace});
}

void Thread::become_traced(bool seized, uint32_t options) {
  area_.traced = 1, area_.seized = seized, area_.options = options;
  area_.watch.fetch_or(kWatchTrace);
}

// ---- one stop

void Thread::show_registers() {
  const frontend::LinuxAbi& abi = process_.abi();
  abi.get_registers(*block_, frontend::LinuxAbi::kGeneral, std::as_writable_bytes(std::span(area_.general)));
  abi.get_registers(*block_, frontend::LinuxAbi::kFloating, std::as_writable_bytes(std::span(area_.floating)));
  area_.mask = mask_;
}

void Thread::take_registers() {
  const frontend::LinuxAbi& abi = process_.abi();
  const uint32_t changed = std::exchange(area_.changed, 0);
  if (changed & kTraceGeneral)
    abi.set_registers(*block_, frontend::LinuxAbi::kGeneral, std::as_bytes(std::span(area_.general)));
  if (changed & kTraceFloating)
    abi.set_registers(*block_, frontend::LinuxAbi::kFloating, std::as_bytes(std::span(area_.floating)));
  if (changed) key_stale_ = true;
  if (changed & kTraceMask) set_mask(area_.mask);
}

// What the tracer wrote may have been translated already.
void Thread::drop_written_code() {
  const uint32_t written = g_trace_process.written.exchange(0);
  if (!written) return;
  if (written > TraceProcess::kRanges) return process_.space().code_changed(0, process_.space().top());
  for (uint32_t k = 0; k < written; ++k)
    process_.space().code_changed(g_trace_process.ranges[k].address, g_trace_process.ranges[k].bytes);
}

// The signal that the tracer lets through; `otherwise` should it be gone.
int Thread::trace_stop(uint32_t code, const SigInfo& info, uint64_t message, int otherwise) {
  show_registers();
  area_.code = code, area_.info = info, area_.message = message;
  area_.resume_signal = otherwise, area_.changed = 0;
  area_.call_info.arch = process_.abi().audit_arch();
  area_.call_info.pc = process_.abi().pc(*block_), area_.call_info.sp = process_.abi().sp(*block_);
  // Nobody waits for this thread to come past a quiescent point meanwhile.
  const bool running = epoch_.load(std::memory_order_relaxed) & 1;
  if (running) epoch_.fetch_add(1, std::memory_order_release);
  lyre_trace_stop(&area_);
  if (running) epoch_.fetch_add(1, std::memory_order_release);
  area_.call_info.op = kOpNone;
  take_registers();
  drop_written_code();
  return area_.resume_signal;
}

void Thread::trace_event(uint32_t code, uint64_t message) {
  SigInfo info;
  info.signo = static_cast<int32_t>(code & 0x7f), info.code = static_cast<int32_t>(code);
  info.rest[0] = static_cast<uint32_t>(tid()) | uint64_t{geteuid()} << 32;
  const int signal = trace_stop(code, info, message, 0);
  // Only stops at system calls pass a signal on (ptrace_report_syscall).
  if (signal && (code & ~0x80u) == SIGTRAP)
    host_syscall(SYS_tgkill, static_cast<uint64_t>(getpid()), static_cast<uint64_t>(tid()),
                 static_cast<uint64_t>(host_signal(signal)));
}

// False: nothing is delivered.
bool Thread::trace_signal(SigInfo& info, bool forced) {
  const int signal = trace_stop(static_cast<uint32_t>(info.signo), info, 0, info.signo);
  if (!signal) return false;
  info = area_.info;
  info.signo = signal;
  if (!forced && (mask_ & bit_of(signal))) {  // it is blocked by now: it goes back into the queue
    info.signo = host_signal(signal);
    host_syscall(SYS_rt_tgsigqueueinfo, static_cast<uint64_t>(getpid()), static_cast<uint64_t>(tid()),
                 static_cast<uint64_t>(info.signo), reinterpret_cast<uint64_t>(&info));
    return false;
  }
  return true;
}

// The kernel is to do what this signal does by default.
void Thread::pass_to_kernel(int signal) {
  if (!area_.traced) return;
  show_registers();
  area_.pass_signal = signal;
}

// ---- where stops are

// What the tracer left for this thread, between two blocks.
void Thread::attend_tracer() {
  area_.pending.attention = 0;
  if (std::exchange(area_.first_stop, 0)) {
    if (area_.seized) {
      trace_event(event_code(kEventStop), 0);
    } else {
      SigInfo info;
      info.signo = SIGSTOP;
      deliver(info, false);
    }
  }
  if (std::exchange(area_.incoming, 0)) {
    SigInfo info = area_.incoming_info;  // as the host has it
    info.signo = guest_signal(info.signo);
    deliver(info, false);
  }
  if (std::exchange(area_.incoming_stop, 0)) deliver(SigInfo(area_.incoming_stop_info), false);
  if (std::exchange(area_.interrupt, 0) && area_.traced) trace_event(event_code(kEventStop), 0);
  interrupted_ = 0, has_call_mask_ = false;
  set_mask(mask_);
}

// PTRACE_GET_SYSCALL_INFO tells such a stop by its code, and only with TRACESYSGOOD.
void Thread::stop_at_call(uint64_t message) {
  const bool marked = area_.options & PTRACE_O_TRACESYSGOOD;
  if (!marked) area_.call_info.op = kOpNone;
  trace_event(marked ? SIGTRAP | 0x80 : SIGTRAP, message);
}

// The call that the tracer makes of it. False: none (-1, or one below `none_below`), and the registers are what it
// left.
bool Thread::after_tracer(frontend::SyscallRegs& regs, uint64_t first_argument, int64_t& result, int32_t none_below) {
  const frontend::LinuxAbi& abi = process_.abi();
  const auto number = static_cast<int32_t>(abi.syscall(*block_).number);
  if (number < none_below || number == -1) return result = kRegistersSet, false;
  abi.restart_syscall(*block_, first_argument);
  regs = abi.syscall(*block_);
  return true;
}

// As do_trap_ecall_u has it: at the stop before a call its registers have -ENOSYS as result already, and the first
// argument is what it was.
bool Thread::trace_entry(frontend::SyscallRegs& regs, int64_t& result) {
  const frontend::LinuxAbi& abi = process_.abi();
  const uint64_t first = regs.args[0];
  abi.finish_syscall(*block_, -ENOSYS);
  area_.call_info.op = kOpEntry;
  area_.call_info.entry = {regs.number, {}, 0};
  memcpy(area_.call_info.entry.args, regs.args, sizeof regs.args);
  stop_at_call(kMessageEntry);
  return after_tracer(regs, first, result, -1);
}

int64_t Thread::trace_exit(uint64_t first_argument, int64_t result) {
  const frontend::LinuxAbi& abi = process_.abi();
  const int64_t shown = result == kRestart && area_.restart ? -area_.restart : result;
  if (result != kRegistersSet) abi.finish_syscall(*block_, shown);
  area_.call_info.op = kOpExit;
  area_.call_info.exit = {};
  area_.call_info.exit.value = abi.syscall_result(*block_);
  area_.call_info.exit.is_error = area_.call_info.exit.value < 0 && area_.call_info.exit.value >= kFirstError;
  stop_at_call(kMessageExit);
  if (result == kRestart) return abi.restart_syscall(*block_, first_argument), kRestart;
  return kRegistersSet;
}

bool Thread::trace_seccomp(frontend::SyscallRegs& regs, uint16_t data, int64_t& result) {
  const frontend::LinuxAbi& abi = process_.abi();
  const uint64_t first = regs.args[0];
  abi.finish_syscall(*block_, -ENOSYS);
  area_.call_info.op = kOpSeccomp;
  area_.call_info.entry = {regs.number, {}, data};
  memcpy(area_.call_info.entry.args, regs.args, sizeof regs.args);
  trace_event(event_code(PTRACE_EVENT_SECCOMP), data);
  return after_tracer(regs, first, result, 0);
}

// ---- children and executed programs

// Which event the kernel makes of a clone (kernel_clone).
void Thread::inherit_tracer(const Thread& parent, const CloneRequest& request) {
  uint32_t wanted = PTRACE_O_TRACEFORK;
  if (request.flags & CLONE_VFORK)
    wanted = PTRACE_O_TRACEVFORK;
  else if ((request.flags & CLONE_THREAD) || request.exit_signal != SIGCHLD)
    wanted = PTRACE_O_TRACECLONE;
  const bool traced = parent.area_.traced, seized = parent.area_.seized;  // the parent is this object itself after fork
  const uint32_t options = parent.area_.options;
  lose_tracer();
  if (!traced || !(options & wanted) || (request.flags & CLONE_UNTRACED)) return;
  become_traced(seized, options);
  area_.first_stop = 1;
  area_.pending.attention = 1;
  block_->exit_request.store(1, std::memory_order_relaxed);
}

// For the emulator that this one executes; empty: not traced.
std::string Thread::tracer_text() const {
  if (!area_.traced) return {};
  return std::to_string(area_.seized) + "," + std::to_string(area_.options) + "," + std::to_string(area_.stop_at_calls);
}

bool Thread::begin_traced(const std::string& text) {
  uint32_t seized = 0, options = 0;
  if (sscanf(text.c_str(), "%u,%u,%u", &seized, &options, &area_.stop_at_calls) != 3) return false;
  become_traced(seized, options);
  if (options & PTRACE_O_TRACEEXEC) trace_event(event_code(PTRACE_EVENT_EXEC), 0);
  if (area_.traced && area_.stop_at_calls) {
    area_.call_info.op = kOpExit;
    area_.call_info.exit = {};
    stop_at_call(kMessageExit);
  }
  if (area_.traced && !(options & PTRACE_O_TRACEEXEC) && !seized) {  // what the kernel says to tracers of old
    SigInfo info;
    info.signo = SIGTRAP;
    deliver(info, false);
  }
  return true;
}

}  // namespace lyre::linux_user
