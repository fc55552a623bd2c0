// BareMachine: the runtime without a board: RAM at 0x8000'0000, vCPUs, and one device at 0x10'0000 whose first store ends the run with its value.
// Runs a program of instruction words on any accelerator and number of vCPUs; every hart starts at the first word, M mode.
#pragma once
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "runtime/mem/physical_map.h"
#include "runtime/vcpu/clock.h"
#include "runtime/vcpu/vcpu_set.h"

namespace lyre::test {

class BareMachine final : runtime::IoBus {
 public:
  static constexpr uint64_t kRam = 0x80000000, kRamBytes = uint64_t{32} << 20, kExit = 0x100000;

  BareMachine(const std::string& accel, unsigned cpus, bool single_thread = false, bool counted = false) {
    auto ram = memory_.add_ram("ram", {kRam}, kRamBytes);
    if (!ram) throw std::runtime_error(ram.error().message);
    memory_.set_io_bus(this);
    runtime::CpuConfig config;
    config.accel = accel, config.count = cpus, config.single_thread = single_thread, config.counted = counted;
    config.model = "max";
    auto vcpus = runtime::VcpuSet::create(config, memory_, clock_, timers_);
    if (!vcpus) throw std::runtime_error(vcpus.error().message);
    vcpus_ = std::move(*vcpus);
  }
  ~BareMachine() override { vcpus_.reset(); }

  void load(uint64_t address, const std::vector<uint32_t>& words) { std::memcpy(memory_.ram({address}, words.size() * 4, true), words.data(), words.size() * 4); }
  uint64_t peek(uint64_t address) {
    uint64_t value;
    std::memcpy(&value, memory_.ram({address}, 8, false), 8);
    return value;
  }
  void poke(uint64_t address, uint64_t value) { std::memcpy(memory_.ram({address}, 8, true), &value, 8); }

  // Runs `program` at the start of RAM until a hart stores to the exit device; nothing: it did not within the limit.
  std::optional<uint64_t> run(const std::vector<uint32_t>& program, std::chrono::seconds limit = std::chrono::seconds(60)) {
    load(kRam, program);
    vcpus_->set_reset_state({{kRam}});
    clock_.resume();
    timers_.clock_changed();
    vcpus_->start();
    std::unique_lock lock(mutex_);
    done_.wait_for(lock, limit, [&] { return result_.has_value(); });
    lock.unlock();
    vcpus_->pause();
    return result_;
  }
  runtime::VcpuSet& vcpus() { return *vcpus_; }
  uint64_t counter(const std::string& name) {
    for (const auto& [key, value] : vcpus_->counters())
      if (key == name) return value;
    throw std::logic_error("no counter " + name);
  }

 private:
  runtime::IoStatus io_read(Gpa address, unsigned, uint64_t& value) override {
    value = 0;
    return address.value == kExit ? runtime::IoStatus::kOk : runtime::IoStatus::kUnmapped;
  }
  runtime::IoStatus io_write(Gpa address, unsigned, uint64_t value) override {
    if (address.value != kExit) return runtime::IoStatus::kUnmapped;
    std::lock_guard lock(mutex_);
    if (!result_) result_ = value;
    done_.notify_all();
    return runtime::IoStatus::kOk;
  }

  runtime::PhysicalMap memory_;
  runtime::VirtualClock clock_;
  runtime::TimerService timers_{clock_};
  std::unique_ptr<runtime::VcpuSet> vcpus_;
  std::mutex mutex_;
  std::condition_variable done_;
  std::optional<uint64_t> result_;
};

}  // namespace lyre::test
