// lyrebird-user: runs a Linux program of another processor on this host's kernel. The guest is read from the program's
// ELF header, so the executable works under any name and copied alone into a chroot.
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstdio>
#include <cstdlib>

#include "runtime/base/log.h"
#include "runtime/base/nearest.h"
#include "runtime/linux/gdb_stub.h"
#include "runtime/linux/own_files.h"
#include "runtime/linux/prefix.h"
#include "runtime/linux/process.h"
#include "runtime/linux/signal_map.h"

// The C++ library's own brings its name demangler along (300 relocations), to say what abort() says of a program that throws nothing.
namespace __gnu_cxx {
void __verbose_terminate_handler();
void __verbose_terminate_handler() { std::abort(); }
}  // namespace __gnu_cxx

using namespace lyre;
using linux_user::UserOptions;

namespace {

struct Settings {
  UserOptions user;
  std::string argument_zero, debugger, debugger_connection;
  bool has_argument_zero = false;
  std::vector<std::string> set, unset;
  bool executed = false;  // by a guest program
  int program_fd = -1;  // already open
  bool done = false;  // -h, -version: nothing to run
};

std::string g_program = "lyrebird-user";

// Names in it may come from a broken file.
[[noreturn]] void fail(std::string sentence) {
  std::replace_if(sentence.begin(), sentence.end(), [](unsigned char c) { return c < 32 || c == 127; }, '?');
  std::fprintf(stderr, "%s: %s\n", g_program.c_str(), sentence.c_str());
  _exit(1);
}

// 8M, 64k, 1048576.
Result<uint64_t> size_of(const std::string& text) {
  char* end = nullptr;
  errno = 0;
  unsigned long long value = std::strtoull(text.c_str(), &end, 0);
  if (end == text.c_str() || errno || text.starts_with('-')) return Error{"'" + text + "' is no size"};
  unsigned shift = 0;
  switch (*end) {
    case 0:
      return uint64_t{value};
    case 'k':
    case 'K':
      shift = 10;
      break;
    case 'm':
    case 'M':
      shift = 20;
      break;
    case 'g':
    case 'G':
      shift = 30;
      break;
    default:
      return Error{"'" + text + "' is no size"};
  }
  if (end[1] || value > (~0ull >> shift)) return Error{"'" + text + "' is no size"};
  return uint64_t{value} << shift;
}

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> parts;
  for (size_t at = 0; at <= text.size();) {
    const size_t comma = std::min(text.find(',', at), text.size());
    if (comma > at) parts.push_back(text.substr(at, comma - at));
    at = comma + 1;
  }
  return parts;
}

Status set_cpu(Settings& s, const std::string& value) {
  auto parts = split(value);
  if (parts.empty()) return Error{"names no model"};
  s.user.cpu_model = parts[0];
  s.user.cpu_features.assign(parts.begin() + 1, parts.end());
  return Ok{};
}
Status set_size(uint64_t& to, const std::string& value, uint64_t unit) {
  auto size = size_of(value);
  if (!size) return size.error();
  to = *size * unit;
  return Ok{};
}

Status set_address_bytes(Settings& s, const std::string& value) {
  constexpr uint64_t kLeast = uint64_t{64} << 20;
  if (Status set = set_size(s.user.address_bytes, value, 1); !set) return set;
  if (s.user.address_bytes && s.user.address_bytes < kLeast) return Error{"'" + value + "' is less than 64M"};
  return Ok{};
}
Status set_base(Settings&, const std::string& value) {
  uint64_t offset = 0;
  if (Status set = set_size(offset, value, 1); !set) return set;
  if (offset) return Error{"guest addresses are this host's own here, there is no other offset than 0"};
  return Ok{};
}

struct Option {
  char name[18];
  char environment[18];  // behind LYREBIRD_ and QEMU_; empty: none
  char argument[10];     // empty: none
  char help[90];
  bool passed_on;  // to programs that the guest executes
  Status (*apply)(Settings& settings, const std::string& value);
};

// Absolute, for the guest may change its directory, and as the kernel names what is in it.
Status set_prefix(Settings& s, const std::string& value) {
  char name[PATH_MAX];
  s.user.prefix = realpath(value.c_str(), name) ? name : value;
  if (s.user.prefix == "/") s.user.prefix.clear();
  return Ok{};
}

Status apply_help(Settings& s, const std::string&);
Status apply_exec_fd(Settings& s, const std::string&);
Status apply_exec_program(Settings& s, const std::string&);
Status apply_exec_filters(Settings& s, const std::string&);
Status apply_version(Settings& s, const std::string&) {
  std::printf("lyrebird-user %s\n", LYRE_VERSION);
  s.done = true;
  return Ok{};
}

