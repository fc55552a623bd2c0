// Chain: one request of a driver, as zero-copy views of guest RAM. Every segment was bounds-checked when the chain was popped and
// stays valid for the machine's life; its contents may change under our hands, so read a field once and then use the copy.
// Ownership: a device keeps Chain objects and reuses them, so that the vectors keep their capacity. One thread at a time. Hot.
#pragma once
#include <sys/uio.h>

#include <cstdint>
#include <span>
#include <vector>

#include "runtime/base/types.h"

namespace lyre::machine::virtio {

// The longest chain that we take, in descriptors: what one preadv() takes (UIO_MAXIOV).
inline constexpr unsigned kMaxChain = 1024;

struct Chain {
  std::vector<iovec> readable;        // device-readable segments, in order; none is empty
  std::vector<iovec> writable;        // device-writable segments
  std::vector<Gpa> writable_address;  // where writable[i] lies, for Dma::wrote
  uint32_t readable_bytes = 0;
  uint32_t writable_bytes = 0;
  uint16_t id = 0;           // head index (split) or buffer id (packed)
  uint16_t descriptors = 0;  // ring slots that the chain takes up

  void clear() {
    readable.clear();
    writable.clear();
    writable_address.clear();
    readable_bytes = writable_bytes = 0;
    id = descriptors = 0;
  }
};

// Reads a chain's device-readable part front to back.
class ChainReader {
 public:
  explicit ChainReader(const Chain& chain) : segments_(chain.readable), left_(chain.readable_bytes) {}
  uint32_t left() const { return left_; }  // bytes
  // How many bytes were there, at most `bytes`.
  uint32_t read(void* to, uint32_t bytes);
  uint32_t skip(uint32_t bytes);
  // Appends the views of the next `bytes` bytes; bytes <= left().
  void take(uint32_t bytes, std::vector<iovec>& to);

 private:
  template <typename Each>
  uint32_t walk(uint32_t bytes, Each each);
  std::span<const iovec> segments_;
  size_t offset_ = 0;  // into segments_[0]
  uint32_t left_;
};

// Fills a chain's device-writable part front to back.
class ChainWriter {
 public:
  explicit ChainWriter(const Chain& chain) : segments_(chain.writable), left_(chain.writable_bytes) {}
  uint32_t left() const { return left_; }
  uint32_t written() const { return written_; }
  uint32_t write(const void* from, uint32_t bytes);
  uint32_t skip(uint32_t bytes);  // counts as written
  void take(uint32_t bytes, std::vector<iovec>& to);

 private:
  template <typename Each>
  uint32_t walk(uint32_t bytes, Each each);
  std::span<const iovec> segments_;
  size_t offset_ = 0;
  uint32_t left_;
  uint32_t written_ = 0;
};

}  // namespace lyre::machine::virtio
