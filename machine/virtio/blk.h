// virtio-blk (virtio 1.3, 5.2). Requests are popped in one go, checked, and handed to the disk as one batch of scatter lists that point
// into guest RAM; completions come back in batches and make one interrupt a queue.
// Threads: I/O thread, but for configuration and reset.
#pragma once
#include <array>
#include <memory>
#include <string>
#include <vector>

#include "machine/block/backend.h"
#include "machine/virtio/chain.h"
#include "machine/virtio/device.h"

namespace lyre::machine::virtio {

struct BlkOptions {
  std::string serial;             // at most 20 bytes
  unsigned queues = 1;
  uint16_t queue_size = 256;
  uint32_t logical_block = 512;   // bytes, a power of two
  uint32_t physical_block = 512;
  uint32_t min_io = 0, opt_io = 0;
  bool config_wce = true;
  bool write_cache = true;        // off: as if the disk had none
  bool discard = true;
  bool write_zeroes = true;
};

class VirtioBlk final : public VirtioDevice, private block::BlockClient {
 public:
  VirtioBlk(VirtioContext context, std::shared_ptr<block::BlockBackend> disk, const BlkOptions& options);
  ~VirtioBlk() override;

 private:
  struct Request;

  uint64_t device_features() const override;
  std::span<const uint8_t> config() override;
  void config_written(uint64_t offset, unsigned size, uint32_t value) override;
  void handle_queue(unsigned index) override;
  void quiesce() override { disk_->drain(); }
  void device_reset() override;
  void features_negotiated() override;
  void block_done(std::span<block::BlockRequest* const> done) override;

  Request& new_request(unsigned index);
  bool parse(Request& request);
  void parse_transfer(Request& request, bool write, uint64_t sector, ChainReader& reader);
  void parse_range(Request& request, bool zeroes, ChainReader& reader);
  void complete(Request& request, uint8_t status);
  bool has_cache() const;
  bool write_through() const;

  std::shared_ptr<block::BlockBackend> disk_;
  const BlkOptions options_;
  bool write_back_ = true;   // the driver's choice, once negotiated
  std::array<uint8_t, 60> config_{};
  std::vector<std::unique_ptr<Request>> requests_;  // all there are
  std::vector<Request*> free_;
  std::vector<block::BlockRequest*> batch_;
};

}  // namespace lyre::machine::virtio
