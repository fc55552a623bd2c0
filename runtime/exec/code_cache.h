// CodeCache: every translation block of a machine: look-up by what the code is (physical address, virtual pc, state key), links between blocks,
// invalidation when guest code is overwritten, eviction, and the wait until nobody can still be inside a retired block.
//
// Life of a block: made by a Translator (no lock held) -> insert (published; its pages are marked as code) -> linked to and from -> retired
// (unlinked, poisoned, out of the hash; its code stays as it is) -> every vCPU has passed a quiescent point -> freed.
// Threads: find() is lock-free; everything that changes the cache takes one mutex for a short time, never while translating.
#pragma once
#include <array>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <memory>
#include <mutex>
#include <span>
#include <unordered_map>
#include <vector>

#include "backend/backend.h"
#include "runtime/base/named_mutex.h"
#include "runtime/base/types.h"
#include "runtime/exec/code_source.h"
#include "runtime/mem/page_flags.h"
#include "runtime/mem/physical_map.h"

namespace lyre::runtime {

struct BlockKey {
  Gpa gpa;           // of the first instruction
  Gva pc;            // pcs are constants in the code
  uint64_t state;    // state key
  bool operator==(const BlockKey&) const = default;
  size_t hash() const {
    // Blocks of one page of code go to one page of buckets, so that a short program touches few.
    uint64_t h = (gpa.value >> 12 ^ (pc.value >> 12 << 7)) * 0x9e3779b97f4a7c15u ^ state * 0xc2b2ae3d27d4eb4fu;
    return static_cast<size_t>((h ^ (h >> 29)) << 9 | ((pc.value >> 1 ^ pc.value >> 3) & 511));
  }
};

struct TranslationBlock {
  BlockKey key;
  std::unique_ptr<backend::CompiledRegion> code;
  struct Piece {
    Gva start;
    Gpa gpa;
    uint32_t bytes = 0;
    uint32_t version = 0;              // of the page when its bytes were read
  };
  std::array<Piece, 2> pieces;         // guest bytes it was made from; a second one if an instruction crosses into the next page
  unsigned piece_count = 0;
  uint32_t second_mapping = 0;         // mapping number of the second piece's page, which the code compares at its entry
  uint64_t source_hash = 0;            // of those bytes when translated
  std::atomic<bool> valid{true};
  std::atomic<TranslationBlock*> next{nullptr};  // hash chain
  struct Edge {
    TranslationBlock* from;
    uint32_t exit;
  };
  std::vector<Edge> incoming;          // under the cache's mutex
  std::vector<TranslationBlock*> outgoing;  // by exit index; null: not linked
};

class CodeCache {
 public:
  CodeCache(PhysicalMap& memory, backend::Backend& backend);         // code in a machine's RAM
  CodeCache(CodeMemorySource& source, backend::Backend& backend);    // code at its own addresses (user mode): gpa == pc
  ~CodeCache();

  PageFlags& page_flags() { return flags_; }
  // Who runs translated code. Added before it first does, removed when it never will again (even epoch).
  void add_user(CodeUser& user);
  void remove_user(CodeUser& user);
  // Around fork(): nobody changes the cache meanwhile. In the child `survivor` is the only user left.
  NamedMutex& mutex() { return mutex_; }
  void forked(CodeUser& survivor);

  // Lock-free. `accept(block)` decides on blocks that cross into a second page: it must be mapped as when they were translated.
  template <typename Accept>
  TranslationBlock* find(const BlockKey& key, Accept accept) const {
    for (TranslationBlock* block = buckets_[key.hash() % kBuckets].load(std::memory_order_acquire); block;
         block = block->next.load(std::memory_order_acquire))
      if (block->key == key && (block->piece_count == 1 || accept(*block))) return block;
    return nullptr;
  }
  // A translation is about to read this page: from here on stores to it are seen, and change its version, which is returned.
  uint32_t watch(Gpa page);
  // Publishes, or gives back the block that another vCPU published first. nullptr: its guest bytes changed while it was translated.
  TranslationBlock* insert(std::unique_ptr<TranslationBlock> block);
  void link(const backend::CompiledRegion& from, uint32_t exit, TranslationBlock& to, uint32_t mapping);

  // Guest bytes [address, address + size) were or will be overwritten. Returns how many blocks were dropped.
  unsigned invalidate(Gpa address, uint64_t size);
  unsigned drop_containing(Gva pc);  // made from the instruction there, in any address space
  void drop_all();
  // Makes room: retires what stands in the oldest code area, unless one is on its way out already. Called when a compile found none; the room is there
  // when every vCPU has passed a quiescent point.
  void make_room();

  // Number of the mapping virtual page -> physical page for fetches under `fetch_index`; what cross-page edges compare.
  uint32_t mapping_number(Gva page, Gpa gpa, unsigned fetch_index);

  // Called by vCPUs at quiescent points; frees what nobody can hold any more and re-checks new code pages.
  void quiesce();
  bool has_pending() const { return pending_.load(std::memory_order_relaxed) != 0; }
  size_t block_count() const { return blocks_.load(std::memory_order_relaxed); }

  uint64_t hash_source(const TranslationBlock& block) const;

 private:
  struct CodePage {
    std::vector<TranslationBlock*> blocks;
    uint32_t version = 0;
  };
  // Waits for every vCPU to pass a quiescent point, then carries out what it holds.
  struct Grace {
    std::vector<std::pair<CodeUser*, uint64_t>> epochs;  // of every user when it began
    std::vector<TranslationBlock*> blocks;  // to free
    std::vector<void*> areas;               // code areas to recycle
    std::vector<Gpa> pages;                 // watched since: a store that had passed its TLB check before may have landed after the read
  };
  static constexpr size_t kBuckets = size_t{1} << 16;  // 128 pages
  static constexpr size_t kRetiredBatch = 1024;
  void retire(TranslationBlock& block);     // mutex held, as for those below
  void begin_grace();
  void compare_page(Gpa page);
  void forget_page_if_empty(uint64_t page);
  bool passed(const Grace& grace) const;

  PageFlags flags_;
  std::vector<CodeUser*> users_;
  std::unique_ptr<CodeMemorySource> own_source_;
  CodeMemorySource& source_;
  backend::Backend& backend_;
  using Bucket = std::atomic<TranslationBlock*>;
  static Bucket* map_buckets();
  static void unmap_buckets(void* buckets);
  std::unique_ptr<Bucket[], void (*)(void*)> buckets_;  // zeroed memory that costs nothing until used
  NamedMutex mutex_{"code cache"};
  std::unordered_map<uint64_t, CodePage> by_page_;  // physical page -> blocks made from it
  std::vector<TranslationBlock*> retired_;          // since the last grace period began
  std::vector<Gpa> watched_;                        // likewise
  std::deque<Grace> graces_;
  std::atomic<uint32_t> pending_{0};
  std::atomic<size_t> blocks_{0};
  std::mutex mapping_mutex_;
  struct Mapping {
    uint64_t virtual_page, physical_page;
    unsigned fetch_index;
    uint32_t number;
  };
  std::unordered_map<uint64_t, std::vector<Mapping>> mappings_;
  uint32_t next_mapping_ = 1;
  static constexpr size_t kMappingsKept = size_t{1} << 18;
  size_t mapping_count_ = 0;
};

}  // namespace lyre::runtime
