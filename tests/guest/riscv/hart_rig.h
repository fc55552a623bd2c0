// HartRig: one RISC-V hart without the runtime: flat RAM at 0x8000'0000, a fake environment that records what the hart asks of it, a clock that
// stands still until told. Code goes through the real translation loop, pipeline and host; memory accesses through the page walk, always on the slow path.
#pragma once
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "frontend/riscv/cpu.h"
#include "frontend/riscv/sysreg.h"
#include "frontend/translate_loop.h"
#include "ir/eval.h"
#include "ir/pass/pipeline.h"
#include "runtime/base/bits.h"
#include "tests/support/riscv_asm.h"

namespace lyre::test {

// The host that tests run on unless they name one: LYRE_TEST_BACKEND, or x64.
inline std::string test_backend() {
  const char* name = std::getenv("LYRE_TEST_BACKEND");
  return name ? name : "x64";
}

class HartRig : public frontend::GuestEnv, frontend::CodeReader {
 public:
  static constexpr uint64_t kRam = 0x80000000, kRamBytes = 1 << 20;

  explicit HartRig(const std::string& backend = test_backend(), const std::vector<std::string>& features = {}, unsigned max_insns = 64,
                   unsigned xlen = 64) {
    auto made = riscv::create_riscv_cpu("max", features, xlen);
    if (!made) throw std::runtime_error(made.error().message);
    cpu = std::move(*made);
    backend::GuestLayout layout{cpu->pc_slot(), cpu->pinned_slots(), cpu->helpers()};
    auto host = backend::make_backend(backend, layout, {});
    if (!host) throw std::runtime_error(host.error().message);
    host_ = std::move(*host);
    compiler_ = host_->make_compiler();
    pipeline_.helpers = cpu->helpers(), pipeline_.pinned_slots = cpu->pinned_slots(), pipeline_.pc_slot = cpu->pc_slot();
    pipeline_.verify_each = true;
    limits_.stay_in_page = true, limits_.max_insns = max_insns;
    block->env = this;
    tlb_.resize(1);
    block->tlb = tlb_.data();
    for (size_t i = 0; i < cpu->helpers().size(); ++i) block->helpers[ir::kFirstGuestHelper + i] = cpu->helpers()[i].function;
    block->helpers[ir::kHelperSlowLoad] = ir::helper_function(+[](ir::VcpuBlock* v, uint64_t a, uint64_t op) noexcept { return rig(v).slow_load(a, op); });
    block->helpers[ir::kHelperSlowStore] =
        ir::helper_function(+[](ir::VcpuBlock* v, uint64_t a, uint64_t value, uint64_t op) noexcept { return rig(v).slow_store(a, value, op); });
    block->helpers[ir::kHelperSlowRmw] =
        ir::helper_function(+[](ir::VcpuBlock* v, uint64_t a, uint64_t operand, uint64_t op) noexcept { return rig(v).slow_rmw(a, operand, op); });
    block->helpers[ir::kHelperSlowCmpxchg] = ir::helper_function(
        +[](ir::VcpuBlock* v, uint64_t a, uint64_t expected, uint64_t desired, uint64_t op) noexcept { return rig(v).slow_cmpxchg(a, expected, desired, op); });
    block->helpers[ir::kHelperClock] = ir::helper_function(+[](ir::VcpuBlock* v) noexcept { return static_cast<uint64_t>(rig(v).clock_ns); });
    host_->prepare(*block);
    block->clock_mult = 0;
    cpu->reset(*block, 0, Gva{kRam});
    update_inline_clock();
  }
  ~HartRig() override { forget_code(); }

  riscv::State& state() { return block->as<riscv::State>(); }
  uint64_t& x(unsigned reg) { return state().x[reg]; }

  void load(uint64_t address, const std::vector<uint32_t>& words) {
    std::memcpy(at(address), words.data(), words.size() * 4);
    forget_code();
  }
  void load(uint64_t address, RiscvAsm& program) { load(address, program.finish()); }
  uint64_t peek(uint64_t address) {
    uint64_t value;
    std::memcpy(&value, at(address), 8);
    return value;
  }
  void poke(uint64_t address, uint64_t value) { std::memcpy(at(address), &value, 8); }
  std::byte* at(uint64_t address) {
    if (address - kRam >= kRamBytes) throw std::out_of_range("outside RAM");
    return ram_.data() + (address - kRam);
  }

