#include "runtime/linux/vdso.h"

#include <elf.h>

#include <cstring>
#include <string>

namespace lyre::linux_user {
namespace {

constexpr uint16_t kBaseVersion = 1, kVersion = 2;  // indices of version definitions
constexpr const char* kName = "linux-vdso.so.1";

// System V ABI, "Hash Table".
uint32_t hash_of(const char* name) {
  uint32_t hash = 0;
  for (; *name; ++name) {
    hash = (hash << 4) + static_cast<uint8_t>(*name);
    hash ^= hash >> 24 & 0xf0;
    hash &= 0x0fffffff;
  }
  return hash;
}

class Image {
 public:
  size_t size() const { return bytes_.size(); }
  void align(size_t to) { bytes_.resize((bytes_.size() + to - 1) & ~(to - 1)); }
  template <typename T>
  size_t put(const T& value) {
    return put(&value, sizeof value);
  }
  size_t put(const void* data, size_t count) {
    const size_t at = bytes_.size();
    bytes_.resize(at + count);
    if (count) std::memcpy(bytes_.data() + at, data, count);
    return at;
  }
  template <typename T>
  void set(size_t at, const T& value) {
    std::memcpy(bytes_.data() + at, &value, sizeof value);
  }
  std::vector<uint8_t> take() { return std::move(bytes_); }

 private:
  std::vector<uint8_t> bytes_;
};

class Strings {
 public:
  uint32_t add(const std::string& text) {
    const auto at = static_cast<uint32_t>(text_.size());
    text_ += text;
    text_ += '\0';
    return at;
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_ = std::string(1, '\0');
};

class Builder {
 public:
  Builder(const frontend::VdsoCode& code, uint16_t machine) : code_(code), machine_(machine) {}

  VdsoImage build() {
    constexpr size_t kSegments = 3;
    image_.put(Elf64_Ehdr{});
    segments_ = image_.put(std::string(kSegments * sizeof(Elf64_Phdr), '\0').data(), kSegments * sizeof(Elf64_Phdr));
    add_section("", 0, 0, 0, 0);
    add_symbols();
    add_dynamic();
    add_text_and_frames();
    finish();
    return {image_.take(), text_};
  }

 private:
  Elf64_Shdr& add_section(const char* name, uint32_t type, uint64_t flags, size_t at, size_t bytes,
                          uint64_t align = 8) {
    Elf64_Shdr section{};
    if (*name) section.sh_name = names_.add(name);
    section.sh_type = type, section.sh_flags = flags;
    section.sh_addr = flags & SHF_ALLOC ? at : 0;
    section.sh_offset = at, section.sh_size = bytes, section.sh_addralign = align;
    sections_.push_back(section);
    return sections_.back();
  }

  // Sections 1 to 5: .hash, .dynsym, .dynstr, .gnu.version, .gnu.version_d. Addresses of symbols follow when the text
  // has a place.
  void add_symbols() {
    const auto count = static_cast<uint32_t>(code_.symbols.size() + 1);
    // A table of one chain: there are few symbols, and every reader compares names.
    std::vector<uint32_t> hash{1, count, count > 1 ? 1u : 0};
    for (uint32_t k = 0; k < count; ++k) hash.push_back(k && k + 1 < count ? k + 1 : 0);
    hash_ = image_.put(hash.data(), hash.size() * 4);
    add_section(".hash", SHT_HASH, SHF_ALLOC, hash_, image_.size() - hash_).sh_link = 2;
    sections_.back().sh_entsize = 4;
    image_.align(8);

    const uint32_t name = strings_.add(kName), version = strings_.add(code_.version);
    symbols_ = image_.put(Elf64_Sym{});
    for (const frontend::VdsoSymbol& symbol : code_.symbols) {
      Elf64_Sym entry{};
      entry.st_name = strings_.add(symbol.name);
      entry.st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC);
      entry.st_value = symbol.offset, entry.st_size = symbol.bytes;
      image_.put(entry);
    }
    Elf64_Shdr& table = add_section(".dynsym", SHT_DYNSYM, SHF_ALLOC, symbols_, image_.size() - symbols_);
    table.sh_link = 3, table.sh_info = 1, table.sh_entsize = sizeof(Elf64_Sym);
    strings_at_ = image_.put(strings_.text().data(), strings_.text().size());
    add_section(".dynstr", SHT_STRTAB, SHF_ALLOC, strings_at_, strings_.text().size(), 1);
    image_.align(8);

