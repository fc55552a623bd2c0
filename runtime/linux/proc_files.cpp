#include "runtime/linux/proc_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <thread>

#include "runtime/linux/proc_maps.h"
#include "runtime/linux/proc_names.h"
#include "runtime/linux/thread.h"
#include "runtime/linux/trace_peer.h"

namespace lyre::linux_user {
namespace {

constexpr uint64_t kMostShown = 64 << 20;

std::string read_all(const char* path) {
  std::string text;
  FILE* file = fopen(path, "re");
  if (!file) return text;
  char buffer[4096];
  for (size_t got; (got = fread(buffer, 1, sizeof buffer, file)) > 0;) text.append(buffer, got);
  fclose(file);
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

// "Linux version RELEASE (who built it) ...".
std::string version(const std::string& release) {
  std::string text = read_all("/proc/version");
  const std::string head = "Linux version ";
  if (text.starts_with(head)) text.replace(head.size(), text.find(' ', head.size()) - head.size(), release);
  return text;
}

// The host's, but for signals and seccomp, which are the emulator's there, and for what is about the host's processor.
std::optional<std::string> status(const ProcName& name, const std::string& path) {
  const size_t task = path.find("/task/");
  const pid_t tid = task == path.npos ? path.starts_with("/proc/thread-self") ? Thread::current()->tid() : name.pid : atoi(path.c_str() + task + 6);
  const auto shown = shown_thread(name, tid);
  const std::string host = read_all(("/proc/" + std::to_string(name.pid) + "/task/" + std::to_string(tid) + "/status").c_str());
  if (!shown || host.empty()) return std::nullopt;
  std::string text;
  for (size_t at = 0; at < host.size();) {
    const size_t end = std::min(host.find('\n', at), host.size());
    std::string line = host.substr(at, end - at);
    at = end + 1;
    char value[24];
    auto is = [&](const char* key, const char* format, unsigned long long number) {
      if (!line.starts_with(key)) return;
      snprintf(value, sizeof value, format, number);
      line = key + std::string(value);
    };
    is("SigBlk:\t", "%016llx", shown->blocked);
    is("SigIgn:\t", "%016llx", shown->ignored);
    is("SigCgt:\t", "%016llx", shown->caught);
    is("Seccomp:\t", "%llu", shown->seccomp_mode);
    is("Seccomp_filters:\t", "%llu", shown->seccomp_filters);
    if (!line.starts_with("x86_")) text += line + '\n';
  }
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

// What the process's stack holds for these files, as it is now.
std::optional<std::string> shown_memory(const ProcName& name, const std::string& entry) {
  const std::optional<uint64_t> peer = name.own ? reinterpret_cast<uint64_t>(&g_trace_process) : find_peer(name.pid);
  ShownProcess shown;
  if (!peer || !peer_get(name.pid, *peer + offsetof(TraceProcess, shown), shown)) return std::nullopt;
  const uint64_t from = entry == "auxv" ? shown.auxv : entry == "cmdline" ? shown.arguments : shown.environment;
  const uint64_t to = entry == "auxv" ? shown.auxv_end : entry == "cmdline" ? shown.arguments_end : shown.environment_end;
  if (to < from || to - from > kMostShown) return std::nullopt;
  std::string text(to - from, '\0');
  if (!peer_read(name.pid, from, text.data(), text.size())) text.clear();
  return text;
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

std::optional<std::string> named_program(Process& process, int directory, const std::string& path) {
  if (!path.ends_with("exe")) return std::nullopt;
  const auto name = proc_name(full_proc_name(directory, path));
  return name && name->entry == "exe" ? program_of(process, *name) : std::nullopt;
}

int64_t open_proc_file(Process& process, const std::string& path, int flags) {
  if (path == "/proc/cpuinfo") return file_with(cpuinfo(process), flags);
  if (path == "/proc/sys/kernel/arch") return file_with(process.abi().uname_machine() + "\n", flags);
  if (const std::string& release = process.options.uname_release; !release.empty()) {
    if (path == "/proc/sys/kernel/osrelease") return file_with(release + "\n", flags);
    if (path == "/proc/version") return file_with(version(release), flags);
  }
  const auto name = proc_name(path);
  if (!name) return -ENOENT;
  const std::string& entry = name->entry;
  if (entry == "exe") {
    const auto program = program_of(process, *name);
    if (!program) return -ENOENT;
    const int fd = open(program->c_str(), flags);
    return fd < 0 ? -errno : fd;
  }
  if (entry == "cmdline" || entry == "auxv" || entry == "environ") {
    const auto text = shown_memory(*name, entry);
    return text ? file_with(*text, flags) : -ENOENT;
  }
  if (entry == "maps" || entry == "smaps") {
    const auto text = guest_maps(process, *name);
    return text ? file_with(*text, flags) : -ENOENT;
  }
  if (entry == "status") {
    const auto text = status(*name, path);
    return text ? file_with(*text, flags) : -ENOENT;
  }
  if (!name->own) return -ENOENT;
  if (entry == "stat") return file_with(stat(process), flags);
  return -ENOENT;
}

}  // namespace lyre::linux_user
