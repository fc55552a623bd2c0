// RISC-V reset ROM. See riscv_reset.h.
#include "machine/firmware/riscv_reset.h"

#include <cstring>
#include <iterator>

namespace lyre::machine {
namespace {

constexpr unsigned kFirstLoad = 3;  // the two loads are the only instructions that depend on the width
constexpr uint32_t kCode[] = {
    0x00000297,  // auipc t0, 0
    0x02828613,  // addi  a2, t0, info
    0xf1402573,  // csrr  a0, mhartid
    0x0202b583,  // ld    a1, device_tree(t0)
    0x0182b283,  // ld    t0, start(t0)
    0x00028067,  // jr    t0
};

struct ResetRom {
  uint32_t code[6];
  uint64_t start, device_tree;
  FwDynamicInfo info;
};
static_assert(offsetof(ResetRom, start) == 0x18 && offsetof(ResetRom, device_tree) == 0x20 &&
              offsetof(ResetRom, info) == 0x28);

}  // namespace

std::vector<std::byte> riscv_reset_rom(Gpa start, Gpa device_tree, const FwDynamicInfo& info, unsigned xlen) {
  ResetRom rom{.code = {}, .start = start.value, .device_tree = device_tree.value, .info = info};
  std::memcpy(rom.code, kCode, sizeof kCode);
  if (xlen == 32) {
    for (unsigned load : {kFirstLoad, kFirstLoad + 1}) rom.code[load] ^= 1 << 12;  // lw, of the low halves
    const uint64_t words[] = {info.magic,     info.version, info.next_address,
                              info.next_mode, info.options, info.boot_hart};
    uint32_t narrow[2 * std::size(words)] = {};
    static_assert(sizeof narrow == sizeof info && sizeof words == sizeof info);
    for (size_t i = 0; i < std::size(words); ++i) narrow[i] = static_cast<uint32_t>(words[i]);
    std::memcpy(&rom.info, narrow, sizeof narrow);
  }
  std::vector<std::byte> bytes(sizeof rom);
  std::memcpy(bytes.data(), &rom, sizeof rom);
  return bytes;
}

}  // namespace lyre::machine
