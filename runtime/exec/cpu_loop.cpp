// The execution loop of a vCPU: look up a block, run translated code until it leaves, act on why it left. Requests from outside
// (interrupts, pause, code retired) are attended to between two entries; translated code leaves for them at its next check.
#include <thread>

#include "runtime/base/log.h"
#include "runtime/exec/translator.h"
#include "runtime/vcpu/vcpu.h"

namespace lyre::runtime {
namespace {

uint64_t& pc_of(ir::VcpuBlock& block, const frontend::GuestCpu& cpu) { return *reinterpret_cast<uint64_t*>(block.state + cpu.pc_slot()); }

}  // namespace

void Vcpu::update_key() {
  key_stale_ = false;
  state_key_ = shared_.cpu.state_key(*block_);
  const unsigned global = global_code_ ? shared_.cpu.global_space(*block_) : 0;
  fetch_space_ = global ? global_space_id(global) : space_;
  const uint64_t key = state_key_ | uint64_t{fetch_.space_number(fetch_space_)} << 32 | (single_ ? kSingleStepKey : 0);
  if (key == block_->key) return;
  block_->key = key;
  block_->empty_return_stack();
}

// The block at `pc`, found or translated; null: a fetch fault is pending in VcpuBlock::fault.
TranslationBlock* Vcpu::lookup_at(Gva pc, uint64_t state_key) {
  ++counters_.lookups;
  ir::Fault fault;
  const FetchEntry* page = fetch_.find(*this, pc, fault);
  if (!page) {
    block_->fault = fault;
    return nullptr;
  }
  know_code_page(*page, pc);
  BlockKey key{page->gpa + (pc.value & ~kPageMask), pc, state_key};
  TranslationBlock* block = shared_.cache.find(key, [&](const TranslationBlock& candidate) {
    ir::Fault ignored;
    const FetchEntry* second = fetch_.find(*this, candidate.pieces[1].start, ignored);
    return second && second->gpa.value == (candidate.pieces[1].gpa.value & kPageMask) && second->mapping == candidate.second_mapping;
  });
  if (!block) block = translator_.translate(pc, state_key, fault);
  if (!block) {
    block_->fault = fault;
  } else if (block->piece_count == 2) {
    const Gva second{block->pieces[1].start.value};
    if (const FetchEntry* entry = fetch_.find(*this, second, fault)) know_code_page(*entry, second);
  }
  return block;
}

void Vcpu::know_code_page(const FetchEntry& page, Gva pc) {
  const unsigned slot = pc.value >> kPageBits & (ir::kCodePages - 1);
  block_->code_pages[slot] = page.mapping;
  keep_code_page_[slot] = page.global ? ~uint32_t{0} : 0;
}

void Vcpu::expect_no_global_code() {
  global_code_ = false;
  fetch_space_ = space_;
  key_stale_ = true;
  block_->exit_request.store(1, std::memory_order_relaxed);
}

void Vcpu::remember_jump(const TranslationBlock& block) {
  if (block.code->code && !key_stale_) block_->remember_jump(block.key.pc.value, block.code->code);
}

bool Vcpu::attend(std::unique_lock<Turn>& turn) {
  block_->exit_request.store(0, std::memory_order_seq_cst);
  if (turn.owns_lock() && shared_.slice_over.exchange(false, std::memory_order_acq_rel)) turn.unlock();
  if (forget_.exchange(false, std::memory_order_acq_rel)) block_->forget_jumps();
  if (remap_.exchange(false, std::memory_order_acq_rel)) flush_tlb_all();
  if (tlb_.wants_safe_point()) tlb_.safe_point();
  if (shared_.cache.has_pending()) shared_.cache.quiesce();
  if (pause_.load(std::memory_order_acquire) || stop_.load(std::memory_order_acquire)) {
    if (turn.owns_lock()) turn.unlock();
    std::unique_lock lock(mutex_);
    epoch_.fetch_add(1, std::memory_order_release);  // even: idle
    paused_ = true;
    paused_changed_.notify_all();
    wake_.wait(lock, [&] { return !pause_ || stop_; });
    paused_ = false;
    epoch_.fetch_add(1, std::memory_order_release);
    block_->exit_request.store(1, std::memory_order_relaxed);  // what was asked meanwhile is attended to in the next round
    if (stop_) return false;
    key_stale_ = true;
    look_ = true;
  }
  if (wfi_) {
    sleep_until_wakeup(turn);
    look_ = true;
  }
  // A step is one of the program's instructions, not the start of a handler.
  if (debug_action_ == DebugAction::kStep) return true;
  if (look_.exchange(false, std::memory_order_acq_rel) && shared_.cpu.deliver_interrupt(*block_)) {
    key_stale_ = true;
    ++counters_.interrupts;
    if (log_on(kLogInt)) log_line("cpu %u: interrupt taken, pc now 0x%llx\n", index_, static_cast<unsigned long long>(pc_of(*block_, shared_.cpu)));
  }
  return true;
}

void Vcpu::sleep_until_wakeup(std::unique_lock<Turn>& turn) {
  wfi_ = false;
  if (shared_.cpu.has_wakeup(*block_)) return;
  ++counters_.waits;
  if (turn.owns_lock()) turn.unlock();
  std::unique_lock lock(mutex_);
  epoch_.fetch_add(1, std::memory_order_release);
  // Before the pins are read: who sets one reads `waiting_` afterwards, and one of the two must see the other.
  waiting_.store(true, std::memory_order_seq_cst);
  wake_.wait(lock, [&] { return shared_.cpu.has_wakeup(*block_) || pause_ || stop_; });
  waiting_.store(false, std::memory_order_relaxed);
  epoch_.fetch_add(1, std::memory_order_release);
  if (!shared_.cpu.has_wakeup(*block_)) wfi_ = true;  // paused or stopped meanwhile: sleep on afterwards
  else if (shared_.single_thread) shared_.end_slice();  // who runs may be spinning until this one has answered its interrupt
  block_->exit_request.store(1, std::memory_order_relaxed);
}

// thread=single. A turn lasts until its slice is over or the vCPU sleeps: handing it over at every return to the loop would cost a switch of
// host threads for a few blocks.
void Vcpu::take_turn(std::unique_lock<Turn>& turn) {
  epoch_.fetch_add(1, std::memory_order_release);  // even: who waits here holds no block
  waiting_for_turn_.store(true, std::memory_order_relaxed);
  turn.lock();
  waiting_for_turn_.store(false, std::memory_order_relaxed);
  shared_.runner.store(this, std::memory_order_release);
  epoch_.fetch_add(1, std::memory_order_release);
}

void Vcpu::log_exec(const TranslationBlock& block) {
  if (log_on(kLogExec) && log_in_filter(block.key.pc.value))
    log_line("Trace %u: %p [%016llx/%016llx]\n", index_, static_cast<const void*>(block.code->code), static_cast<unsigned long long>(block.key.state),
             static_cast<unsigned long long>(block.key.pc.value));
  if (log_on(kLogCpu) && log_in_filter(block.key.pc.value)) log_text(shared_.cpu.registers(*block_));
}

void Vcpu::loop() {
  ir::VcpuBlock& block = *block_;
  uint64_t& pc = pc_of(block, shared_.cpu);
  std::unique_lock<Turn> turn(shared_.turn, std::defer_lock);
  epoch_.fetch_add(1, std::memory_order_release);  // odd: running
  block.exit_request.store(1, std::memory_order_relaxed);  // attend first: pause, interrupts of the reset state, the turn
  backend::Backend::Left left;
  ir::Leave why = ir::Leave::kNone;
  while (true) {
    if (block.exit_request.load(std::memory_order_acquire)) {
      epoch_.fetch_add(2, std::memory_order_release);
      left.from = nullptr;  // may be freed from here on
      if (!attend(turn)) break;
      if (shared_.single_thread && !turn.owns_lock()) take_turn(turn);
    }
    if (key_stale_) update_key();
    const bool debugged = shared_.debug.attached;
    if (debugged && !debug_enter(pc)) {
      left.from = nullptr;
      continue;
    }
    TranslationBlock* next = lookup_at({pc}, single_ ? state_key_ | kSingleStepKey : state_key_);
    if (!next) {
      left.from = nullptr;
      if (block.fault.cause == ir::kNoCodeRoom) {
        ++counters_.code_room_waits;
        block.exit_request.store(1, std::memory_order_relaxed);
        std::this_thread::yield();
        continue;
      }
      ++counters_.faults;
      if (log_on(kLogInt))
        log_line("cpu %u: fetch fault %s at 0x%llx\n", index_, shared_.cpu.fault_name(block.fault.cause).c_str(), static_cast<unsigned long long>(pc));
      shared_.cpu.deliver_fault(block, block.fault);
      key_stale_ = true;
      if (debugged) debug_left(pc, true);
      continue;
    }
    if (next->key.state == state_key_ && !log_on(kLogExec | kLogCpu | kLogNoChain)) {
      if (why == ir::Leave::kDirect && left.from && shared_.backend.can_link()) {
        ++counters_.links;
        shared_.cache.link(*left.from, left.exit, *next, block.code_pages[pc >> kPageBits & (ir::kCodePages - 1)]);
      } else if (why == ir::Leave::kIndirect || why == ir::Leave::kRestart) {
        // Restart: a jump-cache entry still named a retired block; it gets the new one.
        if (why == ir::Leave::kIndirect) ++counters_.jump_misses;
        remember_jump(*next);
      }
    } else {
      log_exec(*next);
    }
    std::atomic_ref<uint64_t>(counters_.loop_entries).store(counters_.loop_entries + 1, std::memory_order_relaxed);  // reports read it
    running_pc_.store(pc, std::memory_order_relaxed);
    block.leave = 0;
    left = shared_.backend.run(block, *next->code);
    why = static_cast<ir::Leave>(block.leave);
    block.leave = 0;
    if (why == ir::Leave::kFault) {
      ++counters_.faults;
      if (log_on(kLogInt))
        log_line("cpu %u: %s at 0x%llx, value 0x%llx\n", index_, shared_.cpu.fault_name(block.fault.cause).c_str(), static_cast<unsigned long long>(pc),
                 static_cast<unsigned long long>(block.fault.value));
      shared_.cpu.deliver_fault(block, block.fault);
      key_stale_ = true;
    } else if (why == ir::Leave::kRestart) {
      ++counters_.restarts;
    }
    if (debugged) debug_left(pc, why == ir::Leave::kFault);
  }
  epoch_.fetch_add(1, std::memory_order_release);
}

}  // namespace lyre::runtime
