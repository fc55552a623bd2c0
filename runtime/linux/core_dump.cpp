#include "runtime/linux/core_dump.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <vector>

#include "runtime/base/guarded.h"
#include "runtime/linux/process.h"
#include "runtime/linux/safe_syscall.h"

namespace lyre::linux_user {
namespace {

// Bits of /proc/<pid>/coredump_filter; kUsual is the kernel's default.
enum Filter : uint64_t {
  kAnonymous = 1,
  kSharedAnonymous = 2,
  kFile = 4,
  kSharedFile = 8,
  kHeaders = 16,
  kUsual = 0x33
};

std::string read_all(const char* path) {
  std::string text;
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return text;
  char buffer[16384];
  for (ssize_t got; (got = read(fd, buffer, sizeof buffer)) > 0;) text.append(buffer, static_cast<size_t>(got));
  close(fd);
  return text;
}

// ---- what is mapped

// A mapping of the guest as the file shows it.
struct Segment {
  uint64_t start = 0, end = 0;
  int protection = 0;
  uint64_t dumped = 0;  // bytes, from its start
  std::string file;     // empty: none
  uint64_t offset = 0;  // in the file
};

// A mapping of the host's, from smaps.
struct HostMapping {
  uint64_t start = 0, end = 0, offset = 0;
  std::string file;
  bool shared = false, written = false;  // written: it has pages of its own
};

std::vector<HostMapping> host_mappings() {
  std::vector<HostMapping> list;
  const std::string text = read_all("/proc/self/smaps");
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string line = text.substr(at, end - at);
    at = end + 1;
    unsigned long long first, last, offset, amount;
    char rights[8];
    int used = 0;
    if (sscanf(line.c_str(), "%llx-%llx %7s %llx %*s %*s %n", &first, &last, rights, &offset, &used) == 4) {
      list.push_back({first, last, offset,
                      used && line.size() > static_cast<size_t>(used) ? line.substr(static_cast<size_t>(used)) : "",
                      rights[3] == 's', false});
    } else if (!list.empty() && (sscanf(line.c_str(), "Anonymous: %llu", &amount) == 1 ||
                                 sscanf(line.c_str(), "Swap: %llu", &amount) == 1)) {
      list.back().written |= amount != 0;
    }
  }
  return list;
}

uint64_t filter() {
  const std::string text = read_all("/proc/self/coredump_filter");
  return text.empty() ? uint64_t{kUsual} : strtoull(text.c_str(), nullptr, 16);
}

// How much of it is dumped: vma_dump_size of the kernel.
uint64_t dumped_bytes(const Segment& segment, const HostMapping& host, uint64_t wanted) {
  const uint64_t all = segment.end - segment.start;
  if (host.shared) return wanted & (segment.file.starts_with("/") ? kSharedFile : kSharedAnonymous) ? all : 0;
  if (host.written && (wanted & kAnonymous)) return all;
  if (!segment.file.starts_with("/")) return 0;
  if (wanted & kFile) return all;
  char magic[SELFMAG] = {};
  if ((wanted & kHeaders) && segment.offset == 0 &&
      guarded_copy(magic, reinterpret_cast<const void*>(segment.start), SELFMAG) == 0 &&
      memcmp(magic, ELFMAG, SELFMAG) == 0)
    return std::min<uint64_t>(all, kPageSize);
  return 0;
}

std::vector<Segment> segments(Process& process) {
  const std::vector<HostMapping> host = host_mappings();
  const uint64_t wanted = filter();
  std::vector<Segment> list;
  for (const auto& [start, mapping] : process.space().snapshot()) {
    Segment whole{start, mapping.end, mapping.protection, 0, {}, 0};
    if (host.empty()) {  // without /proc: everything but code
      const bool code = mapping.file && (mapping.protection & PROT_EXEC);
      whole.dumped = code || !mapping.protection ? 0 : whole.end - whole.start;
      list.push_back(whole);
    }
    for (const HostMapping& each : host) {
      Segment part = whole;
      part.start = std::max(start, each.start), part.end = std::min(mapping.end, each.end);
      if (part.start >= part.end) continue;
      if (each.file.starts_with("/")) part.file = each.file, part.offset = each.offset + (part.start - each.start);
      const bool vdso = part.start == process.vdso();
      part.dumped = vdso ? part.end - part.start : dumped_bytes(part, each, wanted);
      // The host's rights differ within what is one mapping to the guest.
      if (!list.empty() && list.back().end == part.start && list.back().start >= start &&
          list.back().file == part.file && list.back().protection == part.protection &&
          !list.back().dumped == !part.dumped &&
          list.back().dumped == (list.back().dumped ? list.back().end - list.back().start : 0)) {
        list.back().end = part.end, list.back().dumped += part.dumped;
        continue;
      }
      list.push_back(part);
    }
  }
  return list;
}

// ---- notes

template <typename T>
void append(std::string& to, const T& value) {
  to.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void add_note(std::string& notes, uint32_t type, std::string_view content) {
  const Elf64_Nhdr head{5, static_cast<uint32_t>(content.size()), type};
  append(notes, head);
  notes.append("CORE\0\0\0", 8);
  notes += content;
  notes.resize((notes.size() + 3) & ~size_t{3});
}

// struct elf_prstatus of a 64-bit machine, up to its registers.
struct StatusHead {
  int32_t signal, code, error;
  int16_t current;
  uint64_t pending, held;
  int32_t pid, parent, group, session;
  timeval user, system, children_user, children_system;
};
static_assert(sizeof(StatusHead) == 112);

std::string status_note(Thread& thread, const SigInfo& info) {
  StatusHead head{};
  head.signal = head.current = static_cast<int16_t>(info.signo);
  head.held = thread.mask();
  head.pid = thread.tid(), head.parent = getppid(), head.group = getpgrp(), head.session = getsid(0);
  rusage own{}, children{};
  getrusage(RUSAGE_SELF, &own);
  getrusage(RUSAGE_CHILDREN, &children);
  head.user = own.ru_utime, head.system = own.ru_stime;
  head.children_user = children.ru_utime, head.children_system = children.ru_stime;
  std::string note;
  append(note, head);
  for (uint64_t value : thread.process().abi().core_registers(thread.block())) append(note, value);
  append(note, uint64_t{1});  // there are floating-point registers
  return note;
}

std::string guest_name(Process& process) {
  char name[17] = {};
  prctl(PR_GET_NAME, name);
  if (!std::string_view(name).starts_with("lyrebird")) return name;  // the guest has set one
  const std::string& path = process.program_path();
  return path.substr(path.rfind('/') + 1).substr(0, 15);
}

// struct elf_prpsinfo.
std::string process_note(Process& process) {
  struct {
    char state, name, zombie, nice;
    uint64_t flags;
    uint32_t user, group;
    int32_t pid, parent, process_group, session;
    char program[16], arguments[80];
  } info{};
  static_assert(sizeof info == 136);
  info.name = 'R';
  info.user = getuid(), info.group = getgid();
  info.pid = getpid(), info.parent = getppid(), info.process_group = getpgrp(), info.session = getsid(0);
  const std::string name = guest_name(process);
  memcpy(info.program, name.data(), std::min(name.size(), sizeof info.program - 1));
  const StackPlace& stack = process.stack();
  const size_t bytes = std::min<size_t>(stack.arguments_end - stack.arguments, sizeof info.arguments - 1);
  if (!process.memory().read(stack.arguments, info.arguments, bytes)) info.arguments[0] = 0;
  std::replace(info.arguments, info.arguments + bytes, '\0', ' ');
  while (bytes && info.arguments[strlen(info.arguments) - 1] == ' ') info.arguments[strlen(info.arguments) - 1] = 0;
  std::string note;
  append(note, info);
  return note;
}

// NT_FILE: count, page size, then start, end and page offset of each, then their names, which are the guest's.
std::string files_note(const std::vector<Segment>& list, const std::string& prefix) {
  std::string numbers, names;
  uint64_t count = 0;
  for (const Segment& segment : list) {
    if (!segment.file.starts_with("/")) continue;
    ++count;
    append(numbers, segment.start);
    append(numbers, segment.end);
    append(numbers, segment.offset / kPageSize);
    const bool inside = !prefix.empty() && segment.file.starts_with(prefix + "/");
    names.append(segment.file.c_str() + (inside ? prefix.size() : 0)) += '\0';
  }
  if (!count) return {};
  std::string note;
  append(note, count);
  append(note, uint64_t{kPageSize});
  return note + numbers + names;
}

std::string notes_of(Thread& dying, const std::vector<Thread*>& threads, const SigInfo& info,
                     const std::vector<Segment>& list) {
  Process& process = dying.process();
  std::string notes;
  auto floats = [&](Thread& thread) {
    std::string values;
    for (uint64_t value : process.abi().core_float_registers(thread.block())) append(values, value);
    add_note(notes, NT_FPREGSET, values);
  };
  add_note(notes, NT_PRSTATUS, status_note(dying, info));
  add_note(notes, NT_PRPSINFO, process_note(process));
  add_note(notes, NT_SIGINFO, {reinterpret_cast<const char*>(&info), sizeof info});
  std::string auxv(process.stack().auxv_bytes, '\0');
  if (process.memory().read(process.stack().auxv, auxv.data(), auxv.size())) add_note(notes, NT_AUXV, auxv);
  if (const std::string files = files_note(list, process.options.prefix); !files.empty())
    add_note(notes, NT_FILE, files);
  floats(dying);
  for (Thread* thread : threads) {
    if (thread == &dying) continue;
    add_note(notes, NT_PRSTATUS, status_note(*thread, info));
    floats(*thread);
  }
  return notes;
}

// ---- the file

// The host's core_pattern where it names a file; a program that it would be piped to knows the host's programs alone.
std::string core_name(Process& process, const SigInfo& info, uint64_t limit) {
  std::string pattern = read_all("/proc/sys/kernel/core_pattern");
  while (!pattern.empty() && pattern.back() == '\n') pattern.pop_back();
  if (pattern.empty() || pattern[0] == '|' || pattern[0] == '@') pattern = "core";
  std::string name, path = process.program_path();
  bool has_pid = false;
  auto flat = [](std::string text) {
    std::replace(text.begin(), text.end(), '/', '!');
    return text == "." || text == ".." ? std::string("!") : text;
  };
  for (size_t at = 0; at < pattern.size(); ++at) {
    if (pattern[at] != '%') {
      name += pattern[at];
      continue;
    }
    if (++at == pattern.size()) break;
    utsname host{};
    switch (pattern[at]) {
      case '%':
        name += '%';
        break;
      case 'p':
      case 'P':
        has_pid = true;
        name += std::to_string(getpid());
        break;
      case 'i':
      case 'I':
        name += std::to_string(host_syscall(SYS_gettid));
        break;
      case 'u':
        name += std::to_string(getuid());
        break;
      case 'g':
        name += std::to_string(getgid());
        break;
      case 'd':
        name += std::to_string(prctl(PR_GET_DUMPABLE));
        break;
      case 's':
        name += std::to_string(info.signo);
        break;
      case 't':
        name += std::to_string(time(nullptr));
        break;
      case 'h':
        uname(&host);
        name += flat(host.nodename);
        break;
      case 'e':
        name += flat(guest_name(process));
        break;
      case 'f':
        name += flat(path.substr(path.rfind('/') + 1));
        break;
      case 'E':
        name += flat(path);
        break;
      case 'c':
        name += std::to_string(limit);
        break;
      default:
        break;
    }
  }
  if (!has_pid && read_all("/proc/sys/kernel/core_uses_pid").starts_with("1")) name += "." + std::to_string(getpid());
  return name;
}

// Its own file, or -1: an old one's place is taken, nobody's link is followed.
int create(const std::string& name) {
  unlink(name.c_str());
  const int fd = open(name.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0600);
  struct stat made;
  if (fd >= 0 && (fstat(fd, &made) != 0 || !S_ISREG(made.st_mode) || made.st_nlink != 1)) return close(fd), -1;
  return fd;
}

class Writer {
 public:
  Writer(int fd, uint64_t limit) : fd_(fd), limit_(limit) {}
  // False: the limit is reached, or there is no room; nothing more is written then.
  bool write(const void* data, size_t bytes) {
    if (full_ || bytes > limit_ - written_) return full_ = true, false;
    for (size_t done = 0; done < bytes;) {
      const ssize_t wrote =
          pwrite(fd_, static_cast<const char*>(data) + done, bytes - done, static_cast<off_t>(at_ + done));
      if (wrote < 0 && errno == EINTR) continue;
      if (wrote <= 0) return full_ = true, false;
      done += static_cast<size_t>(wrote);
    }
    at_ += bytes, written_ += bytes;
    return true;
  }
  void skip(uint64_t bytes) { at_ += bytes; }
  uint64_t at() const { return at_; }
  bool full() const { return full_; }
  void end() {
    if (!full_ && ftruncate(fd_, static_cast<off_t>(at_)) != 0) full_ = true;
  }

 private:
  const int fd_;
  const uint64_t limit_;
  uint64_t at_ = 0, written_ = 0;
  bool full_ = false;
};

// Pages that were never touched are holes. Where the host does not say which, those are that have only zeros.
class Memory {
 public:
  Memory()
      : memory_(open("/proc/self/mem", O_RDONLY | O_CLOEXEC)),
        pages_(open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC)) {}
  ~Memory() { close(memory_), close(pages_); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  void dump(Writer& out, uint64_t start, uint64_t bytes) {
    static constexpr uint64_t kAtOnce = 4096;  // pages
    std::vector<uint64_t> map(kAtOnce);
    std::vector<unsigned char> resident(kAtOnce);
    for (uint64_t at = start; at < start + bytes && !out.full();) {
      const uint64_t pages = std::min(kAtOnce, (start + bytes - at) / kPageSize);
      constexpr uint64_t kPresent = uint64_t{3} << 62;  // in memory, or swapped out
      bool known = pages_ >= 0 && pread(pages_, map.data(), pages * 8, static_cast<off_t>(at / kPageSize * 8)) ==
                                      static_cast<ssize_t>(pages * 8);
      if (!known && mincore(reinterpret_cast<void*>(at), pages * kPageSize, resident.data()) == 0) {
        known = true;
        for (uint64_t k = 0; k < pages; ++k) map[k] = resident[k] & 1 ? kPresent : 0;
      }
      for (uint64_t k = 0; k < pages; ++k, at += kPageSize)
        if ((known && !(map[k] & kPresent)) || !page(out, at)) out.skip(kPageSize);
    }
  }

 private:
  bool page(Writer& out, uint64_t address) {
    alignas(8) char bytes[kPageSize];
    if (pread(memory_, bytes, sizeof bytes, static_cast<off_t>(address)) != static_cast<ssize_t>(sizeof bytes) &&
        guarded_copy(bytes, reinterpret_cast<const void*>(address), sizeof bytes) != 0)
      return false;
    static const char kZeros[kPageSize] = {};
    if (memcmp(bytes, kZeros, sizeof bytes) == 0) return false;
    return out.write(bytes, sizeof bytes);
  }
  const int memory_, pages_;
};

void write_core(Writer& out, Process& process, const std::vector<Segment>& list, const std::string& notes) {
  Elf64_Ehdr head{};
  memcpy(head.e_ident, ELFMAG, SELFMAG);
  head.e_ident[EI_CLASS] = ELFCLASS64, head.e_ident[EI_DATA] = ELFDATA2LSB, head.e_ident[EI_VERSION] = EV_CURRENT;
  head.e_type = ET_CORE, head.e_machine = process.abi().elf_machine(), head.e_version = EV_CURRENT;
  head.e_phoff = sizeof head, head.e_ehsize = sizeof head, head.e_phentsize = sizeof(Elf64_Phdr);
  const size_t count = list.size() + 1;
  // More than the field holds: the number is in the only section header's sh_info.
  Elf64_Shdr extra{};
  const bool many = count >= PN_XNUM;
  head.e_phnum = many ? uint16_t{PN_XNUM} : static_cast<uint16_t>(count);
  uint64_t offset = sizeof head + count * sizeof(Elf64_Phdr);
  if (many) {
    head.e_shoff = offset, head.e_shentsize = sizeof extra, head.e_shnum = 1;
    extra.sh_info = static_cast<uint32_t>(count), extra.sh_size = 1;
    offset += sizeof extra;
  }
  std::string headers;
  append(headers, head);
  Elf64_Phdr note{};
  note.p_type = PT_NOTE, note.p_offset = offset, note.p_filesz = notes.size(), note.p_align = 4;
  append(headers, note);
  const uint64_t data = (offset + notes.size() + kPageSize - 1) & kPageMask;
  uint64_t at = data;
  for (const Segment& segment : list) {
    Elf64_Phdr load{};
    load.p_type = PT_LOAD, load.p_offset = at, load.p_vaddr = segment.start;
    load.p_filesz = segment.dumped, load.p_memsz = segment.end - segment.start, load.p_align = kPageSize;
    load.p_flags = (segment.protection & PROT_READ ? PF_R : 0u) | (segment.protection & PROT_WRITE ? PF_W : 0u) |
                   (segment.protection & PROT_EXEC ? PF_X : 0u);
    append(headers, load);
    at += segment.dumped;
  }
  if (many) append(headers, extra);
  if (!out.write(headers.data(), headers.size()) || !out.write(notes.data(), notes.size())) return;
  out.skip(data - out.at());
  Memory memory;
  for (const Segment& segment : list)
    if (segment.dumped) memory.dump(out, segment.start, segment.dumped);
  out.end();
}

}  // namespace

void dump_core(Thread& thread, const SigInfo& info) {
  const uint64_t limit = thread.limits().get(RLIMIT_CORE).rlim_cur;
  if (limit < kPageSize || prctl(PR_GET_DUMPABLE) != 1) return;
  Process& process = thread.process();
  const std::vector<Thread*> threads = process.hold_threads(thread);
  const int fd = create(core_name(process, info, limit));
  if (fd < 0) return;
  const std::vector<Segment> list = segments(process);
  Writer out(fd, limit);
  write_core(out, process, list, notes_of(thread, threads, info, list));
  close(fd);
}

}  // namespace lyre::linux_user
