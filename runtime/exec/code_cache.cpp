#include "runtime/exec/code_cache.h"

#include <sys/mman.h>

#include <algorithm>

#include "runtime/base/check.h"

namespace lyre::runtime {

CodeCache::CodeCache(PhysicalMap& memory, backend::Backend& backend)
    : own_source_(std::make_unique<RamCode>(memory, flags_, users_)), source_(*own_source_), backend_(backend),
      buckets_(map_buckets(), unmap_buckets) {}

CodeCache::CodeCache(CodeMemorySource& source, backend::Backend& backend)
    : source_(source), backend_(backend), buckets_(map_buckets(), unmap_buckets) {}

// Not calloc(), which may clear memory of its own by touching all of it.
CodeCache::Bucket* CodeCache::map_buckets() {
  void* memory = mmap(nullptr, kBuckets * sizeof(Bucket), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  LYRE_CHECK(memory != MAP_FAILED, "no memory for the table of blocks");
  return static_cast<Bucket*>(memory);
}
void CodeCache::unmap_buckets(void* buckets) { munmap(buckets, kBuckets * sizeof(Bucket)); }

// The vCPU threads are gone.
CodeCache::~CodeCache() {
  for (auto& [page, code] : by_page_)
    for (TranslationBlock* block : code.blocks)
      if (block->key.gpa.value >> kPageBits == page) retired_.push_back(block);  // listed once, under its first page
  for (TranslationBlock* block : retired_) delete block;
  for (Grace& grace : graces_)
    for (TranslationBlock* block : grace.blocks) delete block;
}

uint64_t CodeCache::hash_source(const TranslationBlock& block) const {
  uint64_t hash = 0xcbf29ce484222325u;
  for (unsigned i = 0; i < block.piece_count; ++i) {
    const auto& piece = block.pieces[i];
    const auto* bytes = source_.bytes(piece.gpa, piece.bytes);
    for (uint32_t k = 0; bytes && k < piece.bytes; ++k) hash = (hash ^ bytes[k]) * 0x100000001b3u;
  }
  return hash;
}

void CodeCache::add_user(CodeUser& user) {
  std::lock_guard lock(mutex_);
  users_.push_back(&user);
}

void CodeCache::remove_user(CodeUser& user) {
  std::lock_guard lock(mutex_);
  std::erase(users_, &user);
  for (Grace& grace : graces_) std::erase_if(grace.epochs, [&](const auto& each) { return each.first == &user; });
}

void CodeCache::forked(CodeUser& survivor) {
  users_.assign(1, &survivor);
  for (Grace& grace : graces_) std::erase_if(grace.epochs, [&](const auto& each) { return each.first != &survivor; });
}

uint32_t CodeCache::watch(Gpa page) {
  std::lock_guard lock(mutex_);
  const uint32_t version = by_page_[page.value >> kPageBits].version;
  if (!source_.has_code(page) && source_.watch(page)) {
    watched_.push_back(page);
    pending_.store(1, std::memory_order_relaxed);
  }
  return version;
}

TranslationBlock* CodeCache::insert(std::unique_ptr<TranslationBlock> made) {
  std::lock_guard lock(mutex_);
  for (unsigned i = 0; i < made->piece_count; ++i)
    if (by_page_[made->pieces[i].gpa.value >> kPageBits].version != made->pieces[i].version) {
      // Its code stays in its area until that is evicted; nobody has its address.
      retired_.push_back(made.release());
      return nullptr;
    }
  if (users_.size() > 1) {
    TranslationBlock* other = find(made->key, [&](TranslationBlock& block) {
      return made->second_mapping == block.second_mapping && made->pieces[1].gpa == block.pieces[1].gpa;
    });
    if (other) {
      retired_.push_back(made.release());
      return other;
    }
  }
  TranslationBlock* block = made.release();
  block->code->owner = block;
  block->outgoing.resize(block->code->exits.size());
  for (unsigned i = 0; i < block->piece_count; ++i) {
    auto& list = by_page_[block->pieces[i].gpa.value >> kPageBits].blocks;
    if (list.empty() || list.back() != block) list.push_back(block);
  }
  auto& bucket = buckets_[block->key.hash() % kBuckets];
  block->next.store(bucket.load(std::memory_order_relaxed), std::memory_order_relaxed);
  bucket.store(block, std::memory_order_release);
  blocks_.fetch_add(1, std::memory_order_relaxed);
  return block;
}

void CodeCache::link(const backend::CompiledRegion& from_code, uint32_t exit, TranslationBlock& to, uint32_t mapping) {
  auto& from = *static_cast<TranslationBlock*>(from_code.owner);
  std::lock_guard lock(mutex_);
  if (!from.valid.load(std::memory_order_relaxed) || !to.valid.load(std::memory_order_relaxed)) return;
  // What an instruction of `from` made of the state key need not be what it makes of it next time.
  if (from.key.state != to.key.state) return;
  TranslationBlock*& out = from.outgoing[exit];
  if (out != &to) {
    if (out) std::erase_if(out->incoming, [&](const TranslationBlock::Edge& edge) { return edge.from == &from && edge.exit == exit; });
    to.incoming.push_back({&from, exit});
    out = &to;
  }
  backend_.link(from_code, from_code.exits[exit], *to.code, mapping);
}

void CodeCache::retire(TranslationBlock& block) {
  if (!block.valid.exchange(false)) return;
  blocks_.fetch_sub(1, std::memory_order_relaxed);
  auto* link = &buckets_[block.key.hash() % kBuckets];
  while (link->load(std::memory_order_relaxed) != &block) link = &link->load(std::memory_order_relaxed)->next;
  link->store(block.next.load(std::memory_order_relaxed), std::memory_order_release);
  backend_.poison(*block.code);
  for (const TranslationBlock::Edge& edge : block.incoming) {
    backend_.unlink(*edge.from->code, edge.from->code->exits[edge.exit]);
    edge.from->outgoing[edge.exit] = nullptr;
  }
  block.incoming.clear();
  for (uint32_t exit = 0; exit < block.outgoing.size(); ++exit)
    if (TranslationBlock* to = block.outgoing[exit]) {
      std::erase_if(to->incoming, [&](const TranslationBlock::Edge& edge) { return edge.from == &block && edge.exit == exit; });
      block.outgoing[exit] = nullptr;
    }
  for (unsigned i = 0; i < block.piece_count; ++i) std::erase(by_page_[block.pieces[i].gpa.value >> kPageBits].blocks, &block);
  retired_.push_back(&block);
  if (retired_.size() >= kRetiredBatch) pending_.store(1, std::memory_order_relaxed);
}

void CodeCache::forget_page_if_empty(uint64_t page) {
  auto found = by_page_.find(page);
  if (found == by_page_.end() || !found->second.blocks.empty()) return;
  // A translator that watches the page now must not publish: stores are about to pass unseen.
  ++found->second.version;
  source_.unwatch({page << kPageBits});
}

unsigned CodeCache::invalidate(Gpa address, uint64_t size) {
  unsigned dropped = 0;
  uint64_t first = address.value >> kPageBits, last = (address.value + size - 1) >> kPageBits;
  for (uint64_t page = first; page <= last; ++page) {
    if (!source_.has_code({page << kPageBits})) continue;
    std::lock_guard lock(mutex_);
    auto found = by_page_.find(page);
    if (found == by_page_.end()) continue;
    ++found->second.version;
    std::vector<TranslationBlock*> hit;
    for (TranslationBlock* block : found->second.blocks)
      for (unsigned i = 0; i < block->piece_count; ++i) {
        const auto& piece = block->pieces[i];
        if (piece.gpa.value < address.value + size && address.value < piece.gpa.value + piece.bytes) {
          hit.push_back(block);
          break;
        }
      }
    for (TranslationBlock* block : hit) retire(*block);
    dropped += static_cast<unsigned>(hit.size());
    forget_page_if_empty(page);
  }
  return dropped;
}

unsigned CodeCache::drop_containing(Gva pc) {
  std::lock_guard lock(mutex_);
  std::vector<TranslationBlock*> found;
  for (auto& [page, code] : by_page_)
    for (TranslationBlock* block : code.blocks)
      for (unsigned i = 0; i < block->piece_count; ++i)
        if (pc.value - block->pieces[i].start.value < block->pieces[i].bytes) found.push_back(block);
  for (TranslationBlock* block : found) retire(*block);  // those of two pages are found twice and retired once
  return static_cast<unsigned>(found.size());
}

void CodeCache::drop_all() {
  std::lock_guard lock(mutex_);
  for (auto& [page, code] : by_page_) {
    ++code.version;
    while (!code.blocks.empty()) retire(*code.blocks.back());
    forget_page_if_empty(page);
  }
}

void CodeCache::make_room() {
  std::lock_guard lock(mutex_);
  for (const Grace& grace : graces_)
    if (!grace.areas.empty()) return;
  std::vector<backend::CompiledRegion*> regions;
  void* area = backend_.evict_oldest_area(regions);
  if (!area) return;
  for (backend::CompiledRegion* region : regions)
    if (auto* block = static_cast<TranslationBlock*>(region->owner)) retire(*block);
  begin_grace();
  graces_.back().areas.push_back(area);
}

void CodeCache::begin_grace() {
  Grace grace;
  grace.blocks.swap(retired_);
  grace.pages.swap(watched_);
  for (CodeUser* user : users_) user->request_forget();
  for (CodeUser* user : users_) grace.epochs.push_back({user, user->epoch()});
  graces_.push_back(std::move(grace));
  pending_.store(1, std::memory_order_relaxed);
}

bool CodeCache::passed(const Grace& grace) const {
  for (const auto& [user, then] : grace.epochs) {
    const uint64_t now = user->epoch();
    if ((now & 1) && now == then) return false;  // odd: inside the loop or translated code since before
  }
  return true;
}

void CodeCache::compare_page(Gpa page) {
  auto found = by_page_.find(page.value >> kPageBits);
  if (found == by_page_.end()) return;
  std::vector<TranslationBlock*> stale;
  for (TranslationBlock* block : found->second.blocks)
    if (hash_source(*block) != block->source_hash) stale.push_back(block);
  if (!stale.empty()) ++found->second.version;
  for (TranslationBlock* block : stale) retire(*block);
  forget_page_if_empty(page.value >> kPageBits);
}

void CodeCache::quiesce() {
  std::unique_lock lock(mutex_, std::try_to_lock);
  if (!lock) return;
  while (!graces_.empty() && passed(graces_.front())) {
    Grace grace = std::move(graces_.front());
    graces_.pop_front();
    for (Gpa page : grace.pages) compare_page(page);
    for (TranslationBlock* block : grace.blocks) {
      backend_.forget(*block->code);
      delete block;
    }
    for (void* area : grace.areas) backend_.recycle_area(area);
  }
  if (retired_.size() >= kRetiredBatch || !watched_.empty()) begin_grace();
  pending_.store(!graces_.empty(), std::memory_order_relaxed);
}

uint32_t CodeCache::mapping_number(Gva page, Gpa gpa, unsigned fetch_index) {
  uint64_t virtual_page = page.value >> kPageBits, physical_page = gpa.value >> kPageBits;
  uint64_t key = virtual_page * 0x9e3779b97f4a7c15u ^ (physical_page << 2 | (fetch_index & 3));
  std::lock_guard lock(mapping_mutex_);
  for (const Mapping& mapping : mappings_[key])
    if (mapping.virtual_page == virtual_page && mapping.physical_page == physical_page && mapping.fetch_index == fetch_index) return mapping.number;
  if (++mapping_count_ > kMappingsKept) {
    // Numbers are never used twice, so edges linked under a forgotten one are linked again when next used.
    mappings_.clear();
    mapping_count_ = 0;
  }
  if (next_mapping_ == ir::kNoMapping) next_mapping_ = 1;
  mappings_[key].push_back({virtual_page, physical_page, fetch_index, next_mapping_});
  return next_mapping_++;
}

}  // namespace lyre::runtime
