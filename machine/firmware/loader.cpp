// Loaders. See loader.h.
#include "machine/firmware/loader.h"

#include <elf.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "runtime/base/bits.h"

namespace lyre::machine {
namespace {

// boot-image-header.rst: all fields little-endian.
struct RiscvImageHeader {
  uint32_t code[2];
  uint64_t text_offset, image_size, flags;
  uint32_t version, reserved1;
  uint64_t reserved2;
  char magic[8];   // "RISCV", deprecated
  char magic2[4];  // "RSC\x05"
  uint32_t reserved3;
};
static_assert(sizeof(RiscvImageHeader) == 64);

std::string quoted(const FileImage& file) { return "the " + file.what() + " '" + file.path() + "'"; }

// Zero-filled past the end of a short file.
template <typename T>
T peek(const FileImage& file, uint64_t offset = 0) {
  T value{};
  if (offset < file.size()) {
    auto bytes = std::as_writable_bytes(std::span(&value, 1));
    (void)static_cast<bool>(file.read(offset, bytes.first(std::min<uint64_t>(bytes.size(), file.size() - offset))));
  }
  return value;
}

Error outside_ram(const FileImage& file, Gpa base, uint64_t size) {
  return Error{quoted(file) + " needs " + hex(size) + " bytes at " + hex(base.value) +
               ", which is not all RAM; give more with -m"};
}

// Puts size bytes of the file at base and clears what follows up to memory_size.
Status load_segment(runtime::PhysicalMap& memory, const FileImage& file, uint64_t offset, uint64_t size, Gpa base,
                    uint64_t memory_size) {
  Hva host = memory.ram(base, memory_size, false);  // ROM may be loaded too
  if (!host) return outside_ram(file, base, memory_size);
  if (Status done = file.read(offset, {host, size}); !done) return done;
  std::memset(host + size, 0, memory_size - size);
  memory.written(base, memory_size);
  return Ok{};
}

struct Elf32 {
  using Header = Elf32_Ehdr;
  using Segment = Elf32_Phdr;
  static constexpr unsigned char kClass = ELFCLASS32;
};
struct Elf64 {
  using Header = Elf64_Ehdr;
  using Segment = Elf64_Phdr;
  static constexpr unsigned char kClass = ELFCLASS64;
};

template <typename Elf>
Status check_elf_header(const FileImage& file, const typename Elf::Header& header, uint16_t machine) {
  if (header.e_ident[EI_DATA] != ELFDATA2LSB || header.e_machine != machine)
    return Error{quoted(file) + " is an ELF file for another processor"};
  if (header.e_ident[EI_CLASS] != Elf::kClass)
    return Error{quoted(file) + " is an ELF file for another width of this processor; this machine has " +
                 (Elf::kClass == ELFCLASS32 ? "32" : "64") + " bits"};
  if (header.e_phentsize != sizeof(typename Elf::Segment) || header.e_phnum == 0)
    return Error{quoted(file) + " is an ELF file with nothing to load"};
  return Ok{};
}

// Where the PE header of an Image is that is also an EFI program (PE format). 0: it is none.
uint64_t pe_header(const FileImage& file, const RiscvImageHeader& header) {
  uint64_t pe = header.reserved3;
  bool found = std::memcmp(header.code, "MZ", 2) == 0 &&
               peek<std::array<char, 4>>(file, pe) == std::array<char, 4>{'P', 'E', 0, 0};
  return found ? pe : 0;
}

// Bits of the processor that such an Image is for; 0: it does not say.
unsigned stated_width(const FileImage& file, const RiscvImageHeader& header) {
  uint64_t pe = pe_header(file, header);
  if (!pe) return 0;
  switch (peek<uint16_t>(file, pe + 4)) {
    case 0x5032:
      return 32;
    case 0x5064:
      return 64;
    default:
      return 0;
  }
}

// How long the file is: where its last PE section ends (section headers). 0: it does not say.
uint64_t stated_file_size(const FileImage& file, const RiscvImageHeader& header) {
  uint64_t pe = pe_header(file, header);
  if (!pe) return 0;
  auto sections = peek<uint16_t>(file, pe + 6), optional_size = peek<uint16_t>(file, pe + 20);
  uint64_t end = 0, table = pe + 24 + optional_size;
  for (unsigned i = 0; i < sections; ++i) {
    uint64_t size = peek<uint32_t>(file, table + 40 * i + 16), start = peek<uint32_t>(file, table + 40 * i + 20);
    end = std::max(end, start + size);
  }
  return end;
}

template <typename Elf>
Result<LoadedImage> load_elf_of(runtime::PhysicalMap& memory, const FileImage& file, uint16_t machine) {
  typename Elf::Header header;
  if (Status done = file.read(0, std::as_writable_bytes(std::span(&header, 1))); !done) return done.error();
  if (Status good = check_elf_header<Elf>(file, header, machine); !good) return good.error();
  std::vector<typename Elf::Segment> segments(header.e_phnum);
  if (Status done = file.read(header.e_phoff, std::as_writable_bytes(std::span(segments))); !done) return done.error();

  LoadedImage image{.entry = Gpa{header.e_entry}, .range = {Gpa{~uint64_t{0}}, Gpa{0}}};
  for (const typename Elf::Segment& segment : segments) {
    if (segment.p_type != PT_LOAD || segment.p_memsz == 0) continue;
    if (segment.p_filesz > segment.p_memsz)
      return Error{quoted(file) + " is a damaged ELF file: a segment is larger than its memory"};
    Status done = load_segment(memory, file, segment.p_offset, segment.p_filesz, Gpa{segment.p_paddr}, segment.p_memsz);
    if (!done) return done.error();
    image.range.start = std::min(image.range.start, Gpa{segment.p_paddr});
    image.range.end = std::max(image.range.end, Gpa{uint64_t{segment.p_paddr} + segment.p_memsz});
    // Kernels are linked at virtual addresses; the machine starts them at the physical place of their entry.
    if (uint64_t offset = uint64_t{header.e_entry} - segment.p_vaddr; offset < segment.p_memsz)
      image.entry = Gpa{offset + segment.p_paddr};
  }
  if (image.range.end.value == 0) return Error{quoted(file) + " is an ELF file with nothing to load"};
  return image;
}

std::string what_else(const FileImage& file) {
  auto start = peek<std::array<uint8_t, 8>>(file);
  if (start[0] == 0x1f && start[1] == 0x8b) return " is compressed with gzip; unpack it with gunzip first";
  if (start[0] == 'M' && start[1] == 'Z' && std::memcmp(&start[4], "zimg", 4) == 0)
    return " is a compressed EFI image (vmlinuz.efi); use the Image inside it";
  if (start[0] == 0x28 && start[1] == 0xb5) return " is compressed with zstd; unpack it first";
  if (auto arm = peek<std::array<char, 4>>(file, 56); std::memcmp(arm.data(), "ARM\x64", 4) == 0)
    return " is a Linux Image for arm64";
  return " is neither an ELF file nor a RISC-V Linux Image";
}

}  // namespace

std::string hex(uint64_t value) {
  char text[24];
  std::snprintf(text, sizeof text, "0x%" PRIx64, value);
  return text;
}

std::string mebibytes(uint64_t bytes) {
  char text[40];
  std::snprintf(text, sizeof text, "%.1f MiB", static_cast<double>(bytes) / (1 << 20));
  return text;
}

bool is_elf(const FileImage& file) {
  return peek<std::array<uint8_t, 4>>(file) == std::array<uint8_t, 4>{0x7f, 'E', 'L', 'F'};
}

Result<LoadedImage> load_elf(runtime::PhysicalMap& memory, const FileImage& file, ElfKind kind) {
  return kind.bits == 32 ? load_elf_of<Elf32>(memory, file, kind.machine)
                         : load_elf_of<Elf64>(memory, file, kind.machine);
}

Result<LoadedImage> load_raw(runtime::PhysicalMap& memory, const FileImage& file, Gpa base) {
  if (Status done = load_segment(memory, file, 0, file.size(), base, file.size()); !done) return done.error();
  return LoadedImage{base, {base, base + file.size()}};
}

Result<LoadedImage> load_riscv_kernel(runtime::PhysicalMap& memory, const FileImage& file, Gpa base, unsigned xlen) {
  if (is_elf(file)) return load_elf(memory, file, {kElfRiscv, xlen});
  auto header = peek<RiscvImageHeader>(file);
  if (std::memcmp(header.magic2, "RSC\x05", 4) != 0) return Error{quoted(file) + what_else(file)};
  if (header.flags & 1) return Error{quoted(file) + " is a big-endian Linux Image"};
  if (unsigned stated = stated_width(file, header); stated && stated != xlen)
    return Error{quoted(file) + " is a Linux Image for " + std::to_string(stated) + "-bit RISC-V; this machine has " +
                 std::to_string(xlen) + " bits"};
  if (uint64_t stated = stated_file_size(file, header); stated > file.size())
    return Error{quoted(file) + " is cut short: it has " + std::to_string(file.size()) + " of " +
                 std::to_string(stated) + " bytes"};
  // image_size counts memory that the kernel clears itself. The file may be a little longer: it is padded for EFI.
  uint64_t occupied = std::max(header.image_size, file.size());
  if (!memory.ram(base, occupied, true)) return outside_ram(file, base, occupied);
  if (Status done = load_segment(memory, file, 0, file.size(), base, file.size()); !done) return done.error();
  return LoadedImage{base, {base, base + occupied}};
}

Result<GuestRange> place_initrd(const FileImage& file, Gpa wanted, const GuestRange& kernel, Gpa limit) {
  Gpa start = std::max(wanted, Gpa{align_up(kernel.end.value, kPageSize)});
  if (start.value > limit.value || file.size() > limit.value - start.value)
    start = Gpa{limit.value < file.size() ? 0 : align_down(limit.value - file.size(), kPageSize)};
  if (start < kernel.end)
    return Error{quoted(file) + " (" + mebibytes(file.size()) +
                 ") does not fit into RAM between the kernel and the device tree; give more with -m"};
  return GuestRange{start, start + file.size()};
}

std::optional<std::string> find_firmware(std::span<const std::string_view> names,
                                         std::span<const std::string> directories) {
  std::vector<std::string> places(directories.begin(), directories.end());
  if (const char* named = std::getenv("LYREBIRD_FIRMWARE")) places.emplace_back(named);
  places.insert(places.end(), {"/usr/lib/riscv64-linux-gnu/opensbi/generic", "/usr/share/lyrebird", "/usr/share/qemu",
                               "/usr/local/share/qemu"});
  for (const std::string& place : places)
    for (std::string_view name : names)
      if (std::string path = place + "/" + std::string(name); access(path.c_str(), R_OK) == 0) return path;
  return std::nullopt;
}

}  // namespace lyre::machine
