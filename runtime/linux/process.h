// Process: the guest process as its threads share it: memory, translated code, dispositions of signals, options. One
// per emulator process; a forked child goes on with its copy. Threads: any, as each part says.
#pragma once
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "frontend/guest_isa.h"
#include "frontend/linux_abi.h"
#include "runtime/base/result.h"
#include "runtime/exec/code_cache.h"
#include "runtime/exec/translator.h"
#include "runtime/linux/address_space.h"
#include "runtime/linux/elf_loader.h"
#include "runtime/linux/guest_memory.h"

namespace lyre::linux_user {

struct SyscallRow;
class Thread;
class Debugger;

struct UserOptions {
  std::string guest;            // "riscv64"; empty: from the program's header
  std::string backend = "x64";  // or "interp"
  std::string cpu_model;
  std::vector<std::string> cpu_features;
  std::string prefix;         // -L
  std::string uname_release;  // -r; empty: the host's
  std::string limits;         // from the emulator that executed us (Limits::text)
  uint64_t address_bytes = 0; // -R: the guest's addresses end there; 0: where the emulator begins
  uint64_t stack_bytes = 0;   // 0: RLIMIT_STACK
  uint64_t code_bytes = 0;    // 0: default
  uint64_t page_bytes = 0;    // of the guest's memory; 0: the ABI's
  uint64_t seed = 0;
  bool strace = false;
  bool one_insn_per_block = false;
  int filters_fd = -1;               // the guest's seccomp filters, from the program that executed this one
  std::string task_name;             // likewise: the last part of the name it was executed by; empty: the program's
  std::string tracer;                // likewise: that it is traced, and how (Thread::tracer_text)
  std::vector<std::string> pass_on;  // options for a program that the guest executes, as it was given to us
};

inline constexpr unsigned kSignals = 64;

// One process's dispositions; threads share it, a child has a copy.
struct SignalTable {
  struct Action {
    uint64_t handler = 0;  // 0 SIG_DFL, 1 SIG_IGN
    uint64_t flags = 0, mask = 0;
  };
  std::mutex mutex;
  Action actions[kSignals + 1];
};

class Process {
 public:
  // Errors: a host without executable memory, a model that does not exist.
  static Result<std::unique_ptr<Process>> create(const UserOptions& options);
  ~Process();

  const UserOptions options;
  const frontend::GuestCpu& cpu() const { return *cpu_; }
  const frontend::LinuxAbi& abi() const { return *abi_; }
  backend::Backend& backend() { return *backend_; }
  AddressSpace& space() { return space_; }
  const GuestMemory& memory() const { return memory_; }
  runtime::CodeCache& cache() { return *cache_; }
  // Before the first thread. Null: none (-g).
  Debugger* debugger() const { return debugger_; }
  void set_debugger(Debugger* debugger) { debugger_ = debugger; }

  // Loads the program and runs it on this thread until it ends; returns the exit status.
  struct Program {
    int fd = -1;
    std::string path;  // as executed: AT_EXECFN
    std::vector<std::string> arguments, environment;
  };
  Result<int> run(Program program);

  // Block at `pc`, made with a translator of the pool. nullptr: a fetch fault, in `fault`.
  runtime::TranslationBlock* translate(Gva pc, uint64_t state_key, ir::Fault& fault);

  const SyscallRow* row(uint64_t number) const { return number < kRows ? rows_[number] : nullptr; }
  uint64_t sigreturn_address() const { return sigreturn_; }
  uint64_t vdso() const { return vdso_; }
  uint64_t vdso_end() const { return vdso_end_; }
  const StackPlace& stack() const { return stack_; }
  uint64_t load_offset() const { return load_offset_; }  // of the program's addresses
  const std::string& program_path() const { return program_path_; }  // absolute where the host could say
  const std::vector<std::string>& arguments() const { return arguments_; }

  // A path as the guest gives it: under -L if it is absolute and there is such a file (prefix.h).
  std::string host_path(const std::string& guest_path, bool follow_last = true) const;

  // fork(): before, and after in parent and child. Keeps every other thread out of the runtime's locks.
  void before_fork();
  void after_fork(bool child, Thread& survivor);
  // Whether another thread may be running guest code: none of its effects may be missed then.
  void add_thread(Thread& thread);
  void remove_thread(Thread& thread);
  size_t thread_count();  // without processes that borrow this memory
  // For a thread that is about to end the process: no other one runs guest code from here on. Returns those that have
  // begun, `holder` among them; their registers stay as they are. Once.
  std::vector<Thread*> hold_threads(Thread& holder);
  bool holds_threads() const { return holder_.load(std::memory_order_relaxed); }
  const Thread* holder() const { return holder_.load(std::memory_order_relaxed); }
  // `use(std::span<Thread* const>)` while no thread comes or goes.
  template <typename Use>
  void with_threads(Use use) {
    std::lock_guard lock(threads_mutex_);
    use(std::span<Thread* const>(threads_));
  }

 private:
  static constexpr size_t kRows = 512;
  explicit Process(const UserOptions& options_) : options(options_), memory_(space_) {}
  Status make_vdso();

  std::unique_ptr<frontend::GuestCpu> cpu_;
  const frontend::LinuxAbi* abi_ = nullptr;
  std::unique_ptr<backend::Backend> backend_;
  AddressSpace space_;
  GuestMemory memory_;
  std::unique_ptr<runtime::CodeCache> cache_;
  uint64_t sigreturn_ = 0, vdso_ = 0, vdso_end_ = 0;
  StackPlace stack_;
  uint64_t load_offset_ = 0;
  Debugger* debugger_ = nullptr;
  std::string program_path_;
  std::vector<std::string> arguments_;
  const SyscallRow* rows_[kRows] = {};

  struct PooledTranslator {
    runtime::Counters counters;
    std::unique_ptr<runtime::Translator> translator;
  };
  std::mutex pool_mutex_;
  std::condition_variable pool_changed_;
  std::vector<std::unique_ptr<PooledTranslator>> idle_;
  bool forking_ = false;
  unsigned translators_ = 0, translators_limit_ = 2;

  std::mutex threads_mutex_;
  std::vector<Thread*> threads_;
  std::atomic<Thread*> holder_{nullptr};
};

}  // namespace lyre::linux_user
