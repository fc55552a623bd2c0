// BlockBackend: the host side of a disk. Requests are asynchronous: submit() returns at once, the client is told of completions in
// batches on the I/O thread. Layers (snapshot overlay, raw file, null) stack by being each other's client.
// Durability: a flush covers every write whose completion was reported before the flush was submitted; `fua` makes one write durable
// before it completes. Nothing is kept back in the emulator's memory, so a killed emulator leaves the disk as last flushed, or newer.
// Threads: submit() on the I/O thread; drain() on any, with no lock held that a client's block_done() takes.
#pragma once
#include <sys/uio.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace lyre::machine::block {

enum class Op : uint8_t { kRead, kWrite, kFlush, kDiscard, kZeroes };

struct BlockRequest;

class BlockClient {
 public:
  virtual ~BlockClient() = default;
  // On the I/O thread. The requests are the client's again.
  virtual void block_done(std::span<BlockRequest* const> done) = 0;
};

// Owned by the client; stays where it is until block_done().
struct BlockRequest {
  Op op = Op::kRead;
  bool fua = false;             // kWrite, kZeroes: durable before completion
  bool unmap = false;           // kZeroes: the range may be deallocated
  uint64_t offset = 0;          // bytes; a multiple of 512, as is `bytes`; offset + bytes <= BlockBackend::size()
  uint64_t bytes = 0;
  std::span<const iovec> data;  // kRead, kWrite: `bytes` bytes in all
  BlockClient* client = nullptr;
  int error = 0;                // 0 or an errno
};

struct BlockInfo {
  std::string description;      // "disk.img (raw, read-only)", for `info block`
  bool read_only = false;
  bool write_cache = true;      // off: cache=writethrough, directsync
  bool discards = false;        // discard=unmap
};

class BlockBackend {
 public:
  virtual ~BlockBackend() = default;
  virtual uint64_t size() const = 0;  // bytes, a multiple of 512
  virtual const BlockInfo& info() const = 0;
  virtual void submit(std::span<BlockRequest* const> batch) = 0;
  // Returns when everything submitted before has completed and its client was told.
  virtual void drain() = 0;
};

}  // namespace lyre::machine::block
