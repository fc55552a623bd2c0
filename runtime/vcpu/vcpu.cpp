#include "runtime/vcpu/vcpu.h"

#include <pthread.h>

#include <algorithm>
#include <limits>

#include "runtime/base/log.h"
#include "runtime/vcpu/host_clock.h"

namespace lyre::runtime {

void VcpuShared::end_slice() {
  slice_over.store(true, std::memory_order_release);
  if (Vcpu* running = runner.load(std::memory_order_acquire)) running->kick();
}

Vcpu::Vcpu(VcpuShared& shared, unsigned index)
    : shared_(shared), index_(index), block_(std::make_unique<ir::VcpuBlock>()), tlb_(*block_),
      translator_({shared.cpu, shared.backend, shared.cache, *this, counters_, shared.one_insn_per_tb, shared.counted, &shared.debug.breakpoints}) {
  block_->env = this;
  block_->owner = this;
  block_->index = index;
  install_runtime_helpers(*block_);
  std::span<const ir::HelperInfo> helpers = shared.cpu.helpers();
  for (size_t i = 0; i < helpers.size(); ++i) block_->helpers[ir::kFirstGuestHelper + i] = helpers[i].function;
  shared.backend.prepare(*block_);
}

Vcpu::~Vcpu() { stop(); }

void Vcpu::start() {
  if (thread_.joinable()) return resume();
  pause_ = debug_action_ == DebugAction::kHold;
  thread_ = std::thread([this] {
    char name[16];
    std::snprintf(name, sizeof name, "CPU %u", index_);
    pthread_setname_np(pthread_self(), name);
    watch_thread();
    set_inline_clock(*block_, shared_.clock);
    loop();
    unwatch_thread();
    std::lock_guard lock(mutex_);
    paused_ = true;
    paused_changed_.notify_all();
  });
}

void Vcpu::kick() {
  block_->exit_request.store(1, std::memory_order_seq_cst);
  if (waiting_.load(std::memory_order_seq_cst)) {
    std::lock_guard lock(mutex_);
    wake_.notify_all();
  }
}

void Vcpu::request_pause() {
  {
    std::lock_guard lock(mutex_);
    pause_ = true;
    wake_.notify_all();
  }
  kick();
}

void Vcpu::wait_paused() {
  if (!thread_.joinable()) return;
  std::unique_lock lock(mutex_);
  paused_changed_.wait(lock, [&] { return paused_; });
}

void Vcpu::resume() {
  set_inline_clock(*block_, shared_.clock);
  if (debug_action_ == DebugAction::kHold) return;
  std::lock_guard lock(mutex_);
  pause_ = false;
  wake_.notify_all();
}

void Vcpu::stop() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
    wake_.notify_all();
  }
  kick();
  std::lock_guard joining(join_mutex_);
  if (thread_.joinable()) thread_.join();
}

void Vcpu::reset(Gva pc) {
  for (auto& timer : timers_)
    if (timer) timer->cancel();
  shared_.cpu.reset(*block_, index_, pc);
  flush_tlb_all();
  block_->forget_jumps();
  set_address_space(shared_.cpu.address_space(*block_), shared_.cpu.mmu_index(*block_));
  wfi_ = false;
  key_stale_ = true;
  block_->leave = 0;
}

void Vcpu::set_irq(unsigned input, bool level) {
  if (!shared_.cpu.set_irq(*block_, input, level)) return;
  look_.store(true, std::memory_order_release);
  kick();
}

void Vcpu::request_remap(Gpa, uint64_t) {
  remap_.store(true, std::memory_order_release);
  kick();
}

void Vcpu::flush_tlb_all() {
  ++counters_.tlb_flushes;
  tlb_.flush_all();
  fetch_.flush_all();
  std::fill(std::begin(block_->code_pages), std::end(block_->code_pages), 0);
  key_stale_ = true;
  block_->exit_request.store(1, std::memory_order_relaxed);
}

void Vcpu::flush_tlb_page(Gva page) {
  ++counters_.tlb_page_flushes;
  tlb_.flush_page(page);
  if (!fetch_.flush_page(page)) return;
  block_->code_pages[page.value >> kPageBits & (ir::kCodePages - 1)] = 0;
  // The page's pcs stand in one half of the jump cache.
  constexpr unsigned kPerPage = kPageSize / 2;
  const unsigned first = page.value >> 1 & (ir::kJumpCacheEntries - 1) & ~(kPerPage - 1);
  for (unsigned i = first; i < first + kPerPage; ++i)
    if ((block_->jump_cache[i].pc & kPageMask) == (page.value & kPageMask)) block_->jump_cache[i] = {};
  block_->empty_return_stack();
  block_->exit_request.store(1, std::memory_order_relaxed);  // the helper that flushes does not give translated code a new return stack
}

void Vcpu::flush_tlb_spaces(uint64_t mask, uint64_t value) {
  ++counters_.tlb_space_flushes;
  tlb_.flush_spaces(mask, value);
  fetch_.flush_spaces(mask, value);
  if ((space_ & mask) == value) forget_code_pages_of_space();
  key_stale_ = true;
  block_->empty_return_stack();
  block_->exit_request.store(1, std::memory_order_relaxed);
}

void Vcpu::forget_code_pages_of_space() {
  for (unsigned i = 0; i < ir::kCodePages; ++i) block_->code_pages[i] &= keep_code_page_[i];
}

void Vcpu::set_address_space(uint64_t id, unsigned mmu_index) {
  mmu_index_ = mmu_index;
  tlb_.select(id, mmu_index);
  if (id == space_) return;
  space_ = id;
  key_stale_ = true;
  forget_code_pages_of_space();
  // A key must not outlive its space: translated code leaves before it probes again.
  const uint64_t before = block_->key;
  update_key();
  if (block_->key != before) block_->exit_request.store(1, std::memory_order_relaxed);
}

void Vcpu::state_key_changed() { update_key(); }

void Vcpu::interrupts_changed() {
  look_.store(true, std::memory_order_relaxed);
  block_->exit_request.store(1, std::memory_order_relaxed);
}

int64_t Vcpu::now_ns() { return shared_.clock.now_ns(); }

void Vcpu::set_timer(unsigned timer, int64_t deadline_ns) {
  if (timer >= timers_.size()) timers_.resize(timer + 1);
  if (!timers_[timer]) {
    if (deadline_ns == std::numeric_limits<int64_t>::max()) return;
    timers_[timer] = std::make_unique<Timer>(shared_.timers, [this, timer] {
      if (!shared_.cpu.timer_fired(*block_, timer)) return;
      look_.store(true, std::memory_order_release);
      kick();
    });
  }
  if (deadline_ns == std::numeric_limits<int64_t>::max()) timers_[timer]->cancel();
  else timers_[timer]->arm(deadline_ns);
}

void Vcpu::wait_for_interrupt() {
  wfi_ = true;
  block_->leave = static_cast<uint32_t>(ir::Leave::kLoop);
  block_->exit_request.store(1, std::memory_order_relaxed);
}

uint64_t Vcpu::instructions_retired() { return shared_.counted ? block_->insns : static_cast<uint64_t>(shared_.clock.now_ns()); }

// Stores to code pages are seen as they happen; what is left are those that were under way when a page became code.
void Vcpu::instruction_fence() {
  if (shared_.cache.has_pending()) block_->exit_request.store(1, std::memory_order_relaxed);
}

}  // namespace lyre::runtime
