// The indirect-branch cache of a vCPU block: how many entries are in use, and forgetting.
#include <memory>

#include "ir/abi.h"
#include "tests/support/catch.h"

namespace lyre::ir {
namespace {

unsigned entries(const VcpuBlock& block) { return block.jump_mask / static_cast<unsigned>(sizeof(JumpCacheEntry)) + 1; }
const JumpCacheEntry& entry_of(const VcpuBlock& block, uint64_t pc) { return block.jump_cache[(pc << 4 & block.jump_mask) / sizeof(JumpCacheEntry)]; }

TEST_CASE("jump cache: few entries become more where they conflict, and only there") {
  const auto block = std::make_unique<VcpuBlock>();
  CHECK(entries(*block) == kJumpCacheEntries);
  block->use_jump_entries(kFewJumpCacheEntries);
  int code = 0;
  for (int round = 0; round < 100; ++round)
    for (uint64_t pc = 0x10000; pc < 0x10000 + 2 * kFewJumpCacheEntries; pc += 2) block->remember_jump(pc, &code);
  CHECK(entries(*block) == kFewJumpCacheEntries);
  for (uint64_t pc = 0x10000; pc < 0x10000 + 2 * kFewJumpCacheEntries; pc += 2) REQUIRE(entry_of(*block, pc).pc == pc);
  // Two sets of pcs that exclude each other.
  for (int round = 0; round < 3000; ++round) block->remember_jump(0x10000 + (round & 1 ? 0 : 2 * kFewJumpCacheEntries), &code);
  CHECK(entries(*block) == 4 * kFewJumpCacheEntries);
  for (uint64_t pc : {0x10000, 0x10000 + 2 * static_cast<int>(kFewJumpCacheEntries)}) {
    block->remember_jump(pc, &code);
    CHECK((entry_of(*block, pc).pc == pc && entry_of(*block, pc).key == block->key));
  }
  for (int round = 0; round < 300000; ++round) block->remember_jump(0x10000 + (round & 1 ? 0 : 2 * kJumpCacheEntries), &code);
  CHECK(entries(*block) == kJumpCacheEntries);
}

TEST_CASE("jump cache: what is forgotten is gone, under whatever number of entries it was remembered") {
  const auto block = std::make_unique<VcpuBlock>();
  int code = 0;
  block->use_jump_entries(kFewJumpCacheEntries);
  for (uint64_t pc = 0; pc < 0x10000; pc += 2) block->remember_jump(pc, &code);
  block->use_jump_entries(kJumpCacheEntries);
  for (uint64_t pc = 0; pc < 0x10000; pc += 2) block->remember_jump(pc, &code);
  block->forget_jumps();
  for (const JumpCacheEntry& entry : block->jump_cache) REQUIRE((entry.pc | entry.key | entry.host) == 0);
}

}  // namespace
}  // namespace lyre::ir
