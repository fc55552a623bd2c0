// Loaders: what they place where, and the sentence for every file that is not what it should be.
#include "machine/firmware/loader.h"

#include <elf.h>
#include <unistd.h>

#include <cstring>
#include <fstream>

#include "machine/firmware/riscv_reset.h"
#include "tests/support/catch.h"
#include "tests/support/machine_fakes.h"
#include "tests/support/temporary_file.h"

using namespace lyre;
using namespace lyre::machine;

namespace {

using tests::TemporaryFile;

template <typename Header = Elf64_Ehdr, typename Segment = Elf64_Phdr>
std::string elf(uint64_t virtual_base, uint64_t physical_base, uint16_t machine = kElfRiscv) {
  Header header{};
  std::memcpy(header.e_ident,
              "\x7f"
              "ELF",
              4);
  header.e_ident[EI_CLASS] = sizeof(Header) == sizeof(Elf64_Ehdr) ? ELFCLASS64 : ELFCLASS32;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_machine = machine;
  header.e_entry = static_cast<decltype(header.e_entry)>(virtual_base + 4);
  header.e_phoff = sizeof header;
  header.e_phentsize = sizeof(Segment);
  header.e_phnum = 1;
  Segment segment{};
  segment.p_type = PT_LOAD;
  segment.p_offset = sizeof header + sizeof segment;
  segment.p_vaddr = static_cast<decltype(segment.p_vaddr)>(virtual_base);
  segment.p_paddr = static_cast<decltype(segment.p_paddr)>(physical_base);
  segment.p_filesz = 8;
  segment.p_memsz = 0x100;
  return std::string(reinterpret_cast<char*>(&header), sizeof header) +
         std::string(reinterpret_cast<char*>(&segment), sizeof segment) + "CODEcode";
}

// A Linux Image: with `stated` file bytes in its PE header if that is not 0.
std::string image(uint64_t image_size, size_t size, uint32_t stated = 0) {
  std::string text(size, '\0');
  auto put = [&](size_t at, auto value) { std::memcpy(&text[at], &value, sizeof value); };
  put(16, image_size);
  std::memcpy(&text[0x30], "RISCV\0\0\0RSC\x05", 12);
  if (stated) {
    std::memcpy(&text[0], "MZ", 2);
    put(0x3c, uint32_t{0x40});
    std::memcpy(&text[0x40], "PE\0\0", 4);
    put(0x46, uint16_t{1});
    put(0x54, uint16_t{0});
    put(0x40 + 24 + 16, stated - 0x200);
    put(0x40 + 24 + 20, uint32_t{0x200});
  }
  return text;
}

struct Ram {
  static constexpr Gpa kRam{0x80000000};
  runtime::PhysicalMap memory;
  runtime::RamBlock* ram = *memory.add_ram("ram", kRam, 0x1000000);

  std::string error(const std::string& contents) {
    TemporaryFile file(contents);
    auto opened = FileImage::open(file.path(), "kernel");
    REQUIRE(opened);
    auto loaded = load_riscv_kernel(memory, *opened, Gpa{0x80200000});
    if (loaded) return "";
    std::string message = loaded.error().message, start = "the kernel '" + file.path() + "'";
    CHECK(message.find(start) == 0);
    return message.substr(std::min(start.size(), message.size()));
  }
  Result<LoadedImage> load(const std::string& contents, unsigned xlen = 64) {
    TemporaryFile file(contents);
    auto opened = FileImage::open(file.path(), "kernel");
    REQUIRE(opened);
    return load_riscv_kernel(memory, *opened, Gpa{0x80200000}, xlen);
  }
};

}  // namespace

TEST_CASE_METHOD(Ram, "an ELF kernel goes to its physical addresses and starts at the physical entry", "[loader]") {
  std::memset(ram->host + 0x400000, 0xff, 0x200);
  auto loaded = load(elf(0xffffffff80000000, 0x80400000));
  REQUIRE(loaded);
  CHECK(loaded->entry == Gpa{0x80400004});
  CHECK(loaded->range.start == Gpa{0x80400000});
  CHECK(loaded->range.end == Gpa{0x80400100});
  CHECK(std::memcmp(ram->host + 0x400000, "CODEcode\0\0", 10) == 0);
  CHECK(ram->host[0x4000ff] == std::byte{0});
  CHECK(ram->host[0x400100] == std::byte{0xff});
}

