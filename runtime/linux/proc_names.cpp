#include "runtime/linux/proc_names.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/prctl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <array>
#include <string_view>
#include <vector>

#include "runtime/linux/own_files.h"
#include "runtime/linux/trace_peer.h"

namespace lyre::linux_user {
namespace {

pid_t number_of(const std::string& text) {
  char* end = nullptr;
  const long number = strtol(text.c_str(), &end, 10);
  return !text.empty() && *end == 0 && number > 0 ? static_cast<pid_t>(number) : 0;
}

constexpr char kKnown[][10] = {"exe", "maps", "smaps", "stat", "status", "auxv", "cmdline", "environ", "mem"};

}  // namespace

std::optional<ProcName> proc_name(const std::string& path) {
  if (!path.starts_with("/proc/")) return std::nullopt;
  std::string rest = path.substr(6);
  auto next = [&] {
    const size_t slash = rest.find('/');
    const std::string part = rest.substr(0, slash);
    rest = slash == rest.npos
               ? ""
               : rest.substr(rest.find_first_not_of('/', slash) == rest.npos ? rest.size()
                                                                             : rest.find_first_not_of('/', slash));
    return part;
  };
  const std::string who = next();
  ProcName name;
  name.pid = who == "self" || who == "thread-self" ? getpid() : number_of(who);
  if (!name.pid) return std::nullopt;
  name.own = name.pid == getpid();
  name.entry = next();
  if (name.entry == "task" && !rest.empty()) {
    if (!number_of(next())) return std::nullopt;
    name.entry = next();
  }
  if (!rest.empty()) name.entry += "/" + rest;
  return name;
}

std::string full_proc_name(int directory, const std::string& path) {
  if (path.starts_with('/')) return path;
  const std::string last = path.substr(path.rfind('/') == path.npos ? 0 : path.rfind('/') + 1);
  bool known = false;
  for (const char* each : kKnown) known |= last == each;
  if (!known) return path;
  char folder[256];
  const std::string link = directory == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/" + std::to_string(directory);
  const ssize_t length = readlink(link.c_str(), folder, sizeof folder);
  if (length <= 0 || !std::string_view(folder, static_cast<size_t>(length)).starts_with("/proc")) return path;
  return std::string(folder, static_cast<size_t>(length)) + "/" + path;
}

std::optional<std::string> program_of(Process& process, const ProcName& name) {
  if (name.own) return process.program_path();
  const auto peer = find_peer(name.pid);
  ShownProcess shown;
  if (!peer || !peer_get(name.pid, *peer + offsetof(TraceProcess, shown), shown) || shown.program_bytes > 4096)
    return std::nullopt;
  std::string program(shown.program_bytes, '\0');
  if (!peer_read(name.pid, shown.program, program.data(), program.size())) return std::nullopt;
  return program;
}

int64_t hide_own_descriptors(Process& process, int folder, uint64_t entries, int64_t bytes) {
  std::vector<char> image(static_cast<size_t>(bytes));
  bool hidden = false;
  if (!process.memory().read(entries, image.data(), image.size())) return bytes;
  for (size_t at = 0; at + offsetof(dirent64, d_name) < image.size();) {
    const auto* entry = reinterpret_cast<const dirent64*>(&image[at]);
    const size_t length = entry->d_reclen;
    if (!length || length > image.size() - at) break;
    if (!is_own_file(static_cast<int>(number_of(entry->d_name)))) {
      at += length;
      continue;
    }
    char name[64];
    const ssize_t got = readlink(("/proc/self/fd/" + std::to_string(folder)).c_str(), name, sizeof name);
    const std::string_view path(name, got > 0 ? static_cast<size_t>(got) : 0);
    if (!path.starts_with("/proc/") || !(path.ends_with("/fd") || path.ends_with("/fdinfo"))) return bytes;
    const auto about = proc_name(std::string(path));
    if (!about || !about->own) return bytes;
    image.erase(image.begin() + static_cast<ptrdiff_t>(at), image.begin() + static_cast<ptrdiff_t>(at + length));
    hidden = true;
  }
  if (!hidden || !process.memory().write(entries, image.data(), image.size())) return bytes;
  return static_cast<int64_t>(image.size());
}

std::optional<ShownThread> shown_thread(const ProcName& name, pid_t tid) {
  const uint64_t at = find_area(tid);
  std::array<SignalTable::Action, kSignals + 1> actions;
  struct {
    uint64_t actions;
    uint32_t seccomp_mode, seccomp_filters;
  } head;
  static_assert(offsetof(TraceArea, seccomp_filters) - offsetof(TraceArea, actions) == 12);
  ShownThread thread;
  if (!at || !peer_get(name.pid, at + offsetof(TraceArea, actions), head) ||
      !peer_get(name.pid, head.actions, actions) || !peer_get(name.pid, at + offsetof(TraceArea, mask), thread.blocked))
    return std::nullopt;
  for (unsigned k = 1; k <= kSignals; ++k) {
    const uint64_t bit = uint64_t{1} << (k - 1);
    if (actions[k].handler == 1) thread.ignored |= bit;
    if (actions[k].handler > 1) thread.caught |= bit;
  }
  thread.seccomp_mode = head.seccomp_mode, thread.seccomp_filters = head.seccomp_filters;
  return thread;
}

void name_in_kernel(const std::string& program, const StackPlace& stack) {
  prctl(PR_SET_NAME, program.c_str() + (program.rfind('/') == program.npos ? 0 : program.rfind('/') + 1), 0, 0, 0);
  FILE* file = fopen("/proc/self/stat", "re");
  if (!file) return;
  char text[1024] = {};
  const size_t got = fread(text, 1, sizeof text - 1, file);
  fclose(file);
  const char* rest = strrchr(text, ')');
  unsigned long long field[53] = {};
  unsigned count = 2;  // the first behind the name is field 3
  for (char* at = got && rest ? const_cast<char*>(rest) + 3 : nullptr;
       at && *at && count < 52;) {  // the state is a letter
    ++count;
    if (count > 3) field[count] = strtoull(at, &at, 10);
    while (*at && *at != ' ') ++at;
    while (*at == ' ') ++at;
  }
  if (count < 51) return;
  // What is not named here stays: the kernel checks all of it and takes all of it.
  prctl_mm_map map{};
  map.start_code = field[26], map.end_code = field[27], map.start_data = field[45], map.end_data = field[46];
  map.start_brk = field[47], map.brk = reinterpret_cast<uint64_t>(sbrk(0));
  map.start_stack = stack.sp;
  map.arg_start = stack.arguments, map.arg_end = stack.arguments_end;
  map.env_start = stack.environment, map.env_end = stack.environment_end;
  map.exe_fd = ~0u;
  prctl(PR_SET_MM, PR_SET_MM_MAP, &map, sizeof map, 0);
}

}  // namespace lyre::linux_user
