#include "runtime/linux/mem_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>

#include "runtime/linux/trace_peer.h"

namespace lyre::linux_user {
namespace {

// Each process's file has an inode of its own. A debugger has few of them; the oldest makes place.
struct MemFile {
  std::atomic<uint64_t> inode{0};
  std::atomic<uint64_t> device{0};
  std::atomic<pid_t> pid{0};
};
constexpr unsigned kFiles = 64;
MemFile g_files[kFiles];
std::atomic<unsigned> g_opened{0};  // 0: none ever, the usual case

// "/proc/12/mem", "/proc/self/task/13/mem", "/proc/thread-self/mem": whose; 0: no such name.
pid_t whose_memory(const std::string& path) {
  if (!path.starts_with("/proc/") || !path.ends_with("/mem")) return 0;
  const std::string who = path.substr(6, path.find('/', 6) - 6);
  if (who == "self" || who == "thread-self") return getpid();
  char* end = nullptr;
  const long number = strtol(who.c_str(), &end, 10);
  return *end == 0 && number > 0 ? static_cast<pid_t>(number) : 0;
}

pid_t whose_file(int fd) {
  struct stat info;
  if (fstat(fd, &info) != 0) return 0;
  for (const MemFile& each : g_files)
    if (each.pid && each.inode == info.st_ino && each.device == info.st_dev) return each.pid;
  return 0;
}

void wrote(SyscallCall& c, pid_t pid, uint64_t address, int64_t bytes) {
  if (!pid || bytes <= 0) return;
  if (pid == getpid())
    c.process.space().code_changed(address, static_cast<uint64_t>(bytes));
  else
    note_written(pid, address, static_cast<uint64_t>(bytes));
}

int64_t write_at(SyscallCall& c, bool at_offset) {
  if (!g_opened.load(std::memory_order_relaxed)) return pass_on(c);
  const pid_t pid = whose_file(c.i(0));
  if (!pid) return pass_on(c);
  const uint64_t address = at_offset ? c[3] : static_cast<uint64_t>(lseek(c.i(0), 0, SEEK_CUR));
  const int64_t bytes = pass_on(c);
  wrote(c, pid, address, bytes);
  return bytes;
}

}  // namespace

void opened_proc_file(int fd, const std::string& path, int flags) {
  const pid_t pid = (flags & O_ACCMODE) == O_RDONLY ? 0 : whose_memory(path);
  struct stat info;
  if (!pid || fstat(fd, &info) != 0) return;
  MemFile& file = g_files[g_opened.fetch_add(1) % kFiles];
  file.pid = pid, file.inode = info.st_ino, file.device = info.st_dev;
}

int64_t sys_write(SyscallCall& c) { return write_at(c, false); }
int64_t sys_pwrite64(SyscallCall& c) { return write_at(c, true); }
int64_t sys_writev(SyscallCall& c) { return write_at(c, false); }
int64_t sys_pwritev(SyscallCall& c) { return write_at(c, true); }

}  // namespace lyre::linux_user
