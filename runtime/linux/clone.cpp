// Three ways to make a child. A thread is a host thread of ours with an object of its own. A process with its own
// memory is a host fork: the child goes on here, alone. A process that shares memory (vfork, posix_spawn, clone with
// CLONE_VM) is a host clone on a stack of its own: it runs guest code in the same address space, with registers and
// dispositions of its own, until it executes or exits. Thread-local storage is borrowed from the thread that made it and
// waits for its end: the parent's, or, where the parent goes on, that of a thread made for it.
#include "runtime/linux/clone.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <memory>

#include "runtime/linux/debugger.h"
#include "runtime/linux/safe_syscall.h"

#ifndef CLONE_CLEAR_SIGHAND
#define CLONE_CLEAR_SIGHAND 0x100000000ull
#endif
#ifndef CLONE_INTO_CGROUP
#define CLONE_INTO_CGROUP 0x200000000ull
#endif
#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x1000
#endif

namespace lyre::linux_user {
namespace {

constexpr size_t kHostStack = 512 << 10;
constexpr uint64_t kThreadBytes = kHostStack + (uint64_t{2} << 20);  // with its registers and caches
constexpr uint64_t kFutexWaitPrivate = 128, kFutexWakePrivate = 129;
constexpr uint64_t kThreadFlags = CLONE_VM | CLONE_SIGHAND | CLONE_THREAD;
constexpr uint64_t kNamespaces =
    CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | 0x80;

// Registers as the parent's are at its system call.
std::unique_ptr<Thread> make_child(SyscallCall& call, const CloneRequest& request,
                                   std::shared_ptr<SignalTable> signals, std::shared_ptr<Limits> limits) {
  auto child = std::make_unique<Thread>(call.process, std::move(signals), std::move(limits));
  const ir::VcpuBlock& from = call.thread.block();
  ir::VcpuBlock& to = child->block();
  memcpy(to.state, from.state, sizeof to.state);
  to.guest_mxcsr = from.guest_mxcsr;
  call.process.abi().start_clone(to, request.stack, request.flags & CLONE_SETTLS, request.tls);
  child->inherit_signals(call.thread, !(request.flags & CLONE_VM) || (request.flags & CLONE_VFORK));
  child->inherit_tracer(call.thread, request);
  // Another thread may be giving all of them a filter just now.
  call.process.with_threads([&](auto) { child->set_seccomp_mode(call.thread.seccomp_mode(), call.thread.filters()); });
  return child;
}

void finish_thread(Thread& thread) {
  if (!thread.clear_child_tid) return;
  const uint32_t zero = 0;
  if (thread.process().memory().put(thread.clear_child_tid, zero))
    host_syscall(SYS_futex, thread.clear_child_tid, 1 /* FUTEX_WAKE */, 1);
}

// ---- threads

struct Birth {
  std::unique_ptr<Thread> child;
  CloneRequest request;
  std::atomic<int> tid{0};
};

void put_tid(const GuestMemory& memory, uint64_t address, int tid) {
  if (address) memory.put(address, static_cast<uint32_t>(tid));
}

void* thread_main(void* argument) {
  auto* birth = static_cast<Birth*>(argument);
  std::unique_ptr<Thread> self = std::move(birth->child);
  Thread::set_current(self.get());
  self->started();
  const auto tid = static_cast<int>(host_syscall(SYS_gettid));
  const CloneRequest& request = birth->request;
  const GuestMemory& memory = self->process().memory();
  if (request.flags & CLONE_CHILD_SETTID) put_tid(memory, request.child_tid, tid);
  if (request.flags & CLONE_PARENT_SETTID) put_tid(memory, request.parent_tid, tid);
  if (request.flags & CLONE_CHILD_CLEARTID) self->clear_child_tid = request.child_tid;
  birth->tid.store(tid, std::memory_order_release);
  host_syscall(SYS_futex, reinterpret_cast<uint64_t>(&birth->tid), kFutexWakePrivate,
               1);  // `birth` may be gone from here on
  self->set_mask(self->mask());
  self->run();
  self->block_all_in_host();
  finish_thread(*self);
  Thread::set_current(nullptr);
  self.reset();
  return nullptr;
}

// The C library takes a signal (33, for setuid in all threads) with the first thread that it creates. It is the guest's:
// its disposition is set again.
void give_back_library_signal(Thread& thread) {
  static std::atomic<bool> done{false};
  if (done.exchange(true)) return;
  constexpr int kSetxid = 33;
  std::lock_guard lock(thread.signals().mutex);
  set_host_action(kSetxid, thread.signals().actions[kSetxid]);
}

// A host thread that nobody waits for; 0 or an error number.
int start_detached(void* (*body)(void*), void* argument) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize(&attributes, kHostStack);
  pthread_t thread;
  const int failed = pthread_create(&thread, &attributes, body, argument);
  pthread_attr_destroy(&attributes);
  if (!failed) give_back_library_signal(*Thread::current());
  return failed;
}

int64_t clone_thread(SyscallCall& call, const CloneRequest& request) {
  if (!call.process.space().leaves_room(kThreadBytes)) return -EAGAIN;
  Birth birth;
  birth.child = make_child(call, request, call.thread.shared_signals(), call.thread.shared_limits());
  birth.request = request;
  call.thread.block_all_in_host();
  const int failed = start_detached(thread_main, &birth);
  int tid = 0;
  while (!failed && (tid = birth.tid.load(std::memory_order_acquire)) == 0)
    host_syscall(SYS_futex, reinterpret_cast<uint64_t>(&birth.tid), kFutexWaitPrivate, 0);
  call.thread.set_mask(call.thread.mask());
  return failed ? -EAGAIN : tid;
}

// ---- processes that share memory

struct Borrowing {
  std::unique_ptr<Thread> child;
  CloneRequest request;
  bool beside = false;  // the parent does not wait: a thread that does nothing else lends stack and storage
  int tid = 0;          // the child's, or -errno
  int pidfd = -1;
  std::atomic<int> answered{0};

