#include "runtime/mem/page_flags.h"

namespace lyre::runtime {

void PageFlags::lay_out(const PhysicalMap& memory) {
  blocks_.clear();
  for (const auto& block : memory.blocks())
    blocks_.push_back({block->base.value, block->size, std::make_unique<std::atomic<uint8_t>[]>(block->size >> kPageBits)});
}

std::atomic<uint8_t>* PageFlags::find(Gpa address) const noexcept {
  for (const Block& block : blocks_)
    if (address.value - block.base < block.size) return &block.flags[(address.value - block.base) >> kPageBits];
  return nullptr;
}

}  // namespace lyre::runtime