constexpr Option kOptions[] = {
    {"exec-fd", "", "FD", "", false, apply_exec_fd},  // from ourselves: the executable, when a guest program executes another
    {"exec-program", "", "FD", "", false, apply_exec_program},  // likewise: the program, already open
    {"exec-limits", "", "LIMITS", "", false,  // likewise: limits that are the guest's alone
     [](Settings& s, const std::string& v) -> Status { return s.user.limits = v, Ok{}; }},
    {"exec-filters", "", "FD", "", false, apply_exec_filters},  // likewise: seccomp filters
    {"exec-tracer", "", "HOW", "", false,  // likewise: that it is traced
     [](Settings& s, const std::string& v) -> Status { return s.user.tracer = v, Ok{}; }},
    {"exec-name", "", "NAME", "", false,  // likewise: what the task is called
     [](Settings& s, const std::string& v) -> Status { return s.user.task_name = v, Ok{}; }},
    {"gdb-fd", "", "FD", "", false,  // likewise: a debugger's connection
     [](Settings& s, const std::string& v) -> Status { return s.debugger_connection = v, Ok{}; }},
    {"h", "", "", "this list", false, apply_help},
    {"help", "", "", "this list", false, apply_help},
    {"version", "", "", "version", false, apply_version},
    {"L", "LD_PREFIX", "PREFIX", "folder with the guest's system: its files hide the host's", true, set_prefix},
    {"s", "STACK_SIZE", "SIZE", "size of the first thread's stack", true,
     [](Settings& s, const std::string& v) -> Status { return set_size(s.user.stack_bytes, v, 1); }},
    {"cpu", "CPU", "MODEL", "processor model and features (-cpu help)", true, set_cpu},
    {"g", "GDB", "ENDPOINT", "waits for gdb at a TCP port of this host, or at a Unix socket", false,
     [](Settings& s, const std::string& v) -> Status { return s.debugger = v, Ok{}; }},
    {"R", "RESERVED_VA", "SIZE", "where the guest's addresses end", true, set_address_bytes},
    {"B", "GUEST_BASE", "OFFSET", "what guest addresses are moved by in the host: 0", true, set_base},
    {"t", "RTSIG_MAP", "TSIG...", "real-time signals of the host for the guest's: 'TSIG HSIG N[,...]'", true,
     [](Settings&, const std::string& v) -> Status { return linux_user::set_signal_map(v); }},
    {"E", "SET_ENV", "VAR=VAL", "sets variables of the guest's environment, separated by commas", false,
     [](Settings& s, const std::string& v) -> Status {
       for (auto& part : split(v)) {
         if (part.find('=') == part.npos) return Error{"'" + part + "' sets no value"};
         s.set.push_back(part);
       }
       return Ok{};
     }},
    {"U", "UNSET_ENV", "VAR", "removes variables from it, separated by commas", false,
     [](Settings& s, const std::string& v) -> Status {
       for (auto& part : split(v)) s.unset.push_back(part);
       return Ok{};
     }},
    {"0", "ARGV0", "NAME", "argument zero of the program", false,
     [](Settings& s, const std::string& v) -> Status { return s.argument_zero = v, s.has_argument_zero = true, Ok{}; }},
    {"r", "UNAME", "RELEASE", "release that uname shows", true,
     [](Settings& s, const std::string& v) -> Status { return s.user.uname_release = v, Ok{}; }},
    {"strace", "STRACE", "", "prints system calls", true,
     [](Settings& s, const std::string&) -> Status { return s.user.strace = true, Ok{}; }},
    {"d", "LOG", "ITEMS", "log items, separated by commas (-d help)", true,
     [](Settings&, const std::string& v) -> Status { return log_set_items(v); }},
    {"D", "LOG_FILENAME", "FILE", "file of the log, %d is the process", true,
     [](Settings&, const std::string& v) -> Status { return log_set_file(v); }},
    {"dfilter", "DFILTER", "RANGES", "guest addresses that the log is about", true,
     [](Settings&, const std::string& v) -> Status { return log_set_filter(v); }},
    {"seed", "RAND_SEED", "NUMBER", "seed of what the guest gets as random at its start", true,
     [](Settings& s, const std::string& v) -> Status { return set_size(s.user.seed, v, 1); }},
    {"tb-size", "TB_SIZE", "MIB", "memory for translated code", true,
     [](Settings& s, const std::string& v) -> Status { return set_size(s.user.code_bytes, v, 1 << 20); }},
    {"page-size", "PAGE_SIZE", "SIZE", "the guest's page, a power of two from its own up to 64k", true,
     [](Settings& s, const std::string& v) -> Status {
       if (Status set = set_size(s.user.page_bytes, v, 1); !set) return set;
       if (!std::has_single_bit(s.user.page_bytes) || s.user.page_bytes < 4096 || s.user.page_bytes > 65536)
         return Error{"'" + v + "' is no size of a page"};
       return Ok{};
     }},
    {"one-insn-per-tb", "ONE_INSN_PER_TB", "", "translates one instruction at a time", true,
     [](Settings& s, const std::string&) -> Status { return s.user.one_insn_per_block = true, Ok{}; }},
    {"accel", "ACCEL", "NAME", "tcg (the translator) or interp (the interpreter of intermediate code)", true,
     [](Settings& s, const std::string& v) -> Status {
       if (v != "tcg" && v != "interp") return Error{"there is no accelerator '" + v + "'"};
       return s.user.backend = v == "tcg" ? "x64" : "interp", Ok{};
     }},
};

