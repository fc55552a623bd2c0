#include "runtime/cli/guest_code.h"

#include <elf.h>

#include <algorithm>
#include <cctype>
#include <cstring>

#include "machine/firmware/file_image.h"
#include "runtime/base/nearest.h"
#include "runtime/cli/option_list.h"

namespace lyre::cli {
namespace {

constexpr uint64_t kLargestPart = uint64_t{1} << 30;
constexpr uint64_t kMaxEntries = 1 << 20;  // section headers, and symbols in one table
constexpr Gva kHexAddress{0x1000};         // where bytes of the command line lie unless --at says

struct ElfMachine {
  uint16_t machine;
  uint8_t bits;  // ELFCLASS
  const char* guest;
};
constexpr ElfMachine kMachines[] = {{EM_RISCV, ELFCLASS64, "riscv64"}};

// Names of a file are anything: a terminal gets what it can show.
std::string printable(std::string name) {
  for (char& c : name)
    if (c < ' ' || c > '~') c = '?';
  return name;
}

// An ELF64 file, little-endian, read piece by piece: every offset in it may be wrong.
class ElfFile {
 public:
  explicit ElfFile(machine::FileImage file) : file_(std::move(file)) {}

  Status read(GuestCode& code) {
    if (Status done = read_header(code); !done) return done;
    auto sections = table<Elf64_Shdr>(header_.e_shoff, header_.e_shnum, header_.e_shentsize, "section");
    if (!sections) return sections.error();
    for (const Elf64_Shdr& section : *sections)
      if (section.sh_type == SHT_PROGBITS && (section.sh_flags & SHF_EXECINSTR))
        if (Status done =
                add_part(code, name_of(*sections, section), section.sh_addr, section.sh_offset, section.sh_size);
            !done)
          return done;
    // Stripped of its sections: what would be mapped as executable.
    if (code.parts.empty()) {
      auto segments = table<Elf64_Phdr>(header_.e_phoff, header_.e_phnum, header_.e_phentsize, "segment");
      if (!segments) return segments.error();
      for (const Elf64_Phdr& segment : *segments)
        if (segment.p_type == PT_LOAD && (segment.p_flags & PF_X))
          if (Status done = add_part(code, "", segment.p_vaddr, segment.p_offset, segment.p_filesz); !done) return done;
    }
    if (code.parts.empty()) return Error{quoted() + " holds no executable code"};
    std::sort(code.parts.begin(), code.parts.end(),
              [](const CodePart& a, const CodePart& b) { return a.address < b.address; });
    for (const Elf64_Shdr& section : *sections)
      if (section.sh_type == SHT_SYMTAB)
        if (Status done = add_symbols(code, *sections, section); !done) return done;
    return Ok{};
  }

 private:
  std::string quoted() const { return "'" + file_.path() + "'"; }

  Status read_header(GuestCode& code) {
    if (file_.size() < sizeof header_ || !file_.read(0, {reinterpret_cast<std::byte*>(&header_), sizeof header_}) ||
        std::memcmp(header_.e_ident, ELFMAG, SELFMAG) != 0)
      return Error{quoted() + " is not an ELF file"};
    for (const ElfMachine& known : kMachines)
      if (header_.e_machine == known.machine && header_.e_ident[EI_CLASS] == known.bits) code.guest = known.guest;
    if (code.guest.empty() || header_.e_ident[EI_DATA] != ELFDATA2LSB)
      return Error{quoted() + " is for a machine that is no guest here (ELF machine " +
                   std::to_string(header_.e_machine) + ", " + (header_.e_ident[EI_CLASS] == ELFCLASS32 ? "32" : "64") +
                   " bits); 'lyrebird guests' lists them"};
    code.entry = {header_.e_entry};
    return Ok{};
  }

  template <typename Entry>
  Result<std::vector<Entry>> table(uint64_t offset, uint64_t count, uint64_t size, const char* what) {
    std::vector<Entry> entries;
    if (count == 0 || offset == 0) return entries;
    if (size != sizeof(Entry) || count > kMaxEntries) return Error{quoted() + " has a damaged " + what + " table"};
    entries.resize(count);
    if (Status done = file_.read(offset, std::as_writable_bytes(std::span(entries))); !done) return done.error();
    return entries;
  }

  Status add_part(GuestCode& code, std::string name, uint64_t address, uint64_t offset, uint64_t size) {
    if (size == 0) return Ok{};
    if (size > kLargestPart || address + size < address)
      return Error{quoted() + " has a damaged header: a part of " + std::to_string(size) + " bytes"};
    CodePart part{printable(std::move(name)), {address}, {}};
    part.bytes.resize(size);
    if (Status done = file_.read(offset, std::as_writable_bytes(std::span(part.bytes))); !done) return done;
    code.parts.push_back(std::move(part));
    return Ok{};
  }

  std::string text_at(const Elf64_Shdr& strings, uint64_t offset) {
    std::string text;
    char c = 0;
    while (offset < strings.sh_size && text.size() < 4096 &&
           file_.read(strings.sh_offset + offset++, {reinterpret_cast<std::byte*>(&c), 1}) && c)
      text += c;
    return text;
  }
  std::string name_of(const std::vector<Elf64_Shdr>& sections, const Elf64_Shdr& section) {
    return header_.e_shstrndx < sections.size() ? text_at(sections[header_.e_shstrndx], section.sh_name)
                                                : std::string();
  }

