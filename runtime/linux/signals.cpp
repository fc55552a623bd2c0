// Host signals in, guest signals out: the handlers, delivery, frames, sigreturn, sigaltstack.
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "runtime/base/guarded.h"
#include "runtime/base/log.h"
#include "runtime/linux/core_dump.h"
#include "runtime/linux/debugger.h"
#include "runtime/linux/host_fault.h"
#include "runtime/linux/safe_syscall.h"
#include "runtime/linux/thread.h"

namespace lyre::linux_user {
namespace {

constexpr uint64_t bit_of(int signal) { return uint64_t{1} << (signal - 1); }
// Signals that a fault raises: never blocked in the host.
constexpr uint64_t kFaults = bit_of(SIGSEGV) | bit_of(SIGBUS) | bit_of(SIGILL) | bit_of(SIGFPE) | bit_of(SIGTRAP);
constexpr uint64_t kUnblockable = bit_of(SIGKILL) | bit_of(SIGSTOP);
constexpr uint64_t kGuestNoDefer = 0x40000000, kGuestResetHand = 0x80000000, kGuestOnStack = 0x08000000,
                   kGuestRestart = 0x10000000;
constexpr int kStackDisable = 2, kStackOn = 1;
constexpr int kStackAutodisarm = static_cast<int>(1u << 31);
constexpr uint64_t kMinimumStack = 2048;

thread_local ir::Fault t_host_fault;

// sigaction as the kernel takes it; glibc's own would keep two signals for itself.
struct KernelAction {
  void (*handler)(int, SigInfo*, void*);
  unsigned long flags;
  void (*restorer)();
  uint64_t mask;
};
constexpr unsigned long kRestorer = 0x04000000;

asm(R"(
  .pushsection .text
  .type lyre_restore_rt, @function
lyre_restore_rt:
  mov $15, %rax
  syscall
  .popsection
)");
extern "C" void lyre_restore_rt() noexcept;

int64_t kernel_sigaction(int signal, const KernelAction& action) {
  return host_syscall(SYS_rt_sigaction, static_cast<uint64_t>(host_signal(signal)), reinterpret_cast<uint64_t>(&action), 0,
                      sizeof action.mask);
}

void host_mask(uint64_t mask) {
  mask = host_signals(mask);
  host_syscall(SYS_rt_sigprocmask, SIG_SETMASK, reinterpret_cast<uint64_t>(&mask), 0, sizeof mask);
}

// Something raised it on this thread, as opposed to somebody having sent it.
bool from_kernel_fault(const SigInfo& info) { return info.code > 0; }

std::atomic<bool> g_watch_defaults{false};

void on_signal(int signal, SigInfo* info, void* context) {
  if (has_signal_map()) signal = info->signo = guest_signal(signal);
  if (Debugger::is_kick(*info)) return restart_if_before_syscall(context);
  Thread* thread = Thread::current();
  if (signal == SIGTRAP && thread && at_trace_stop(static_cast<uint64_t>(static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_RIP])))
    return thread->lose_tracer();  // it is gone: nobody else lets this signal through
  if ((signal == SIGSEGV || signal == SIGBUS) && from_kernel_fault(*info)) {
    const auto& machine = static_cast<ucontext_t*>(context)->uc_mcontext;
    ir::Fault& fault = t_host_fault;
    fault.cause = ir::kHostMemoryFault;
    // An address that no pointer can have is reported without address (si_code SI_KERNEL): the guest's kernel would say
    // that nothing is mapped there.
    const bool no_address = info->code == SI_KERNEL;
    fault.aux = host_fault_aux(signal, no_address ? SEGV_MAPERR : info->code);
    fault.value = no_address ? ~uint64_t{0} : info->rest[0];
    fault.value2 = machine.gregs[REG_ERR] & 2;  // a store
    if (thread) {
      thread->block().fault = fault;
      if (thread->process().backend().redirect_fault(thread->block(), context)) return;
    }
    if (guarded_redirect(context)) return;
  }
  if (thread && !(from_kernel_fault(*info) && (kFaults & bit_of(signal)))) return thread->note_signal(*info, context);
  // Sent by somebody, and the host chose a thread that is not the guest's.
  if (!thread && !from_kernel_fault(*info)) {
    const auto process = static_cast<uint64_t>(getpid());
    if (host_syscall(SYS_gettid) != getpid()) host_syscall(SYS_tgkill, process, process, static_cast<uint64_t>(host_signal(signal)));
    return;
  }
  // A fault of our own.
  const KernelAction none{nullptr, 0, nullptr, 0};
  kernel_sigaction(signal, none);
  const auto& machine = static_cast<ucontext_t*>(context)->uc_mcontext;
  log_line("lyrebird: internal error: signal %d at host pc 0x%llx, address 0x%llx, guest pc 0x%llx\n", signal,
           static_cast<unsigned long long>(machine.gregs[REG_RIP]), static_cast<unsigned long long>(info->rest[0]),
           thread ? static_cast<unsigned long long>(thread->process().abi().pc(thread->block())) : 0);
}

bool ends_with_core(int signal) {
  switch (signal) {
    case SIGQUIT:
    case SIGILL:
    case SIGTRAP:
    case SIGABRT:
    case SIGBUS:
    case SIGFPE:
    case SIGSEGV:
    case SIGXCPU:
    case SIGXFSZ:
    case SIGSYS:
      return true;
    default:
      return false;
  }
}
bool ignored_by_default(int signal) {
  return signal == SIGCHLD || signal == SIGCONT || signal == SIGURG || signal == SIGWINCH;
}

}  // namespace

