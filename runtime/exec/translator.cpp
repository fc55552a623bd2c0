#include "runtime/exec/translator.h"

#include <chrono>

#include "ir/text.h"
#include "runtime/base/check.h"
#include "runtime/base/log.h"

namespace lyre::runtime {
namespace {

int64_t host_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

Translator::Translator(const TranslatorParts& parts) : parts_(parts), loop_(parts.cpu), compiler_(parts.backend.make_compiler()) {
  const frontend::GuestCpu& cpu = parts.cpu;
  pipeline_.helpers = cpu.helpers();
  pipeline_.pinned_slots = cpu.pinned_slots();
  pipeline_.pc_slot = cpu.pc_slot();
  limits_.stay_in_page = true;
  limits_.counted = parts.counted;
  if (parts.one_insn_per_block) limits_.max_insns = 1, pipeline_.form_loops = false;
}

std::span<const uint8_t> Translator::code_at(Gva address) {
  const FetchEntry* entry = parts_.fetch.fetch_page(address, fetch_fault_);
  if (!entry) return {};
  const uint64_t page = address.value & kPageMask, offset = address.value & ~kPageMask;
  bool known = false;
  for (unsigned i = 0; i < page_count_; ++i) known |= pages_[i].page.value == page;
  if (!known) {
    if (page_count_ == pages_.size()) return {};
    // Watched before it is read: a store from here on changes the version, and the block is not published.
    pages_[page_count_++] = {{page}, entry->gpa, entry->mapping, parts_.cache.watch(entry->gpa)};
  }
  return {reinterpret_cast<const uint8_t*>(entry->host) + offset, kPageSize - offset};
}

std::unique_ptr<TranslationBlock> Translator::make(Gva pc, uint64_t state_key, ir::Fault& fault) {
  page_count_ = 0;
  Gva fault_address;
  frontend::TranslateLimits limits = limits_;
  ir::PipelineOptions pipeline = pipeline_;
  if (parts_.breakpoints) limits.stops = *parts_.breakpoints;
  if (state_key & kSingleStepKey) limits.max_insns = 1, limits.counted = true, pipeline.form_loops = false;
  if (!loop_.translate(pc, state_key, *this, limits, region_, fault_address)) {
    fault = fetch_fault_;
    return nullptr;
  }
  region_.watched = state_key & kWatchedKey;
  for (const ir::Region::Span& span : region_.spans)
    for (unsigned i = 0; i < page_count_; ++i)
      if (pages_[i].page.value == (span.start.value & kPageMask) && pages_[i].page.value != (pc.value & kPageMask))
        region_.guard_page = pages_[i].page, region_.guard_mapping = pages_[i].mapping;
  const bool logged = log_on(kLogInAsm | kLogOp | kLogOpOpt | kLogOutAsm) && log_in_filter(pc.value);
  if (logged) log_before(region_);
  ir::run_pipeline(region_, pipeline);
  if (logged && log_on(kLogOpOpt)) log_text("OP after optimization:\n" + ir::print(region_) + "\n");
  std::unique_ptr<backend::CompiledRegion> code = compiler_->compile(region_);
  if (!code) {
    // What is evicted can be used again once every vCPU has passed a quiescent point, this one too.
    parts_.cache.make_room();
    fault.cause = ir::kNoCodeRoom;
    return nullptr;
  }
  if (logged) log_after(*code);

  auto block = std::make_unique<TranslationBlock>();
  block->key = {{}, pc, state_key};
  block->second_mapping = region_.guard_mapping;
  for (const ir::Region::Span& span : region_.spans) {
    LYRE_CHECK(block->piece_count < block->pieces.size(), "a region touches more than two pages");
    TranslationBlock::Piece piece;
    piece.start = span.start, piece.bytes = span.bytes;
    for (unsigned i = 0; i < page_count_; ++i)
      if (pages_[i].page.value == (span.start.value & kPageMask)) {
        piece.gpa = pages_[i].gpa + (span.start.value & ~kPageMask);
        piece.version = pages_[i].version;
      }
    block->pieces[block->piece_count++] = piece;
  }
  LYRE_CHECK(block->piece_count > 0, "a region covers no guest bytes");
  for (unsigned i = 0; i < page_count_; ++i)
    if (pages_[i].page.value == (pc.value & kPageMask)) block->key.gpa = pages_[i].gpa + (pc.value & ~kPageMask);
  block->source_hash = parts_.cache.hash_source(*block);
  block->code = std::move(code);
  return block;
}

TranslationBlock* Translator::translate(Gva pc, uint64_t state_key, ir::Fault& fault) {
  Counters& counters = parts_.counters;
  const int64_t begin = host_ns();
  TranslationBlock* published = nullptr;
  // Again when another vCPU overwrites the page meanwhile.
  while (!published) {
    std::unique_ptr<TranslationBlock> made = make(pc, state_key, fault);
    if (!made) break;
    ++counters.translations;
    counters.translated_insns += made->code->guest_insns;
    counters.translated_bytes += made->code->code_bytes;
    published = parts_.cache.insert(std::move(made));
  }
  counters.translation_ns += static_cast<uint64_t>(host_ns() - begin);
  return published;
}

void Translator::log_before(const ir::Region& region) {
  if (log_on(kLogInAsm)) {
    std::string text = "----------------\nIN:\n";
    for (const ir::Region::Span& span : region.spans) {
      ir::Fault ignored;
      uint64_t at = span.start.value;
      const uint64_t end = at + span.bytes;
      while (at < end) {
        const FetchEntry* entry = parts_.fetch.fetch_page({at}, ignored);
        if (!entry) break;
        const uint64_t offset = at & ~kPageMask;
        unsigned length = 0;
        std::string line = parts_.cpu.disassemble({reinterpret_cast<const uint8_t*>(entry->host) + offset, kPageSize - offset}, {at}, length);
        if (!length) length = 2;
        char head[32];
        std::snprintf(head, sizeof head, "0x%08llx:  ", static_cast<unsigned long long>(at));
        text += head + line + "\n";
        at += length;
      }
    }
    log_text(text + "\n");
  }
  if (log_on(kLogOp)) log_text("OP:\n" + ir::print(region) + "\n");
}

void Translator::log_after(const backend::CompiledRegion& code) {
  if (log_on(kLogOutAsm)) log_text("OUT: [size=" + std::to_string(code.code_bytes) + "]\n" + parts_.backend.disassemble(code) + "\n");
}

}  // namespace lyre::runtime