    std::vector<uint16_t> versions(count, kVersion);
    versions[0] = VER_NDX_LOCAL;
    versions_ = image_.put(versions.data(), versions.size() * 2);
    Elf64_Shdr& version_section =
        add_section(".gnu.version", SHT_GNU_versym, SHF_ALLOC, versions_, versions.size() * 2, 2);
    version_section.sh_link = 2, version_section.sh_entsize = 2;
    image_.align(8);
    definitions_ = image_.size();
    put_definition(kBaseVersion, VER_FLG_BASE, kName, name, false);
    put_definition(kVersion, 0, code_.version, version, true);
    Elf64_Shdr& definitions =
        add_section(".gnu.version_d", SHT_GNU_verdef, SHF_ALLOC, definitions_, image_.size() - definitions_);
    definitions.sh_link = 3, definitions.sh_info = 2;
    image_.align(8);
  }

  void put_definition(uint16_t index, uint16_t flags, const char* name, uint32_t name_at, bool last) {
    const uint32_t bytes = sizeof(Elf64_Verdef) + sizeof(Elf64_Verdaux);
    image_.put(Elf64_Verdef{VER_DEF_CURRENT, flags, index, 1, hash_of(name), sizeof(Elf64_Verdef), last ? 0 : bytes});
    image_.put(Elf64_Verdaux{name_at, 0});
  }

  void add_dynamic() {
    const Elf64_Dyn entries[] = {
        {DT_SONAME, {1}},  // the first string
        {DT_HASH, {hash_}},
        {DT_STRTAB, {strings_at_}},
        {DT_SYMTAB, {symbols_}},
        {DT_STRSZ, {strings_.text().size()}},
        {DT_SYMENT, {sizeof(Elf64_Sym)}},
        {DT_VERSYM, {versions_}},
        {DT_VERDEF, {definitions_}},
        {DT_VERDEFNUM, {2}},
        {DT_NULL, {0}},
    };
    dynamic_ = image_.put(entries, sizeof entries);
    Elf64_Shdr& section = add_section(".dynamic", SHT_DYNAMIC, SHF_ALLOC, dynamic_, sizeof entries);
    section.sh_link = 3, section.sh_entsize = sizeof(Elf64_Dyn);
  }

  // A CIE (DWARF 5, 6.4.1, as the LSB has it in .eh_frame) with its one FDE. Returns the place of the FDE.
  size_t put_frame(const char* augmentation, unsigned return_column, const std::vector<uint8_t>& rules, uint32_t first,
                   uint32_t bytes) {
    constexpr uint8_t kPcRelative4 = 0x1b;  // DW_EH_PE_pcrel | DW_EH_PE_sdata4
    const size_t cie = image_.put(uint32_t{0});
    image_.put(uint32_t{0});
    image_.put(uint8_t{1});
    image_.put(augmentation, std::strlen(augmentation) + 1);
    image_.put(uint8_t{1});     // code alignment
    image_.put(uint8_t{0x7c});  // data alignment: -4
    image_.put(static_cast<uint8_t>(return_column));
    image_.put(uint8_t{1});  // of augmentation data: how addresses are written
    image_.put(kPcRelative4);
    image_.put(rules.data(), rules.size());
    image_.align(8);  // DW_CFA_nop is zero
    image_.set(cie, static_cast<uint32_t>(image_.size() - cie - 4));
    const size_t fde = image_.put(uint32_t{0});
    image_.put(static_cast<uint32_t>(image_.size() - cie));
    image_.put(first);  // made relative when the text has a place
    image_.put(bytes);
    image_.put(uint8_t{0});
    image_.align(8);
    image_.set(fde, static_cast<uint32_t>(image_.size() - fde - 4));
    return fde;
  }

