// A vCPU block with a little memory, for running IR: pages that the TLB knows, pages that only the slow path knows, and none elsewhere
// (a fault). Deterministic, so that two hosts can be compared.
#pragma once
#include <cstring>
#include <memory>
#include <vector>

#include "ir/abi.h"
#include "ir/eval.h"

namespace lyre::ir {

struct TestMemory {
  static constexpr uint64_t kBase = 0x10000;
  static constexpr uint64_t kFastBytes = 2 * 4096;   // in the TLB
  static constexpr uint64_t kBytes = 4 * 4096;       // the rest through the slow path
  static constexpr unsigned kTlbEntries = 64;

  TestMemory() : bytes(kBytes + 4096), tlb(kTlbEntries) {
    // Page-aligned inside the vector, so that alignment on the host is that in the guest.
    base = reinterpret_cast<std::byte*>((reinterpret_cast<uintptr_t>(bytes.data()) + 4095) & ~uintptr_t{4095});
    for (uint64_t page = kBase; page < kBase + kFastBytes; page += 4096) {
      TlbEntry& entry = tlb[(page >> 12) % kTlbEntries];
      entry.read_tag = entry.write_tag = page;
      entry.addend = reinterpret_cast<uint64_t>(base) - kBase;
    }
  }
  void attach(VcpuBlock& vcpu) {
    vcpu.tlb = tlb.data();
    vcpu.tlb_mask = (kTlbEntries - 1) * sizeof(TlbEntry);
    vcpu.owner = this;
    vcpu.helpers[kHelperSlowLoad] = helper_function(slow_load);
    vcpu.helpers[kHelperSlowStore] = helper_function(slow_store);
    vcpu.helpers[kHelperSlowRmw] = helper_function(slow_rmw);
    vcpu.helpers[kHelperSlowCmpxchg] = helper_function(slow_cmpxchg);
    vcpu.helpers[kHelperClock] = helper_function(clock);
  }

  static constexpr uint32_t kFaultLoad = 13, kFaultStore = 15, kFaultAlign = 6;

  static TestMemory& of(VcpuBlock* vcpu) { return *static_cast<TestMemory*>(vcpu->owner); }
  static std::byte* find(VcpuBlock* vcpu, uint64_t address, MemOp op, uint32_t cause) {
    bool misaligned = op.must_align && (address & (op.size() - 1));
    if (misaligned || address < kBase || address > kBase + kBytes - op.size()) {
      vcpu->raise(misaligned ? kFaultAlign : cause, address);
      return nullptr;
    }
    return of(vcpu).base + (address - kBase);
  }
  static uint64_t swap(uint64_t value, MemOp op) { return op.big_endian ? __builtin_bswap64(value) >> (64 - 8 * op.size()) : value; }
  static uint64_t widen(uint64_t value, MemOp op) {
    unsigned shift = 64 - 8 * op.size();
    return op.sign_extend ? static_cast<uint64_t>(static_cast<int64_t>(value << shift) >> shift) : value;
  }
  static uint64_t peek(const std::byte* host, MemOp op) {
    uint64_t value = 0;
    std::memcpy(&value, host, op.size());
    return swap(value, op);
  }
  static void poke(std::byte* host, uint64_t value, MemOp op) {
    value = swap(value & (op.size() == 8 ? ~uint64_t{0} : (uint64_t{1} << 8 * op.size()) - 1), op);
    std::memcpy(host, &value, op.size());
  }

  static uint64_t slow_load(VcpuBlock* vcpu, uint64_t address, uint64_t word) noexcept {
    MemOp op = MemOp::unpack(static_cast<uint32_t>(word));
    const std::byte* host = find(vcpu, address, op, kFaultLoad);
    return host ? widen(peek(host, op), op) : 0;
  }
  static uint64_t slow_store(VcpuBlock* vcpu, uint64_t address, uint64_t value, uint64_t word) noexcept {
    MemOp op = MemOp::unpack(static_cast<uint32_t>(word));
    if (std::byte* host = find(vcpu, address, op, kFaultStore)) poke(host, value, op);
    return 0;
  }
  static uint64_t slow_rmw(VcpuBlock* vcpu, uint64_t address, uint64_t operand, uint64_t word) noexcept {
    MemOp op = MemOp::unpack(static_cast<uint32_t>(word));
    std::byte* host = find(vcpu, address, op, kFaultStore);
    if (!host) return 0;
    uint64_t old = peek(host, op);
    poke(host, eval_rmw(static_cast<RmwKind>(word >> 16), old, operand, op.size()), op);
    return widen(old, op);
  }
  static uint64_t slow_cmpxchg(VcpuBlock* vcpu, uint64_t address, uint64_t expected, uint64_t desired, uint64_t word) noexcept {
    MemOp op = MemOp::unpack(static_cast<uint32_t>(word));
    std::byte* host = find(vcpu, address, op, kFaultStore);
    if (!host) return 0;
    uint64_t old = peek(host, op);
    uint64_t mask = op.size() == 8 ? ~uint64_t{0} : (uint64_t{1} << 8 * op.size()) - 1;
    if (old == (expected & mask)) poke(host, desired, op);
    return widen(old, op);
  }
  static uint64_t clock(VcpuBlock*) noexcept { return 1234567890; }

  std::vector<std::byte> bytes;
  std::byte* base = nullptr;
  std::vector<TlbEntry> tlb;
};

}  // namespace lyre::ir
