#include "runtime/linux/debugger.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "runtime/exec/translator.h"
#include "runtime/linux/own_files.h"
#include "runtime/linux/process.h"
#include "runtime/linux/safe_syscall.h"

namespace lyre::linux_user {
namespace {

constexpr int kKick = SIGTRAP;  // our handler for it is always there, and the host never blocks it
const char kKickMark = 0;

// include/gdb/signals.def: the names that Linux has, at their generic numbers; 0 where gdb has none.
constexpr uint8_t kGdbSignals[32] = {0, 1,  2,  3,  4,  5,  6,  10, 8,  9,  30, 11, 31, 13, 14, 15,
                                     0, 20, 19, 17, 18, 21, 22, 16, 24, 25, 26, 27, 28, 23, 32, 12};
constexpr unsigned kGdbRealtime33 = 45, kGdbRealtime32 = 77, kGdbRealtime64 = 78, kGdbUnknown = 143;

SigInfo plain_info(int signal, int code) {
  SigInfo info;
  info.signo = signal, info.code = code;
  return info;
}

}  // namespace

unsigned gdb_signal(int signal) {
  if (signal > 0 && signal < 32) return kGdbSignals[signal] ? kGdbSignals[signal] : kGdbUnknown;
  if (signal == 32) return kGdbRealtime32;
  if (signal == 64) return kGdbRealtime64;
  return signal > 32 && signal < 64 ? kGdbRealtime33 + static_cast<unsigned>(signal) - 33 : kGdbUnknown;
}

int signal_of_gdb(unsigned number) {
  for (int signal = 1; signal <= static_cast<int>(kSignals); ++signal)
    if (gdb_signal(signal) == number && number != kGdbUnknown) return signal;
  return 0;
}

struct Debugger::Record {
  explicit Record(Thread& thread_) : thread(thread_) {}
  Thread& thread;
  unsigned tid = static_cast<unsigned>(host_syscall(SYS_gettid));
  enum class State : uint8_t { kRunning, kInCall, kStopped } state = State::kRunning;
  debug::Action action = debug::Action::kContinue;
  SigInfo info;            // of its last stop
  int signal = 0;          // to be delivered as it goes on
  int unreported = 0;      // a signal that the debugger sent
  bool reporting = false;  // it stopped for a signal
  bool rewritten = false;  // registers, while it is in a call
  // The thread's own.
  bool single = false;
  bool step_done = false;           // at the next look
  std::optional<debug::Point> hit;  // the block was left before this access
  std::optional<uint64_t> told_pc;  // of the instruction whose access was reported: next time it is done
  uint64_t step_insns = 0;
};

Debugger::Debugger(Process& process) : process_(process) {}
Debugger::~Debugger() = default;

Debugger::Record* Debugger::find(const Thread& thread) { return static_cast<Record*>(thread.debug_record()); }

Debugger::Record* Debugger::find(unsigned tid) {
  for (auto& record : records_)
    if (record->tid == tid) return record.get();
  return nullptr;
}

// ---- guest threads

void Debugger::begin(Thread& thread) {
  std::unique_lock lock(mutex_);
  auto record = std::make_unique<Record>(thread);
  thread.set_debug_record(record.get());
  records_.push_back(std::move(record));
  if (!last_thread_) last_thread_ = records_.back()->tid;
  began_ = true;
  changed_.notify_all();
}

void Debugger::end(Thread& thread) {
  std::unique_lock lock(mutex_);
  std::erase_if(records_, [&](const auto& record) { return &record->thread == &thread; });
  thread.set_debug_record(nullptr);
  announce();
}

void Debugger::request_stop() {
  stop_.store(true, std::memory_order_seq_cst);
  for (auto& record : records_) record->thread.block().exit_request.store(1, std::memory_order_seq_cst);
}

void Debugger::announce() {
  if (!stop_ || announced_ || records_.empty()) return;
  for (auto& record : records_)
    if (record->state == Record::State::kRunning) return;
  announced_ = true;
  if (notify_) notify_();
}

// Its registers may be read and written meanwhile, and blocks freed.
void Debugger::wait_here(Record& record, std::unique_lock<std::mutex>& lock) {
  record.thread.rest(true);
  record.state = Record::State::kStopped;
  announce();
  changed_.wait(lock, [&] { return !stop_ && record.action != debug::Action::kHold; });
  record.state = Record::State::kRunning;
  record.thread.rest(false);
}

void Debugger::stop_with(Record& record, const debug::StopEvent& event, const SigInfo& info,
                         std::unique_lock<std::mutex>& lock) {
  record.info = info;
  const bool again = event.kind == debug::StopEvent::Kind::kSignal && !record.reporting;
  stops_.push_back({event, again});
  stops_.back().event.thread = record.tid;
  request_stop();
  wait_here(record, lock);
}

bool Debugger::before(Thread& thread, uint64_t pc) {
  Record& record = *find(thread);
  if (stop_.load(std::memory_order_seq_cst) || record.action == debug::Action::kHold || record.step_done) {
    std::unique_lock lock(mutex_);
    if (std::exchange(record.step_done, false) && !stop_)
      stop_with(record, {}, plain_info(SIGTRAP, TRAP_TRACE), lock);
    else if (stop_ || record.action == debug::Action::kHold)
      wait_here(record, lock);
    return false;
  }
  if (record.told_pc != pc) record.told_pc.reset();
  const bool step = record.action == debug::Action::kStep;
  if (!step && breaks_at(pc)) {
    std::unique_lock lock(mutex_);
    stop_with(record, {}, plain_info(SIGTRAP, TRAP_BRKPT), lock);
    return false;
  }
  record.single = step || record.told_pc.has_value();
  record.step_insns = thread.block().insns;
  thread.set_debug_key((record.single ? runtime::kSingleStepKey : 0) |
                       (watchpoints_.empty() ? 0 : runtime::kWatchedKey));
  return true;
}

void Debugger::after(Thread& thread, uint64_t pc) {
  Record& record = *find(thread);
  if (record.hit) {
    debug::StopEvent event;
    event.kind = debug::StopEvent::Kind::kWatch, event.watch = record.hit->kind, event.address = record.hit->address;
    record.hit.reset();
    record.told_pc = pc;
    std::unique_lock lock(mutex_);
    return stop_with(record, event, plain_info(SIGTRAP, 4 /* TRAP_HWBKPT */), lock);
  }
  if (!record.single) return;
  // The instruction was not done: the block was left at its check, or a store to a page of code is made again.
  if (thread.block().insns == record.step_insns && process_.abi().pc(thread.block()) == pc) return;
  record.told_pc.reset();
  record.single = false;
  if (record.action == debug::Action::kStep && !stop_) record.step_done = true;
}

bool Debugger::alone(const Thread& thread) const { return static_cast<Record*>(thread.debug_record())->single; }

void Debugger::call_begins(Thread& thread) {
  std::unique_lock lock(mutex_);
  Record& record = *find(thread);
  record.rewritten = false;
  record.state = Record::State::kInCall;
  announce();
}

void Debugger::call_ends(Thread& thread) {
  std::unique_lock lock(mutex_);
  Record& record = *find(thread);
  if (stop_ || record.action == debug::Action::kHold) wait_here(record, lock);
  record.state = Record::State::kRunning;
}

void Debugger::syscall_begins(Thread& thread, uint64_t number) {
  Record& record = *find(thread);
  record.rewritten = false;
  if (!catches(number)) return;
  std::unique_lock lock(mutex_);
  if (!catches(number)) return;
  stop_with(record, {.kind = debug::StopEvent::Kind::kSyscallEntry, .address = number}, plain_info(SIGTRAP, SIGTRAP),
            lock);
}

bool Debugger::syscall_ends(Thread& thread, uint64_t number, int64_t& result) {
  Record& record = *find(thread);
  if (record.rewritten) {
    record.rewritten = false;
    return false;
  }
  // A wait that a kick ended, or a signal without handler, which the debugger may take away: made again.
  if (result == -EINTR && !thread.has_handler_for_noted()) result = kRestart;
  if (result == kRestart || !catches(number)) return true;
  if (result != kRegistersSet) process_.abi().finish_syscall(thread.block(), result);
  std::unique_lock lock(mutex_);
  stop_with(record, {.kind = debug::StopEvent::Kind::kSyscallReturn, .address = number}, plain_info(SIGTRAP, SIGTRAP),
            lock);
  return false;
}

bool Debugger::reports(Thread& thread, SigInfo& info) {
  Record* record = find(thread);
  if (!attached_ || !record) return true;
  std::unique_lock lock(mutex_);
  if (std::exchange(record->unreported, 0) == info.signo) return true;
  if (passed_ >> (info.signo - 1) & 1) return true;
  record->signal = 0;
  record->reporting = true;
  stop_with(*record, {.number = gdb_signal(info.signo)}, info, lock);
  record->reporting = false;
  if (!attached_) return true;
  const int wanted = std::exchange(record->signal, 0);
  // A step goes to the first instruction of the handler.
  if (record->action == debug::Action::kStep && wanted) record->step_done = true;
  if (!wanted) return false;
  if (wanted != info.signo) info = plain_info(wanted, SI_USER);
  return true;
}

const debug::Point* Debugger::watch_at(uint64_t address, unsigned bytes, bool store) const {
  for (const debug::Point& point : watchpoints_)
    if ((point.kind == debug::PointKind::kAccessWatch ||
         point.kind == (store ? debug::PointKind::kWriteWatch : debug::PointKind::kReadWatch)) &&
        address <= point.address + point.bytes - 1 && point.address <= address + bytes - 1)
      return &point;
  return nullptr;
}

bool Debugger::watched(Thread& thread, uint64_t address, unsigned bytes, bool store) {
  Record* record = find(thread);
  if (!record || record->told_pc || record->hit) return false;
  const debug::Point* point = watch_at(address, bytes, store);
  if (!point) return false;
  record->hit = *point;
  return true;
}

void Debugger::tell_end(const debug::StopEvent& event) {
  std::unique_lock lock(mutex_);
  if (!attached_ || end_) return;
  end_ = event;
  request_stop();  // nobody goes on while the debugger is told
  if (notify_) notify_();
  changed_.wait_for(lock, std::chrono::seconds(5), [&] { return end_known_; });
}

void Debugger::exits(int status) {
  tell_end({.kind = debug::StopEvent::Kind::kExited, .number = static_cast<unsigned>(status & 0xff)});
}
void Debugger::dies(int signal) { tell_end({.kind = debug::StopEvent::Kind::kKilled, .number = gdb_signal(signal)}); }

// Nobody else is left in the child who could use any of this.
void Debugger::forked_child(Thread& survivor) {
  attached_ = false;
  close_hidden_files();
  breakpoints_.clear();
  watchpoints_.clear();
  survivor.set_debug_record(nullptr);
  survivor.set_debug_key(0);
  watch_default_signals(survivor.signals(), false);
}

void Debugger::set_connection(const Connection& connection) {
  std::lock_guard lock(mutex_);
  connection_ = connection;
}

std::string Debugger::hand_over(bool keep) {
  std::lock_guard lock(mutex_);
  if (!attached_ || connection_.connection < 0) return {};
  std::string text = std::to_string(connection_.agreed) + ":" + std::to_string(passed_);
  auto give = [&](int fd) {
    fcntl(fd, F_SETFD, keep ? 0 : FD_CLOEXEC);
    text += ":" + std::to_string(fd);
  };
  give(connection_.connection);
  give(connection_.listener);
  for (int fd : connection_.files) give(fd);
  return text;
}

bool Debugger::is_kick(const SigInfo& info) {
  return info.signo == kKick && info.code == SI_QUEUE && info.rest[1] == reinterpret_cast<uint64_t>(&kKickMark);
}

// ---- the debugger

void Debugger::wait_for_first_thread() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return began_; });
}

