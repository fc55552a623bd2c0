#include "runtime/mem/page_flags.h"

#include "runtime/base/check.h"

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

bool RamCode::watch(Gpa page) {
  std::atomic<uint8_t>* flags = flags_.find(page);
  LYRE_CHECK(flags, "translating from outside RAM");
  const uint8_t before = flags->fetch_or(PageFlags::kCode, std::memory_order_seq_cst);
  if (!(before & PageFlags::kWriteCached)) return false;
  for (CodeUser* user : users_) user->drop_writes(page);
  flags->fetch_and(static_cast<uint8_t>(~PageFlags::kWriteCached), std::memory_order_relaxed);
  return users_.size() > 1;
}

void RamCode::unwatch(Gpa page) {
  if (auto* flags = flags_.find(page)) flags->fetch_and(static_cast<uint8_t>(~PageFlags::kCode), std::memory_order_seq_cst);
}

}  // namespace lyre::runtime
