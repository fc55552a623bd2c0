// A debugger's access to guest memory.
#include <sys/mman.h>

#include <algorithm>
#include <mutex>

#include "runtime/base/guarded.h"
#include "runtime/linux/address_space.h"

namespace lyre::linux_user {

// copy(address, offset, bytes) for every mapping of the range, which has these rights in the host meanwhile.
template <typename Function>
bool AddressSpace::with_rights(uint64_t address, size_t bytes, int rights, Function copy) {
  if (address + bytes < address) return false;
  std::unique_lock lock(mutex_);
  for (size_t done = 0; done < bytes;) {
    const uint64_t at = address + done;
    const Mapping* mapping = find(at);
    if (!mapping) return false;
    const size_t part = std::min<uint64_t>(bytes - done, mapping->end - at);
    const uint64_t page = at & kPageMask, page_bytes = ((at + part + kPageSize - 1) & kPageMask) - page;
    if (rights & PROT_WRITE) drop_code(page, page_bytes);
    const int now = host_protection(mapping->protection);
    const bool lacks = rights & ~now;
    if (lacks && mprotect(reinterpret_cast<void*>(page), page_bytes, now | rights) != 0) return false;
    const bool copied = copy(at, done, part);
    if (lacks) protect_host(page, page_bytes, mapping->protection);
    if (!copied) return false;
    done += part;
  }
  return true;
}

bool AddressSpace::peek(uint64_t address, void* to, size_t bytes) {
  return with_rights(address, bytes, PROT_READ, [&](uint64_t at, size_t offset, size_t part) {
    return guarded_copy(static_cast<char*>(to) + offset, reinterpret_cast<const void*>(at), part) == 0;
  });
}

bool AddressSpace::poke(uint64_t address, const void* from, size_t bytes) {
  return with_rights(address, bytes, PROT_READ | PROT_WRITE, [&](uint64_t at, size_t offset, size_t part) {
    return guarded_copy(reinterpret_cast<void*>(at), static_cast<const char*>(from) + offset, part) == 0;
  });
}

}  // namespace lyre::linux_user