ir::Fault& last_host_fault() noexcept { return t_host_fault; }

void install_fault_handlers() {
  for (int signal : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP}) set_host_action(signal, {});
}

// Handlers are installed with the guest's SA_RESTART, so that the kernel itself decides which calls start again. Faults
// always come to us.
int64_t set_host_action(int signal, const SignalTable::Action& action) {
  KernelAction host{};
  host.restorer = lyre_restore_rt;
  host.flags = kRestorer | SA_SIGINFO | (action.flags & (SA_RESTART | SA_NOCLDSTOP | SA_NOCLDWAIT));
  host.mask = ~kFaults;
  if (bit_of(signal) & kFaults) host.flags |= SA_NODEFER;
  // By itself the host would dump the emulator. Under a debugger the signal may come to nothing: then no call may have
  // noticed.
  const bool watched = action.handler == 0 && (ends_with_core(signal) || (g_watch_defaults && !ignored_by_default(signal)));
  if (watched) host.flags |= SA_RESTART;
  if (action.handler > 1 || watched || (bit_of(signal) & kFaults))
    host.handler = on_signal;
  else
    host.handler = reinterpret_cast<void (*)(int, SigInfo*, void*)>(action.handler);
  return kernel_sigaction(signal, host);
}

void install_core_handlers(SignalTable& table) {
  std::lock_guard lock(table.mutex);
  for (int signal = 1; signal <= static_cast<int>(kSignals); ++signal)
    if (ends_with_core(signal) && !(kFaults & bit_of(signal)) && table.actions[signal].handler == 0)
      set_host_action(signal, table.actions[signal]);
}

void watch_default_signals(SignalTable& table, bool on) {
  g_watch_defaults = on;
  std::lock_guard lock(table.mutex);
  for (int signal = 1; signal <= static_cast<int>(kSignals); ++signal)
    if (table.actions[signal].handler == 0) set_host_action(signal, table.actions[signal]);
}

void die_by_signal(const SigInfo& info) {
  const int signal = info.signo;
  Thread* thread = Thread::current();
  if (ends_with_core(signal)) {
    if (thread) dump_core(*thread, info);
    const std::string note =
        "lyrebird: uncaught target signal " + std::to_string(signal) + " (" + strsignal(signal) + ") - core dumped\n";
    for (size_t done = 0; done < note.size();) {
      const ssize_t wrote = write(2, note.data() + done, note.size() - done);
      if (wrote <= 0) break;  // nobody to tell
      done += static_cast<size_t>(wrote);
    }
  }
  if (thread && thread->debugger()) thread->debugger()->dies(signal);
  const rlimit no_core{0, 0};  // it would be the emulator's
  setrlimit(RLIMIT_CORE, &no_core);
  kernel_sigaction(signal, {});
  if (thread) thread->pass_to_kernel(host_signal(signal));
  host_mask(~bit_of(signal));
  host_syscall(SYS_tgkill, static_cast<uint64_t>(getpid()), static_cast<uint64_t>(host_syscall(SYS_gettid)),
               static_cast<uint64_t>(host_signal(signal)));
  // The first process of a namespace is ended by a fault of its own alone.
  if (signal == SIGSEGV) asm volatile("movl $0, 8");
  if (signal == SIGILL) __builtin_trap();
  if (signal == SIGTRAP) asm volatile("int3");
  for (;;) _exit(128 + signal);
}

