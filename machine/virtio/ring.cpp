#include "machine/virtio/ring.h"

#include <algorithm>
#include <limits>

namespace lyre::machine::virtio {

bool Ring::add(Chain& chain, const Element& element) {
  if (element.length == 0) return true;  // nothing to see there; its address does not matter
  if (!element.writable && !chain.writable.empty()) {
    error_ = "a device-readable descriptor follows a device-writable one";
    return false;
  }
  // Spans of Dma are const for reading only; one iovec type serves both directions because preadv and pwritev share it.
  std::byte* host;
  if (element.writable) {
    host = dma_.writable_view(element.address, element.length).data();
  } else {
    host = const_cast<std::byte*>(dma_.view(element.address, element.length).data());
  }
  if (!host) {
    error_ = "a descriptor points outside guest RAM";
    return false;
  }
  uint32_t& total = element.writable ? chain.writable_bytes : chain.readable_bytes;
  if (element.length > std::numeric_limits<uint32_t>::max() - total) {
    error_ = "a chain is longer than 4 GiB";
    return false;
  }
  total += element.length;
  if (element.writable) {
    chain.writable.push_back({host, element.length});
    chain.writable_address.push_back(element.address);
  } else {
    chain.readable.push_back({host, element.length});
  }
  return true;
}

void Ring::push(const Chain& chain, uint32_t written) {
  uint64_t left = written;
  for (size_t i = 0; i < chain.writable.size() && left; ++i) {
    const uint64_t part = std::min<uint64_t>(left, chain.writable[i].iov_len);
    dma_.wrote(chain.writable_address[i], part);
    left -= part;
  }
  stage(chain, written);
}

}  // namespace lyre::machine::virtio