TEST_CASE_METHOD(Ram, "a 32-bit ELF kernel is one for 32-bit machines only", "[loader]") {
  const std::string narrow = elf<Elf32_Ehdr, Elf32_Phdr>(0xc0000000, 0x80400000);
  auto loaded = load(narrow, 32);
  REQUIRE(loaded);
  CHECK(loaded->entry == Gpa{0x80400004});
  CHECK(loaded->range.start == Gpa{0x80400000});
  CHECK(loaded->range.end == Gpa{0x80400100});
  CHECK(std::memcmp(ram->host + 0x400000, "CODEcode\0\0", 10) == 0);
  CHECK(error(narrow) == " is an ELF file for another width of this processor; this machine has 64 bits");
  auto wide = load(elf(0x80000000, 0x80000000), 32);
  REQUIRE_FALSE(wide);
  CHECK(wide.error().message.ends_with("another width of this processor; this machine has 32 bits"));
}

TEST_CASE_METHOD(Ram, "an Image goes where it is put and occupies what it says", "[loader]") {
  auto loaded = load(image(0x300000, 0x1000));
  REQUIRE(loaded);
  CHECK(loaded->entry == Gpa{0x80200000});
  CHECK(loaded->range.end == Gpa{0x80500000});
  CHECK(std::memcmp(ram->host + 0x200030, "RISCV", 5) == 0);
  REQUIRE(load(image(0x300000, 0x1000, 0x1000)));
  std::string narrow = image(0x300000, 0x1000, 0x1000);
  narrow.replace(0x44, 2, "\x32\x50");  // PE machine type
  REQUIRE(load(narrow, 32));
  CHECK(error(narrow) == " is a Linux Image for 32-bit RISC-V; this machine has 64 bits");
}

TEST_CASE_METHOD(Ram, "files that are no kernel are named and described", "[loader]") {
  CHECK(error("hello") == " is neither an ELF file nor a RISC-V Linux Image");
  CHECK(error(std::string("\x1f\x8b\x08\0", 4) + std::string(100, 'x')) ==
        " is compressed with gzip; unpack it with gunzip first");
  CHECK(error(std::string("MZ\0\0zimg", 8) + std::string(100, 'x')) ==
        " is a compressed EFI image (vmlinuz.efi); use the Image inside it");
  CHECK(error(std::string(56, '\0') + "ARM\x64" + std::string(100, '\0')) == " is a Linux Image for arm64");
  CHECK(error(elf(0x80000000, 0x80000000, EM_X86_64)) == " is an ELF file for another processor");
  CHECK(error(elf(0x80000000, 0x80000000).substr(0, 70)) == " is cut short: it has 70 bytes and more are needed");
  CHECK(error(elf(0x80000000, 0x80000000).substr(0, 124)) == " is cut short: it has 124 bytes and more are needed");
  CHECK(error(elf(0x80000000, 0x80000000).substr(0, 20)) == " is cut short: it has 20 bytes and more are needed");
  CHECK(error(elf(0x1000, 0x1000)) == " needs 0x100 bytes at 0x1000, which is not all RAM; give more with -m");
  CHECK(error(elf(0, ~uint64_t{0} - 4)) ==
        " needs 0x100 bytes at 0xfffffffffffffffb, which is not all RAM; give more with -m");
  CHECK(error(image(0x300000, 0x1000, 0x1200)) == " is cut short: it has 4096 of 4608 bytes");
  CHECK(error(image(0x10000000, 0x1000)) ==
        " needs 0x10000000 bytes at 0x80200000, which is not all RAM; give more with -m");
  CHECK(error(image(~uint64_t{0}, 0x1000)) ==
        " needs 0xffffffffffffffff bytes at 0x80200000, which is not all RAM; give more with -m");
}

