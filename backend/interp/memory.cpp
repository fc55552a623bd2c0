// Guest memory accesses of the interpreter: the vCPU's TLB first, then the runtime's slow path, as translated code does it.
#include <atomic>

#include "backend/interp/run.h"
#include "runtime/base/check.h"
#include "runtime/base/guarded.h"
#include "runtime/base/guest_bytes.h"

namespace lyre::backend {

using ir::Inst;
using ir::MemOp;

namespace {

uint64_t swap_if(uint64_t value, MemOp op) {
  if (!op.big_endian) return value;
  return __builtin_bswap64(value) >> (64 - 8 * op.size());
}

// Plain accesses may tear, aligned ones of a size do not: one host instruction each. A guest's ordering is kept by using the
// strongest one wherever any is asked for.
template <typename T>
uint64_t host_load(const std::byte* host, MemOp op) {
  if (reinterpret_cast<uintptr_t>(host) % sizeof(T) == 0) {
    const T* typed = reinterpret_cast<const T*>(host);
    return op.ordering == ir::Ordering::kRelaxed ? __atomic_load_n(typed, __ATOMIC_RELAXED) : __atomic_load_n(typed, __ATOMIC_SEQ_CST);
  }
  return read_guest_bytes(host, sizeof(T));
}
template <typename T>
void host_store(std::byte* host, uint64_t value, MemOp op) {
  T narrow = static_cast<T>(value);
  if (reinterpret_cast<uintptr_t>(host) % sizeof(T) == 0) {
    T* typed = reinterpret_cast<T*>(host);
    if (op.ordering == ir::Ordering::kRelaxed) __atomic_store_n(typed, narrow, __ATOMIC_RELAXED);
    else __atomic_store_n(typed, narrow, __ATOMIC_SEQ_CST);
    return;
  }
  write_guest_bytes(host, sizeof(T), narrow);
}
template <typename T>
uint64_t host_cmpxchg(std::byte* host, uint64_t expected, uint64_t desired) {
  T old = static_cast<T>(expected);
  __atomic_compare_exchange_n(reinterpret_cast<T*>(host), &old, static_cast<T>(desired), false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
  return old;
}

uint64_t load_sized(const std::byte* host, MemOp op) {
  switch (op.size_log2) {
    case 0: return host_load<uint8_t>(host, op);
    case 1: return host_load<uint16_t>(host, op);
    case 2: return host_load<uint32_t>(host, op);
    default: return host_load<uint64_t>(host, op);
  }
}
void store_sized(std::byte* host, uint64_t value, MemOp op) {
  switch (op.size_log2) {
    case 0: return host_store<uint8_t>(host, value, op);
    case 1: return host_store<uint16_t>(host, value, op);
    case 2: return host_store<uint32_t>(host, value, op);
    default: return host_store<uint64_t>(host, value, op);
  }
}
uint64_t cmpxchg_sized(std::byte* host, uint64_t expected, uint64_t desired, MemOp op) {
  switch (op.size_log2) {
    case 0: return host_cmpxchg<uint8_t>(host, expected, desired);
    case 1: return host_cmpxchg<uint16_t>(host, expected, desired);
    case 2: return host_cmpxchg<uint32_t>(host, expected, desired);
    default: return host_cmpxchg<uint64_t>(host, expected, desired);
  }
}

uint64_t size_mask(MemOp op) { return op.size() == 8 ? ~uint64_t{0} : (uint64_t{1} << 8 * op.size()) - 1; }

// What a load gives: the bytes in guest order, widened to 64 bits.
uint64_t widen(uint64_t value, MemOp op) {
  if (!op.sign_extend) return value;
  unsigned shift = 64 - 8 * op.size();
  return static_cast<uint64_t>(static_cast<int64_t>(value << shift) >> shift);
}

}  // namespace

std::byte* InterpRun::probe(uint64_t address, MemOp op, bool write) const {
  if (!vcpu_.tlb) return nullptr;
  uint64_t offset = (address >> kPageBits) * sizeof(ir::TlbEntry) & vcpu_.tlb_mask;
  const ir::TlbEntry& entry = *reinterpret_cast<const ir::TlbEntry*>(reinterpret_cast<const std::byte*>(vcpu_.tlb) + offset);
  uint64_t compared = address & (kPageMask | (op.size() - 1));
  // Another vCPU may be taking the right to store away.
  if (compared != __atomic_load_n(write ? &entry.write_tag : &entry.read_tag, __ATOMIC_RELAXED)) return nullptr;
  return reinterpret_cast<std::byte*>(address + entry.addend);
}

InterpRun::Direct InterpRun::direct_end(bool done) {
  if (done) return Direct::kDone;
  vcpu_.leave = static_cast<uint32_t>(ir::Leave::kFault);
  return Direct::kFaulted;
}

static bool goes_slow(uint64_t address, MemOp op) { return op.must_align && (address & (op.size() - 1)); }

InterpRun::Direct InterpRun::direct_load(uint64_t address, MemOp op, uint64_t& value) {
  if (!direct_memory_ || goes_slow(address, op)) return Direct::kSlow;
  if (!guarded_load(address, op.size(), value)) return direct_end(false);
  value = widen(swap_if(value, op), op);
  if (op.ordering != ir::Ordering::kRelaxed) __atomic_thread_fence(__ATOMIC_SEQ_CST);
  return Direct::kDone;
}

InterpRun::Direct InterpRun::direct_store(uint64_t address, MemOp op, uint64_t value) {
  if (!direct_memory_ || goes_slow(address, op)) return Direct::kSlow;
  if (op.ordering != ir::Ordering::kRelaxed) __atomic_thread_fence(__ATOMIC_SEQ_CST);
  if (!guarded_store(address, op.size(), swap_if(value, op))) return direct_end(false);
  if (op.ordering == ir::Ordering::kSeqCst) __atomic_thread_fence(__ATOMIC_SEQ_CST);
  return Direct::kDone;
}

// expected and what it becomes are in guest order.
InterpRun::Direct InterpRun::direct_cmpxchg(uint64_t address, MemOp op, uint64_t& expected, uint64_t desired) {
  if (!direct_memory_ || (address & (op.size() - 1))) return Direct::kSlow;
  uint64_t found = swap_if(expected, op);
  if (!guarded_exchange(address, op.size(), found, swap_if(desired, op))) return direct_end(false);
  expected = swap_if(found & size_mask(op), op);
  return Direct::kDone;
}

// After a slow path: carry on, or leave with the state of this instruction.
InterpRun::Step InterpRun::after_slow(const Inst& inst) {
  if (!vcpu_.leave) return Step::kNext;
  set_pc(ir_.snapshots[inst.snapshot].pc_offset);
  write_snapshot(inst.snapshot);
  return Step::kLeft;
}

InterpRun::Step InterpRun::load(const Inst& inst, ir::ValueId id) {
  MemOp op = inst.mem();
  uint64_t address = low(inst.args[0]) + static_cast<uint64_t>(int64_t{inst.displacement()});
  uint64_t value;
  if (const Direct direct = direct_load(address, op, value); direct != Direct::kSlow) {
    if (direct == Direct::kFaulted) return after_slow(inst);
    values_[id] = ir::truncate(value, inst.type);
    return Step::kNext;
  }
  // hlvx-like reads need execute permission, which the TLB's read tag does not speak of.
  if (const std::byte* host = op.exec ? nullptr : probe(address, op, false)) {
    value = widen(swap_if(load_sized(host, op), op), op);
  } else {
    const uint64_t args[] = {address, op.pack()};
    value = call_helper(ir::kHelperSlowLoad, args, 2);
    if (after_slow(inst) == Step::kLeft) return Step::kLeft;
  }
  values_[id] = ir::truncate(value, inst.type);
  return Step::kNext;
}

InterpRun::Step InterpRun::store(const Inst& inst) {
  MemOp op = inst.mem();
  uint64_t address = low(inst.args[0]) + static_cast<uint64_t>(int64_t{inst.displacement()});
  uint64_t value = low(inst.args[1]) & size_mask(op);
  if (direct_store(address, op, value) != Direct::kSlow) return after_slow(inst);
  if (std::byte* host = probe(address, op, true)) {
    store_sized(host, swap_if(value, op), op);
    return Step::kNext;
  }
  const uint64_t args[] = {address, value, op.pack()};
  call_helper(ir::kHelperSlowStore, args, 3);
  return after_slow(inst);
}

InterpRun::Step InterpRun::rmw(const Inst& inst, ir::ValueId id) {
  MemOp op = inst.mem();
  ir::RmwKind kind = static_cast<ir::RmwKind>(inst.aux);
  uint64_t address = low(inst.args[0]) + static_cast<uint64_t>(int64_t{inst.displacement()});
  uint64_t operand = low(inst.args[1]) & size_mask(op);
  uint64_t old;
  if (uint64_t seen = 0; direct_memory_ && !(address & (op.size() - 1)) && direct_load(address, op, seen) != Direct::kSlow) {
    // A read-only page faults at the exchange, as a store.
    for (seen &= size_mask(op); !vcpu_.leave;) {
      uint64_t found = seen;
      if (direct_cmpxchg(address, op, found, ir::eval_rmw(kind, seen, operand, op.size())) == Direct::kFaulted) break;
      if (found == seen) break;
      seen = found;
    }
    if (after_slow(inst) == Step::kLeft) return Step::kLeft;
    old = widen(seen, op);
  } else if (std::byte* host = probe(address, op, true)) {
    seen = load_sized(host, op);
    for (;;) {
      uint64_t desired = swap_if(ir::eval_rmw(kind, swap_if(seen, op), operand, op.size()), op);
      uint64_t found = cmpxchg_sized(host, seen, desired, op);
      if (found == seen) break;
      seen = found;
    }
    old = widen(swap_if(seen, op), op);
  } else {
    const uint64_t args[] = {address, operand, op.pack() | uint64_t{inst.aux} << 16};
    old = call_helper(ir::kHelperSlowRmw, args, 3);
    if (after_slow(inst) == Step::kLeft) return Step::kLeft;
  }
  values_[id] = ir::truncate(old, inst.type);
  return Step::kNext;
}

InterpRun::Step InterpRun::cmpxchg(const Inst& inst, ir::ValueId id) {
  MemOp op = inst.mem();
  uint64_t address = low(inst.args[0]) + static_cast<uint64_t>(int64_t{inst.displacement()});
  uint64_t expected = low(inst.args[1]) & size_mask(op), desired = low(inst.args[2]) & size_mask(op);
  uint64_t old = expected;
  if (const Direct direct = direct_cmpxchg(address, op, old, desired); direct != Direct::kSlow) {
    if (after_slow(inst) == Step::kLeft) return Step::kLeft;
    old = widen(old, op);
  } else if (std::byte* host = probe(address, op, true)) {
    old = widen(swap_if(cmpxchg_sized(host, swap_if(expected, op), swap_if(desired, op), op), op), op);
  } else {
    const uint64_t args[] = {address, expected, desired, op.pack()};
    old = call_helper(ir::kHelperSlowCmpxchg, args, 4);
    if (after_slow(inst) == Step::kLeft) return Step::kLeft;
  }
  values_[id] = ir::truncate(old, inst.type);
  return Step::kNext;
}

}  // namespace lyre::backend
