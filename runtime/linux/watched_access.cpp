#include "runtime/linux/watched_access.h"

#include "ir/eval.h"
#include "runtime/base/bits.h"
#include "runtime/base/guarded.h"
#include "runtime/linux/debugger.h"
#include "runtime/linux/thread.h"

namespace lyre::linux_user {
namespace {

uint64_t in_guest_order(uint64_t value, ir::MemOp op) {
  return op.big_endian ? __builtin_bswap64(value) >> (64 - op.size() * 8) : value;
}
uint64_t widen(uint64_t value, ir::MemOp op) {
  value = in_guest_order(value, op);
  const unsigned width = op.size() * 8;
  return op.sign_extend ? static_cast<uint64_t>(sign_extend(value, width)) : value & low_mask(width);
}

// False: the block is left before the access.
bool may_go_on(ir::VcpuBlock* block, uint64_t address, ir::MemOp op, bool store, bool aligned) {
  Thread& thread = *static_cast<Thread*>(block->owner);
  if (aligned && (address & (op.size() - 1))) {
    block->fault = thread.process().cpu().misaligned_fault(Gva{address},
                                                           store ? frontend::Access::kStore : frontend::Access::kLoad);
    block->leave = static_cast<uint32_t>(ir::Leave::kFault);
    return false;
  }
  if (!thread.debugger() || !thread.debugger()->watched(thread, address, op.size(), store)) return true;
  block->leave = static_cast<uint32_t>(ir::Leave::kRestart);
  return false;
}

// The signal handler has noted what the fault was.
uint64_t faulted(ir::VcpuBlock* block) {
  block->leave = static_cast<uint32_t>(ir::Leave::kFault);
  return 0;
}

uint64_t load(ir::VcpuBlock* block, uint64_t address, uint64_t word) noexcept {
  const auto op = ir::MemOp::unpack(static_cast<uint32_t>(word));
  if (!may_go_on(block, address, op, false, op.must_align)) return 0;
  uint64_t value;
  return guarded_load(address, op.size(), value) ? widen(value, op) : faulted(block);
}

uint64_t store(ir::VcpuBlock* block, uint64_t address, uint64_t value, uint64_t word) noexcept {
  const auto op = ir::MemOp::unpack(static_cast<uint32_t>(word));
  if (!may_go_on(block, address, op, true, op.must_align)) return 0;
  if (!guarded_store(address, op.size(), in_guest_order(value, op))) return faulted(block);
  if (op.ordering == ir::Ordering::kSeqCst) std::atomic_thread_fence(std::memory_order_seq_cst);
  return 0;
}

uint64_t rmw(ir::VcpuBlock* block, uint64_t address, uint64_t operand, uint64_t word) noexcept {
  const auto op = ir::MemOp::unpack(static_cast<uint32_t>(word & 0xffff));
  const auto kind = static_cast<ir::RmwKind>(word >> 16);
  if (!may_go_on(block, address, op, true, true)) return 0;
  uint64_t seen = 0;
  if (!guarded_load(address, op.size(), seen)) return faulted(block);
  for (;;) {
    uint64_t found = seen;
    const uint64_t desired = ir::eval_rmw(kind, in_guest_order(seen, op), operand & low_mask(op.size() * 8), op.size());
    if (!guarded_exchange(address, op.size(), found, in_guest_order(desired, op))) return faulted(block);
    if (found == seen) return widen(seen, op);
    seen = found;
  }
}

uint64_t cmpxchg(ir::VcpuBlock* block, uint64_t address, uint64_t expected, uint64_t desired, uint64_t word) noexcept {
  const auto op = ir::MemOp::unpack(static_cast<uint32_t>(word));
  if (!may_go_on(block, address, op, true, true)) return 0;
  uint64_t found = in_guest_order(expected, op) & low_mask(op.size() * 8);
  return guarded_exchange(address, op.size(), found, in_guest_order(desired, op)) ? widen(found, op) : faulted(block);
}

}  // namespace

void install_watched_access(ir::VcpuBlock& block) {
  block.helpers[ir::kHelperSlowLoad] = ir::helper_function(load);
  block.helpers[ir::kHelperSlowStore] = ir::helper_function(store);
  block.helpers[ir::kHelperSlowRmw] = ir::helper_function(rmw);
  block.helpers[ir::kHelperSlowCmpxchg] = ir::helper_function(cmpxchg);
}

}  // namespace lyre::linux_user
