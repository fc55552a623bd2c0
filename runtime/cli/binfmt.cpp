// lyrebird binfmt: tells the kernel that programs of a guest are run by lyrebird-user
// (Documentation/admin-guide/binfmt-misc.rst).
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "frontend/guest_isa.h"
#include "frontend/linux_abi.h"
#include "runtime/base/nearest.h"
#include "runtime/cli/tool_options.h"

namespace lyre::cli {
namespace {

constexpr const char* kDirectory = "/proc/sys/fs/binfmt_misc";
constexpr std::string_view kProgram = "lyrebird-user";

struct Request {
  std::string directory = kDirectory;
  std::string interpreter;
  bool setuid = false;
};

std::string read_file(const std::string& path) {
  std::string text;
  if (FILE* file = std::fopen(path.c_str(), "re")) {
    char buffer[2048];
    for (size_t got; (got = std::fread(buffer, 1, sizeof buffer, file)) > 0;) text.append(buffer, got);
    std::fclose(file);
  }
  return text;
}

// One write, as the kernel wants it.
Status write_file(const std::string& path, const std::string& text) {
  const int fd = open(path.c_str(), O_WRONLY | O_CLOEXEC);
  const ssize_t written = fd < 0 ? -1 : write(fd, text.data(), text.size());
  const int error = errno;
  if (fd >= 0) close(fd);
  if (written == static_cast<ssize_t>(text.size())) return Ok{};
  if (error == EACCES || error == EPERM) return Error{path + " can be written by root only"};
  return Error{path + ": " + std::strerror(error)};
}

// An entry as the kernel shows it.
struct Entry {
  bool exists = false, enabled = false;
  std::string interpreter, flags;
  bool ours() const {
    const std::string name = interpreter.substr(interpreter.rfind('/') + 1);
    return exists && name.starts_with("lyrebird");
  }
};

Entry read_entry(const std::string& path) {
  Entry entry;
  const std::string text = read_file(path);
  entry.exists = !text.empty();
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string line = text.substr(at, end - at);
    at = end + 1;
    if (line == "enabled") entry.enabled = true;
    if (line.starts_with("interpreter ")) entry.interpreter = line.substr(12);
    if (line.starts_with("flags: ")) entry.flags = line.substr(7);
  }
  return entry;
}

std::string entry_name(const char* owner, std::string_view guest) {
  return owner + std::string("-") + std::string(guest);
}
// The name that other tools look for first.
constexpr const char* kOwners[] = {"qemu", "lyrebird"};

Status check_kernel(const Request& request) {
  struct stat info;
  if (stat(request.directory.c_str(), &info) != 0)
    return Error{"there is no " + request.directory +
                 ": the kernel has no binfmt_misc (modprobe binfmt_misc), or /proc is not mounted"};
  if (access((request.directory + "/register").c_str(), F_OK) != 0)
    return Error{"binfmt_misc is not mounted: mount -t binfmt_misc binfmt_misc " + request.directory};
  return Ok{};
}

// The file itself, not a link to it, for the kernel keeps it open.
Result<std::string> find_interpreter(const Request& request) {
  std::string path = request.interpreter;
  if (path.empty()) {
    char self[4096];
    const ssize_t length = readlink("/proc/self/exe", self, sizeof self);
    if (length <= 0) return Error{"the folder of this program is not known: name lyrebird-user with --interpreter"};
    path.assign(self, static_cast<size_t>(length));
    path = path.substr(0, path.rfind('/') + 1) + std::string(kProgram);
  }
  char* real = realpath(path.c_str(), nullptr);
  if (!real) return Error{path + ": " + std::strerror(errno)};
  path = real;
  std::free(real);
  if (access(path.c_str(), X_OK) != 0) return Error{path + " can not be executed"};
  return path;
}

// What the kernel compares: 64 or 32 bits, little-endian, ELF version 1, a program with or without a fixed place, the
// machine. Neither the OS ABI nor the lowest bit of the type counts.
std::string magic_of(const frontend::LinuxAbi& abi, bool mask) {
  uint8_t bytes[20] = {0x7f, 'E', 'L', 'F', static_cast<uint8_t>(abi.is_64bit() ? 2 : 1), 1, 1, 0};
  bytes[16] = 2;
  bytes[18] = static_cast<uint8_t>(abi.elf_machine()), bytes[19] = static_cast<uint8_t>(abi.elf_machine() >> 8);
  if (mask) {
    std::memset(bytes, 0xff, sizeof bytes);
    bytes[7] = 0, bytes[16] = 0xfe;
  }
  std::string text;
  for (uint8_t byte : bytes) {
    char part[5];
    std::snprintf(part, sizeof part, "\\x%02x", byte);
    text += part;
  }
  return text;
}

// Only from 5.12 on does the kernel say that it passes argument zero.
bool kernel_keeps_argument_zero() {
  utsname name;
  unsigned major = 0, minor = 0;
  return uname(&name) == 0 && std::sscanf(name.release, "%u.%u", &major, &minor) == 2 &&
         (major > 5 || (major == 5 && minor >= 12));
}

Status remove_entry(const Request& request, const std::string& name) {
  return write_file(request.directory + "/" + name, "-1");
}

Status register_guest(const Request& request, const frontend::GuestInfo& guest) {
  auto interpreter = find_interpreter(request);
  if (!interpreter) return interpreter.error();
  std::string name;
  for (const char* owner : kOwners) {
    const std::string candidate = entry_name(owner, guest.name);
    const Entry entry = read_entry(request.directory + "/" + candidate);
    if (entry.ours())
      if (Status removed = remove_entry(request, candidate); !removed) return removed;
    if (name.empty() && (!entry.exists || entry.ours())) name = candidate;
  }
  if (name.empty()) return Error{"the names of the entry are taken by other programs"};
  std::string separators = ":,;|!";  // any character may part the fields
  std::erase_if(separators, [&](char c) { return interpreter->find(c) != interpreter->npos; });
  if (separators.empty()) return Error{*interpreter + ": the kernel can not be told this name"};
  const std::string c(1, separators[0]),
      flags = std::string("FO") + (kernel_keeps_argument_zero() ? "P" : "") + (request.setuid ? "C" : "");
  const frontend::LinuxAbi& abi = guest.linux_abi();
  const std::string line =
      c + name + c + "M" + c + "0" + c + magic_of(abi, false) + c + magic_of(abi, true) + c + *interpreter + c + flags;
  if (Status done = write_file(request.directory + "/register", line); !done) return done;
  std::printf("%s: registered as %s, run by %s\n", std::string(guest.name).c_str(), name.c_str(), interpreter->c_str());
  if (request.setuid)
    std::printf(
        "%s: setuid and setgid programs run with the rights of their owner, and so does the emulator for them\n",
        std::string(guest.name).c_str());
  return Ok{};
}

Status unregister_guest(const Request& request, const frontend::GuestInfo& guest) {
  bool any = false;
  for (const char* owner : kOwners) {
    const std::string name = entry_name(owner, guest.name);
    if (!read_entry(request.directory + "/" + name).ours()) continue;
    if (Status removed = remove_entry(request, name); !removed) return removed;
    std::printf("%s: %s is removed\n", std::string(guest.name).c_str(), name.c_str());
    any = true;
  }
  if (!any) std::printf("%s: nothing of Lyrebird's was registered\n", std::string(guest.name).c_str());
  return Ok{};
}

Status show_guest(const Request& request, const frontend::GuestInfo& guest) {
  bool any = false;
  for (const char* owner : kOwners) {
    const std::string name = entry_name(owner, guest.name);
    const Entry entry = read_entry(request.directory + "/" + name);
    if (!entry.exists) continue;
    std::printf("%s: %s, %s, run by %s, flags %s\n", std::string(guest.name).c_str(), name.c_str(),
                entry.enabled ? "enabled" : "disabled", entry.interpreter.c_str(), entry.flags.c_str());
    any = true;
  }
  if (!any) std::printf("%s: not registered\n", std::string(guest.name).c_str());
  return Ok{};
}

// Those that the line names, or all with a user mode.
Result<std::vector<const frontend::GuestInfo*>> chosen_guests(std::span<const std::string> names) {
  std::vector<const frontend::GuestInfo*> chosen;
  std::vector<std::string_view> known;
  for (const frontend::GuestInfo& guest : frontend::guests())
    if (guest.linux_abi) known.push_back(guest.name);
  for (const std::string& name : names) {
    const frontend::GuestInfo* guest = frontend::find_guest(name);
    if (!guest || !guest->linux_abi)
      return Error{"there is no user mode for '" + name + "'" + did_you_mean(name, known)};
    chosen.push_back(guest);
  }
  if (names.empty())
    for (std::string_view name : known) chosen.push_back(frontend::find_guest(name));
  return chosen;
}

}  // namespace

