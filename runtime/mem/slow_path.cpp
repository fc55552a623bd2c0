// The slow side of guest memory accesses: soft TLB misses, devices, misaligned and page-crossing accesses, stores to pages that hold
// translated code, atomics that miss. Called from translated code through VcpuBlock::helpers; a guest fault is left in VcpuBlock::fault.
#include <bit>
#include <thread>
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

#include "runtime/base/bits.h"
#include "runtime/base/guest_bytes.h"
#include "runtime/base/log.h"
#include "runtime/vcpu/vcpu.h"

namespace lyre::runtime {
namespace {

// Slow paths run under the guest's rounding mode and sticky flags; a device may use floating point (a hash table's load factor does).
class HostFloatingPoint {
 public:
#if defined(__x86_64__)
  HostFloatingPoint() : guest_(_mm_getcsr()) { _mm_setcsr(kDefault); }
  ~HostFloatingPoint() { _mm_setcsr(guest_); }
  HostFloatingPoint(const HostFloatingPoint&) = delete;
  HostFloatingPoint& operator=(const HostFloatingPoint&) = delete;

 private:
  static constexpr unsigned kDefault = 0x1f80;  // all masked, to nearest
  const unsigned guest_;
#else
  HostFloatingPoint() {}
#endif
};

uint64_t widen(uint64_t value, ir::MemOp op) {
  unsigned width = op.size() * 8;
  if (op.big_endian) value = __builtin_bswap64(value) >> (64 - width);
  return op.sign_extend ? static_cast<uint64_t>(sign_extend(value, width)) : value & low_mask(width);
}

uint64_t to_memory(uint64_t value, ir::MemOp op) { return op.big_endian ? __builtin_bswap64(value) >> (64 - op.size() * 8) : value; }

template <typename T>
T rmw_host(T* target, T operand, ir::RmwKind kind) {
  using Signed = std::make_signed_t<T>;
  std::atomic_ref<T> memory(*target);
  switch (kind) {
    case ir::RmwKind::kSwap: return memory.exchange(operand);
    case ir::RmwKind::kAdd: return memory.fetch_add(operand);
    case ir::RmwKind::kAnd: return memory.fetch_and(operand);
    case ir::RmwKind::kOr: return memory.fetch_or(operand);
    case ir::RmwKind::kXor: return memory.fetch_xor(operand);
    default: break;
  }
  T old = memory.load();
  for (;;) {
    T wanted = old;
    switch (kind) {
      case ir::RmwKind::kMinS: wanted = static_cast<Signed>(operand) < static_cast<Signed>(old) ? operand : old; break;
      case ir::RmwKind::kMaxS: wanted = static_cast<Signed>(operand) > static_cast<Signed>(old) ? operand : old; break;
      case ir::RmwKind::kMinU: wanted = operand < old ? operand : old; break;
      default: wanted = operand > old ? operand : old; break;
    }
    if (memory.compare_exchange_weak(old, wanted)) return old;
  }
}

uint64_t call_slow_load(ir::VcpuBlock* block, uint64_t address, uint64_t op) noexcept {
  return static_cast<Vcpu*>(block->owner)->slow_load({address}, ir::MemOp::unpack(static_cast<uint32_t>(op)));
}
uint64_t call_slow_store(ir::VcpuBlock* block, uint64_t address, uint64_t value, uint64_t op) noexcept {
  static_cast<Vcpu*>(block->owner)->slow_store({address}, value, ir::MemOp::unpack(static_cast<uint32_t>(op)));
  return 0;
}
uint64_t call_slow_rmw(ir::VcpuBlock* block, uint64_t address, uint64_t operand, uint64_t op) noexcept {
  return static_cast<Vcpu*>(block->owner)
      ->slow_rmw({address}, operand, ir::MemOp::unpack(static_cast<uint32_t>(op & 0xffff)), static_cast<ir::RmwKind>(op >> 16));
}
uint64_t call_slow_cmpxchg(ir::VcpuBlock* block, uint64_t address, uint64_t expected, uint64_t desired, uint64_t op) noexcept {
  return static_cast<Vcpu*>(block->owner)->slow_cmpxchg({address}, expected, desired, ir::MemOp::unpack(static_cast<uint32_t>(op)));
}
uint64_t call_clock(ir::VcpuBlock* block) noexcept { return static_cast<uint64_t>(block->env->now_ns()); }

}  // namespace

void install_runtime_helpers(ir::VcpuBlock& block) {
  block.helpers[ir::kHelperSlowLoad] = ir::helper_function(call_slow_load);
  block.helpers[ir::kHelperSlowStore] = ir::helper_function(call_slow_store);
  block.helpers[ir::kHelperSlowRmw] = ir::helper_function(call_slow_rmw);
  block.helpers[ir::kHelperSlowCmpxchg] = ir::helper_function(call_slow_cmpxchg);
  block.helpers[ir::kHelperClock] = ir::helper_function(call_clock);
}

// Rights and place of one access inside one page. On failure the fault is raised.
Vcpu::Target Vcpu::resolve(Gva address, frontend::Access access) {
  const bool store = access == frontend::Access::kStore;
  const uint64_t page = address.value & kPageMask;
  ir::TlbEntry& cached = tlb_.entry_for(address);
  // Another vCPU may be taking the right to store away.
  const uint64_t tag = std::atomic_ref<uint64_t>(store ? cached.write_tag : cached.read_tag).load(std::memory_order_relaxed);
  Target target;
  if ((tag & ~(SoftTlb::kInvalidBit | SoftTlb::kDeviceBit)) == page && tag != ~uint64_t{0}) {
    const uint64_t right = store ? SoftTlb::kInfoWritable : SoftTlb::kInfoReadable;
    if (cached.page_info & right) {
      target.gpa = Gpa{(cached.page_info & kPageMask) | (address.value & ~kPageMask)};
      target.device = tag & SoftTlb::kDeviceBit;
      target.ok = true;
      if (!target.device) {
        target.host = reinterpret_cast<Hva>(address.value + cached.addend);
        target.code_page = store && (tag & SoftTlb::kInvalidBit);
      }
      if (!target.code_page || shared_.cache.page_flags().has_code(target.gpa)) return target;
      // The page holds code no longer: fall through to a fresh entry, so that stores hit again.
      target = {};
    }
  }

  frontend::Translation walked = shared_.cpu.walk(*block_, address, access, mmu_index_);
  if (!walked.ok) {
    block_->raise(walked.fault);
    return {};
  }
  if (walked.page_bits < kPageBits) return resolve_uncached(walked, access);
  ++counters_.tlb_fills;
  SoftTlb::Fill fill;
  fill.page = {page};
  fill.gpa = {walked.gpa.value & kPageMask};
  fill.page_bits = walked.page_bits;
  fill.readable = walked.readable, fill.writable = walked.writable, fill.global = walked.global;
  const RamBlock* ram = shared_.memory.find_ram(walked.gpa);
  target.ok = true;
  target.gpa = walked.gpa;
  // Stores to ROM go to the bus: flash takes commands there. Loads from it do not.
  if (!ram || (store && ram->read_only)) {
    if (!ram) tlb_.fill(fill);
    target.device = true;
    return target;
  }
  fill.host = ram->host + (fill.gpa.value - ram->base.value);
  if (ram->read_only) fill.writable = false;
  std::atomic<uint8_t>* flags = shared_.cache.page_flags().find(fill.gpa);
  fill.store_hits = fill.writable && !(flags->load(std::memory_order_relaxed) & PageFlags::kCode);
  if (fill.store_hits && !(flags->load(std::memory_order_relaxed) & PageFlags::kWriteCached))
    flags->fetch_or(PageFlags::kWriteCached, std::memory_order_relaxed);
  ir::TlbEntry& entry = tlb_.fill(fill);
  if (shared_.debug.watches_page(fill.page)) {
    std::atomic_ref<uint64_t>(entry.write_tag).fetch_or(SoftTlb::kInvalidBit, std::memory_order_relaxed);
    entry.read_tag |= SoftTlb::kInvalidBit;
  }
  if (fill.store_hits) {
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (flags->load(std::memory_order_relaxed) & PageFlags::kCode) {
      std::atomic_ref<uint64_t>(entry.write_tag).store(page | SoftTlb::kInvalidBit, std::memory_order_relaxed);
      fill.store_hits = false;
    }
  }
  target.host = fill.host + (address.value & ~kPageMask);
  target.code_page = store && !fill.store_hits;
  return target;
}

// A translation that holds for this access only (protection regions smaller than a page).
Vcpu::Target Vcpu::resolve_uncached(const frontend::Translation& walked, frontend::Access access) {
  Target target;
  target.ok = true;
  target.gpa = walked.gpa;
  const RamBlock* ram = shared_.memory.find_ram(walked.gpa);
  const bool store = access == frontend::Access::kStore;
  target.device = !ram || (store && ram->read_only);
  if (!target.device) target.host = ram->host + (walked.gpa.value - ram->base.value);
  target.code_page = store && !target.device && shared_.cache.page_flags().has_code(walked.gpa);
  return target;
}

// A vCPU that reads one register over and over waits for another thread: let it run.
void Vcpu::polled(Gpa gpa, uint64_t value) {
  if (gpa != polled_address_ || value != polled_value_) {
    polled_address_ = gpa, polled_value_ = value, polled_times_ = 0;
  } else if (++polled_times_ >= 64) {
    polled_times_ = 0;
    std::this_thread::yield();
  }
}

bool Vcpu::device_read(Gva address, Gpa gpa, unsigned size, uint64_t& value) {
  ++counters_.device_accesses;
  HostFloatingPoint host;
  IoBus* bus = shared_.memory.io_bus();
  access_.store(gpa.value, std::memory_order_relaxed);
  const bool good = bus && bus->io_read(gpa, size, value) == IoStatus::kOk;
  access_.store(kNoAccess, std::memory_order_relaxed);
  if (good) {
    polled(gpa, value);
    return true;
  }
  block_->raise(shared_.cpu.access_fault(address, frontend::Access::kLoad));
  return false;
}

bool Vcpu::device_write(Gva address, Gpa gpa, unsigned size, uint64_t value) {
  ++counters_.device_accesses;
  polled_times_ = 0;
  HostFloatingPoint host;
  IoBus* bus = shared_.memory.io_bus();
  access_.store(gpa.value, std::memory_order_relaxed);
  const bool good = bus && bus->io_write(gpa, size, value) == IoStatus::kOk;
  access_.store(kNoAccess, std::memory_order_relaxed);
  if (good) return true;
  block_->raise(shared_.cpu.access_fault(address, frontend::Access::kStore));
  return false;
}

uint64_t Vcpu::slow_load(Gva address, ir::MemOp op) {
  ++counters_.slow_loads;
  const unsigned size = op.size();
  if (op.must_align && (address.value & (size - 1))) {
    block_->raise(shared_.cpu.misaligned_fault(address, frontend::Access::kLoad));
    return 0;
  }
  if (watched(address, size, false)) return 0;
  const unsigned in_page = static_cast<unsigned>(kPageSize - (address.value & ~kPageMask));
  Target first = resolve(address, frontend::Access::kLoad);
  if (!first.ok) return 0;
  if (size <= in_page) {
    if (first.host) return widen(read_guest_bytes(first.host, size), op);
    uint64_t value = 0;
    return device_read(address, first.gpa, size, value) ? widen(value, op) : 0;
  }
  Target second = resolve(address + in_page, frontend::Access::kLoad);
  if (!second.ok) return 0;
  uint64_t value = 0;
  for (unsigned i = 0; i < size; ++i) {
    const bool low = i < in_page;
    const unsigned offset = low ? i : i - in_page;
    uint64_t byte = 0;
    const Target& part = low ? first : second;
    if (part.host) byte = std::to_integer<uint8_t>(part.host[offset]);
    else if (!device_read(address + i, part.gpa + offset, 1, byte)) return 0;
    value |= (byte & 0xff) << (8 * i);
  }
  return widen(value, op);
}

void Vcpu::slow_store(Gva address, uint64_t value, ir::MemOp op) {
  ++counters_.slow_stores;
  const unsigned size = op.size();
  if (op.must_align && (address.value & (size - 1))) {
    block_->raise(shared_.cpu.misaligned_fault(address, frontend::Access::kStore));
    return;
  }
  if (watched(address, size, true)) return;
  value = to_memory(value, op);
  const unsigned in_page = static_cast<unsigned>(kPageSize - (address.value & ~kPageMask));
  Target first = resolve(address, frontend::Access::kStore);
  if (!first.ok) return;
  auto tell = [&](const Target& target, unsigned bytes) {
    if (!target.code_page) return;
    ++counters_.code_stores;
    counters_.invalidations += shared_.cache.invalidate(target.gpa, bytes);
  };
  if (size <= in_page) {
    if (!first.host) {
      device_write(address, first.gpa, size, value & low_mask(size * 8));
      return;
    }
    write_guest_bytes(first.host, size, value);
    return tell(first, size);
  }
  Target second = resolve(address + in_page, frontend::Access::kStore);
  if (!second.ok) return;
  for (unsigned i = 0; i < size; ++i) {
    const bool low = i < in_page;
    const unsigned offset = low ? i : i - in_page;
    const Target& part = low ? first : second;
    if (part.host) part.host[offset] = static_cast<std::byte>(value >> (8 * i));
    else if (!device_write(address + i, part.gpa + offset, 1, value >> (8 * i) & 0xff)) return;
  }
  tell(first, in_page);
  tell(second, size - in_page);
}

// Host memory of an aligned atomic access; null: a fault was raised. Atomics on devices are access faults, as the platform may say.
Hva Vcpu::atomic_target(Gva address, ir::MemOp op) {
  ++counters_.slow_atomics;
  if (address.value & (op.size() - 1)) {
    block_->raise(shared_.cpu.misaligned_fault(address, frontend::Access::kStore));
    return nullptr;
  }
  if (watched(address, op.size(), false) || watched(address, op.size(), true)) return nullptr;
  Target target = resolve(address, frontend::Access::kStore);
  if (!target.ok) return nullptr;
  if (!target.host) {
    block_->raise(shared_.cpu.access_fault(address, frontend::Access::kStore));
    return nullptr;
  }
  if (target.code_page) {
    ++counters_.code_stores;
    code_store_ = target.gpa;
    code_store_pending_ = true;
  }
  return target.host;
}

uint64_t Vcpu::slow_rmw(Gva address, uint64_t operand, ir::MemOp op, ir::RmwKind kind) {
  Hva host = atomic_target(address, op);
  if (!host) return 0;
  uint64_t old = 0;
  switch (op.size()) {
    case 1: old = rmw_host(reinterpret_cast<uint8_t*>(host), static_cast<uint8_t>(operand), kind); break;
    case 2: old = rmw_host(reinterpret_cast<uint16_t*>(host), static_cast<uint16_t>(operand), kind); break;
    case 4: old = rmw_host(reinterpret_cast<uint32_t*>(host), static_cast<uint32_t>(operand), kind); break;
    default: old = rmw_host(reinterpret_cast<uint64_t*>(host), operand, kind);
  }
  finish_code_store(op.size());
  return widen(old, op);
}

uint64_t Vcpu::slow_cmpxchg(Gva address, uint64_t expected, uint64_t desired, ir::MemOp op) {
  Hva host = atomic_target(address, op);
  if (!host) return 0;
  auto exchange = [&](auto* target) {
    using T = std::remove_pointer_t<decltype(target)>;
    T old = static_cast<T>(expected);
    std::atomic_ref<T>(*target).compare_exchange_strong(old, static_cast<T>(desired));
    return uint64_t{old};
  };
  uint64_t old = 0;
  switch (op.size()) {
    case 1: old = exchange(reinterpret_cast<uint8_t*>(host)); break;
    case 2: old = exchange(reinterpret_cast<uint16_t*>(host)); break;
    case 4: old = exchange(reinterpret_cast<uint32_t*>(host)); break;
    default: old = exchange(reinterpret_cast<uint64_t*>(host));
  }
  finish_code_store(op.size());
  return widen(old, op);
}

void Vcpu::finish_code_store(unsigned size) {
  if (!code_store_pending_) return;
  code_store_pending_ = false;
  counters_.invalidations += shared_.cache.invalidate(code_store_, size);
}

bool Vcpu::read_physical(Gpa address, unsigned size, uint64_t& value) {
  Hva host = shared_.memory.ram(address, size, false);
  if (!host) return false;
  value = size == 4 ? std::atomic_ref<uint32_t>(*reinterpret_cast<uint32_t*>(host)).load(std::memory_order_acquire)
                    : std::atomic_ref<uint64_t>(*reinterpret_cast<uint64_t*>(host)).load(std::memory_order_acquire);
  return true;
}

bool Vcpu::update_physical(Gpa address, unsigned size, uint64_t& expected, uint64_t desired, bool& done) {
  Hva host = shared_.memory.ram(address, size, true);
  if (!host) return false;
  if (size == 4) {
    auto old = static_cast<uint32_t>(expected);
    done = std::atomic_ref<uint32_t>(*reinterpret_cast<uint32_t*>(host)).compare_exchange_strong(old, static_cast<uint32_t>(desired));
    expected = old;
  } else {
    done = std::atomic_ref<uint64_t>(*reinterpret_cast<uint64_t*>(host)).compare_exchange_strong(expected, desired);
  }
  return true;
}

}  // namespace lyre::runtime
