// Copies between the emulator and guest memory, for system calls and signal frames. Failure is the guest's EFAULT,
// never a fault of ours. A copy to a page that holds translated code drops that code first, as a guest's store would.
#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "runtime/base/guarded.h"
#include "runtime/linux/address_space.h"

namespace lyre::linux_user {

class GuestMemory {
 public:
  explicit GuestMemory(AddressSpace& space) : space_(space) {}

  bool read(uint64_t address, void* to, size_t bytes) const {
    return guarded_copy(to, reinterpret_cast<const void*>(address), bytes) == 0;
  }
  bool write(uint64_t address, const void* from, size_t bytes) const;
  template <typename T>
  bool get(uint64_t address, T& value) const {
    return read(address, &value, sizeof value);
  }
  template <typename T>
  bool put(uint64_t address, const T& value) const {
    return write(address, &value, sizeof value);
  }
  // A string of at most `limit` bytes, the zero not counted. Empty result: it can not be read, or is longer.
  std::optional<std::string> text(uint64_t address, size_t limit = 4096) const;
  AddressSpace& space() const { return space_; }

 private:
  AddressSpace& space_;
};

}  // namespace lyre::linux_user
