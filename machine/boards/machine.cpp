// Machine: building, and the run loop. See machine.h.
#include "machine/boards/machine.h"

#include <algorithm>
#include <cinttypes>
#include <cstdio>

#include "machine/boards/boards.h"
#include "machine/devices/plug.h"
#include "runtime/base/log.h"

namespace lyre::machine {

struct Machine::Request {
  enum class Kind : uint8_t { kStop, kCont, kReset, kShutdown, kPowerdown } kind;
  StopCause cause = StopCause::kHostQuit;
  int exit_status = 0;

  bool from_guest() const {
    return (kind == Kind::kReset || kind == Kind::kShutdown) && cause <= StopCause::kGuestFail;
  }
};

Machine::Machine(MachineConfig config, VcpuFactory vcpu_factory)
    : config_(std::move(config)), vcpu_factory_(std::move(vcpu_factory)), bus_(memory_), timers_(clock_) {}

Machine::~Machine() {
  if (vcpus_) vcpus_->stop();
  run_exit_functions();
  io_.stop();                                     // nobody calls into devices any more
  while (!plugged_.empty()) plugged_.pop_back();  // the first must live longest
  board_.reset();
}

void Machine::add_chardev(std::string id, std::unique_ptr<Chardev> chardev) {
  chardevs_[std::move(id)] = std::move(chardev);
}

Chardev* Machine::chardev(std::string_view id) const {
  auto found = chardevs_.find(id);
  return found == chardevs_.end() ? nullptr : found->second.get();
}

Status Machine::build() {
  auto info = find_board(config_.cpu.guest, config_.board);
  if (!info) return info.error();
  if (config_.cpu.count == 0 || config_.cpu.count > (*info)->max_cpus)
    return Error{"the machine '" + config_.board + "' has 1 to " + std::to_string((*info)->max_cpus) + " CPUs, not " +
                 std::to_string(config_.cpu.count)};
  auto vcpus = vcpu_factory_(config_.cpu, memory_, clock_, timers_);
  if (!vcpus) return vcpus.error();
  vcpus_ = std::move(*vcpus);
  io_.start("io");
  board_ = (*info)->make();
  if (Status done = board_->build(*this); !done) return done;
  if (Status done = expand_shorthands(config_, pci_bus_ != nullptr); !done) return done;
  if (Status done = plug_devices(*this, plugged_); !done) return done;
  if (Status done = board_->finish(*this); !done) return done;
  board_->reset();
  if (Status done = board_->load(*this); !done) return done;
  finished_ = config_.board_options.find("dumpdtb") != nullptr;
  return Ok{};
}

void Machine::at_exit(std::function<void()> function) { exit_functions_.push_back(std::move(function)); }

void Machine::run_exit_functions() {
  while (!exit_functions_.empty()) {
    auto function = std::move(exit_functions_.back());
    exit_functions_.pop_back();
    function();
  }
}

// A guest that writes its poweroff register in a loop queues one request, not thousands.
void Machine::post(const Request& request) {
  {
    std::lock_guard lock(mutex_);
    for (const Request& queued : requests_)
      if (request.from_guest() && queued.from_guest() && queued.kind == request.kind) return;
    requests_.push_back(request);
  }
  wake_.notify_one();
}

void Machine::request_stop() { post({.kind = Request::Kind::kStop}); }
void Machine::request_cont() { post({.kind = Request::Kind::kCont}); }
void Machine::request_reset(StopCause cause) { post({.kind = Request::Kind::kReset, .cause = cause}); }
void Machine::request_shutdown(StopCause cause, int exit_status) {
  post({.kind = Request::Kind::kShutdown, .cause = cause, .exit_status = exit_status});
}
std::string_view Machine::request_powerdown() {
  if (power_buttons_.empty()) return board_->no_power_button();
  post({.kind = Request::Kind::kPowerdown});
  return {};
}

RunState Machine::state() const {
  std::lock_guard lock(mutex_);
  return state_;
}

void Machine::set_state(RunState state) {
  std::lock_guard lock(mutex_);
  state_ = state;
}

int Machine::run() {
  if (finished_) return 0;
  if (!config_.start_paused) resume_all();
  for (bool leave = false; !leave;) {
    std::unique_lock lock(mutex_);
    wake_.wait(lock, [this] { return !requests_.empty(); });
    Request request = requests_.front();
    requests_.pop_front();
    lock.unlock();
    leave = carry_out(request);
  }
  pause_all(RunState::kShutdown);
  vcpus_->stop();
  run_exit_functions();
  return exit_status_;
}

bool Machine::carry_out(const Request& request) {
  switch (request.kind) {
    case Request::Kind::kStop:
      if (state() == RunState::kRunning) pause_all(RunState::kPaused);
      if (stop_observer_) stop_observer_();
      return false;
    case Request::Kind::kCont:
      if (state() == RunState::kShutdown)
        log_line("the machine is shut down; reset it before it can go on\n");
      else
        resume_all();
      return false;
    case Request::Kind::kPowerdown:
      for (auto& press : power_buttons_) press();
      return false;
    case Request::Kind::kReset:
      if (config_.no_reboot) return carry_out({.kind = Request::Kind::kShutdown, .cause = request.cause});
      return reset();
    case Request::Kind::kShutdown:
      // With -no-shutdown only the host ends the program; the guest's shutdown leaves it for the monitor to look at.
      if (config_.no_shutdown && request.cause <= StopCause::kGuestFail) {
        pause_all(RunState::kShutdown);
        forget_guest_requests();
        if (stop_observer_) stop_observer_();
        return false;
      }
      exit_status_ = request.exit_status;
      return true;
  }
  return false;
}

void Machine::pause_all(RunState state) {
  if (this->state() == RunState::kRunning) {
    vcpus_->pause();
    clock_.stop();
    timers_.clock_changed();
  }
  set_state(state);
}

void Machine::resume_all() {
  if (state() == RunState::kRunning) return;
  set_state(RunState::kRunning);
  clock_.resume();
  timers_.clock_changed();
  if (vcpus_started_)
    vcpus_->resume();
  else
    vcpus_->start();
  vcpus_started_ = true;
}

bool Machine::reset() {
  bool go_on = state() == RunState::kRunning;
  pause_all(RunState::kPaused);
  // A guest that had switched itself off by then stays off.
  if (auto shutdown = take_guest_shutdown()) {
    if (carry_out(*shutdown)) return true;
    set_state(RunState::kPaused);  // -no-shutdown: the monitor decides
    go_on = false;
  }
  if (Status done = reset_all(); !done) {
    log_line("%s: %s\n", config_.program.c_str(), done.error().message.c_str());
    exit_status_ = 1;
    return true;
  }
  if (go_on) resume_all();
  return false;
}

Status Machine::reset_all() {
  forget_guest_requests();
  board_->reset();
  for (auto& device : plugged_) device->reset();
  if (Status done = board_->load(*this); !done) return done;
  vcpus_->reset();
  return Ok{};
}

// The guest's request to power off that waits to be carried out, if there is one.
std::optional<Machine::Request> Machine::take_guest_shutdown() {
  std::lock_guard lock(mutex_);
  auto found = std::find_if(requests_.begin(), requests_.end(), [](const Request& request) {
    return request.from_guest() && request.kind == Request::Kind::kShutdown;
  });
  if (found == requests_.end()) return std::nullopt;
  Request request = *found;
  requests_.erase(found);
  return request;
}

// Resets that the guest asked for between its first request and the pause belong to the life that is over.
void Machine::forget_guest_requests() {
  std::lock_guard lock(mutex_);
  std::erase_if(requests_, [](const Request& request) { return request.from_guest(); });
}

std::string Machine::mtree() const {
  struct Row {
    Gpa base;
    uint64_t size;
    std::string text;
  };
  std::vector<Row> rows;
  for (auto& block : memory_.blocks())
    rows.push_back({block->base, block->size, std::string(block->read_only ? "(rom): " : "(ram): ") + block->name});
  for (auto& range : bus_.ranges()) rows.push_back({range.base, range.size, "(i/o): " + range.name});
  std::stable_sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) { return a.base < b.base; });
  std::string text = "memory-map: system\n";
  for (const Row& row : rows) {
    char place[64];
    std::snprintf(place, sizeof place, "  %016" PRIx64 "-%016" PRIx64 " ", row.base.value,
                  row.base.value + (row.size - 1));
    text += place + row.text + "\n";
  }
  return text;
}

}  // namespace lyre::machine
