#include "machine/block/overlay.h"

#include <algorithm>

namespace lyre::machine::block {

// A request of the guest, and the parts that it was split into.
struct Overlay::Parent {
  BlockRequest* request;
  size_t open = 0;
  std::vector<std::unique_ptr<Part>> parts;
};

struct Overlay::Part : BlockRequest {
  Parent* parent;
  std::vector<iovec> list;
};

Result<std::unique_ptr<Overlay>> Overlay::create(EventLoop& loop, std::shared_ptr<BlockBackend> base) {
  auto top = RawFile::temporary(loop, base->size());
  if (!top) return top.error();
  return std::unique_ptr<Overlay>(new Overlay(std::move(base), std::move(*top)));
}

Overlay::Overlay(std::shared_ptr<BlockBackend> base, std::unique_ptr<RawFile> top) : base_(std::move(base)), top_(std::move(top)) {
  info_ = base_->info();
  info_.description += " (snapshot, changes are dropped)";
  info_.read_only = false;
  info_.write_cache = true;
  info_.discards = true;
}

Overlay::~Overlay() = default;

bool Overlay::holds(uint64_t sector) const {
  const auto piece = pieces_.find(sector / kPieceSectors);
  if (piece == pieces_.end()) return false;
  const uint64_t at = sector % kPieceSectors;
  return piece->second[at / 64] >> (at % 64) & 1;
}

uint64_t Overlay::run_length(uint64_t sector, uint64_t limit) const {
  const bool side = holds(sector);
  uint64_t length = 1;
  while (length < limit) {
    const uint64_t next = sector + length;
    if (!side && next % kPieceSectors == 0 && !pieces_.contains(next / kPieceSectors)) {
      length = std::min(limit, length + kPieceSectors);
      continue;
    }
    if (holds(next) != side) break;
    ++length;
  }
  return length;
}

void Overlay::mark(uint64_t sector, uint64_t count) {
  for (uint64_t i = sector; i < sector + count; ++i) {
    auto& piece = pieces_[i / kPieceSectors];
    if (piece.empty()) piece.resize(kPieceSectors / 64);
    const uint64_t at = i % kPieceSectors;
    piece[at / 64] |= uint64_t{1} << (at % 64);
  }
}

Overlay::Part& Overlay::add_part(Parent& parent, BlockBackend& to) {
  auto& part = parent.parts.emplace_back(std::make_unique<Part>());
  part->parent = &parent;
  part->client = this;
  part->op = parent.request->op;
  part->unmap = parent.request->unmap;
  part->offset = parent.request->offset;
  part->bytes = parent.request->bytes;
  part->data = parent.request->data;
  (&to == base_.get() ? to_base_ : to_top_).push_back(part.get());
  ++parent.open;
  return *part;
}

void Overlay::split_read(Parent& parent) {
  const BlockRequest& request = *parent.request;
  size_t at = 0;       // into request.data
  size_t inside = 0;   // into request.data[at]
  for (uint64_t sector = request.offset / 512, end = (request.offset + request.bytes) / 512; sector < end;) {
    const uint64_t length = run_length(sector, end - sector);
    Part& part = add_part(parent, holds(sector) ? static_cast<BlockBackend&>(*top_) : *base_);
    part.offset = sector * 512;
    part.bytes = length * 512;
    for (uint64_t left = part.bytes; left;) {
      const iovec& from = request.data[at];
      const size_t bytes = std::min<uint64_t>(left, from.iov_len - inside);
      part.list.push_back({static_cast<std::byte*>(from.iov_base) + inside, bytes});
      left -= bytes;
      inside += bytes;
      if (inside == from.iov_len) {
        ++at;
        inside = 0;
      }
    }
    part.data = part.list;
    sector += length;
  }
}

void Overlay::submit(std::span<BlockRequest* const> batch) {
  for (BlockRequest* request : batch) {
    request->error = 0;
    auto* parent = new Parent{request, 0, {}};
    if (request->op == Op::kRead && request->bytes) {
      split_read(*parent);
    } else {
      Part& part = add_part(*parent, *top_);
      // What the overlay forgot would show the base again: a discard becomes zeros that may be unmapped.
      if (request->op == Op::kDiscard) part.op = Op::kZeroes;
      if (request->op == Op::kDiscard) part.unmap = true;
    }
  }
  // Nothing completes inside submit(), so the lists do not change under it.
  if (!to_top_.empty()) top_->submit(to_top_);
  if (!to_base_.empty()) base_->submit(to_base_);
  to_top_.clear();
  to_base_.clear();
}

void Overlay::block_done(std::span<BlockRequest* const> done) {
  std::vector<BlockRequest*> finished;
  for (BlockRequest* child : done) {
    auto& part = *static_cast<Part*>(child);
    Parent& parent = *part.parent;
    if (part.error) {
      parent.request->error = part.error;
    } else if (part.op == Op::kWrite || part.op == Op::kZeroes) {
      mark(part.offset / 512, part.bytes / 512);
    }
    if (--parent.open) continue;
    finished.push_back(parent.request);
    delete &parent;
  }
  for (size_t i = 0; i < finished.size();) {
    size_t end = i + 1;
    while (end < finished.size() && finished[end]->client == finished[i]->client) ++end;
    finished[i]->client->block_done(std::span(finished).subspan(i, end - i));
    i = end;
  }
}

void Overlay::drain() {
  // A part in the base or the top may be the last of its request; either order, both ends are waited for.
  base_->drain();
  top_->drain();
}

}  // namespace lyre::machine::block
