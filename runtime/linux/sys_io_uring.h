// What mmap tells the calls of io_uring.
#pragma once
#include <cstdint>

namespace lyre::linux_user {

// The guest has mapped `fd`, which may be a ring, from `offset` on at `address`.
void note_ring_mapping(int fd, uint64_t offset, uint64_t address);

// Around fork: nobody changes the list of rings meanwhile.
void lock_rings();
void unlock_rings();

}  // namespace lyre::linux_user