int run_binfmt(Arguments arguments) {
  Request request;
  const std::vector<ToolOption> rows = {
      {"setuid", "", "register: setuid programs of the guest get their owner's rights (flag C), the emulator with them",
       [&](const std::string&) -> Status { return request.setuid = true, Ok{}; }},
      {"interpreter", "FILE", "register: the emulator; without it lyrebird-user beside this program",
       [&](const std::string& text) -> Status { return request.interpreter = text, Ok{}; }},
      {"directory", "DIR", "for tests: another folder than /proc/sys/fs/binfmt_misc",
       [&](const std::string& text) -> Status { return request.directory = text, Ok{}; }},
  };
  const ToolSyntax syntax{
      "binfmt", "register|unregister|status [options] [GUEST...]",
      "Tells the kernel to run programs of these guests (all that have a user mode) with lyrebird-user.", rows};
  auto parsed = parse_tool_options(syntax, arguments);
  if (!parsed) return tool_error(syntax, parsed.error());
  if (parsed->help) return std::fputs(tool_help(syntax).c_str(), stdout) < 0;
  struct Action {
    std::string_view name;
    Status (*run)(const Request&, const frontend::GuestInfo&);
  };
  constexpr Action kActions[] = {
      {"register", register_guest}, {"unregister", unregister_guest}, {"status", show_guest}};
  const std::string word = parsed->positional.empty() ? "" : parsed->positional[0];
  std::vector<std::string_view> names;
  for (const Action& action : kActions) {
    names.push_back(action.name);
    if (action.name != word) continue;
    auto guests = chosen_guests(std::span(parsed->positional).subspan(1));
    if (!guests) return tool_error(syntax, guests.error());
    if (Status there = check_kernel(request); !there) return tool_error(syntax, there.error());
    for (const frontend::GuestInfo* guest : *guests)
      if (Status done = action.run(request, *guest); !done) return tool_error(syntax, done.error());
    return std::fflush(stdout) != 0;
  }
  if (word.empty()) return tool_error(syntax, {"register, unregister or status?"});
  return tool_error(syntax, {"there is no '" + word + "'" + did_you_mean(word, names)});
}

}  // namespace lyre::cli
