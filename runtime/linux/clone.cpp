// Three ways to make a child. A thread is a host thread of ours with an object of its own. A process with its own
// memory is a host fork: the child goes on here, alone. A process that shares memory while its parent waits (vfork,
// posix_spawn) is a host clone on a stack of its own: it runs guest code in the same address space, with registers and
// dispositions of its own, until it executes or exits; thread-local storage is the waiting parent's.
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

int64_t clone_thread(SyscallCall& call, const CloneRequest& request) {
  if (!call.process.space().leaves_room(kThreadBytes)) return -EAGAIN;
  Birth birth;
  birth.child = make_child(call, request, call.thread.shared_signals(), call.thread.shared_limits());
  birth.request = request;
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize(&attributes, kHostStack);
  call.thread.block_all_in_host();
  pthread_t thread;
  const int failed = pthread_create(&thread, &attributes, thread_main, &birth);
  pthread_attr_destroy(&attributes);
  int tid = 0;
  while (!failed && (tid = birth.tid.load(std::memory_order_acquire)) == 0)
    host_syscall(SYS_futex, reinterpret_cast<uint64_t>(&birth.tid), kFutexWaitPrivate, 0);
  call.thread.set_mask(call.thread.mask());
  return failed ? -EAGAIN : tid;
}

// ---- processes that share memory with their waiting parent

struct Borrowed {
  Thread* child;
  CloneRequest request;
};

int borrowed_main(void* argument) {
  auto& borrowed = *static_cast<Borrowed*>(argument);
  Thread::set_current(borrowed.child);
  if (borrowed.request.flags & CLONE_CHILD_SETTID)
    put_tid(borrowed.child->process().memory(), borrowed.request.child_tid, static_cast<int>(host_syscall(SYS_gettid)));
  borrowed.child->set_mask(borrowed.child->mask());
  const int status = borrowed.child->run();
  host_syscall(SYS_exit_group, static_cast<uint64_t>(status));
  return 0;
}

int64_t clone_borrowing(SyscallCall& call, const CloneRequest& request) {
  auto signals = std::make_shared<SignalTable>();
  {
    std::lock_guard lock(call.thread.signals().mutex);
    for (unsigned k = 1; k <= kSignals; ++k) {
      signals->actions[k] = call.thread.signals().actions[k];
      if ((request.flags & CLONE_CLEAR_SIGHAND) && signals->actions[k].handler > 1) signals->actions[k] = {};
    }
  }
  if (!call.process.space().leaves_room(kThreadBytes)) return -ENOMEM;
  std::unique_ptr<Thread> child = make_child(call, request, signals, std::make_shared<Limits>(call.thread.limits()));
  void* stack =
      mmap(nullptr, kHostStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
  if (stack == MAP_FAILED) return -ENOMEM;
  child->set_borrows();
  call.thread.block_all_in_host();
  Borrowed borrowed{child.get(), request};
  const uint64_t kept = CLONE_VM | CLONE_VFORK | CLONE_FS | CLONE_FILES | CLONE_IO | CLONE_PARENT | CLONE_SYSVSEM |
                        CLONE_UNTRACED | CLONE_PIDFD | kNamespaces;
  int pidfd = -1;
  if (call.thread.debugger()) call.thread.debugger()->call_begins(call.thread);
  const int pid =
      clone(borrowed_main, static_cast<char*>(stack) + kHostStack,
            static_cast<int>((request.flags & kept & ~uint64_t{0x80})) | request.exit_signal, &borrowed, &pidfd);
  const int error = errno;
  // The child has executed or is gone, and with it whatever it had of this thread's.
  Thread::set_current(&call.thread);
  if (call.thread.debugger()) call.thread.debugger()->call_ends(call.thread);
  munmap(stack, kHostStack);
  child.reset();
  if (pid > 0 && (request.flags & CLONE_PARENT_SETTID)) put_tid(call.memory, request.parent_tid, pid);
  if (pid > 0 && (request.flags & CLONE_PIDFD)) put_tid(call.memory, request.pidfd, pidfd);
  call.thread.set_mask(call.thread.mask());
  return pid < 0 ? -error : pid;
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
  if (flags & CLONE_VM) {
    // Without CLONE_VFORK parent and child would run at once on one thread's storage.
    if (!(flags & CLONE_VFORK)) return -EINVAL;
    return clone_borrowing(call, request);
  }
  return clone_process(call, request);
}

int64_t do_exit(SyscallCall& call) {
  call.thread.end(call.i(0) & 0xff);
  return kRegistersSet;
}

}  // namespace lyre::linux_user
