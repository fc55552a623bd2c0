// Dma: how a device reaches guest memory. Every range is bounds-checked against RAM; DMA that lands on MMIO or outside
// is refused and logged once. Views are zero-copy host spans valid for the machine's life. Threads: any.
#pragma once
#include <cstdint>
#include <cstring>
#include <span>

#include "runtime/base/types.h"
#include "runtime/mem/physical_map.h"

namespace lyre::machine {

class Dma {
 public:
  explicit Dma(runtime::PhysicalMap& memory) : memory_(&memory) {}

  // Empty span: not RAM.
  std::span<const std::byte> view(Gpa address, uint64_t size) const {
    Hva host = memory_->ram(address, size, false);
    return host ? std::span<const std::byte>(host, size) : std::span<const std::byte>();
  }
  // The caller must call wrote() for what it stored, after storing.
  std::span<std::byte> writable_view(Gpa address, uint64_t size) const {
    Hva host = memory_->ram(address, size, true);
    return host ? std::span<std::byte>(host, size) : std::span<std::byte>();
  }
  void wrote(Gpa address, uint64_t size) const { memory_->written(address, size); }

  bool read(Gpa address, void* to, uint64_t size) const {
    if (size == 0) return true;
    auto from = view(address, size);
    if (from.empty()) return false;
    std::memcpy(to, from.data(), size);
    return true;
  }
  bool write(Gpa address, const void* from, uint64_t size) const {
    if (size == 0) return true;
    auto to = writable_view(address, size);
    if (to.empty()) return false;
    std::memcpy(to.data(), from, size);
    wrote(address, size);
    return true;
  }

 private:
  runtime::PhysicalMap* memory_;
};

}  // namespace lyre::machine