Status apply_exec_program(Settings& settings, const std::string& value) {
  auto fd = size_of(value);
  if (!fd) return fd.error();
  settings.program_fd = static_cast<int>(*fd);
  return Ok{};
}

Status apply_exec_fd(Settings& settings, const std::string& value) {
  auto fd = size_of(value);
  if (!fd) return fd.error();
  linux_user::adopt_own_file(static_cast<int>(*fd));
  settings.executed = true;
  return Ok{};
}

Status apply_exec_filters(Settings& s, const std::string& value) {
  auto fd = size_of(value);
  if (!fd) return fd.error();
  s.user.filters_fd = static_cast<int>(*fd);
  return Ok{};
}

Status apply_help(Settings& s, const std::string&) {
  std::printf("usage: %s [options] PROGRAM [ARGUMENTS]\n", g_program.c_str());
  for (const Option& option : kOptions) {
    if (!option.help[0]) continue;
    const std::string left =
        std::string("-") + option.name + (option.argument[0] ? std::string(" ") + option.argument : "");
    const std::string variable = option.environment[0] ? std::string("LYREBIRD_") + option.environment : "";
    std::printf("%-18s %-26s %s\n", left.c_str(), variable.c_str(), option.help);
  }
  std::printf("Variables may also have the names that QEMU gives them, QEMU_ in front.\n");
  s.done = true;
  return Ok{};
}

void apply(Settings& settings, const Option& option, const std::string& shown, const std::string& value) {
  if (Status done = option.apply(settings, value); !done) fail(shown + ": " + done.error().message);
  if (!option.passed_on) return;
  settings.user.pass_on.push_back(std::string("-") + option.name);
  const bool prefix = option.apply == set_prefix;
  if (option.argument[0]) settings.user.pass_on.push_back(prefix ? settings.user.prefix + "/" : value);
}

// A setuid program's environment is whoever started it's: none of it is followed then.
void read_environment(Settings& settings) {
  if (getauxval(AT_SECURE)) return;
  for (const Option& option : kOptions) {
    if (!option.environment[0]) continue;
    for (const char* head : {"LYREBIRD_", "QEMU_"}) {
      const std::string name = std::string(head) + option.environment;
      const char* value = std::getenv(name.c_str());
      if (!value || !*value) continue;
      // A program that the guest executes inherits the variable itself.
      const size_t passed = settings.user.pass_on.size();
      apply(settings, option, name, value);
      settings.user.pass_on.resize(passed);
      break;
    }
  }
}

// How binfmt_misc calls an interpreter: its own name, the program's path, with flag P the program's argument zero, the
// other arguments; with flag O the program is open already. Nothing there is an option of ours.
struct KernelCall {
  bool called = false;
  bool keeps_argument_zero = false;
  int program_fd = -1;
};

KernelCall kernel_call() {
  constexpr unsigned long kPreserveArgv0 = 1;  // AT_FLAGS_PRESERVE_ARGV0 of linux/binfmts.h
  KernelCall call;
  call.keeps_argument_zero = getauxval(AT_FLAGS) & kPreserveArgv0;
  errno = 0;
  const unsigned long fd = getauxval(AT_EXECFD);
  if (errno == 0) call.program_fd = static_cast<int>(fd);
  call.called = call.keeps_argument_zero || call.program_fd >= 0;
  return call;
}

