#include "machine/debug/gdb_stub.h"

#include <algorithm>
#include <chrono>
#include <future>
#include <thread>

namespace lyre::machine {
namespace {

constexpr unsigned kSigInt = 2, kSigQuit = 3, kSigTrap = 5;  // gdb's numbers

debug::PointKind kind_of(runtime::WatchKind kind) {
  switch (kind) {
    case runtime::WatchKind::kStore:
      return debug::PointKind::kWriteWatch;
    case runtime::WatchKind::kLoad:
      return debug::PointKind::kReadWatch;
    default:
      return debug::PointKind::kAccessWatch;
  }
}

runtime::WatchKind watch_of(debug::PointKind kind) {
  switch (kind) {
    case debug::PointKind::kWriteWatch:
      return runtime::WatchKind::kStore;
    case debug::PointKind::kReadWatch:
      return runtime::WatchKind::kLoad;
    default:
      return runtime::WatchKind::kAccess;
  }
}

}  // namespace

// What a monitor command prints, for the debugger.
class GdbStub::Capture final : public Chardev {
 public:
  size_t write(std::span<const uint8_t> bytes) override {
    for (uint8_t byte : bytes)
      if (byte != '\r') text += static_cast<char>(byte);
    return bytes.size();
  }
  void attach(ChardevReceiver) override {}
  void accept_input() override {}
  std::string text;
};

GdbStub::GdbStub(Machine& machine, Chardev& chardev, ChardevNames chardevs)
    : machine_(machine),
      chardev_(chardev),
      vcpus_(*machine.vcpus().debug()),
      capture_(std::make_unique<Capture>()),
      monitor_(std::make_unique<Monitor>(machine, *capture_, std::move(chardevs))),
      server_(*this, [this](std::string_view bytes) { send(bytes); }) {}

Result<std::unique_ptr<GdbStub>> GdbStub::create(Machine& machine, Chardev& chardev, ChardevNames chardevs) {
  if (!machine.vcpus().debug()) return Error{"this machine's CPUs cannot be debugged"};
  std::unique_ptr<GdbStub> made(new GdbStub(machine, chardev, std::move(chardevs)));
  GdbStub* stub = made.get();
  machine.set_stop_observer([stub] { stub->machine_.io().post([stub] { stub->machine_stopped(); }); });
  ChardevReceiver receiver;
  receiver.can_receive = [] { return debug::kPacketSize; };
  receiver.receive = [stub](std::span<const uint8_t> bytes) { stub->server_.receive(bytes); };
  receiver.event = [stub](ChardevEvent event) { stub->on_event(event); };
  receiver.can_write = [stub] { stub->push_output(); };
  chardev.attach(std::move(receiver));
  return made;
}

GdbStub::~GdbStub() { machine_.set_stop_observer({}); }

void GdbStub::on_event(ChardevEvent event) {
  if (event == ChardevEvent::kOpened) {
    output_.clear();
    server_.connected();
  } else if (event == ChardevEvent::kClosed) {
    server_.disconnected();
  }
}

void GdbStub::send(std::string_view bytes) {
  output_ += bytes;
  push_output();
}

void GdbStub::push_output() {
  output_.erase(0, chardev_.write({reinterpret_cast<const uint8_t*>(output_.data()), output_.size()}));
}

void GdbStub::machine_ended(int status) {
  auto on_io_thread = [this](auto function) {
    std::promise<void> done;
    machine_.io().post([&] {
      function();
      done.set_value();
    });
    done.get_future().wait();
  };
  on_io_thread(
      [&] { server_.stopped({.kind = debug::StopEvent::Kind::kExited, .number = static_cast<unsigned>(status)}); });
  chardev_.flush();
  // A debugger whose acknowledgement finds the connection closed takes that for an error.
  bool acknowledged = false;
  for (int tries = 0; tries < 100 && !acknowledged; ++tries) {
    on_io_thread([&] { acknowledged = server_.end_acknowledged(); });
    if (!acknowledged) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

// Stopping and going on.

bool GdbStub::is_stopped() const {
  const RunState state = machine_.state();
  return state == RunState::kPrelaunch ? machine_.config().start_paused : state != RunState::kRunning;
}

void GdbStub::request_stop() {
  {
    std::lock_guard lock(mutex_);
    if (std::exchange(stopping_, true)) return;
  }
  machine_.request_stop();
}

void GdbStub::vcpu_stopped(unsigned cpu, const runtime::DebugStop& stop) {
  {
    std::lock_guard lock(mutex_);
    stops_.emplace_back(cpu, stop);
  }
  request_stop();
}

debug::StopEvent GdbStub::take_stop() {
  std::lock_guard lock(mutex_);
  if (stops_.empty()) return {.number = machine_.state() == RunState::kShutdown ? kSigQuit : kSigInt};
  const auto [cpu, stop] = stops_.front();
  stops_.pop_front();
  // Breakpoints are met again when the others go on; what a watchpoint saw is not.
  std::erase_if(stops_, [](const auto& each) { return each.second.why != runtime::DebugStop::Why::kWatchpoint; });
  debug::StopEvent event{.thread = cpu + 1, .number = kSigTrap};
  if (stop.why == runtime::DebugStop::Why::kWatchpoint) {
    event.kind = debug::StopEvent::Kind::kWatch;
    event.watch = kind_of(stop.watchpoint.kind);
    event.address = stop.watchpoint.address.value;
  }
  return event;
}

// On the I/O thread, after the main thread stopped the machine. Somebody else may have let it run again by now.
void GdbStub::machine_stopped() {
  if (!is_stopped()) return;
  if (detaching_) {
    detaching_ = false;
    let_go();
  } else if (server_.attached()) {
    // The monitor's cont lets all of them run.
    for (unsigned cpu = 0; cpu < vcpus_.count(); ++cpu) vcpus_.set_action(cpu, runtime::DebugAction::kRun);
    {
      std::lock_guard lock(mutex_);
      stopping_ = false;
    }
    server_.stopped(take_stop());
  }
}

void GdbStub::attach() {
  detaching_ = false;
  physical_ = false;
  {
    std::lock_guard lock(mutex_);
    stops_.clear();
    stopping_ = false;
  }
  vcpus_.attach([this](unsigned cpu, const runtime::DebugStop& stop) { vcpu_stopped(cpu, stop); });
}

void GdbStub::detach() {
  if (is_stopped()) return let_go();
  detaching_ = true;
  request_stop();
}

void GdbStub::let_go() {
  vcpus_.detach();
  if (machine_.state() != RunState::kShutdown) machine_.request_cont();
}

void GdbStub::resume(std::span<const debug::Resume> actions) {
  bool more, over = machine_.state() == RunState::kShutdown;
  {
    std::lock_guard lock(mutex_);
    more = !stops_.empty();
    stopping_ = false;
  }
  // Another vCPU's watchpoint is still to be told, or there is nothing that could go on.
  if (more || over) return machine_.io().post([this] { machine_stopped(); });
  for (unsigned cpu = 0; cpu < vcpus_.count(); ++cpu) vcpus_.set_action(cpu, runtime::DebugAction::kHold);
  for (const auto& [thread, action, signal] : actions)  // there is no signal to hand to a machine
    vcpus_.set_action(thread - 1,
                      action == debug::Action::kStep ? runtime::DebugAction::kStep : runtime::DebugAction::kRun);
  machine_.request_cont();
}

// Threads, registers, memory.

std::vector<unsigned> GdbStub::threads() const {
  std::vector<unsigned> list;
  for (unsigned cpu = 0; cpu < vcpus_.count(); ++cpu) list.push_back(cpu + 1);
  return list;
}

std::string GdbStub::thread_info(unsigned thread) const {
  return "CPU#" + std::to_string(thread - 1) + (vcpus_.waiting(thread - 1) ? " [halted ]" : " [running]");
}

bool GdbStub::read_register(unsigned thread, unsigned number, uint64_t& value) {
  return vcpus_.read_register(thread - 1, number, value);
}
bool GdbStub::write_register(unsigned thread, unsigned number, uint64_t value) {
  return vcpus_.write_register(thread - 1, number, value);
}
bool GdbStub::read_memory(unsigned thread, uint64_t address, std::span<uint8_t> bytes) {
  return vcpus_.read_memory(thread - 1, address, physical_, bytes);
}
bool GdbStub::write_memory(unsigned thread, uint64_t address, std::span<const uint8_t> bytes) {
  return vcpus_.write_memory(thread - 1, address, physical_, bytes);
}

void GdbStub::set_points(std::span<const debug::Point> points) {
  std::vector<uint64_t> breakpoints;
  std::vector<runtime::Watchpoint> watchpoints;
  for (const debug::Point& point : points) {
    if (point.kind >= debug::PointKind::kWriteWatch)
      watchpoints.push_back({Gva{point.address}, point.bytes, watch_of(point.kind)});
    else
      breakpoints.push_back(point.address);
  }
  vcpus_.set_breakpoints(std::move(breakpoints));
  vcpus_.set_watchpoints(std::move(watchpoints));
}

std::optional<std::string> GdbStub::command(const std::string& line) {
  capture_->text.clear();
  run_monitor_command(*monitor_, line);
  return std::exchange(capture_->text, {});
}

}  // namespace lyre::machine
