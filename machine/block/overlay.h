// Overlay: what -snapshot and snapshot=on put over a disk: writes go to a temporary file, reads come from wherever the newest bytes are.
// Which sectors the overlay holds is a bitmap of one bit per 512 bytes, made in pieces as they are written, so no write ever has to copy
// its surroundings. A bit is set when its write completes: a read that races a write sees the old or the new bytes, never zeros.
// Threads: as BlockBackend says.
#pragma once
#include <memory>
#include <unordered_map>
#include <vector>

#include "machine/block/backend.h"
#include "machine/block/raw_file.h"

namespace lyre::machine::block {

class Overlay final : public BlockBackend, private BlockClient {
 public:
  // base is only read. Error: no temporary file.
  static Result<std::unique_ptr<Overlay>> create(EventLoop& loop, std::shared_ptr<BlockBackend> base);
  ~Overlay() override;

  uint64_t size() const override { return base_->size(); }
  const BlockInfo& info() const override { return info_; }
  void submit(std::span<BlockRequest* const> batch) override;
  void drain() override;

 private:
  struct Parent;
  struct Part;
  static constexpr uint64_t kPieceSectors = 32768;  // 16 MiB of disk, 4 KiB of bits

  Overlay(std::shared_ptr<BlockBackend> base, std::unique_ptr<RawFile> top);
  bool holds(uint64_t sector) const;
  uint64_t run_length(uint64_t sector, uint64_t limit) const;  // sectors from here on that lie on the same side
  void mark(uint64_t sector, uint64_t count);
  void split_read(Parent& parent);
  Part& add_part(Parent& parent, BlockBackend& to);
  void block_done(std::span<BlockRequest* const> done) override;

  std::shared_ptr<BlockBackend> base_;
  BlockInfo info_;
  std::unordered_map<uint64_t, std::vector<uint64_t>> pieces_;
  std::vector<BlockRequest*> to_base_, to_top_;
  std::unique_ptr<RawFile> top_;
};

}  // namespace lyre::machine::block