  Status add_symbols(GuestCode& code, const std::vector<Elf64_Shdr>& sections, const Elf64_Shdr& section) {
    auto symbols =
        table<Elf64_Sym>(section.sh_offset, section.sh_size / sizeof(Elf64_Sym), section.sh_entsize, "symbol");
    if (!symbols) return symbols.error();
    if (section.sh_link >= sections.size()) return Error{quoted() + " has a damaged symbol table"};
    std::vector<char> strings(std::min(sections[section.sh_link].sh_size, kLargestPart));
    if (Status done = file_.read(sections[section.sh_link].sh_offset, std::as_writable_bytes(std::span(strings)));
        !done)
      return done;
    for (const Elf64_Sym& symbol : *symbols) {
      const unsigned type = ELF64_ST_TYPE(symbol.st_info);
      if ((type != STT_FUNC && type != STT_NOTYPE) || symbol.st_shndx == SHN_UNDEF || symbol.st_name >= strings.size())
        continue;
      const char* begin = strings.data() + symbol.st_name;
      std::string name(begin, strnlen(begin, strings.size() - symbol.st_name));
      // "$x" and the like mark code for tools.
      if (name.empty() || name[0] == '$' || name.starts_with(".L") || code.at({symbol.st_value}).empty()) continue;
      code.symbols.push_back({{symbol.st_value}, printable(std::move(name))});
    }
    std::stable_sort(code.symbols.begin(), code.symbols.end(),
                     [](const CodeSymbol& a, const CodeSymbol& b) { return a.address < b.address; });
    return Ok{};
  }

  machine::FileImage file_;
  Elf64_Ehdr header_{};
};

}  // namespace

std::span<const uint8_t> GuestCode::at(Gva address) const {
  for (const CodePart& part : parts)
    if (address.value - part.address.value < part.bytes.size())
      return std::span(part.bytes).subspan(address.value - part.address.value);
  return {};
}

Result<GuestCode> read_elf_code(const std::string& path) {
  auto file = machine::FileImage::open(path, "file");
  if (!file) return file.error();
  GuestCode code;
  if (Status done = ElfFile(std::move(*file)).read(code); !done) return done.error();
  return code;
}

Result<GuestCode> read_hex_code(const std::string& text, const std::string& guest, Gva address) {
  std::string digits;
  for (char c : text) {
    if (std::isspace(static_cast<unsigned char>(c))) continue;
    if (!std::isxdigit(static_cast<unsigned char>(c))) return Error{"'" + text + "' is not hexadecimal"};
    digits += c;
  }
  if (digits.empty() || digits.size() % 2) return Error{"'" + text + "' is not made of whole bytes"};
  CodePart part{"", address, {}};
  for (size_t i = 0; i < digits.size(); i += 2)
    part.bytes.push_back(static_cast<uint8_t>(std::stoul(digits.substr(i, 2), nullptr, 16)));
  GuestCode code;
  code.guest = guest;
  code.entry = address;
  code.parts.push_back(std::move(part));
  return code;
}

std::vector<ToolOption> CodeOptions::rows() {
  return {
      {"hex", "BYTES", "these bytes, in memory order, instead of a file",
       [this](const std::string& text) -> Status {
         hex_ += text;
         return Ok{};
       }},
      {"at", "ADDRESS", "where the bytes lie; in a file: start here",
       [this](const std::string& text) -> Status {
         auto address = parse_address(text);
         if (!address) return address.error();
         at_ = Gva{*address};
         return Ok{};
       }},
      {"guest", "NAME", "the guest of the bytes (riscv64)",
       [this](const std::string& text) -> Status {
         std::vector<std::string_view> names;
         for (const frontend::GuestInfo& guest : frontend::guests()) names.push_back(guest.name);
         if (!frontend::find_guest(text)) return Error{"there is no guest '" + text + "'" + did_you_mean(text, names)};
         guest_ = text;
         return Ok{};
       }},
      {"cpu", "MODEL[,feature=on|off...]", "the CPU model (max), as lyrebird-system-GUEST takes it",
       [this](const std::string& text) -> Status {
         cpu_ = text;
         return Ok{};
       }},
  };
}

Result<GuestCode> CodeOptions::read(const std::vector<std::string>& positional) const {
  if (hex_.empty() == positional.empty())
    return Error{hex_.empty() ? "needs a FILE or --hex BYTES" : "takes a FILE or --hex BYTES, not both"};
  if (positional.size() > 1) return Error{"takes one FILE, '" + positional[1] + "' is another"};
  if (!hex_.empty()) return read_hex_code(hex_, guest_.empty() ? "riscv64" : guest_, at_.value_or(kHexAddress));
  auto code = read_elf_code(positional[0]);
  if (code && !guest_.empty() && guest_ != code->guest)
    return Error{"'" + positional[0] + "' is for the guest " + code->guest + ", not " + guest_};
  return code;
}

Result<std::unique_ptr<frontend::GuestCpu>> CodeOptions::make_cpu(const GuestCode& code) const {
  auto list = parse_option_list(cpu_.empty() ? "max" : cpu_, "model");
  if (!list) return list.error();
  std::vector<std::string> features;
  for (const auto& [name, value] : list->items) {
    if (name.empty()) continue;
    const bool sign = name[0] == '+' || name[0] == '-';
    features.push_back(sign ? name : name + "=" + value);
  }
  return frontend::find_guest(code.guest)->create(list->get(""), features);
}

}  // namespace lyre::cli