  // Runs until pc is `stop` (a block must begin there) or `max_blocks` have run. True: stopped there.
  bool run_to(uint64_t stop, unsigned max_blocks = 10000) {
    for (unsigned i = 0; i < max_blocks; ++i) {
      if (state().pc == stop) return true;
      run_block();
    }
    return state().pc == stop;
  }
  void run_block() {
    if (block->exit_request.exchange(0)) {
      if (cpu->deliver_interrupt(*block)) return;
    }
    const backend::CompiledRegion* code = find(state().pc);
    if (!code) return cpu->deliver_fault(*block, fetch_fault_);
    block->leave = 0;
    host_->run(*block, *code);
    auto why = static_cast<ir::Leave>(block->leave);
    block->leave = 0;
    if (why == ir::Leave::kFault) cpu->deliver_fault(*block, block->fault);
  }
  // Executes `words` at `address` at `address`, then stops behind them.
  void execute(const std::vector<uint32_t>& words, uint64_t address = kRam) {
    std::vector<uint32_t> program = words;
    program.push_back(0x0000006f);  // j .
    load(address, program);
    state().pc = address;
    if (!run_to(address + 4 * words.size())) throw std::runtime_error("the program did not reach its end");
  }
  void set_clock(int64_t ns) {
    clock_ns = ns;
    update_inline_clock();
    for (auto& [timer, deadline] : timers)
      if (deadline <= ns) {
        deadline = INT64_MAX;
        if (cpu->timer_fired(*block, timer)) block->exit_request.store(1);
      }
  }
  void set_pin(unsigned pin, bool level) {
    if (cpu->set_irq(*block, pin, level)) block->exit_request.store(1);
  }

  // GuestEnv.
  bool read_physical(Gpa address, unsigned size, uint64_t& value) override {
    if (address.value - kRam > kRamBytes - size) return false;
    value = 0;
    std::memcpy(&value, at(address.value), size);
    return true;
  }
  bool update_physical(Gpa address, unsigned size, uint64_t& expected, uint64_t desired, bool& done) override {
    uint64_t now;
    if (!read_physical(address, size, now)) return false;
    done = now == expected;
    if (interfere) expected = now ^ interfere, now ^= interfere, std::memcpy(at(address.value), &now, size), done = false, interfere = 0;
    else if (done) std::memcpy(at(address.value), &desired, size);
    else expected = now;
    return true;
  }
  void flush_tlb_all() override { ++flushes; }
  void flush_tlb_page(Gva page) override { flushed_pages.push_back(page.value); }
  void flush_tlb_spaces(uint64_t mask, uint64_t value) override { flushed_spaces.push_back({mask, value}); }
  void set_address_space(uint64_t id, unsigned index) override { space = id, mmu_index = index; }
  void state_key_changed() override { ++key_changes; }
  void interrupts_changed() override { block->exit_request.store(1); }
  int64_t now_ns() override { return clock_ns; }
  void set_timer(unsigned timer, int64_t deadline_ns) override {
    timers[timer] = deadline_ns;
    if (deadline_ns <= clock_ns) set_clock(clock_ns);
  }
  void wait_for_interrupt() override {
    ++waits;
    block->leave = static_cast<uint32_t>(ir::Leave::kLoop);
  }
  uint64_t instructions_retired() override { return static_cast<uint64_t>(clock_ns); }
  void instruction_fence() override {}

  std::unique_ptr<riscv::RiscvCpu> cpu;
  std::unique_ptr<ir::VcpuBlock> block = std::make_unique<ir::VcpuBlock>();
  int64_t clock_ns = 1000;
  unsigned flushes = 0, key_changes = 0, waits = 0, mmu_index = 0;
  uint64_t space = 0, interfere = 0;
  std::vector<uint64_t> flushed_pages;
  std::vector<std::pair<uint64_t, uint64_t>> flushed_spaces;  // mask, value
  std::map<unsigned, int64_t> timers;

 private:
  static HartRig& rig(ir::VcpuBlock* vcpu) { return *static_cast<HartRig*>(vcpu->env); }

