// Stand-ins for what surrounds a device: wires that remember, vCPUs without an engine, a chardev in memory.
#pragma once
#include <algorithm>
#include <atomic>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "machine/bus/irq.h"
#include "machine/chardev/chardev.h"
#include "runtime/vcpu/vcpu_set.h"

namespace lyre::tests {

// Levels of wires and how often each rose.
class FakeSink final : public machine::IrqSink {
 public:
  void set_irq(unsigned input, bool level) override {
    std::lock_guard lock(mutex_);
    if (level && !levels_[input]) ++rises_[input];
    levels_[input] = level;
  }
  bool level(unsigned input) {
    std::lock_guard lock(mutex_);
    return levels_[input];
  }
  int rises(unsigned input) {
    std::lock_guard lock(mutex_);
    return rises_[input];
  }
  machine::IrqLine line(unsigned input) { return machine::IrqLine(this, input); }

 private:
  std::mutex mutex_;
  std::map<unsigned, bool> levels_;
  std::map<unsigned, int> rises_;
};

class FakeChardev final : public machine::Chardev {
 public:
  size_t write(std::span<const uint8_t> bytes) override {
    std::lock_guard lock(mutex_);
    size_t taken = std::min(bytes.size(), room);
    room -= taken;
    output.append(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(taken));
    ++writes;
    return taken;
  }
  void attach(machine::ChardevReceiver to) override { receiver = std::move(to); }
  void accept_input() override { ++accepted; }

  // As the I/O thread does: only as many bytes as there is room for. Returns how many went in.
  size_t send(std::string_view text) {
    size_t sent = 0;
    while (sent < text.size()) {
      size_t room_now = std::min(receiver.can_receive(), text.size() - sent);
      if (room_now == 0) break;
      receiver.receive({reinterpret_cast<const uint8_t*>(text.data()) + sent, room_now});
      sent += room_now;
    }
    return sent;
  }
  std::mutex mutex_;
  std::string output;
  size_t room = ~size_t{0};
  int writes = 0;
  std::atomic<int> accepted{0};  // by the I/O thread, looked at by the test
  machine::ChardevReceiver receiver;
};

// vCPUs that only remember what they were told.
class FakeVcpus final : public runtime::VcpuSet {
 public:
  explicit FakeVcpus(unsigned count = 1) : count_(count) {}
  unsigned count() const override { return count_; }
  std::string isa_string() const override { return "rv64imafdc_zicbom_zicboz_zicsr_zifencei_sstc"; }
  std::vector<std::string> isa_extensions() const override {
    return {"i", "m", "a", "f", "d", "c", "zicbom", "zicboz", "zicsr", "zifencei", "sstc"};
  }
  std::string mmu_type() const override { return "riscv,sv57"; }
  uint64_t timebase_hz() const override { return 10'000'000; }
  void set_reset_state(const runtime::ResetState& state) override { reset_state = state; }
  void set_irq(unsigned cpu, unsigned input, bool level) override { pins.set_irq(cpu * 64 + input, level); }
  void start() override { note("start"); }
  void pause() override {
    if (on_pause) on_pause();
    note("pause");
  }
  void resume() override { note("resume"); }
  void reset() override { note("reset"); }
  void stop() override {}
  std::string registers(unsigned) override { return {}; }
  std::string stuck_report() override { return {}; }
  std::vector<std::pair<std::string, uint64_t>> counters() override { return {}; }

  std::string calls() {
    std::lock_guard lock(mutex_);
    return calls_;
  }
  runtime::ResetState reset_state;
  std::function<void()> on_pause;  // what the guest still does until it has stopped
  FakeSink pins;

 private:
  void note(const char* call) {
    std::lock_guard lock(mutex_);
    (calls_ += call) += ' ';
  }
  unsigned count_;
  std::mutex mutex_;
  std::string calls_;
};

}  // namespace lyre::tests