TEST_CASE("files that cannot be opened are named with the reason", "[loader]") {
  auto message = [](const std::string& path) { return FileImage::open(path, "initrd").error().message; };
  CHECK(message("/nonexistent/x") == "cannot open the initrd '/nonexistent/x': No such file or directory");
  CHECK(message("/tmp") == "the initrd '/tmp' is not a regular file");
  TemporaryFile empty("");
  CHECK(message(empty.path()) == "the initrd '" + empty.path() + "' is empty");
}

TEST_CASE_METHOD(Ram, "a file that shrinks after it was opened is an error and not a crash", "[loader]") {
  TemporaryFile file(std::string(100000, 'x'));
  auto opened = FileImage::open(file.path(), "initrd");
  REQUIRE(opened);
  REQUIRE(truncate(file.path().c_str(), 10) == 0);
  auto loaded = load_raw(memory, *opened, kRam);
  REQUIRE_FALSE(loaded);
  CHECK(loaded.error().message.find("is cut short") != std::string::npos);
}

TEST_CASE("an initrd goes to its usual place, lower if it must, and not over the kernel", "[loader]") {
  TemporaryFile file(std::string(0x100000, 'i'));
  auto opened = FileImage::open(file.path(), "initrd");
  REQUIRE(opened);
  GuestRange kernel{Gpa{0x80200000}, Gpa{0x82345678}};
  auto usual = place_initrd(*opened, Gpa{0x84200000}, kernel, Gpa{0x87e00000});
  REQUIRE(usual);
  CHECK(usual->start == Gpa{0x84200000});
  CHECK(usual->end == Gpa{0x84300000});
  auto behind = place_initrd(*opened, Gpa{0x81000000}, kernel, Gpa{0x87e00000});
  REQUIRE(behind);
  CHECK(behind->start == Gpa{0x82346000});
  auto lower = place_initrd(*opened, Gpa{0x87000000}, kernel, Gpa{0x87080000});
  REQUIRE(lower);
  CHECK(lower->start == Gpa{0x86f80000});
  auto none = place_initrd(*opened, Gpa{0x84200000}, kernel, Gpa{0x82400000});
  REQUIRE_FALSE(none);
  CHECK(none.error().message ==
        "the initrd '" + file.path() +
            "' (1.0 MiB) does not fit into RAM between the kernel and the device tree; give more with -m");
  CHECK_FALSE(place_initrd(*opened, Gpa{0}, kernel, Gpa{0x1000}));
}

TEST_CASE("the reset ROM passes boot registers and the block for fw_dynamic", "[loader]") {
  auto rom = riscv_reset_rom(Gpa{0x80000000}, Gpa{0x8fe00000}, FwDynamicInfo{.next_address = 0x80200000});
  uint64_t words[11];
  REQUIRE(rom.size() == sizeof words);
  std::memcpy(words, rom.data(), sizeof words);
  CHECK(words[3] == 0x80000000);
  CHECK(words[4] == 0x8fe00000);
  CHECK(words[5] == 0x4942534f);
  CHECK(words[6] == 2);
  CHECK(words[7] == 0x80200000);
  CHECK(words[8] == 1);

  auto narrow = riscv_reset_rom(Gpa{0x80000000}, Gpa{0x8fc00000}, FwDynamicInfo{.next_address = 0x80400000}, 32);
  uint32_t halves[22];
  REQUIRE(narrow.size() == sizeof halves);
  std::memcpy(halves, narrow.data(), sizeof halves);
  CHECK(halves[3] == 0x0202a583);  // lw a1, 32(t0)
  CHECK(halves[4] == 0x0182a283);  // lw t0, 24(t0)
  CHECK((halves[6] == 0x80000000 && halves[8] == 0x8fc00000));
  CHECK((halves[10] == 0x4942534f && halves[11] == 2 && halves[12] == 0x80400000 && halves[13] == 1));
}
