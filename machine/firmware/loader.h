// Loads firmware, kernels and initrds into guest RAM, and finds the firmware that `-bios default` means.
// Kernels: ELF (physical addresses of its segments) or a RISC-V Linux Image (Linux
// Documentation/arch/riscv/boot-image-header.rst). Every range is checked against RAM before anything is written. Main
// thread, before the vCPUs run; cold.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "machine/firmware/file_image.h"
#include "runtime/base/result.h"
#include "runtime/base/types.h"
#include "runtime/mem/physical_map.h"

namespace lyre::machine {

struct GuestRange {
  Gpa start, end;  // end: first byte after it
  uint64_t size() const { return end.value - start.value; }
};

struct LoadedImage {
  Gpa entry;
  GuestRange range;  // what it occupies, memory that it clears itself included
};

// ELF machine numbers (ELF gABI) of the guests that boards load, and the class of the file.
inline constexpr uint16_t kElfRiscv = 243;
struct ElfKind {
  uint16_t machine;
  unsigned bits;  // 32 or 64
};

bool is_elf(const FileImage& file);
// Errors: not little-endian of this kind, cut short, nothing to load, a segment outside RAM.
Result<LoadedImage> load_elf(runtime::PhysicalMap& memory, const FileImage& file, ElfKind kind);
// The file as it is. Error: does not fit.
Result<LoadedImage> load_raw(runtime::PhysicalMap& memory, const FileImage& file, Gpa base);
// ELF or Image; an Image goes to `base`. Errors also say what else a file looks like (gzip, another architecture's
// Image).
Result<LoadedImage> load_riscv_kernel(runtime::PhysicalMap& memory, const FileImage& file, Gpa base,
                                      unsigned xlen = 64);

// Where an initrd goes: at `wanted`, or lower, page-aligned and after `kernel`, if it would run into `limit` (the
// device tree). Error: no room.
Result<GuestRange> place_initrd(const FileImage& file, Gpa wanted, const GuestRange& kernel, Gpa limit);

// The first of `names` in the directories of -L, the environment's LYREBIRD_FIRMWARE and those of the distribution.
std::optional<std::string> find_firmware(std::span<const std::string_view> names,
                                         std::span<const std::string> directories);

// For sentences: "0x80200000", "12.5 MiB".
std::string hex(uint64_t value);
std::string mebibytes(uint64_t bytes);

}  // namespace lyre::machine