bool Debugger::stopped() {
  std::lock_guard lock(mutex_);
  return stop_ && announced_;
}

// A breakpoint is met again, and a step done again, when the others go on; a signal or a watchpoint is not.
debug::StopEvent Debugger::take_stop() {
  std::lock_guard lock(mutex_);
  if (stops_.empty()) {
    if (!find(last_thread_) && !records_.empty()) last_thread_ = records_.front()->tid;
    const int signal = fresh_ ? SIGTRAP : SIGINT;  // the debugger has come, or has interrupted
    if (Record* record = find(last_thread_)) record->info = plain_info(signal, SI_USER);
    return {.thread = last_thread_, .number = gdb_signal(signal)};
  }
  const debug::StopEvent event = stops_.front().event;
  stops_.pop_front();
  std::erase_if(stops_, [](const Stop& each) { return each.again; });
  last_thread_ = event.thread;
  return event;
}

bool Debugger::ending(debug::StopEvent& event) {
  std::lock_guard lock(mutex_);
  if (!end_ || end_known_) return false;
  event = *end_;
  return true;
}

void Debugger::ended() {
  std::lock_guard lock(mutex_);
  end_known_ = true;
  changed_.notify_all();
}

void Debugger::watch_defaults(bool on) {
  attached_ = on;
  if (!records_.empty()) watch_default_signals(records_.front()->thread.signals(), on);
}

