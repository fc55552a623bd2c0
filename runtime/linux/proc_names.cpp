#include "runtime/linux/proc_names.h"

#include <fcntl.h>
#include <linux/prctl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <initializer_list>

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
    rest = slash == rest.npos ? "" : rest.substr(rest.find_first_not_of('/', slash) == rest.npos ? rest.size() : rest.find_first_not_of('/', slash));
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
  if (!peer || !peer_get(name.pid, *peer + offsetof(TraceProcess, shown), shown) || shown.program_bytes > 4096) return std::nullopt;
  std::string program(shown.program_bytes, '\0');
  if (!peer_read(name.pid, shown.program, program.data(), program.size())) return std::nullopt;
  return program;
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
  for (char* at = got && rest ? const_cast<char*>(rest) + 3 : nullptr; at && *at && count < 52;) {  // the state is a letter
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
