#include "runtime/accel/translated.h"

#include <algorithm>
#include <utility>

#include "backend/backend.h"
#include "backend/code/disasm.h"
#include "frontend/guest_isa.h"
#include "runtime/base/log.h"
#include "runtime/exec/code_cache.h"
#include "runtime/vcpu/vcpu.h"

namespace lyre::runtime {
namespace {

class TranslatedVcpus final : public VcpuSet {
 public:
  TranslatedVcpus(const CpuConfig& config, std::unique_ptr<frontend::GuestCpu> cpu, std::unique_ptr<backend::Backend> backend, PhysicalMap& memory,
                  VirtualClock& clock, TimerService& timers)
      : cpu_(std::move(cpu)),
        backend_(std::move(backend)),
        memory_(memory),
        cache_(memory, *backend_),
        shared_{*cpu_, memory, clock, timers, *backend_, cache_, config.single_thread && config.count > 1, config.counted, config.one_insn_per_tb,
                {}, {}, {}, {}} {
    for (unsigned i = 0; i < config.count; ++i) {
      vcpus_.push_back(std::make_unique<Vcpu>(shared_, i));
      cache_.add_user(*vcpus_.back());
    }
    memory_.set_write_observer([this](Gpa address, uint64_t size) { cache_.invalidate(address, size); });
    memory_.set_map_observer([this](Gpa address, uint64_t size) {
      cache_.invalidate(address, size);
      for (auto& vcpu : vcpus_) vcpu->request_remap(address, size);
    });
    if (cpu_->debug()) debug_ = make_debug_vcpus(shared_, vcpus_, [this] { prepare(); });
    if (shared_.single_thread)
      slice_ = std::make_unique<Timer>(timers, [this, &clock] {
        shared_.end_slice();
        slice_->arm(clock.now_ns() + kSliceNs);
      });
  }

  ~TranslatedVcpus() override {
    stop();
    memory_.set_write_observer({});
    memory_.set_map_observer({});
  }

  unsigned count() const override { return static_cast<unsigned>(vcpus_.size()); }
  std::string isa_string() const override { return cpu_->isa_string(); }
  std::vector<std::string> isa_extensions() const override { return cpu_->isa_extensions(); }
  std::string mmu_type() const override { return cpu_->mmu_type(); }
  uint64_t timebase_hz() const override { return cpu_->timebase_hz(); }

  void set_reset_state(const ResetState& state) override { reset_ = state; }
  void set_irq(unsigned cpu, unsigned input, bool level) override { vcpus_[cpu]->set_irq(input, level); }

  void start() override {
    prepare();
    started_ = true;
    for (auto& vcpu : vcpus_) vcpu->start();
    if (slice_) slice_->arm(shared_.clock.now_ns() + kSliceNs);
  }
  void pause() override {
    for (auto& vcpu : vcpus_) vcpu->request_pause();
    for (auto& vcpu : vcpus_) vcpu->wait_paused();
  }
  void resume() override {
    if (!started_) return start();
    for (auto& vcpu : vcpus_) vcpu->resume();
  }
  void reset() override {
    for (auto& vcpu : vcpus_) vcpu->reset(reset_.pc);
  }
  void stop() override {
    if (slice_) slice_->cancel();
    for (auto& vcpu : vcpus_) vcpu->stop();
  }

  DebugVcpus* debug() override { return debug_.get(); }
  std::string registers(unsigned cpu) override { return cpu_->registers(vcpus_[cpu]->block()); }
  std::string stuck_report() override {
    std::string text;
    for (auto& vcpu : vcpus_) text += vcpu->report();
    return text;
  }
  std::vector<std::pair<std::string, uint64_t>> counters() override {
    Counters total;
    for (auto& vcpu : vcpus_) {
      const Counters& one = vcpu->counters();
#define LYRE_ADD(name, help) total.name += one.name;
      LYRE_COUNTERS(LYRE_ADD)
#undef LYRE_ADD
    }
    std::vector<std::pair<std::string, uint64_t>> list;
#define LYRE_LIST(name, help) list.emplace_back(#name, total.name);
    LYRE_COUNTERS(LYRE_LIST)
#undef LYRE_LIST
    list.emplace_back("blocks", cache_.block_count());
    list.emplace_back("code_bytes", backend_->code_bytes_in_use());
    return list;
  }

 private:
  // Once, when the board is complete and has said where reset leads.
  void prepare() {
    if (!std::exchange(prepared_, true)) {
      cache_.page_flags().lay_out(memory_);
      reset();
    }
  }
  static constexpr int64_t kSliceNs = 5000000;
  std::unique_ptr<frontend::GuestCpu> cpu_;
  std::unique_ptr<backend::Backend> backend_;
  PhysicalMap& memory_;
  CodeCache cache_;
  VcpuShared shared_;
  std::vector<std::unique_ptr<Vcpu>> vcpus_;
  std::unique_ptr<Timer> slice_;  // thread=single: asks the running vCPU to give up its turn
  ResetState reset_;
  bool started_ = false, prepared_ = false;
  std::unique_ptr<DebugVcpus> debug_;
};

}  // namespace

Result<std::unique_ptr<VcpuSet>> make_translated_vcpus(const CpuConfig& config, PhysicalMap& memory, VirtualClock& clock, TimerService& timers) {
  const frontend::GuestInfo* guest = frontend::find_guest(config.guest);
  if (!guest) return Error{"there is no guest architecture called '" + config.guest + "'"};
  auto cpu = guest->create(config.model, config.features);
  if (!cpu) return cpu.error();
  backend::GuestLayout layout;
  layout.pc_slot = (*cpu)->pc_slot();
  layout.pinned_slots = (*cpu)->pinned_slots();
  layout.helpers = (*cpu)->helpers();
  backend::BackendOptions options;
  // An area for each vCPU to translate into, and some to evict and to take next.
  if (config.code_cache_bytes) options.code_bytes = std::max(config.code_cache_bytes, uint64_t{config.count + 4} << 20);
  options.disassemble = backend::disassemble_x64;
  auto backend = backend::make_backend(config.accel == "interp" ? "interp" : "x64", layout, options);
  if (!backend) return backend.error();
  return std::unique_ptr<VcpuSet>(std::make_unique<TranslatedVcpus>(config, std::move(*cpu), std::move(*backend), memory, clock, timers));
}

}  // namespace lyre::runtime