void Debugger::attach() {
  std::lock_guard lock(mutex_);
  stops_.clear();
  fresh_ = true;
  watch_defaults(true);
}

void Debugger::detach() {
  {
    // Threads that run never read these.
    std::unique_lock space(process_.space().mutex());
    std::lock_guard lock(mutex_);
    breakpoints_.clear();
    watchpoints_.clear();
  }
  std::lock_guard lock(mutex_);
  catching_ = false;
  passed_ = 0;
  stops_.clear();
  if (end_) end_known_ = true;
  watch_defaults(false);
  for (auto& record : records_) {
    record->action = debug::Action::kContinue;
    record->step_done = false;
    record->told_pc.reset();
  }
  stop_ = announced_ = false;
  changed_.notify_all();
}

void Debugger::stop() {
  std::lock_guard lock(mutex_);
  if (stop_ && announced_) {
    if (notify_) notify_();
    return;
  }
  request_stop();
  announce();
}

void Debugger::resume(std::span<const debug::Resume> actions) {
  std::unique_lock lock(mutex_);
  if (!stops_.empty()) {  // another thread's is still to be told
    if (notify_) notify_();
    return;
  }
  fresh_ = false;
  for (auto& record : records_) record->action = debug::Action::kHold;
  std::vector<std::pair<unsigned, int>> sent;
  for (const debug::Resume& resume : actions) {
    Record* record = find(resume.thread);
    if (!record) continue;
    record->action = resume.action;
    const int signal = signal_of_gdb(resume.signal);
    record->signal = signal;
    // A step out of a system call ends with it.
    record->step_done = resume.action == debug::Action::kStep && record->state == Record::State::kInCall;
    if (signal && !record->reporting) record->unreported = signal, sent.emplace_back(record->tid, signal);
    if (record->rewritten && record->state == Record::State::kInCall) {
      SigInfo kick = plain_info(kKick, SI_QUEUE);
      kick.rest[0] = static_cast<uint64_t>(getpid());
      kick.rest[1] = reinterpret_cast<uint64_t>(&kKickMark);
      host_syscall(SYS_rt_tgsigqueueinfo, static_cast<uint64_t>(getpid()), record->tid, kKick,
                   reinterpret_cast<uint64_t>(&kick));
    }
  }
  for (const auto& [tid, signal] : sent)
    host_syscall(SYS_tgkill, static_cast<uint64_t>(getpid()), tid, static_cast<uint64_t>(host_signal(signal)));
  stop_ = announced_ = false;
  changed_.notify_all();
}