void Thread::note_signal(const SigInfo& info, void* context) {
  if ((bit_of(info.signo) & kFaults) && (mask_ & bit_of(info.signo) & ~(has_call_mask_ ? ~call_mask_ : 0))) {
    held_ |= bit_of(info.signo);
    held_info_[info.signo] = info;
    return;
  }
  if (noted_) {  // one that can not be blocked, while another waits
    held_ |= bit_of(info.signo);
    held_info_[info.signo] = info;
    return;
  }
  noted_info_ = info;
  noted_ = 1;
  block_->exit_request.store(1, std::memory_order_relaxed);
  // The kernel keeps what comes next until this one has been delivered.
  const uint64_t all = ~kFaults;
  memcpy(&static_cast<ucontext_t*>(context)->uc_sigmask, &all, sizeof all);
  restart_if_before_syscall(context);
}

void Thread::block_all_in_host() { host_mask(~kFaults); }

void Thread::set_mask(uint64_t mask) {
  area_.mask = mask_ = mask & ~kUnblockable;
  if (!noted_) host_mask(mask_ & ~kFaults);
  release_held();
}

void Thread::release_held() {
  const uint64_t free = held_ & ~mask_;
  if (!free || noted_) return;
  const int signal = __builtin_ctzll(free) + 1;
  held_ &= ~bit_of(signal);
  block_all_in_host();
  noted_info_ = held_info_[signal];
  noted_ = 1;
  block_->exit_request.store(1, std::memory_order_relaxed);
}

void Thread::deliver_noted() {
  const SigInfo info = noted_info_;
  noted_ = 0;
  deliver(info, false);
  has_call_mask_ = false;
  set_mask(mask_);
}

bool Thread::has_handler_for_noted() {
  if (!noted_) return false;
  std::lock_guard lock(signals_->mutex);
  return signals_->actions[noted_info_.signo].handler > 1;
}

// forced: a fault, which can not be blocked or ignored.
void Thread::deliver(const SigInfo& raised, bool forced) {
  SigInfo info = raised;
  if (debugger_ && !debugger_->reports(*this, info)) return;
  forced = forced && info.signo == raised.signo;
  if (traced() && !trace_signal(info, forced)) return;
  deliver_now(info, forced);
}

void Thread::deliver_now(const SigInfo& info, bool forced) {
  SignalTable::Action action;
  {
    std::lock_guard lock(signals_->mutex);
    SignalTable::Action& entry = signals_->actions[info.signo];
    action = entry;
    if (action.handler > 1 && (action.flags & kGuestResetHand)) {
      entry.handler = 0;
      set_host_action(info.signo, entry);
    }
  }
  if (forced && (action.handler == 1 || (mask_ & bit_of(info.signo)))) action.handler = 0;
  if (log_on(kLogInt))
    log_line("signal %d, code %d, pc 0x%llx\n", info.signo, info.code,
             static_cast<unsigned long long>(process_.abi().pc(*block_)));
  if (action.handler == 1) return;
  if (action.handler == 0) {
    if (ignored_by_default(info.signo)) return;
    // The first process of a namespace is not ended by what it does not handle.
    if (!forced && getpid() == 1) return;
    if (info.signo == SIGSTOP || info.signo == SIGTSTP || info.signo == SIGTTIN || info.signo == SIGTTOU) {
      const int stop = debugger_ ? SIGSTOP : info.signo;  // a debugger has the others caught
      pass_to_kernel(stop);
      host_mask(~bit_of(stop));  // who called sets the guest's again
      host_syscall(SYS_tgkill, static_cast<uint64_t>(getpid()), static_cast<uint64_t>(tid()), static_cast<uint64_t>(stop));
      take_registers();
      return;
    }
    die_by_signal(info);
  }
  // A call that was left for the tracer's sake ends as the kernel would have it (arch_do_signal_or_restart).
  constexpr int kRestartSys = 512, kRestartNoIntr = 513;
  if (interrupted_ && process_.abi().pc(*block_) == interrupted_pc_ && interrupted_ != kRestartNoIntr &&
      !(interrupted_ == kRestartSys && (action.flags & kGuestRestart)))
    process_.abi().finish_syscall(*block_, -EINTR);
  interrupted_ = 0;
  if (build_frame(info, action)) return;
  // No room for a frame: SIGSEGV, which nobody can catch if it is that which failed.
  if (info.signo == SIGSEGV) {
    SigInfo none;
    none.signo = SIGSEGV, none.code = SI_KERNEL;
    die_by_signal(none);
  }
  SigInfo fault;
  fault.signo = SIGSEGV, fault.code = SI_KERNEL;
  deliver(fault, true);
}

