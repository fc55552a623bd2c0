#include "runtime/linux/proc_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include <thread>

namespace lyre::linux_user {
namespace {

// "maps" of "/proc/self/maps", "/proc/<own pid>/maps", "/proc/thread-self/maps"; empty: another process's, or none of
// these.
std::string own_entry(const std::string& path) {
  const std::string number = "/proc/" + std::to_string(getpid()) + "/";
  for (const std::string& head : {std::string("/proc/self/"), std::string("/proc/thread-self/"), number})
    if (path.starts_with(head)) return path.substr(head.size());
  return {};
}

std::string read_all(const char* path) {
  std::string text;
  FILE* file = fopen(path, "re");
  if (!file) return text;
  char buffer[4096];
  for (size_t got; (got = fread(buffer, 1, sizeof buffer, file)) > 0;) text.append(buffer, got);
  fclose(file);
  return text;
}

// The host's lines that lie in the guest's table, with the guest's rights.
std::string maps(Process& process) {
  const auto table = process.space().snapshot();
  const std::string host = read_all("/proc/self/maps");
  std::string text;
  for (size_t at = 0; at < host.size();) {
    size_t end = host.find('\n', at);
    if (end == host.npos) end = host.size();
    const std::string line = host.substr(at, end - at);
    at = end + 1;
    unsigned long long first = 0, last = 0;
    int used = 0;
    char rights[5] = {};
    if (sscanf(line.c_str(), "%llx-%llx %4s%n", &first, &last, rights, &used) < 3) continue;
    unsigned long long offset = 0;
    int offset_used = 0;
    sscanf(line.c_str() + used, " %llx%n", &offset, &offset_used);
    const bool file = line.find('/') != line.npos;
    const std::string rest = line.substr(static_cast<size_t>(used + offset_used));
    auto each = table.upper_bound(first);
    if (each != table.begin() && std::prev(each)->second.end > first) --each;
    for (; each != table.end() && each->first < last; ++each) {
      const uint64_t from = std::max<uint64_t>(first, each->first), to = std::min<uint64_t>(last, each->second.end);
      if (from >= to) continue;
      char head[96];
      const int p = each->second.protection;
      snprintf(head, sizeof head, "%012llx-%012llx %c%c%c%c %08llx", static_cast<unsigned long long>(from),
               static_cast<unsigned long long>(to), p & PROT_READ ? 'r' : '-', p & PROT_WRITE ? 'w' : '-',
               p & PROT_EXEC ? 'x' : '-', rights[3], file ? offset + (from - first) : 0ull);
      text += head + rest;
      const StackPlace& stack = process.stack();
      if (from < stack.high && stack.low < to && !file) text += "                          [stack]";
      if (from >= process.vdso() && from < process.vdso_end()) text += "                          [vdso]";
      text += '\n';
    }
  }
  return text;
}

// The page tables are as wide as the address space that the process has, 47 bits, whatever the model could do: HotSpot
// asks, and starts with no more than sv48.
std::string mmu(Process& process) {
  return process.abi().is_64bit() ? "sv48" : process.cpu().mmu_type().substr(6);
}

std::string cpuinfo(Process& process) {
  const unsigned count = std::max(1u, std::thread::hardware_concurrency());
  std::string text;
  for (unsigned k = 0; k < count; ++k)
    text += "processor\t: " + std::to_string(k) + "\nhart\t\t: " + std::to_string(k) +
            "\nisa\t\t: " + process.cpu().isa_string() + "\nmmu\t\t: " + mmu(process) +
            "\nuarch\t\t: lyrebird\n\n";
  return text;
}

// Field 28 is the bottom of the stack, 2 the name; what tells of the emulator's memory is zero.
std::string stat(Process& process) {
  std::string text = read_all("/proc/self/stat");
  const size_t name_end = text.rfind(')');
  if (name_end == text.npos) return text;
  std::string head = text.substr(0, name_end + 1), rest = text.substr(name_end + 1), made;
  unsigned field = 2;
  for (size_t at = 0; at < rest.size();) {
    const size_t start = rest.find_first_not_of(" \n", at);
    if (start == rest.npos) break;
    size_t end = rest.find_first_of(" \n", start);
    if (end == rest.npos) end = rest.size();
    ++field;
    std::string value = rest.substr(start, end - start);
    if (field == 28) value = std::to_string(process.stack().sp);
    made += " " + value;
    at = end;
  }
  return head + made + "\n";
}

int64_t file_with(const std::string& text, int flags) {
  if ((flags & O_ACCMODE) != O_RDONLY) return -EACCES;
  const int fd = memfd_create("proc", flags & O_CLOEXEC ? MFD_CLOEXEC : 0u);
  if (fd < 0) return -errno;
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t wrote = write(fd, text.data() + done, text.size() - done);
    if (wrote <= 0) break;
    done += static_cast<size_t>(wrote);
  }
  lseek(fd, 0, SEEK_SET);
  return fd;
}

}  // namespace

bool names_own_program(const std::string& path) { return path.starts_with("/proc/") && own_entry(path) == "exe"; }

int64_t open_proc_file(Process& process, const std::string& path, int flags) {
  if (path == "/proc/cpuinfo") return file_with(cpuinfo(process), flags);
  const std::string entry = own_entry(path);
  if (entry == "exe") {
    const int fd = open(process.program_path().c_str(), flags);
    return fd < 0 ? -errno : fd;
  }
  if (entry == "maps") return file_with(maps(process), flags);
  if (entry == "stat") return file_with(stat(process), flags);
  if (entry == "cmdline" || entry == "auxv") {
    const StackPlace& stack = process.stack();
    const uint64_t from = entry == "auxv" ? stack.auxv : stack.arguments;
    std::string text(entry == "auxv" ? stack.auxv_bytes : stack.arguments_end - stack.arguments, '\0');
    if (!process.memory().read(from, text.data(), text.size())) text.clear();
    return file_with(text, flags);
  }
  return -ENOENT;
}

}  // namespace lyre::linux_user