std::vector<unsigned> Debugger::threads() {
  std::lock_guard lock(mutex_);
  std::vector<unsigned> list;
  for (auto& record : records_) list.push_back(record->tid);
  return list;
}

bool Debugger::read_register(unsigned tid, unsigned number, uint64_t& value) {
  std::lock_guard lock(mutex_);
  Record* record = find(tid);
  return record && process_.cpu().user_debug()->read_register(record->thread.block(), number, value);
}

bool Debugger::write_register(unsigned tid, unsigned number, uint64_t value) {
  std::lock_guard lock(mutex_);
  Record* record = find(tid);
  if (!record || !process_.cpu().user_debug()->write_register(record->thread.block(), number, value)) return false;
  record->rewritten = true;
  record->thread.block().empty_return_stack();
  return true;
}

std::optional<SigInfo> Debugger::siginfo(unsigned tid) {
  std::lock_guard lock(mutex_);
  Record* record = find(tid);
  return record && record->info.signo ? std::optional(record->info) : std::nullopt;
}

bool Debugger::breaks_at(uint64_t pc) const { return std::binary_search(breakpoints_.begin(), breakpoints_.end(), pc); }

// A child that shares memory for a while may be translating: it holds the lock of the address space.
void Debugger::set_points(std::span<const debug::Point> points) {
  std::vector<uint64_t> breakpoints, added;
  std::vector<debug::Point> watchpoints;
  for (const debug::Point& point : points) {
    if (point.kind >= debug::PointKind::kWriteWatch)
      watchpoints.push_back(point);
    else
      breakpoints.push_back(point.address);
  }
  std::sort(breakpoints.begin(), breakpoints.end());
  std::unique_lock space(process_.space().mutex());
  std::set_difference(breakpoints.begin(), breakpoints.end(), breakpoints_.begin(), breakpoints_.end(),
                      std::back_inserter(added));
  breakpoints_ = std::move(breakpoints);
  watchpoints_ = std::move(watchpoints);
  for (uint64_t address : added) process_.cache().drop_containing({address});
}

void Debugger::pass_signals(std::span<const unsigned> signals) {
  std::lock_guard lock(mutex_);
  passed_ = 0;
  for (unsigned number : signals)
    if (const int signal = signal_of_gdb(number)) passed_ |= uint64_t{1} << (signal - 1);
}

bool Debugger::catches(uint64_t number) const {
  return catching_ && (caught_.empty() || std::find(caught_.begin(), caught_.end(), number) != caught_.end());
}

void Debugger::catch_syscalls(bool on, std::span<const uint64_t> numbers) {
  std::lock_guard lock(mutex_);
  catching_ = on;
  caught_.assign(numbers.begin(), numbers.end());
}

}  // namespace lyre::linux_user