bool Thread::build_frame(const SigInfo& info, const SignalTable::Action& action) {
  const frontend::LinuxAbi& abi = process_.abi();
  const uint64_t sp = abi.sp(*block_);
  const bool was_on = on_alternate_stack(sp);
  uint64_t top = sp;
  if ((action.flags & kGuestOnStack) && alternate_bytes_ && !was_on) top = alternate_base_ + alternate_bytes_;
  const uint64_t address = abi.frame_at(top);
  if (was_on && !on_alternate_stack(address)) return false;
  frontend::SignalFrame frame;
  frame.signal = info.signo;
  frame.handler = action.handler;
  frame.restorer = process_.sigreturn_address();
  frame.info = std::as_bytes(std::span(&info, 1));
  frame.mask = mask_;
  frame.stack_base = alternate_base_, frame.stack_bytes = alternate_bytes_;
  frame.stack_flags = !alternate_bytes_ ? kStackDisable : was_on ? kStackOn : alternate_flags_ & kStackAutodisarm;
  std::byte image[4096];
  const std::span<std::byte> out(image, abi.frame_bytes());
  // Registers are set only if the frame can be written: on a copy first.
  const uint64_t needed = abi.frame_bytes();
  if (!process_.memory().write(address, image, needed)) return false;
  abi.write_frame(*block_, frame, address, out);
  if (!process_.memory().write(address, image, needed)) return false;
  if (alternate_flags_ & kStackAutodisarm) alternate_base_ = alternate_bytes_ = 0, alternate_flags_ = kStackDisable;
  uint64_t blocked = (has_call_mask_ ? call_mask_ : mask_) | action.mask;
  if (!(action.flags & kGuestNoDefer)) blocked |= bit_of(info.signo);
  mask_ = blocked & ~kUnblockable;
  key_stale_ = true;
  return true;
}

void Thread::raise_for_fault(int signal, int code, uint64_t address) {
  SigInfo info;
  info.signo = signal, info.code = code, info.rest[0] = address;
  deliver(info, true);
  set_mask(mask_);
}

int64_t Thread::sigreturn() {
  const frontend::LinuxAbi& abi = process_.abi();
  std::byte image[4096];
  const std::span<const std::byte> in(image, abi.frame_bytes());
  frontend::SignalFrame frame;
  if (!process_.memory().read(abi.sp(*block_), image, in.size()) || !abi.read_frame(*block_, in, frame)) {
    raise_for_fault(SIGSEGV, SI_KERNEL, 0);
    return kRegistersSet;
  }
  alternate_flags_ = frame.stack_flags;
  alternate_base_ = frame.stack_base, alternate_bytes_ = frame.stack_flags & kStackDisable ? 0 : frame.stack_bytes;
  set_mask(frame.mask);
  return kRegistersSet;
}

int64_t Thread::sigaltstack(uint64_t new_stack, uint64_t old_stack) {
  struct Stack {
    uint64_t base;
    int32_t flags, pad;
    uint64_t bytes;
  };
  const bool on = on_alternate_stack(process_.abi().sp(*block_));
  const Stack before{alternate_base_,
                     !alternate_bytes_ ? kStackDisable : (on ? kStackOn : 0) | (alternate_flags_ & kStackAutodisarm), 0,
                     alternate_bytes_};
  if (new_stack) {
    Stack wanted;
    if (!process_.memory().get(new_stack, wanted)) return -EFAULT;
    if (on) return -EPERM;
    const int mode = wanted.flags & ~kStackAutodisarm;
    if (mode != 0 && mode != kStackOn && mode != kStackDisable) return -EINVAL;
    if (wanted.base == alternate_base_ && wanted.bytes == alternate_bytes_ && wanted.flags == alternate_flags_) {
      // as it is
    } else if (mode == kStackDisable) {
      alternate_base_ = alternate_bytes_ = 0, alternate_flags_ = kStackDisable;
    } else {
      if (wanted.bytes < kMinimumStack) return -ENOMEM;
      alternate_base_ = wanted.base, alternate_bytes_ = wanted.bytes,
      alternate_flags_ = wanted.flags;
    }
  }
  if (old_stack && !process_.memory().put(old_stack, before)) return -EFAULT;
  return 0;
}

// clone: a thread has the mask of its parent; its alternate stack only where it does not share memory, or is suspended
// for it (vfork).
void Thread::inherit_signals(const Thread& parent, bool keep_stack) {
  mask_ = parent.mask_;
  if (!keep_stack)
    alternate_flags_ = kStackDisable;
  else
    alternate_base_ = parent.alternate_base_, alternate_bytes_ = parent.alternate_bytes_,
    alternate_flags_ = parent.alternate_flags_;
}

}  // namespace lyre::linux_user
