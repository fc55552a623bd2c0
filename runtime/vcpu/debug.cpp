// A vCPU under a debugger. See debug.h.
#include "runtime/vcpu/debug.h"

#include <algorithm>

#include "runtime/exec/translator.h"
#include "runtime/vcpu/vcpu.h"

namespace lyre::runtime {

bool DebugPoints::breaks_at(uint64_t pc) const {
  return std::binary_search(breakpoints.begin(), breakpoints.end(), pc);
}

bool DebugPoints::watches_page(Gva address) const {
  const uint64_t page = address.value & address_mask & kPageMask;
  return std::any_of(watchpoints.begin(), watchpoints.end(), [&](const Watchpoint& watch) {
    return page >= (watch.address.value & kPageMask) && page <= watch.address.value + watch.bytes - 1;
  });
}

const Watchpoint* DebugPoints::find(Gva address, unsigned bytes, bool store) const {
  const uint64_t first = address.value & address_mask;
  const auto wanted = static_cast<uint8_t>(store ? WatchKind::kStore : WatchKind::kLoad);
  for (const Watchpoint& watch : watchpoints)
    if ((static_cast<uint8_t>(watch.kind) & wanted) && first <= watch.address.value + watch.bytes - 1 &&
        watch.address.value <= first + bytes - 1)
      return &watch;
  return nullptr;
}

void Vcpu::debug_stop(const DebugStop& stop) {
  {
    std::lock_guard lock(mutex_);
    pause_ = true;
  }
  block_->exit_request.store(1, std::memory_order_relaxed);
  shared_.debug.stopped(index_, stop);
}

// Before the block at `pc` is looked up. False: the vCPU stops first. One instruction is run alone for a step, and
// where an access was reported, so that a debugger which goes on without taking the watchpoint away does not meet it
// there for ever.
bool Vcpu::debug_enter(uint64_t pc) {
  if (told_pc_ != pc) told_pc_.reset();
  const bool single = debug_action_ == DebugAction::kStep || told_pc_.has_value();
  if (debug_action_ != DebugAction::kStep && shared_.debug.breaks_at(pc)) {
    debug_stop({DebugStop::Why::kBreakpoint, {}});
    return false;
  }
  step_insns_ = block_->insns;
  step_pc_ = pc;
  if (single != single_) {
    single_ = single;
    update_key();
  }
  return true;
}

// After translated code was left. `faulted`: the instruction did not complete, its fault was delivered.
void Vcpu::debug_left(uint64_t pc, bool faulted) {
  if (watch_hit_) {
    const DebugStop stop{DebugStop::Why::kWatchpoint, *watch_hit_};
    watch_hit_.reset();
    told_pc_ = pc;
    single_ = false;
    key_stale_ = true;
    return debug_stop(stop);
  }
  if (!single_) return;
  // A block is left at its check, before its instruction, when somebody asked for attention.
  if (!faulted && block_->insns == step_insns_ && pc == step_pc_) return;
  single_ = false;
  key_stale_ = true;
  told_pc_.reset();
  if (debug_action_ == DebugAction::kStep) debug_stop({DebugStop::Why::kStep, {}});
}

// The block is left before the access. gdb expects that of RISC-V: it takes its watchpoints away, steps, and compares
// values then.
bool Vcpu::leave_for_watchpoint(Gva address, unsigned bytes, bool store) {
  const Watchpoint* watch = shared_.debug.find(address, bytes, store);
  if (!watch || told_pc_) return false;
  watch_hit_ = *watch;
  block_->leave = static_cast<uint32_t>(ir::Leave::kRestart);
  return true;
}

// What a debugger wrote into registers or memory may have changed everything that is derived from them.
void Vcpu::debug_changed() {
  block_->leave = 0;
  flush_tlb_all();
  set_address_space(shared_.cpu.address_space(*block_), shared_.cpu.mmu_index(*block_));
  block_->empty_return_stack();
}

// The debugger left; it may have stopped the vCPU before a step was done.
void Vcpu::debug_released() {
  debug_action_ = DebugAction::kRun;
  single_ = false;
  watch_hit_.reset();
  told_pc_.reset();
  key_stale_ = true;
}

namespace {

class Debugged final : public DebugVcpus {
 public:
  Debugged(VcpuShared& shared, std::span<const std::unique_ptr<Vcpu>> vcpus, std::function<void()> prepare)
      : shared_(shared), vcpus_(vcpus), prepare_(std::move(prepare)) {}

