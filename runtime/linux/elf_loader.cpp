#include "runtime/linux/elf_loader.h"

#include <elf.h>
#include <errno.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>

#include "runtime/base/guarded.h"

namespace lyre::linux_user {
namespace {

constexpr uint64_t kProgramBase =
    0x2aaaaaa000;  // of position-independent programs: low, so that pointers have many spare bits

Error not_loaded(const std::string& name, const char* why) { return {name + ": " + why}; }

int protection_of(uint32_t flags) {
  return (flags & PF_R ? PROT_READ : 0) | (flags & PF_W ? PROT_WRITE : 0) | (flags & PF_X ? PROT_EXEC : 0);
}

class Loader {
 public:
  Loader(AddressSpace& space, int fd, const std::string& name) : space_(space), fd_(fd), name_(name) {}

  Result<ElfImage> run(const frontend::LinuxAbi& abi, bool is_interpreter) {
    if (pread(fd_, &header_, sizeof header_, 0) != sizeof header_ || memcmp(header_.e_ident, ELFMAG, SELFMAG) != 0)
      return not_loaded(name_, "is no ELF file");
    if (header_.e_ident[EI_CLASS] != ELFCLASS64 || header_.e_ident[EI_DATA] != ELFDATA2LSB ||
        header_.e_machine != abi.elf_machine())
      return not_loaded(name_, ("is not a program for " + abi.uname_machine()).c_str());
    if (header_.e_type != ET_EXEC && header_.e_type != ET_DYN) return not_loaded(name_, "is not executable");
    if (header_.e_phentsize != sizeof(Elf64_Phdr) || header_.e_phnum == 0 || header_.e_phnum > 128)
      return not_loaded(name_, "has no usable program headers");
    segments_.resize(header_.e_phnum);
    const size_t bytes = segments_.size() * sizeof(Elf64_Phdr);
    if (pread(fd_, segments_.data(), bytes, static_cast<off_t>(header_.e_phoff)) != static_cast<ssize_t>(bytes))
      return not_loaded(name_, "ends before its program headers");
    if (Status read = look(is_interpreter); !read) return read.error();
    if (Status placed = reserve(is_interpreter); !placed) return placed.error();
    for (const Elf64_Phdr& segment : segments_)
      if (segment.p_type == PT_LOAD)
        if (Status mapped = map(segment); !mapped) return mapped.error();
    image_.entry = header_.e_entry + image_.bias;
    image_.program_header_count = header_.e_phnum;
    return image_;
  }

 private:
  // The extent in memory, and what other headers say.
  Status look(bool is_interpreter) {
    bool any = false;
    for (const Elf64_Phdr& segment : segments_) {
      if (segment.p_type == PT_LOAD) {
        if (segment.p_memsz < segment.p_filesz || segment.p_vaddr + segment.p_memsz < segment.p_vaddr)
          return not_loaded(name_, "has a broken segment");
        if ((segment.p_vaddr ^ segment.p_offset) & (page_ - 1))
          return not_loaded(name_, "has a segment that can not be mapped");
        if (!segment.p_memsz) continue;
        any = true;
        low_ = std::min<uint64_t>(low_, segment.p_vaddr & ~(page_ - 1));
        high_ = std::max<uint64_t>(high_, space_.page_up(segment.p_vaddr + segment.p_memsz));
      } else if (segment.p_type == PT_GNU_STACK) {
        image_.executable_stack = segment.p_flags & PF_X;
      } else if (segment.p_type == PT_INTERP && !is_interpreter) {
        if (segment.p_filesz < 2 || segment.p_filesz > 4096) return not_loaded(name_, "names no usable interpreter");
        image_.interpreter.resize(segment.p_filesz);
        if (pread(fd_, image_.interpreter.data(), segment.p_filesz, static_cast<off_t>(segment.p_offset)) !=
            static_cast<ssize_t>(segment.p_filesz))
          return not_loaded(name_, "ends before its interpreter's name");
        image_.interpreter.resize(strnlen(image_.interpreter.c_str(), segment.p_filesz));
      }
    }
    if (!any) return not_loaded(name_, "has nothing to load");
    return Ok{};
  }

