// GdbStub: the machine as a gdb target on a chardev (-gdb, -s): threads are vCPUs, a stop stops the whole machine.
// Threads: the conversation runs on the machine's I/O thread, and touches vCPUs only while the machine is stopped. A
// vCPU that stops tells it on its own thread and asks the main thread to stop the machine; the main thread's word that
// it has stopped is posted to the I/O thread.
#pragma once
#include <deque>
#include <memory>
#include <mutex>
#include <string>

#include "machine/boards/machine.h"
#include "machine/monitor/monitor.h"
#include "runtime/debug/server.h"

namespace lyre::machine {

class GdbStub final : debug::Target {
 public:
  // Both outlive the stub; the machine's I/O thread must be at rest when it is destroyed. Error: the machine can not be
  // debugged.
  static Result<std::unique_ptr<GdbStub>> create(Machine& machine, Chardev& chardev, ChardevNames chardevs);
  ~GdbStub() override;
  // On the main thread, at exit: the debugger is told how it ended.
  void machine_ended(int status);

 private:
  class Capture;
  GdbStub(Machine& machine, Chardev& chardev, ChardevNames chardevs);
  void on_event(ChardevEvent event);
  void send(std::string_view bytes);
  void push_output();
  void vcpu_stopped(unsigned cpu, const runtime::DebugStop& stop);
  void machine_stopped();
  void request_stop();
  debug::StopEvent take_stop();
  void let_go();

  const frontend::GuestDebug& guest() const override { return vcpus_.guest(); }
  std::string program() const override { return machine_.config().program; }
  std::vector<unsigned> threads() const override;
  std::string thread_info(unsigned thread) const override;
  bool read_register(unsigned thread, unsigned number, uint64_t& value) override;
  bool write_register(unsigned thread, unsigned number, uint64_t value) override;
  bool read_memory(unsigned thread, uint64_t address, std::span<uint8_t> bytes) override;
  bool write_memory(unsigned thread, uint64_t address, std::span<const uint8_t> bytes) override;
  bool physical_memory() const override { return physical_; }
  bool set_physical_memory(bool on) override { return physical_ = on, true; }
  bool supports(debug::PointKind) const override { return true; }
  void set_points(std::span<const debug::Point> points) override;
  bool is_stopped() const override;
  void attach() override;
  void detach() override;
  void resume(std::span<const debug::Resume> actions) override;
  void stop() override { request_stop(); }
  void kill() override { machine_.request_shutdown(StopCause::kHostQuit); }
  std::optional<std::string> command(const std::string& line) override;

  Machine& machine_;
  Chardev& chardev_;
  runtime::DebugVcpus& vcpus_;
  std::unique_ptr<Capture> capture_;
  std::unique_ptr<Monitor> monitor_;
  debug::GdbServer server_;
  std::string output_;  // what the chardev had no room for
  bool physical_ = false;
  bool detaching_ = false;  // when the machine has stopped
  std::mutex mutex_;        // of the next two
  std::deque<std::pair<unsigned, runtime::DebugStop>> stops_;
  bool stopping_ = false;  // a stop was asked for since the last resume
};

}  // namespace lyre::machine