  void answer() {
    answered.store(1, std::memory_order_release);
    host_syscall(SYS_futex, reinterpret_cast<uint64_t>(&answered), kFutexWakePrivate, 1);
  }
};

int borrowed_main(void* argument) {
  auto& borrowing = *static_cast<Borrowing*>(argument);
  Thread& self = *borrowing.child;
  Thread::set_current(&self);
  self.started();
  if (borrowing.request.flags & CLONE_CHILD_SETTID)
    put_tid(self.process().memory(), borrowing.request.child_tid, static_cast<int>(host_syscall(SYS_gettid)));
  // The kernel itself clears it when the child leaves this memory, by whatever way.
  if (borrowing.request.flags & CLONE_CHILD_CLEARTID) host_syscall(SYS_set_tid_address, borrowing.request.child_tid);
  if (borrowing.beside) borrowing.answer();
  self.set_mask(self.mask());
  const int status = self.run();
  host_syscall(SYS_exit_group, static_cast<uint64_t>(status));
  return 0;
}

// On a thread whose signals are blocked. Returns when the child has executed or is gone, and with it whatever it had of
// this thread's.
void lend(Borrowing& borrowing) {
  void* stack =
      mmap(nullptr, kHostStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
  if (stack == MAP_FAILED) {
    borrowing.tid = -ENOMEM;
    return;
  }
  Thread* const self = Thread::current();  // the parent, if it waits
  const uint64_t kept = CLONE_VM | CLONE_SIGHAND | CLONE_FS | CLONE_FILES | CLONE_IO | CLONE_PARENT | CLONE_SYSVSEM |
                        CLONE_UNTRACED | (kNamespaces & ~uint64_t{0x80}) | (borrowing.beside ? 0 : CLONE_PIDFD);
  // There is one place for either of the two.
  const uint64_t number = borrowing.beside ? CLONE_PARENT_SETTID : 0;
  if (self && self->debugger()) self->debugger()->call_begins(*self);
  const int pid =
      clone(borrowed_main, static_cast<char*>(stack) + kHostStack,
            static_cast<int>((borrowing.request.flags & kept) | number | CLONE_VFORK) | borrowing.request.exit_signal,
            &borrowing, borrowing.beside ? &borrowing.tid : &borrowing.pidfd);
  const int error = errno;
  Thread::set_current(self);
  if (self && self->debugger()) self->debugger()->call_ends(*self);
  munmap(stack, kHostStack);
  borrowing.child.reset();
  if (!borrowing.beside || pid < 0) borrowing.tid = pid < 0 ? -error : pid;
}

void* lender_main(void* argument) {
  const std::shared_ptr<Borrowing> borrowing = std::move(*static_cast<std::shared_ptr<Borrowing>*>(argument));
  lend(*borrowing);
  borrowing->answer();  // for a child that there never was
  return nullptr;
}

// The child runs at once with its parent.
int64_t lend_beside(const std::shared_ptr<Borrowing>& borrowing) {
  std::shared_ptr<Borrowing> theirs = borrowing;
  if (const int failed = start_detached(lender_main, &theirs)) return -failed;
  while (!borrowing->answered.load(std::memory_order_acquire))
    host_syscall(SYS_futex, reinterpret_cast<uint64_t>(&borrowing->answered), kFutexWaitPrivate, 0);
  if (borrowing->tid > 0 && (borrowing->request.flags & CLONE_PIDFD))
    borrowing->pidfd = static_cast<int>(host_syscall(SYS_pidfd_open, static_cast<uint64_t>(borrowing->tid)));
  return borrowing->tid;
}

int64_t clone_borrowing(SyscallCall& call, const CloneRequest& request) {
  std::shared_ptr<SignalTable> signals = call.thread.shared_signals();
  if (!(request.flags & CLONE_SIGHAND)) {
    auto own = std::make_shared<SignalTable>();
    std::lock_guard lock(signals->mutex);
    for (unsigned k = 1; k <= kSignals; ++k) {
      own->actions[k] = signals->actions[k];
      if ((request.flags & CLONE_CLEAR_SIGHAND) && own->actions[k].handler > 1) own->actions[k] = {};
    }
    signals = own;
  }
  if (!call.process.space().leaves_room(kThreadBytes)) return -ENOMEM;
  auto borrowing = std::make_shared<Borrowing>();
  borrowing->child = make_child(call, request, signals, std::make_shared<Limits>(call.thread.limits()));
  borrowing->child->set_borrows();
  borrowing->request = request;
  borrowing->beside = !(request.flags & CLONE_VFORK);
  call.thread.block_all_in_host();
  int64_t tid = 0;
  if (borrowing->beside) {
    tid = lend_beside(borrowing);
  } else {
    lend(*borrowing);
    tid = borrowing->tid;
  }
  if (tid > 0 && (request.flags & CLONE_PARENT_SETTID)) put_tid(call.memory, request.parent_tid, static_cast<int>(tid));
  if (tid > 0 && (request.flags & CLONE_PIDFD)) put_tid(call.memory, request.pidfd, borrowing->pidfd);
  call.thread.set_mask(call.thread.mask());
  return tid;
}

// ---- processes with memory of their own

struct HostCloneArgs {
  uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup;
};

// The C library's fork takes its allocator's locks; it knows plain children only.
int64_t host_fork(const CloneRequest& request, int& pidfd) {
  const uint64_t special =
      request.flags & (kNamespaces | CLONE_PARENT | CLONE_PIDFD | CLONE_FS | CLONE_FILES | CLONE_IO | CLONE_SYSVSEM |
                       CLONE_CLEAR_SIGHAND | CLONE_INTO_CGROUP | CLONE_VFORK | CLONE_UNTRACED);
  if (!special && request.exit_signal == SIGCHLD) {
    const pid_t pid = fork();
    return pid < 0 ? -errno : pid;
  }
  HostCloneArgs args{};
  args.flags = special;
  args.exit_signal = static_cast<uint64_t>(request.exit_signal);
  args.pidfd = reinterpret_cast<uint64_t>(&pidfd);
  args.cgroup = request.cgroup;
  const int64_t made = host_syscall(SYS_clone3, reinterpret_cast<uint64_t>(&args), sizeof args);
  if (made != -ENOSYS && made != -EPERM) return made;
  // A container may refuse clone3 alone.
  if (special & (CLONE_CLEAR_SIGHAND | CLONE_INTO_CGROUP | 0x80)) return made;
  return host_syscall(SYS_clone, special | static_cast<uint64_t>(request.exit_signal), 0,
                      reinterpret_cast<uint64_t>(&pidfd));
}

int64_t clone_process(SyscallCall& call, const CloneRequest& request) {
  call.thread.block_all_in_host();
  call.process.before_fork();
  int pidfd = -1;
  const int64_t pid = host_fork(request, pidfd);
  call.process.after_fork(pid == 0, call.thread);
  if (pid == 0) {
    call.thread.inherit_tracer(call.thread, request);
    call.thread.started(true);
    const frontend::LinuxAbi& abi = call.process.abi();
    if (request.flags & CLONE_CHILD_SETTID)
      put_tid(call.memory, request.child_tid, static_cast<int>(host_syscall(SYS_gettid)));
    call.thread.clear_child_tid = request.flags & CLONE_CHILD_CLEARTID ? request.child_tid : 0;
    if (request.flags & CLONE_CLEAR_SIGHAND) {
      std::lock_guard lock(call.thread.signals().mutex);
      for (unsigned k = 1; k <= kSignals; ++k)
        if (call.thread.signals().actions[k].handler > 1) call.thread.signals().actions[k] = {};
      install_fault_handlers();
    }
    if (request.flags & CLONE_CLEAR_SIGHAND) install_core_handlers(call.thread.signals());
    abi.start_clone(call.thread.block(), request.stack, request.flags & CLONE_SETTLS, request.tls);
    call.thread.set_mask(call.thread.mask());
    return kRegistersSet;
  }
  if (pid > 0 && (request.flags & CLONE_PARENT_SETTID)) put_tid(call.memory, request.parent_tid, static_cast<int>(pid));
  if (pid > 0 && (request.flags & CLONE_PIDFD)) put_tid(call.memory, request.pidfd, pidfd);
  call.thread.set_mask(call.thread.mask());
  return pid;
}

}  // namespace

int64_t do_clone(SyscallCall& call, const CloneRequest& request) {
  const uint64_t flags = request.flags;
  if ((flags & CLONE_SIGHAND) && !(flags & CLONE_VM)) return -EINVAL;
  if ((flags & CLONE_THREAD) && !(flags & CLONE_SIGHAND)) return -EINVAL;
  if ((flags & CLONE_THREAD) && (flags & (kNamespaces | CLONE_PIDFD))) return -EINVAL;
  if ((flags & CLONE_FS) && (flags & (CLONE_NEWNS | CLONE_NEWUSER))) return -EINVAL;
  if ((flags & kThreadFlags) == kThreadFlags) return clone_thread(call, request);
  if (flags & CLONE_VM) return clone_borrowing(call, request);
  return clone_process(call, request);
}

int64_t do_exit(SyscallCall& call) {
  call.thread.end(call.i(0) & 0xff);
  return kRegistersSet;
}

}  // namespace lyre::linux_user
