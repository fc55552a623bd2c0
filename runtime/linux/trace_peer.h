// Other processes of this emulator, as a tracer or a reader of /proc finds them: a process that has this executable's
// inode mapped, and the magic number where g_trace_process lies in it. Needs /proc, and the rights of a tracer over
// that process. Threads: any.
#pragma once
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>

#include "runtime/linux/trace_area.h"

namespace lyre::linux_user {

// Another process's memory, through the kernel; false: not all of it could be copied.
bool peer_read(pid_t pid, uint64_t address, void* to, size_t bytes) noexcept;
bool peer_write(pid_t pid, uint64_t address, const void* from, size_t bytes) noexcept;
template <typename T>
bool peer_get(pid_t pid, uint64_t address, T& value) noexcept {
  return peer_read(pid, address, &value, sizeof value);
}
template <typename T>
bool peer_put(pid_t pid, uint64_t address, const T& value) noexcept {
  return peer_write(pid, address, &value, sizeof value);
}

// Where g_trace_process of that process (or of the process of that thread) is; nullopt: it is none of ours, or not for
// this process to look at.
std::optional<uint64_t> find_peer(pid_t pid);
// The area of thread `tid`; 0: it has none (yet).
uint64_t find_area(pid_t tid);
// Says that memory of it has been written from outside, for its translated code.
void note_written(pid_t pid, uint64_t address, uint64_t bytes);

}  // namespace lyre::linux_user
