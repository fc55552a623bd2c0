// Where vCPUs are, as `info stuck` prints it: two harts at one device, of which one holds its lock, a hart in a loop
// that never comes back to the execution loop, and a hart that sleeps.
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

#include "machine/bus/bus.h"
#include "runtime/base/named_mutex.h"
#include "tests/support/bare_machine.h"
#include "tests/support/catch.h"
#include "tests/support/riscv_asm.h"

using namespace lyre;
using namespace lyre::test;

namespace {

constexpr uint64_t kRam = BareMachine::kRam, kDevice = 0x10000000;

// A read holds the device's lock until the test opens it.
class Blocker final : public machine::MmioDevice {
 public:
  std::string_view name() const override { return "blocker"; }
  uint64_t read(uint64_t, unsigned) override {
    std::lock_guard device(mutex_);
    std::unique_lock lock(gate_mutex_);
    gate_.wait(lock, [this] { return open_; });
    return 0;
  }
  void write(uint64_t, unsigned, uint64_t) override {}
  void open() {
    std::lock_guard lock(gate_mutex_);
    open_ = true;
    gate_.notify_all();
  }

 private:
  NamedMutex mutex_{"blocker"};
  std::mutex gate_mutex_;
  std::condition_variable gate_;
  bool open_ = false;
};

// ThreadSanitizer holds signals back until the thread calls into its runtime, which translated code never does.
#if defined(__SANITIZE_THREAD__)
constexpr bool kSignalsArrive = false;
#else
constexpr bool kSignalsArrive = true;
#endif

std::string line_of(const std::string& report, unsigned cpu) {
  const std::string head = "cpu " + std::to_string(cpu) + ": ";
  const size_t from = report.find(head);
  return from == report.npos ? "" : report.substr(from, report.find('\n', from) - from);
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != text.npos; }

std::string hex(uint64_t value) {
  char text[24];
  std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(value));
  return text;
}

}  // namespace

TEST_CASE("info stuck: pc, device and lock of harts that hang, loop and sleep") {
  const std::string accel = GENERATE("tcg", "interp");
  const bool places = accel == "tcg" && kSignalsArrive;
  runtime::PhysicalMap memory;
  REQUIRE(memory.add_ram("ram", {kRam}, 1 << 20));
  machine::Bus bus(memory);
  Blocker device;
  REQUIRE(bus.map({kDevice}, 0x1000, device));
  runtime::VirtualClock clock;
  runtime::TimerService timers(clock);
  runtime::CpuConfig config;
  config.accel = accel, config.count = 4, config.model = "max";
  auto made = runtime::VcpuSet::create(config, memory, clock, timers);
  REQUIRE(made);
  std::unique_ptr<runtime::VcpuSet> vcpus = std::move(*made);

  RiscvAsm as;
  auto not_reader = as.label(), sleeper = as.label();
  as.csrr(t0, 0xf14);
  as.li(t1, 2);
  as.sltu(t2, t0, t1);
  as.li(a0, kDevice);
  as.beq(t2, zero, not_reader);
  as.addi(a2, zero, 1);
  const uint64_t load = kRam + as.here();
  as.i(2, 0x03, a1, a0, 8);  // lw
  as.addi(a2, zero, 2);
  as.bind(sleeper);
  as.wfi();
  as.j(sleeper);
  as.bind(not_reader);
  as.bne(t0, t1, sleeper);
  as.addi(a3, zero, 0);
  auto loop = as.bound();
  const uint64_t spin = kRam + as.here();
  as.addi(a3, a3, 1);
  as.j(loop);
  const std::vector<uint32_t> words = as.finish();
  std::memcpy(memory.ram({kRam}, words.size() * 4, true), words.data(), words.size() * 4);
  vcpus->set_reset_state({{kRam}});
  clock.resume();
  timers.clock_changed();
  vcpus->start();

  std::string report;
  auto settled = [&] {
    const std::string all = line_of(report, 0) + line_of(report, 1);
    // A line is not of one moment: a hart may have come to the device after it said where it was.
    if (places && !(has(line_of(report, 0), ", guest pc") && has(line_of(report, 1), ", guest pc"))) return false;
    return has(all, "holds the lock of blocker") && has(all, "waits for the lock of blocker") &&
           has(line_of(report, 3), "waiting for an interrupt") &&
           has(line_of(report, 2), "block at guest pc " + hex(spin));
  };
  for (int k = 0; k < 200 && !settled(); ++k) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    report = vcpus->stuck_report();
  }
  CAPTURE(accel, report);
  const bool first_holds = has(line_of(report, 0), "holds");
  const std::string holder = line_of(report, first_holds ? 0 : 1), waiter = line_of(report, first_holds ? 1 : 0);
  CHECK(has(holder, "running"));
  CHECK(has(holder, "accessing " + hex(kDevice + 8) + " (blocker), holds the lock of blocker"));
  CHECK(has(waiter, "waits for the lock of blocker (held by CPU " + std::string(first_holds ? "0" : "1") + ")"));
  if (places) {
    CHECK(has(holder, "guest pc " + hex(load) + ", block"));
    CHECK(has(waiter, "guest pc " + hex(load) + ", block"));
    CHECK(has(line_of(report, 2), "running, block at guest pc " + hex(spin)));
  }
  CHECK(has(line_of(report, 3), "waiting for an interrupt"));
  device.open();
  for (int k = 0; k < 500 && !(has(line_of(report, 0), "waiting for an") && has(line_of(report, 1), "waiting for an"));
       ++k) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    report = vcpus->stuck_report();
  }
  CHECK_FALSE(has(report, "the lock of"));
  vcpus->pause();
  CHECK(has(line_of(vcpus->stuck_report(), 2), "stopped"));
  vcpus->stop();
}
