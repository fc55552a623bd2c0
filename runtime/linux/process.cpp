#include "runtime/linux/process.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <new>
#include <thread>
#include <utility>

#include "runtime/base/guarded.h"
#include "runtime/linux/limits.h"
#include "runtime/linux/debugger.h"
#include "runtime/linux/proc_names.h"
#include "runtime/linux/prefix.h"
#include "runtime/linux/safe_syscall.h"
#include "runtime/linux/seccomp.h"
#include "runtime/linux/sys_io_uring.h"
#include "runtime/linux/syscall.h"
#include "runtime/linux/thread.h"
#include "runtime/linux/tracer.h"
#include "runtime/linux/vdso.h"

namespace lyre::linux_user {
namespace {

constexpr uint64_t kDefaultStack = uint64_t{8} << 20;
constexpr uint64_t kDefaultCode = uint64_t{256} << 20;

// Dispositions that came through exec: ignored signals stay ignored.
void read_dispositions(SignalTable& table) {
  struct {
    uint64_t handler, flags, restorer, mask;
  } host;
  for (int signal = 1; signal <= static_cast<int>(kSignals); ++signal)
    if (host_syscall(SYS_rt_sigaction, static_cast<uint64_t>(host_signal(signal)), 0, reinterpret_cast<uint64_t>(&host), 8) == 0 &&
        host.handler == 1)
      table.actions[signal].handler = 1;
}

std::string absolute_name(int fd, const std::string& path) {
  char name[4096];
  const ssize_t length = readlink(("/proc/self/fd/" + std::to_string(fd)).c_str(), name, sizeof name);
  if (length > 0 && name[0] == '/') return std::string(name, static_cast<size_t>(length));
  if (path.starts_with('/')) return path;
  return getcwd(name, sizeof name) ? std::string(name) + "/" + path : path;
}

// An eighth of what the host allows.
uint64_t default_code() {
  rlimit limit{};
  getrlimit(RLIMIT_AS, &limit);
  if (limit.rlim_cur == RLIM_INFINITY) return kDefaultCode;
  return std::clamp<uint64_t>(limit.rlim_cur / 8 & ~uint64_t{(1 << 20) - 1}, uint64_t{8} << 20, kDefaultCode);
}

uint64_t stack_bytes(const UserOptions& options, const Limits& limits) {
  if (options.stack_bytes) return options.stack_bytes;
  const rlimit limit = limits.get(RLIMIT_STACK);
  return limit.rlim_cur == RLIM_INFINITY ? kDefaultStack
                                         : std::clamp<uint64_t>(limit.rlim_cur, 128 << 10, uint64_t{1} << 30);
}

}  // namespace

Result<std::unique_ptr<Process>> Process::create(const UserOptions& options) {
  std::unique_ptr<Process> process(new Process(options));
  const frontend::GuestInfo* guest = frontend::find_guest(options.guest);
  if (!guest || !guest->linux_abi) return Error{"there is no user mode for '" + options.guest + "'"};
  auto cpu = guest->create(options.cpu_model, options.cpu_features);
  if (!cpu) return cpu.error();
  process->cpu_ = std::move(*cpu);
  if (options.address_bytes) process->space_.end_at(options.address_bytes);
  process->abi_ = &guest->linux_abi();
  process->space_.set_page_bytes(std::max(options.page_bytes, process->abi_->page_bytes()));
  backend::BackendOptions host;
  host.direct_memory = true;
  // An area for each translator to work into, and some to evict and to take next.
  process->translators_limit_ = std::max(2u, std::thread::hardware_concurrency());
  host.code_bytes = std::max(options.code_bytes ? options.code_bytes : default_code(),
                             uint64_t{process->translators_limit_ + 4} << 20);
  const backend::GuestLayout layout{process->cpu_->pc_slot(), process->cpu_->pinned_slots(), process->cpu_->helpers()};
  auto made = backend::make_backend(options.backend, layout, host);
  if (!made) return made.error();
  process->backend_ = std::move(*made);
  process->cache_ = std::make_unique<runtime::CodeCache>(process->space_, *process->backend_);
  process->space_.set_cache(process->cache_.get());
  for (std::span<const SyscallRow> family : all_syscalls())
    for (const SyscallRow& row : family) process->rows_[generic_number(row.id)] = &row;
  return process;
}

Process::~Process() { space_.set_cache(nullptr); }

// Signal handlers return through it.
Status Process::make_vdso() {
  const frontend::VdsoCode code = abi_->vdso();
  const VdsoImage image = linux_user::make_vdso(code, abi_->elf_machine());
  const uint64_t bytes = (image.bytes.size() + kPageSize - 1) & kPageMask;
  const int64_t page = space_.sys_mmap(0, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page < 0 || guarded_copy(reinterpret_cast<void*>(page), image.bytes.data(), image.bytes.size()) != 0)
    return Error{"there is no memory for the vDSO"};
  vdso_ = static_cast<uint64_t>(page), vdso_end_ = vdso_ + bytes;
  sigreturn_ = vdso_ + image.text + code.sigreturn;
  abi_->place_vdso(*cpu_, Gva{vdso_ + image.text}, Gva{vdso_ + image.text + code.text.size()});
  space_.sys_mprotect(vdso_, bytes, PROT_READ | PROT_EXEC);
  return Ok{};
}

std::string Process::host_path(const std::string& guest_path, bool follow_last) const {
  if (options.prefix.empty() || !guest_path.starts_with('/')) return guest_path;
  return path_under(options.prefix, guest_path, follow_last);
}

Result<int> Process::run(Program program) {
  install_fault_handlers();
  auto limits = std::make_shared<Limits>();
  if (!limits->parse(options.limits)) return Error{"'" + options.limits + "' are no limits"};
  program_path_ = absolute_name(program.fd, program.path);
  auto image = load_elf(space_, program.fd, program.path, *abi_, false);
  close(program.fd);
  if (!image) return image.error();
  ProgramStart start;
  start.abi = abi_;
  start.cpu = cpu_.get();
  start.program = *image;
  load_offset_ = image->bias;
  uint64_t entry = image->entry;
  if (!image->interpreter.empty()) {
    const std::string name = host_path(image->interpreter);
    const int fd = open(name.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0)
      return Error{program.path + ": its interpreter " + image->interpreter + " can not be opened: " + strerror(errno) +
                   (options.prefix.empty() ? " (-L PREFIX names the folder with the guest's system)" : "")};
    auto interpreter = load_elf(space_, fd, image->interpreter, *abi_, true);
    close(fd);
    if (!interpreter) return interpreter.error();
    start.interpreter_base = interpreter->bias;
    entry = interpreter->entry;
  }
  space_.set_brk(image->end);
  if (Status made = make_vdso(); !made) return made.error();
  start.vdso = vdso_;
  start.path = program.path;
  start.arguments = program.arguments, start.environment = program.environment;
  start.stack_bytes = stack_bytes(options, *limits);
  start.random_seed = options.seed;
  auto stack = build_stack(space_, start);
  if (!stack) return stack.error();
  stack_ = *stack;
  arguments_ = program.arguments;

  auto signals = std::make_shared<SignalTable>();
  read_dispositions(*signals);
  install_core_handlers(*signals);
  uint64_t mask = 0;
  host_syscall(SYS_rt_sigprocmask, 0, 0, reinterpret_cast<uint64_t>(&mask), sizeof mask);
  auto thread = std::make_unique<Thread>(*this, signals, limits);
  Thread::set_current(thread.get());
  thread->started();
  if (const SeccompFilter* filters = nullptr; options.filters_fd >= 0) {
    if (!load_filters(options.filters_fd, filters)) return Error{"the seccomp filters of who executed this can not be read"};
    thread->set_seccomp_mode(SECCOMP_MODE_FILTER, filters);
  }
  abi_->start(thread->block(), *cpu_, Gva{entry}, Gva{stack_.sp});
  thread->set_mask(guest_signals(mask));
  g_trace_process.shown = {reinterpret_cast<uint64_t>(program_path_.data()), program_path_.size(), stack_.arguments, stack_.arguments_end,
                           stack_.environment, stack_.environment_end, stack_.auxv, stack_.auxv + stack_.auxv_bytes, stack_.low, stack_.high, vdso_, vdso_end_, space_.table_head()};
  name_in_kernel(options.task_name.empty() ? program.path : options.task_name, stack_);
  g_trace_process.lowest = space_.lowest(), g_trace_process.top = space_.top(), g_trace_process.machine = abi_->elf_machine();
  if (!options.tracer.empty() && !thread->begin_traced(options.tracer)) return Error{"'" + options.tracer + "' is no tracer"};
  const int status = thread->run();
  // The first thread has ended; others may go on.
  thread->block_all_in_host();
  if (thread_count() > 1) {
    if (thread->clear_child_tid) {
      const uint32_t zero = 0;
      if (memory_.put(thread->clear_child_tid, zero)) host_syscall(SYS_futex, thread->clear_child_tid, 1, 1);
    }
    Thread::set_current(nullptr);
    thread.reset();
    for (;;) host_syscall(SYS_exit, static_cast<uint64_t>(status));
  }
  if (thread->debugger()) thread->debugger()->exits(status);
  host_syscall(SYS_exit_group, static_cast<uint64_t>(status));
  return status;
}

runtime::TranslationBlock* Process::translate(Gva pc, uint64_t state_key, ir::Fault& fault) {
  std::unique_ptr<PooledTranslator> mine;
  {
    std::unique_lock lock(pool_mutex_);
    pool_changed_.wait(lock, [&] { return !forking_ && (!idle_.empty() || translators_ < translators_limit_); });
    if (!idle_.empty()) {
      mine = std::move(idle_.back());
      idle_.pop_back();
    } else {
      ++translators_;
    }
  }
  runtime::TranslationBlock* block = nullptr;
  {
    std::shared_lock lock(space_.mutex());
    if (!mine) {
      mine = std::make_unique<PooledTranslator>();
      mine->translator = std::make_unique<runtime::Translator>(
          runtime::TranslatorParts{*cpu_, *backend_, *cache_, space_, mine->counters, options.one_insn_per_block, false,
                                   debugger_ ? debugger_->breakpoints() : nullptr});
    }
    block = mine->translator->translate(pc, state_key, fault);
  }
  std::lock_guard lock(pool_mutex_);
  idle_.push_back(std::move(mine));
  forking_ ? pool_changed_.notify_all() : pool_changed_.notify_one();
  return block;
}

void Process::add_thread(Thread& thread) {
  std::lock_guard lock(threads_mutex_);
  threads_.push_back(&thread);
}
void Process::remove_thread(Thread& thread) {
  std::lock_guard lock(threads_mutex_);
  std::erase(threads_, &thread);
}
size_t Process::thread_count() {
  std::lock_guard lock(threads_mutex_);
  return static_cast<size_t>(std::ranges::count_if(threads_, [](const Thread* each) { return !each->borrows(); }));
}

std::vector<Thread*> Process::hold_threads(Thread& holder) {
  Thread* nobody = nullptr;
  if (holder.borrows()) return {&holder};
  if (!holder_.compare_exchange_strong(nobody, &holder)) {
    if (nobody != &holder) holder.rest(true);
    for (; nobody != &holder;) host_syscall(SYS_ppoll, 0, 0, 0, 0, 0);  // another one ends it already
  }
  threads_mutex_.lock();  // for good: those in the list may not go either
  std::vector<Thread*> list;
  for (Thread* thread : threads_) {
    if (thread->borrows() || (thread != &holder && !thread->tid())) continue;
    list.push_back(thread);
    thread->block().exit_request.store(1, std::memory_order_seq_cst);
  }
  // In a system call (an even epoch) the registers are those of its instruction.
  const auto quiet = [&](Thread* thread) { return thread == &holder || thread->held() || !(thread->epoch() & 1); };
  const timespec pause{0, 1000000};
  for (int tries = 0; tries < 2000 && !std::all_of(list.begin(), list.end(), quiet); ++tries) nanosleep(&pause, nullptr);
  return list;
}

// One order: tracees, rings, threads, pool (no translator out, so nobody is inside it or the code memory), table of mappings, code
// cache, dispositions.
void Process::before_fork() {
  lock_tracees();
  lock_rings();
  threads_mutex_.lock();
  std::unique_lock pool(pool_mutex_);
  forking_ = true;  // no translator goes out any more, and those that are come back
  pool_changed_.wait(pool, [&] { return idle_.size() == translators_; });
  pool.release();
  space_.mutex().lock();
  cache_->mutex().lock();
  Thread::current()->signals().mutex.lock();
}

void Process::after_fork(bool child, Thread& survivor) {
  if (child) {
    threads_.assign(1, &survivor);
    // It may count threads that waited for a translator: in the child nobody does, and nobody can be waited for.
    new (&pool_changed_) std::condition_variable;
    cache_->forked(survivor);
  }
  survivor.signals().mutex.unlock();
  cache_->mutex().unlock();
  space_.unlock_after_fork(child);
  forking_ = false;
  pool_mutex_.unlock();
  threads_mutex_.unlock();
  if (child && debugger_) survivor.set_debugger(nullptr), std::exchange(debugger_, nullptr)->forked_child(survivor);
  if (child) survivor.limits().forked();
  unlock_rings();
  unlock_tracees(child);
  if (!child) pool_changed_.notify_all();
}

}  // namespace lyre::linux_user
