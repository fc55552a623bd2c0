#include "machine/virtio/blk.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "machine/virtio/chain.h"
#include "machine/virtio/ring_memory.h"
#include "runtime/base/log.h"

namespace lyre::machine::virtio {
namespace {

constexpr uint16_t kDeviceId = 2;
// 5.2.3
constexpr uint64_t kSegMax = feature(2);
constexpr uint64_t kGeometry = feature(4);
constexpr uint64_t kReadOnly = feature(5);
constexpr uint64_t kBlockSize = feature(6);
constexpr uint64_t kFlush = feature(9);
constexpr uint64_t kTopology = feature(10);
constexpr uint64_t kConfigWce = feature(11);
constexpr uint64_t kMultiQueue = feature(12);
constexpr uint64_t kDiscard = feature(13);
constexpr uint64_t kWriteZeroes = feature(14);
// 5.2.6
enum Type : uint32_t { kIn = 0, kOut = 1, kFlushDisk = 4, kGetId = 8, kDiscardRange = 11, kZeroRange = 13 };
constexpr uint8_t kOk = 0, kIoError = 1, kUnsupported = 2;

constexpr uint64_t kSector = 512;
constexpr uint32_t kMaxRangeSectors = 1u << 22;  // of one discard or write-zeroes request: 2 GiB
constexpr size_t kIdBytes = 20;
constexpr size_t kWritebackOffset = 32;

struct Header {
  uint32_t type;
  uint32_t reserved;
  uint64_t sector;
};
struct Range {
  uint64_t sector;
  uint32_t sectors;
  uint32_t flags;
};

template <typename T>
void put(std::array<uint8_t, 60>& config, size_t offset, T value) {
  std::memcpy(config.data() + offset, &value, sizeof value);
}

}  // namespace

struct VirtioBlk::Request : block::BlockRequest {
  Chain chain;
  unsigned queue = 0;
  std::byte* status = nullptr;  // the chain's last writable byte
  std::vector<iovec> segments;
};

VirtioBlk::VirtioBlk(VirtioContext context, std::shared_ptr<block::BlockBackend> disk, const BlkOptions& options)
    : VirtioDevice(std::move(context), kDeviceId, options.queues), disk_(std::move(disk)), options_(options) {
  for (unsigned i = 0; i < options_.queues; ++i) set_queue_size(i, options_.queue_size);
  write_back_ = has_cache();
}

VirtioBlk::~VirtioBlk() = default;

bool VirtioBlk::has_cache() const { return options_.write_cache && disk_->info().write_cache; }

uint64_t VirtioBlk::device_features() const {
  uint64_t features = kSegMax | kGeometry | kBlockSize | kFlush | kTopology;
  if (options_.config_wce) features |= kConfigWce;
  if (disk_->info().read_only) features |= kReadOnly;
  if (options_.queues > 1) features |= kMultiQueue;
  if (options_.discard && !disk_->info().read_only) features |= kDiscard;
  if (options_.write_zeroes && !disk_->info().read_only) features |= kWriteZeroes;
  return features;
}

// 5.2.4
std::span<const uint8_t> VirtioBlk::config() {
  const uint64_t sectors = disk_->size() / kSector;
  const uint32_t alignment = std::max(options_.logical_block, options_.physical_block) / static_cast<uint32_t>(kSector);
  put<uint64_t>(config_, 0, sectors);
  put<uint32_t>(config_, 12, options_.queue_size - 2u);  // seg_max: a header and a status go beside
  put<uint16_t>(config_, 16, static_cast<uint16_t>(std::min<uint64_t>(sectors / (16 * 63), 16383)));
  put<uint8_t>(config_, 18, 16);
  put<uint8_t>(config_, 19, 63);
  put<uint32_t>(config_, 20, options_.logical_block);
  const uint32_t per_physical = std::max(options_.physical_block / options_.logical_block, 1u);
  put<uint8_t>(config_, 24, static_cast<uint8_t>(std::countr_zero(per_physical)));
  put<uint16_t>(config_, 26, static_cast<uint16_t>(options_.min_io / options_.logical_block));
  put<uint32_t>(config_, 28, options_.opt_io / options_.logical_block);
  put<uint8_t>(config_, kWritebackOffset, write_back_);
  put<uint16_t>(config_, 34, static_cast<uint16_t>(options_.queues));
  put<uint32_t>(config_, 36, kMaxRangeSectors);
  put<uint32_t>(config_, 40, 1);
  put<uint32_t>(config_, 44, alignment);
  put<uint32_t>(config_, 48, kMaxRangeSectors);
  put<uint32_t>(config_, 52, 1);
  put<uint8_t>(config_, 56, 1);
  return config_;
}

void VirtioBlk::config_written(uint64_t offset, unsigned size, uint32_t value) {
  if (offset == kWritebackOffset && size == 1 && negotiated(kConfigWce)) {
    write_back_ = value & 1;
  } else {
    LYRE_GUEST_ERROR("%s: write to read-only configuration field 0x%llx", name().c_str(), static_cast<unsigned long long>(offset));
  }
}

void VirtioBlk::device_reset() { write_back_ = has_cache(); }

void VirtioBlk::features_negotiated() {
  // 5.2.5.2: without FLUSH, writeback starts at 0.
  if (!negotiated(kFlush)) write_back_ = false;
}

// 5.2.6.2: what a completed write must mean. A driver that cannot flush gets every write durable.
bool VirtioBlk::write_through() const {
  if (negotiated(kConfigWce)) return !write_back_;
  return !negotiated(kFlush) || !has_cache();
}

VirtioBlk::Request& VirtioBlk::new_request(unsigned index) {
  if (free_.empty()) {
    requests_.push_back(std::make_unique<Request>());
    free_.push_back(requests_.back().get());
  }
  Request& request = *free_.back();
  request.queue = index;
  request.client = this;
  return request;
}

void VirtioBlk::handle_queue(unsigned index) {
  auto guard = lock();
  if (!running(index)) return;
  bool pushed = false;
  do {
    disable_notifications(index);
    for (;;) {
      Request& request = new_request(index);
      if (!pop(index, request.chain)) break;
      free_.pop_back();
      if (parse(request)) {
        batch_.push_back(&request);
      } else {
        pushed = true;
      }
      if (failed()) break;
    }
  } while (enable_notifications(index));
  if (!batch_.empty()) disk_->submit(batch_);
  batch_.clear();
  if (pushed) publish(index);
}

// True: the disk has something to do. False: the request was answered, or the driver broke the rules.
bool VirtioBlk::parse(Request& request) {
  ChainReader reader(request.chain);
  Header header;
  if (reader.read(&header, sizeof header) != sizeof header || request.chain.writable_bytes < 1) {
    free_.push_back(&request);
    fail("a request has no room for its header or its status");
    return false;
  }
  const iovec& last = request.chain.writable.back();
  request.status = static_cast<std::byte*>(last.iov_base) + last.iov_len - 1;
  request.segments.clear();
  request.error = -1;  // set by the parser if the disk has something to do
  request.bytes = request.offset = 0;
  request.fua = request.unmap = false;
  switch (header.type) {
    case kIn:
    case kOut: parse_transfer(request, header.type == kOut, header.sector, reader); break;
    case kDiscardRange:
    case kZeroRange: parse_range(request, header.type == kZeroRange, reader); break;
    case kFlushDisk:
      request.op = block::Op::kFlush;
      request.error = 0;
      break;
    case kGetId: {
      std::array<char, kIdBytes> id{};
      std::copy_n(options_.serial.begin(), std::min(options_.serial.size(), kIdBytes), id.begin());
      ChainWriter writer(request.chain);
      writer.write(id.data(), std::min<uint32_t>(kIdBytes, request.chain.writable_bytes - 1));
      complete(request, kOk);
      return false;
    }
    default: complete(request, kUnsupported); return false;
  }
  if (request.error > 0) {
    complete(request, static_cast<uint8_t>(request.error));
    return false;
  }
  return true;
}

// request.error: 0, or the status to answer with.
void VirtioBlk::parse_transfer(Request& request, bool write, uint64_t sector, ChainReader& reader) {
  request.op = write ? block::Op::kWrite : block::Op::kRead;
  request.error = kIoError;
  if (write) {
    request.bytes = reader.left();
    reader.take(reader.left(), request.segments);
    if (disk_->info().read_only) return;  // 5.2.6.2
  } else {
    request.bytes = request.chain.writable_bytes - 1;
    ChainWriter(request.chain).take(static_cast<uint32_t>(request.bytes), request.segments);
  }
  const uint64_t sectors = disk_->size() / kSector;
  if (request.bytes % options_.logical_block || sector % (options_.logical_block / kSector)) return;
  if (sector > sectors || request.bytes / kSector > sectors - sector) return;
  request.offset = sector * kSector;
  request.data = request.segments;
  request.fua = write && write_through();
  request.error = 0;
}

void VirtioBlk::parse_range(Request& request, bool zeroes, ChainReader& reader) {
  Range range;
  request.op = zeroes ? block::Op::kZeroes : block::Op::kDiscard;
  request.error = kUnsupported;
  if (!(device_features() & (zeroes ? kWriteZeroes : kDiscard))) return;
  // max_discard_seg and max_write_zeroes_seg are 1.
  if (reader.left() != sizeof range || reader.read(&range, sizeof range) != sizeof range) return;
  // 5.2.6.2: unmap is for write-zeroes only, the other bits are reserved.
  if (range.flags & ~(zeroes ? 1u : 0u)) return;
  request.error = kIoError;
  const uint64_t sectors = disk_->size() / kSector;
  if (range.sectors > kMaxRangeSectors || range.sector > sectors || range.sectors > sectors - range.sector) return;
  request.offset = range.sector * kSector;
  request.bytes = range.sectors * kSector;
  request.unmap = range.flags & 1;
  request.fua = zeroes && write_through();
  request.error = 0;
}

// With the lock. Gives the request back to the driver (if it still waits) and to the pool.
void VirtioBlk::complete(Request& request, uint8_t status) {
  if (running(request.queue)) {
    const uint32_t written = request.chain.writable_bytes;
    if (status != kOk) {
      // What the used length covers must have been written (2.7.8.2): a failed read yields zeros.
      for (const iovec& part : request.chain.writable) std::memset(part.iov_base, 0, part.iov_len);
    }
    *request.status = static_cast<std::byte>(status);
    push(request.queue, request.chain, written);
  }
  free_.push_back(&request);
}

void VirtioBlk::block_done(std::span<block::BlockRequest* const> done) {
  auto guard = lock();
  uint64_t touched = 0;  // queues 0 to 63; further ones are published one by one
  for (block::BlockRequest* each : done) {
    Request& request = *static_cast<Request*>(each);
    const unsigned index = request.queue;
    if (request.error) {
      LYRE_GUEST_ERROR("%s: disk error: %s", name().c_str(), std::strerror(request.error));
    }
    complete(request, request.error ? kIoError : kOk);
    if (index < 64) {
      touched |= uint64_t{1} << index;
    } else {
      publish(index);
    }
  }
  for (; touched; touched &= touched - 1) publish(static_cast<unsigned>(std::countr_zero(touched)));
}

}  // namespace lyre::machine::virtio