  // One mapping for the whole extent first, so that segments keep their distances.
  Status reserve(bool is_interpreter) {
    const uint64_t bytes = high_ - low_;
    int64_t made = -ENOMEM;
    constexpr int kFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    if (header_.e_type == ET_EXEC) {
      made = space_.sys_mmap(low_, bytes, PROT_NONE, kFlags | MAP_FIXED_NOREPLACE, -1, 0);
    } else {
      // The greatest alignment that a segment asks for (huge pages).
      uint64_t align = page_;
      for (const Elf64_Phdr& segment : segments_)
        if (segment.p_type == PT_LOAD && segment.p_align > align && (segment.p_align & (segment.p_align - 1)) == 0)
          align = segment.p_align;
      const uint64_t base = std::min(kProgramBase, space_.top() / 3);
      const uint64_t wanted = is_interpreter ? 0 : (base + align - 1) & ~(align - 1);
      made =
          space_.sys_mmap(wanted, bytes + (is_interpreter && align > page_ ? align : 0), PROT_NONE, kFlags, -1, 0);
      if (made >= 0 && (static_cast<uint64_t>(made) & (align - 1))) {
        const uint64_t aligned = (static_cast<uint64_t>(made) + align - 1) & ~(align - 1);
        space_.sys_munmap(static_cast<uint64_t>(made), aligned - static_cast<uint64_t>(made));
        made = static_cast<int64_t>(aligned);
      }
    }
    if (made < 0)
      return not_loaded(
          name_, ("no room at the address that it needs: " + std::string(strerror(static_cast<int>(-made)))).c_str());
    image_.bias = static_cast<uint64_t>(made) - low_;
    image_.end = static_cast<uint64_t>(made) + bytes;
    return Ok{};
  }

  Status map(const Elf64_Phdr& segment) {
    const int protection = protection_of(segment.p_flags);
    const uint64_t start = segment.p_vaddr + image_.bias, page = start & ~(page_ - 1), inside = start - page;
    const uint64_t file_end = start + segment.p_filesz, memory_end = start + segment.p_memsz;
    if (header_.e_phoff >= segment.p_offset && header_.e_phoff < segment.p_offset + segment.p_filesz)
      image_.program_headers = start + (header_.e_phoff - segment.p_offset);
    uint64_t mapped_end = page;
    if (segment.p_filesz) {
      mapped_end = space_.page_up(file_end);
      const int64_t made = space_.sys_mmap(page, mapped_end - page, protection, MAP_PRIVATE | MAP_FIXED, fd_,
                                           static_cast<int64_t>(segment.p_offset - inside));
      if (made < 0) return not_loaded(name_, strerror(static_cast<int>(-made)));
    }
    if (memory_end <= file_end) return Ok{};
    // The rest of the last page of the file is zero where the program may write (others keep what the file has there).
    if (segment.p_filesz && (protection & PROT_WRITE) && mapped_end > file_end &&
        guarded_fill(reinterpret_cast<void*>(file_end), 0, mapped_end - file_end) != 0)
      return not_loaded(name_, "ends before its data");
    const uint64_t end = space_.page_up(memory_end);
    if (end > mapped_end) {
      const int64_t made =
          space_.sys_mmap(mapped_end, end - mapped_end, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
      if (made < 0) return not_loaded(name_, strerror(static_cast<int>(-made)));
    }
    return Ok{};
  }

  AddressSpace& space_;
  const uint64_t page_ = space_.page_bytes();
  const int fd_;
  const std::string& name_;
  Elf64_Ehdr header_{};
  std::vector<Elf64_Phdr> segments_;
  uint64_t low_ = ~uint64_t{0}, high_ = 0;
  ElfImage image_;
};

}  // namespace

ElfKind elf_kind(std::span<const std::byte> head) {
  ElfKind kind;
  if (head.size() < 20 || memcmp(head.data(), ELFMAG, SELFMAG) != 0) return kind;
  kind.elf = true;
  kind.is_64bit = static_cast<uint8_t>(head[EI_CLASS]) == ELFCLASS64;
  memcpy(&kind.machine, head.data() + 18, 2);
  return kind;
}

Result<ElfImage> load_elf(AddressSpace& space, int fd, const std::string& name, const frontend::LinuxAbi& abi,
                          bool is_interpreter) {
  return Loader(space, fd, name).run(abi, is_interpreter);
}

namespace {

// Fills a stack from its top down.
class StackBuilder {
 public:
  explicit StackBuilder(uint64_t top) : sp_(top) {}
  uint64_t push(const void* data, size_t bytes) {
    sp_ -= bytes;
    fits_ = fits_ && guarded_copy(reinterpret_cast<void*>(sp_), data, bytes) == 0;
    return sp_;
  }
  uint64_t push_text(const std::string& text) { return push(text.c_str(), text.size() + 1); }
  void align(uint64_t to) { sp_ &= ~(to - 1); }
  uint64_t sp() const { return sp_; }
  bool fits() const { return fits_; }

