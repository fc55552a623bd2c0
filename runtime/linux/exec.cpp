#include "runtime/linux/exec.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <vector>

#include "runtime/base/log.h"
#include "runtime/linux/debugger.h"
#include "runtime/linux/own_files.h"
#include "runtime/linux/proc_files.h"
#include "runtime/linux/safe_syscall.h"
#include "runtime/linux/seccomp.h"

namespace lyre::linux_user {
namespace {

constexpr size_t kHeadBytes = 256;  // what the kernel looks at (BINPRM_BUF_SIZE)
constexpr int kMaxScripts = 5;      // interpreters that are scripts themselves
constexpr size_t kMaxStrings = 1 << 20;

bool read_strings(const GuestMemory& memory, uint64_t array, std::vector<std::string>& out, int64_t& error) {
  for (size_t k = 0; array; ++k) {
    uint64_t pointer = 0;
    if (!memory.get(array + 8 * k, pointer)) return error = -EFAULT, false;
    if (!pointer) break;
    auto text = memory.text(pointer, 128 << 10);
    if (!text) return error = guarded_length(reinterpret_cast<const char*>(pointer), 1) < 0 ? -EFAULT : -E2BIG, false;
    out.push_back(std::move(*text));
    if (out.size() > kMaxStrings) return error = -E2BIG, false;
  }
  return true;
}

std::vector<const char*> pointers(const std::vector<std::string>& strings) {
  std::vector<const char*> list;
  for (const std::string& each : strings) list.push_back(each.c_str());
  list.push_back(nullptr);
  return list;
}

struct Head {
  std::byte bytes[kHeadBytes];
  size_t count = 0;
};

// The start of the file, if it may be executed; -errno.
int64_t read_head(int directory, const std::string& path, int flags, Head& head) {
  if (const int64_t denied =
          host_syscall(SYS_faccessat2, static_cast<uint64_t>(directory), reinterpret_cast<uint64_t>(path.c_str()), X_OK,
                       AT_EACCESS | (static_cast<uint64_t>(flags) & (AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW)));
      denied < 0 && denied != -ENOSYS && denied != -EPERM)
    return denied;
  const int64_t fd =
      path.empty() && (flags & AT_EMPTY_PATH)
          ? host_syscall(SYS_openat, AT_FDCWD,
                         reinterpret_cast<uint64_t>(("/proc/self/fd/" + std::to_string(directory)).c_str()),
                         O_RDONLY | O_CLOEXEC)
          : host_syscall(SYS_openat, static_cast<uint64_t>(directory), reinterpret_cast<uint64_t>(path.c_str()),
                         O_RDONLY | O_CLOEXEC | (flags & AT_SYMLINK_NOFOLLOW ? O_NOFOLLOW : 0));
  if (fd < 0) return fd;
  struct stat info;
  int64_t result = fstat(static_cast<int>(fd), &info) != 0 ? -errno : 0;
  if (result == 0 && !S_ISREG(info.st_mode)) result = -EACCES;
  if (result == 0) {
    const ssize_t got = pread(static_cast<int>(fd), head.bytes, sizeof head.bytes, 0);
    head.count = got < 0 ? 0 : static_cast<size_t>(got);
  }
  close(static_cast<int>(fd));
  return result;
}

// "#! interpreter [argument]", as the kernel's binfmt_script splits it. False: it is no script.
bool split_script(const Head& head, std::string& interpreter, std::string& argument) {
  const std::string text(reinterpret_cast<const char*>(head.bytes), head.count);
  if (!text.starts_with("#!")) return false;
  std::string line = text.substr(2, text.find('\n') == text.npos ? text.npos : text.find('\n') - 2);
  const size_t start = line.find_first_not_of(" \t");
  if (start == line.npos) return false;
  const size_t last = line.find_last_not_of(" \t\r");
  line = line.substr(start, last - start + 1);
  const size_t space = line.find_first_of(" \t");
  interpreter = line.substr(0, space);
  if (space != line.npos) argument = line.substr(line.find_first_not_of(" \t", space));
  return true;
}

// Open for the program that is executed, above the guest's descriptors; -1: errno says why.
int open_for_next(const std::string& path) {
  int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return fd;
  fd = raise_file(fd);
  fcntl(fd, F_SETFD, 0);
  return fd;
}

}  // namespace

int64_t do_exec(SyscallCall& call, int directory, const std::string& guest_path, uint64_t argument_array,
                uint64_t environment_array, int flags) {
  int64_t error = 0;
  std::vector<std::string> arguments, environment;
  std::string path = named_program(call.process, directory, guest_path).value_or(guest_path);
  const std::string path_called = guest_path.empty() ? std::to_string(directory) : guest_path;
  // By a descriptor, which may be closed by the time that the new program looks: it is handed an open one.
  const int by = directory != AT_FDCWD && !path.starts_with('/') ? directory : -1;
  if (directory != AT_FDCWD && by == directory && (is_own_file(by) || fcntl(by, F_GETFD) < 0)) return -EBADF;
  if (path.empty() && (flags & AT_EMPTY_PATH))
    path = "/proc/self/fd/" + std::to_string(directory), flags &= ~AT_EMPTY_PATH, directory = AT_FDCWD;
  if (directory != AT_FDCWD && !path.starts_with('/'))
    path = "/proc/self/fd/" + std::to_string(directory) + "/" + path, directory = AT_FDCWD;

  bool ours = false;
  std::string program = path;
  for (int level = 0; level <= kMaxScripts; ++level) {
    Head head;
    if (const int64_t failed = read_head(directory, call.process.host_path(program), flags, head)) return failed;
    // The program is looked for first.
    if (level == 0 && (!read_strings(call.memory, argument_array, arguments, error) ||
                       !read_strings(call.memory, environment_array, environment, error)))
      return error;
    if (arguments.empty()) arguments.emplace_back();
    const ElfKind kind = elf_kind({head.bytes, head.count});
    if (kind.elf) {
      ours = kind.machine == call.process.abi().elf_machine() && kind.is_64bit == call.process.abi().is_64bit();
      break;
    }
    std::string interpreter, argument;
    if (!split_script(head, interpreter, argument)) return -ENOEXEC;
    // The interpreter could not open it.
    if (level == 0 && by >= 0 && (fcntl(by, F_GETFD) & FD_CLOEXEC)) return -ENOENT;
    if (level == kMaxScripts) return -ELOOP;
    arguments[0] = program;
    if (!argument.empty()) arguments.insert(arguments.begin(), argument);
    arguments.insert(arguments.begin(), interpreter);
    program = interpreter;
  }
  const auto environment_pointers = pointers(environment);
  const auto envp = reinterpret_cast<uint64_t>(environment_pointers.data());
  const std::string host_program = call.process.host_path(program);
  if (!ours) {
    if (call.thread.seccomp_mode()) LYRE_UNIMP("%s is a program of the host: the guest's seccomp filters end here\n", host_program.c_str());
    const auto list = pointers(arguments);
    call.thread.limits().apply_to_host();
    const int64_t failed = call.thread.call_host(SYS_execve, reinterpret_cast<uint64_t>(host_program.c_str()),
                                                 reinterpret_cast<uint64_t>(list.data()), envp);
    call.thread.limits().restore_host();
    return failed;
  }
  if (own_file() < 0) return -ENOEXEC;
  std::vector<std::string> line{"lyrebird-" + std::string(call.process.cpu().guest_name())};
  line.insert(line.end(), call.process.options.pass_on.begin(), call.process.options.pass_on.end());
  if (const std::string limits = call.thread.limits().text(); !limits.empty())
    line.insert(line.end(), {"-exec-limits", limits});
  // The name that the kernel gives the task: that of the file as it was called, a script's too.
  line.insert(line.end(), {"-exec-name", path_called.substr(path_called.rfind('/') + 1)});
  if (const std::string tracer = call.thread.tracer_text(); !tracer.empty())
    line.insert(line.end(), {"-exec-tracer", tracer});
  int opened = -1;
  if (by >= 0 && program == path && (opened = open_for_next(host_program)) < 0) return -errno;
  if (opened >= 0) line.insert(line.end(), {"-exec-program", std::to_string(opened)});
  const int filters = save_filters(call.thread.filters());
  if (filters == -2) return close(opened), -ENOMEM;
  if (filters >= 0) line.insert(line.end(), {"-exec-filters", std::to_string(filters)});
  Debugger* debugger = call.thread.debugger();
  if (debugger)
    if (const std::string connection = debugger->hand_over(true); !connection.empty())
      line.insert(line.end(), {"-gdb-fd", connection});
  line.insert(line.end(), {"-exec-fd", std::to_string(own_file()), "-0", arguments[0], program.starts_with('-') ? "./" + program : program});
  line.insert(line.end(), arguments.begin() + 1, arguments.end());
  const auto list = pointers(line);
  static const char kEmpty[] = "";
  keep_own_file(true);
  if (filters >= 0) fcntl(filters, F_SETFD, 0);
  const int64_t failed = call.thread.call_host(SYS_execveat, static_cast<uint64_t>(own_file()), reinterpret_cast<uint64_t>(kEmpty),
                                               reinterpret_cast<uint64_t>(list.data()), envp, AT_EMPTY_PATH);
  if (opened >= 0) close(opened);
  keep_own_file(false);
  if (filters >= 0) close(filters);
  if (debugger) debugger->hand_over(false);
  return failed;
}

}  // namespace lyre::linux_user
