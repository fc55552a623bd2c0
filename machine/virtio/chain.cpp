#include "machine/virtio/chain.h"

#include <algorithm>
#include <cstring>

namespace lyre::machine::virtio {
namespace {

// Calls each(host, bytes) for the next `bytes` bytes of `segments` and moves past them. bytes is at most what is left.
template <typename Each>
void advance(std::span<const iovec>& segments, size_t& offset, uint32_t bytes, Each each) {
  while (bytes) {
    const iovec& segment = segments.front();
    const auto part = static_cast<uint32_t>(std::min<size_t>(bytes, segment.iov_len - offset));
    each(static_cast<std::byte*>(segment.iov_base) + offset, part);
    bytes -= part;
    offset += part;
    if (offset == segment.iov_len) {
      segments = segments.subspan(1);
      offset = 0;
    }
  }
}

}  // namespace

template <typename Each>
uint32_t ChainReader::walk(uint32_t bytes, Each each) {
  bytes = std::min(bytes, left_);
  advance(segments_, offset_, bytes, each);
  left_ -= bytes;
  return bytes;
}

uint32_t ChainReader::read(void* to, uint32_t bytes) {
  auto* at = static_cast<std::byte*>(to);
  return walk(bytes, [&](const std::byte* host, uint32_t part) {
    std::memcpy(at, host, part);
    at += part;
  });
}

uint32_t ChainReader::skip(uint32_t bytes) {
  return walk(bytes, [](const std::byte*, uint32_t) {});
}

void ChainReader::take(uint32_t bytes, std::vector<iovec>& to) {
  walk(bytes, [&](std::byte* host, uint32_t part) { to.push_back({host, part}); });
}

template <typename Each>
uint32_t ChainWriter::walk(uint32_t bytes, Each each) {
  bytes = std::min(bytes, left_);
  advance(segments_, offset_, bytes, each);
  left_ -= bytes;
  written_ += bytes;
  return bytes;
}

uint32_t ChainWriter::write(const void* from, uint32_t bytes) {
  auto* at = static_cast<const std::byte*>(from);
  return walk(bytes, [&](std::byte* host, uint32_t part) {
    std::memcpy(host, at, part);
    at += part;
  });
}

uint32_t ChainWriter::skip(uint32_t bytes) {
  return walk(bytes, [](std::byte*, uint32_t) {});
}

void ChainWriter::take(uint32_t bytes, std::vector<iovec>& to) {
  walk(bytes, [&](std::byte* host, uint32_t part) { to.push_back({host, part}); });
}

}  // namespace lyre::machine::virtio