// Index of the program's name.
int read_line(Settings& settings, int argc, char** argv) {
  int at = 1;
  for (; at < argc && argv[at][0] == '-' && argv[at][1]; ++at) {
    const char* name = argv[at] + 1;
    if (*name == '-') ++name;
    if (!*name) return at + 1;  // "--"
    const auto option = std::find_if(std::begin(kOptions), std::end(kOptions),
                                     [&](const Option& each) { return !strcmp(each.name, name); });
    if (option == std::end(kOptions)) {
      std::vector<std::string_view> names;
      for (const Option& each : kOptions) names.push_back(each.name);
      fail(std::string("there is no option '") + argv[at] + "'" + did_you_mean(name, names));
    }
    std::string value;
    if (option->argument[0]) {
      if (++at == argc) fail(std::string("-") + option->name + " needs " + option->argument);
      value = argv[at];
    }
    const bool help = value == "help";
    if (help && !strcmp(option->name, "d")) {
      for (const LogItem& item : log_items())
        std::printf("%-14s %s\n", std::string(item.name).c_str(), std::string(item.help).c_str());
      settings.done = true;
    } else if (help && !strcmp(option->name, "cpu")) {
      for (const auto& model : frontend::guests()[0].models())
        std::printf("%-14s %s\n", model.name.c_str(), model.description.c_str());
      settings.done = true;
    } else {
      apply(settings, *option, argv[at - (option->argument[0] ? 1 : 0)], value);
    }
    if (settings.done) return argc;
  }
  return at;
}

std::vector<std::string> guest_environment(const Settings& settings, char** host) {
  std::vector<std::string> result;
  auto name_of = [](const std::string& entry) { return entry.substr(0, entry.find('=')); };
  auto drop = [&](const std::string& name) {
    std::erase_if(result, [&](const std::string& entry) { return name_of(entry) == name; });
  };
  for (; *host; ++host) result.emplace_back(*host);
  for (const std::string& name : settings.unset) drop(name);
  for (const std::string& entry : settings.set) drop(name_of(entry)), result.push_back(entry);
  return result;
}

}  // namespace

int main(int argc, char** argv, char** environment) {
  if (argc > 0) {
    const char* slash = strrchr(argv[0], '/');
    g_program = slash ? slash + 1 : argv[0];
  }
  Settings settings;
  read_environment(settings);
  const KernelCall kernel = kernel_call();
  const int at = kernel.called ? 1 : read_line(settings, argc, argv);
  if (settings.done) {
    std::fflush(stdout);
    return 0;
  }
  if (at >= argc) fail("which program? See -h");

  linux_user::Process::Program program;
  program.path = argv[at];
  // As for every path of the guest: the file under -L hides the host's.
  std::string host_path = program.path;
  if (!settings.user.prefix.empty() && host_path.starts_with('/'))
    host_path = linux_user::path_under(settings.user.prefix, host_path, true);
  program.fd = kernel.program_fd >= 0 ? kernel.program_fd : settings.program_fd >= 0 ? settings.program_fd : open(host_path.c_str(), O_RDONLY | O_CLOEXEC);
  if (program.fd < 0) fail(program.path + ": " + strerror(errno));
  std::byte head[64];
  const ssize_t got = pread(program.fd, head, sizeof head, 0);
  const linux_user::ElfKind kind = linux_user::elf_kind({head, got > 0 ? static_cast<size_t>(got) : 0});
  if (!kind.elf) fail(program.path + ": is no ELF program");
  for (const frontend::GuestInfo& guest : frontend::guests())
    if (guest.linux_abi && guest.linux_abi().elf_machine() == kind.machine &&
        guest.linux_abi().is_64bit() == kind.is_64bit)
      settings.user.guest = guest.name;
  if (settings.user.guest.empty()) fail(program.path + ": is a program of a processor that there is no user mode for");
  program.arguments.assign(argv + std::min(at + (kernel.keeps_argument_zero ? 1 : 0), argc), argv + argc);
  if (program.arguments.empty()) program.arguments.emplace_back();
  if (settings.has_argument_zero) program.arguments[0] = settings.argument_zero;
  program.environment = guest_environment(settings, environment);

  linux_user::open_own_file();
  auto process = linux_user::Process::create(settings.user);
  if (!process) fail(process.error().message);
  if (!settings.debugger_connection.empty()) {
    if (Status followed = linux_user::continue_gdb_stub(**process, settings.debugger_connection); !followed)
      fail("-gdb-fd: " + followed.error().message);
  } else if (!settings.debugger.empty() && !settings.executed) {  // the variable is for the first program alone
    // A setuid program's registers and memory are not for whoever connects.
    if (getauxval(AT_SECURE)) fail("-g: a program with rights of its own is not debugged");
    if (Status started = linux_user::start_gdb_stub(**process, settings.debugger); !started) fail("-g: " + started.error().message);
  }
  auto status = (*process)->run(std::move(program));
  if (!status) fail(status.error().message);
  _exit(*status);
}
