#include "runtime/linux/guest_memory.h"

namespace lyre::linux_user {

bool GuestMemory::write(uint64_t address, const void* from, size_t bytes) const {
  const auto* source = static_cast<const std::byte*>(from);
  size_t left = bytes;
  for (int tries = 0; tries < 64; ++tries) {
    const size_t done = bytes - left;
    left = guarded_copy(reinterpret_cast<void*>(address + done), source + done, left);
    if (left == 0) return true;
    if (!space_.write_fault(address + (bytes - left))) return false;
  }
  return false;
}

std::optional<std::string> GuestMemory::text(uint64_t address, size_t limit) const {
  const int64_t length = guarded_length(reinterpret_cast<const char*>(address), limit + 1);
  if (length < 0 || static_cast<size_t>(length) > limit) return std::nullopt;
  std::string copy(static_cast<size_t>(length), '\0');
  if (!read(address, copy.data(), copy.size())) return std::nullopt;
  return copy;
}

}  // namespace lyre::linux_user