  // Code before the trampoline keeps the stack and the return address where they were at entry.
  void add_text_and_frames() {
    const auto total = static_cast<uint32_t>(code_.text.size()), split = code_.trampoline_start;
    frames_ = image_.size();
    const size_t leaf =
        put_frame("zR", code_.return_register, {0x0c, static_cast<uint8_t>(code_.stack_register), 0}, 0, split);
    const size_t signal = put_frame("zRS", code_.signal_return_column, code_.signal_frame_rules, split, total - split);
    image_.put(uint32_t{0});
    add_section(".eh_frame", SHT_PROGBITS, SHF_ALLOC, frames_, image_.size() - frames_);
    image_.align(8);

    header_ = image_.size();
    const size_t header_bytes = 12 + 2 * 8;
    image_.put(std::string(header_bytes, '\0').data(), header_bytes);
    add_section(".eh_frame_hdr", SHT_PROGBITS, SHF_ALLOC, header_, header_bytes, 4);
    image_.align(64);
    text_ = image_.put(code_.text.data(), code_.text.size());
    text_section_ = static_cast<uint16_t>(sections_.size());
    add_section(".text", SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, text_, total, 4);

    // DW_EH_PE: pcrel|sdata4, udata4, datarel|sdata4.
    const uint8_t encodings[4] = {1, 0x1b, 0x03, 0x3b};
    image_.set(header_, encodings);
    image_.set(header_ + 4, static_cast<int32_t>(frames_ - (header_ + 4)));
    image_.set(header_ + 8, uint32_t{2});
    const std::pair<size_t, uint32_t> table[] = {{leaf, 0}, {signal, split}};
    for (size_t k = 0; k < 2; ++k) {
      const auto [fde, start] = table[k];
      image_.set(fde + 8, static_cast<int32_t>(text_ + start - (fde + 8)));
      image_.set(header_ + 12 + 8 * k, static_cast<int32_t>(text_ + start - header_));
      image_.set(header_ + 16 + 8 * k, static_cast<int32_t>(fde - header_));
    }
  }

  void finish() {
    const size_t loaded = image_.size();
    for (size_t k = 0; k < code_.symbols.size(); ++k) {
      const size_t at = symbols_ + (k + 1) * sizeof(Elf64_Sym);
      image_.set(at + offsetof(Elf64_Sym, st_shndx), text_section_);
      image_.set(at + offsetof(Elf64_Sym, st_value), uint64_t{text_ + code_.symbols[k].offset});
    }
    Elf64_Shdr& names = add_section(".shstrtab", SHT_STRTAB, 0, loaded, 0, 1);
    names.sh_size = names_.text().size();
    image_.put(names_.text().data(), names_.text().size());
    image_.align(8);
    const size_t headers = image_.put(sections_.data(), sections_.size() * sizeof(Elf64_Shdr));

    const size_t whole = image_.size();
    const Elf64_Phdr segments[] = {
        {PT_LOAD, PF_R | PF_X, 0, 0, 0, whole, whole, 4096},
        {PT_DYNAMIC, PF_R, dynamic_, dynamic_, dynamic_, 10 * sizeof(Elf64_Dyn), 10 * sizeof(Elf64_Dyn), 8},
        {PT_GNU_EH_FRAME, PF_R, header_, header_, header_, 28, 28, 4},
    };
    image_.set(segments_, segments);
    Elf64_Ehdr header{};
    std::memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = ELFCLASS64, header.e_ident[EI_DATA] = ELFDATA2LSB,
    header.e_ident[EI_VERSION] = EV_CURRENT;
    header.e_type = ET_DYN, header.e_machine = machine_, header.e_version = EV_CURRENT;
    header.e_entry = text_, header.e_flags = code_.elf_flags;
    header.e_phoff = segments_, header.e_shoff = headers;
    header.e_ehsize = sizeof header, header.e_phentsize = sizeof(Elf64_Phdr), header.e_phnum = std::size(segments);
    header.e_shentsize = sizeof(Elf64_Shdr), header.e_shnum = static_cast<uint16_t>(sections_.size());
    header.e_shstrndx = static_cast<uint16_t>(sections_.size() - 1);
    image_.set(0, header);
  }

  const frontend::VdsoCode& code_;
  const uint16_t machine_;
  Image image_;
  Strings strings_, names_;
  std::vector<Elf64_Shdr> sections_;
  size_t segments_ = 0, hash_ = 0, symbols_ = 0, strings_at_ = 0, versions_ = 0, definitions_ = 0, dynamic_ = 0,
         frames_ = 0, header_ = 0, text_ = 0;
  uint16_t text_section_ = 0;
};

}  // namespace

VdsoImage make_vdso(const frontend::VdsoCode& code, uint16_t elf_machine) { return Builder(code, elf_machine).build(); }

}  // namespace lyre::linux_user