  const frontend::GuestDebug& guest() const override { return *shared_.cpu.debug(); }
  unsigned count() const override { return static_cast<unsigned>(vcpus_.size()); }
  void attach(std::function<void(unsigned, const DebugStop&)> stopped) override {
    prepare_();
    shared_.debug.stopped = std::move(stopped);
    shared_.debug.address_mask = guest().address_mask();
    shared_.debug.attached = true;
  }
  void detach() override {
    set_breakpoints({});
    set_watchpoints({});
    for (auto& vcpu : vcpus_) vcpu->debug_released();
    shared_.debug.attached = false;
  }
  void set_breakpoints(std::vector<uint64_t> addresses) override {
    std::sort(addresses.begin(), addresses.end());
    std::vector<uint64_t> added;
    std::set_difference(addresses.begin(), addresses.end(), shared_.debug.breakpoints.begin(),
                        shared_.debug.breakpoints.end(), std::back_inserter(added));
    shared_.debug.breakpoints = std::move(addresses);
    for (uint64_t address : added) shared_.cache.drop_containing({address});
  }
  void set_watchpoints(std::vector<Watchpoint> watchpoints) override {
    if (watchpoints == shared_.debug.watchpoints) return;
    shared_.debug.watchpoints = std::move(watchpoints);
    for (auto& vcpu : vcpus_) vcpu->flush_tlb_all();
  }
  void set_action(unsigned cpu, DebugAction action) override { vcpus_[cpu]->set_debug_action(action); }
  bool waiting(unsigned cpu) const override { return vcpus_[cpu]->waiting(); }

  bool read_register(unsigned cpu, unsigned number, uint64_t& value) override {
    return guest().read_register(vcpus_[cpu]->block(), number, value);
  }
  bool write_register(unsigned cpu, unsigned number, uint64_t value) override {
    const bool done = guest().write_register(vcpus_[cpu]->block(), number, value);
    if (number >= guest().core_registers()) vcpus_[cpu]->debug_changed();
    return done;
  }
  bool read_memory(unsigned cpu, uint64_t address, bool physical, std::span<uint8_t> bytes) override {
    return in_pages(cpu, address, physical, bytes, [&](Gpa gpa, std::span<uint8_t> part) {
      if (const Hva host = shared_.memory.ram(gpa, part.size(), false)) {
        std::copy_n(reinterpret_cast<const uint8_t*>(host), part.size(), part.begin());
        return true;
      }
      return device(gpa, part, false);
    });
  }
  bool write_memory(unsigned cpu, uint64_t address, bool physical, std::span<const uint8_t> bytes) override {
    return in_pages(cpu, address, physical, bytes, [&](Gpa gpa, std::span<const uint8_t> part) {
      if (const Hva host = shared_.memory.ram(gpa, part.size(), true)) {
        std::copy_n(part.begin(), part.size(), reinterpret_cast<uint8_t*>(host));
        shared_.cache.invalidate(gpa, part.size());
        return true;
      }
      std::vector<uint8_t> copy(part.begin(), part.end());
      return device(gpa, copy, true);
    });
  }

 private:
  template <typename Byte, typename Function>
  bool in_pages(unsigned cpu, uint64_t address, bool physical, std::span<Byte> bytes, Function function) {
    while (!bytes.empty()) {
      address &= shared_.debug.address_mask;
      const auto part = bytes.first(std::min<uint64_t>(bytes.size(), kPageSize - (address & ~kPageMask)));
      Gpa gpa{address};
      if (!physical && !guest().physical(vcpus_[cpu]->block(), {address}, gpa)) return false;
      if (!function(gpa, part)) return false;
      address += part.size();
      bytes = bytes.subspan(part.size());
    }
    return true;
  }
  // A register of a device: one access of the size that was asked for.
  bool device(Gpa gpa, std::span<uint8_t> bytes, bool write) {
    IoBus* bus = shared_.memory.io_bus();
    const auto size = static_cast<unsigned>(bytes.size());
    if (!bus || (size != 1 && size != 2 && size != 4 && size != 8)) return false;
    uint64_t value = 0;
    for (unsigned i = 0; write && i < size; ++i) value |= uint64_t{bytes[i]} << (8 * i);
    if ((write ? bus->io_write(gpa, size, value) : bus->io_read(gpa, size, value)) != IoStatus::kOk) return false;
    for (unsigned i = 0; !write && i < size; ++i) bytes[i] = static_cast<uint8_t>(value >> (8 * i));
    return true;
  }

  VcpuShared& shared_;
  std::span<const std::unique_ptr<Vcpu>> vcpus_;
  std::function<void()> prepare_;
};

}  // namespace

std::unique_ptr<DebugVcpus> make_debug_vcpus(VcpuShared& shared, std::span<const std::unique_ptr<Vcpu>> vcpus,
                                             std::function<void()> prepare) {
  return std::make_unique<Debugged>(shared, vcpus, std::move(prepare));
}

}  // namespace lyre::runtime