  void update_inline_clock() { block->clock_mult = 0, block->clock_base = clock_ns; }
  void forget_code() {
    for (auto& [key, region] : code_) host_->forget(*region);
    code_.clear();
  }
  std::span<const uint8_t> code_at(Gva address) override {
    frontend::Translation walked = cpu->walk(*block, address, frontend::Access::kFetch, cpu->fetch_mmu_index(*block));
    if (!walked.ok || walked.gpa.value - kRam >= kRamBytes) {
      fetch_fault_ = walked.ok ? cpu->access_fault(address, frontend::Access::kFetch) : walked.fault;
      return {};
    }
    return {reinterpret_cast<const uint8_t*>(at(walked.gpa.value)), static_cast<size_t>(kPageSize - (address.value & ~kPageMask))};
  }
  const backend::CompiledRegion* find(uint64_t pc) {
    auto key = std::make_tuple(pc, cpu->state_key(*block), state().satp);
    if (auto found = code_.find(key); found != code_.end()) return found->second.get();
    ir::Region region;
    Gva fault;
    frontend::TranslateLoop loop(*cpu);
    if (!loop.translate(Gva{pc}, cpu->state_key(*block), *this, limits_, region, fault)) return nullptr;
    ir::run_pipeline(region, pipeline_);
    return (code_[key] = compiler_->compile(region)).get();
  }
  // Physical address, or a fault in the block.
  std::byte* translate(uint64_t address, frontend::Access access, ir::MemOp op) {
    unsigned size = op.size();
    if (op.must_align && address & (size - 1)) {
      block->fault = cpu->misaligned_fault(Gva{address}, access);
      block->leave = static_cast<uint32_t>(ir::Leave::kFault);
      return nullptr;
    }
    frontend::Translation walked = cpu->walk(*block, Gva{address}, access, cpu->mmu_index(*block));
    if (walked.ok && walked.gpa.value - kRam > kRamBytes - size) walked.ok = false, walked.fault = cpu->access_fault(Gva{address}, access);
    if (walked.ok) return at(walked.gpa.value);
    block->fault = walked.fault;
    block->leave = static_cast<uint32_t>(ir::Leave::kFault);
    return nullptr;
  }
  uint64_t slow_load(uint64_t address, uint64_t packed) {
    ir::MemOp op = ir::MemOp::unpack(static_cast<uint32_t>(packed));
    std::byte* host = translate(address, frontend::Access::kLoad, op);
    if (!host) return 0;
    uint64_t value = 0;
    std::memcpy(&value, host, op.size());
    return op.sign_extend ? static_cast<uint64_t>(sign_extend(value, op.size() * 8)) : value;
  }
  uint64_t slow_store(uint64_t address, uint64_t value, uint64_t packed) {
    ir::MemOp op = ir::MemOp::unpack(static_cast<uint32_t>(packed));
    if (std::byte* host = translate(address, frontend::Access::kStore, op)) std::memcpy(host, &value, op.size());
    return 0;
  }
  static uint64_t widen(uint64_t value, ir::MemOp op) { return op.sign_extend ? static_cast<uint64_t>(sign_extend(value, op.size() * 8)) : value; }
  uint64_t slow_rmw(uint64_t address, uint64_t operand, uint64_t packed) {
    ir::MemOp op = ir::MemOp::unpack(static_cast<uint32_t>(packed));
    std::byte* host = translate(address, frontend::Access::kStore, op);
    if (!host) return 0;
    uint64_t old = 0;
    std::memcpy(&old, host, op.size());
    uint64_t desired = ir::eval_rmw(static_cast<ir::RmwKind>(packed >> 16), old, operand, op.size());
    std::memcpy(host, &desired, op.size());
    return widen(old, op);
  }
  uint64_t slow_cmpxchg(uint64_t address, uint64_t expected, uint64_t desired, uint64_t packed) {
    ir::MemOp op = ir::MemOp::unpack(static_cast<uint32_t>(packed));
    std::byte* host = translate(address, frontend::Access::kStore, op);
    if (!host) return 0;
    uint64_t old = 0;
    std::memcpy(&old, host, op.size());
    if (old == (expected & low_mask(op.size() * 8))) std::memcpy(host, &desired, op.size());
    return widen(old, op);
  }

  std::vector<std::byte> ram_ = std::vector<std::byte>(kRamBytes);
  std::vector<ir::TlbEntry> tlb_;
  std::unique_ptr<backend::Backend> host_;
  std::unique_ptr<backend::Compiler> compiler_;
  ir::PipelineOptions pipeline_;
  frontend::TranslateLimits limits_;
  ir::Fault fetch_fault_;
  std::map<std::tuple<uint64_t, uint32_t, uint64_t>, std::unique_ptr<backend::CompiledRegion>> code_;
};

}  // namespace lyre::test
