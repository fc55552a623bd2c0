#include "runtime/linux/trace_peer.h"

#include <stdio.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include <string>

#include "runtime/linux/own_files.h"

extern "C" const char __ehdr_start[] __attribute__((visibility("hidden")));

namespace lyre::linux_user {
namespace {

constexpr int kMostThreads = 100000;  // more areas than that are a list that changes under our eyes

uint64_t offset_in_executable() {
  return reinterpret_cast<uint64_t>(&g_trace_process) - reinterpret_cast<uint64_t>(__ehdr_start);
}

}  // namespace

bool peer_read(pid_t pid, uint64_t address, void* to, size_t bytes) noexcept {
  const iovec local{to, bytes}, remote{reinterpret_cast<void*>(address), bytes};
  return process_vm_readv(pid, &local, 1, &remote, 1, 0) == static_cast<ssize_t>(bytes);
}
bool peer_write(pid_t pid, uint64_t address, const void* from, size_t bytes) noexcept {
  const iovec local{const_cast<void*>(from), bytes}, remote{reinterpret_cast<void*>(address), bytes};
  return process_vm_writev(pid, &local, 1, &remote, 1, 0) == static_cast<ssize_t>(bytes);
}

std::optional<uint64_t> find_peer(pid_t pid) {
  struct stat own;
  if (own_file() < 0 || fstat(own_file(), &own) != 0) return std::nullopt;
  FILE* maps = fopen(("/proc/" + std::to_string(pid) + "/maps").c_str(), "re");
  if (!maps) return std::nullopt;
  std::optional<uint64_t> found;
  char* line = nullptr;
  size_t room = 0;
  // The device that maps names is not always the one that stat does (overlays), so the inode and then the magic number
  // decide.
  while (!found && getline(&line, &room, maps) > 0) {
    unsigned long long start = 0, file_offset = 0, inode = 0;
    if (sscanf(line, "%llx-%*x %*4s %llx %*x:%*x %llu", &start, &file_offset, &inode) != 3 || inode != own.st_ino ||
        file_offset != 0)
      continue;
    const uint64_t address = start + offset_in_executable();
    uint64_t magic = 0;
    if (peer_get(pid, address, magic) && magic == kTraceMagic) found = address;
  }
  free(line);
  fclose(maps);
  return found;
}

uint64_t find_area(pid_t tid) {
  const auto process = find_peer(tid);
  if (!process) return 0;
  uint64_t at = 0;
  if (!peer_get(tid, *process + offsetof(TraceProcess, first), at)) return 0;
  for (int k = 0; at && k < kMostThreads; ++k) {
    struct {
      uint64_t magic, next;
      int32_t tid;
    } head;
    static_assert(offsetof(TraceArea, next) == 8 && offsetof(TraceArea, tid) == 16);
    if (!peer_get(tid, at, head) || head.magic != kTraceMagic) return 0;
    if (head.tid == tid) return at;
    at = head.next;
  }
  return 0;
}

void note_written(pid_t pid, uint64_t address, uint64_t bytes) {
  const auto process = find_peer(pid);
  uint32_t count = 0;
  const uint64_t counter = process.value_or(0) + offsetof(TraceProcess, written);
  if (!process || !peer_get(pid, counter, count)) return;
  if (count < TraceProcess::kRanges) {
    const TraceProcess::Range range{address, bytes};
    peer_put(pid, *process + offsetof(TraceProcess, ranges) + count * sizeof range, range);
    ++count;
  } else {
    count = TraceProcess::kRanges + 1;
  }
  peer_put(pid, counter, count);
}

}  // namespace lyre::linux_user