 private:
  uint64_t sp_;
  bool fits_ = true;
};

void fill_random(uint8_t (&bytes)[16], uint64_t seed) {
  if (!seed) {
    if (getrandom(bytes, sizeof bytes, GRND_NONBLOCK) == sizeof bytes) return;
    seed = static_cast<uint64_t>(getpid()) * 0x9e3779b97f4a7c15u ^ reinterpret_cast<uintptr_t>(&seed);
  }
  for (uint8_t& byte : bytes) {  // xorshift64
    seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
    byte = static_cast<uint8_t>(seed >> 24);
  }
}

}  // namespace

Result<StackPlace> build_stack(AddressSpace& space, const ProgramStart& start) {
  StackPlace place;
  const uint64_t bytes = space.page_up(start.stack_bytes);
  const int protection = PROT_READ | PROT_WRITE | (start.program.executable_stack ? PROT_EXEC : 0);
  // A page below it is never mapped by chance: the guard is part of the mapping.
  const int64_t made =
      space.sys_mmap(0, bytes + space.page_bytes(), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (made < 0) return Error{"there is no memory for a stack of " + std::to_string(bytes >> 10) + " KiB"};
  place.low = static_cast<uint64_t>(made) + space.page_bytes(), place.high = place.low + bytes;
  space.sys_mprotect(place.low, bytes, protection);

  StackBuilder stack(place.high - 8);
  const uint64_t path = stack.push_text(start.path);
  std::vector<uint64_t> arguments(start.arguments.size()), environment(start.environment.size());
  place.environment_end = stack.sp();
  for (size_t k = environment.size(); k-- > 0;) environment[k] = stack.push_text(start.environment[k]);
  place.environment = place.arguments_end = stack.sp();
  for (size_t k = arguments.size(); k-- > 0;) arguments[k] = stack.push_text(start.arguments[k]);
  place.arguments = stack.sp();
  uint8_t random[16];
  fill_random(random, start.random_seed);
  const uint64_t random_at = stack.push(random, sizeof random);

  const Elf64_auxv_t vector[] = {
      {AT_SYSINFO_EHDR, {start.vdso}},
      {AT_HWCAP, {start.abi->hwcap(*start.cpu)}},
      {AT_PAGESZ, {space.page_bytes()}},
      {AT_CLKTCK, {static_cast<uint64_t>(sysconf(_SC_CLK_TCK))}},
      {AT_PHDR, {start.program.program_headers}},
      {AT_PHENT, {sizeof(Elf64_Phdr)}},
      {AT_PHNUM, {start.program.program_header_count}},
      {AT_BASE, {start.interpreter_base}},
      {AT_FLAGS, {0}},
      {AT_ENTRY, {start.program.entry}},
      {AT_UID, {getuid()}},
      {AT_EUID, {geteuid()}},
      {AT_GID, {getgid()}},
      {AT_EGID, {getegid()}},
      {AT_SECURE, {getauxval(AT_SECURE)}},
      {AT_RANDOM, {random_at}},
      {AT_HWCAP2, {0}},
      {AT_EXECFN, {path}},
      {AT_MINSIGSTKSZ, {start.abi->frame_bytes() + 16}},
      {AT_NULL, {0}},
  };
  std::vector<Elf64_auxv_t> auxv;
  for (const Elf64_auxv_t& entry : vector)
    if (entry.a_type != AT_SYSINFO_EHDR || start.vdso) auxv.push_back(entry);

  // argc, argv, 0, envp, 0, auxv; 16-byte aligned.
  std::vector<uint64_t> words{arguments.size()};
  words.insert(words.end(), arguments.begin(), arguments.end());
  words.push_back(0);
  words.insert(words.end(), environment.begin(), environment.end());
  words.push_back(0);
  place.auxv_bytes = auxv.size() * sizeof(Elf64_auxv_t);
  stack.align(16);
  const size_t total = words.size() * 8 + place.auxv_bytes;
  if (total & 8) stack.push("\0\0\0\0\0\0\0", 8);
  place.auxv = stack.push(auxv.data(), place.auxv_bytes);
  place.sp = stack.push(words.data(), words.size() * 8);
  if (!stack.fits()) return Error{start.path + ": the arguments do not fit the stack"};
  return place;
}

}  // namespace lyre::linux_user
