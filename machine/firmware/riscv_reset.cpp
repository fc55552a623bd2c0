// RISC-V reset ROM. See riscv_reset.h.
#include "machine/firmware/riscv_reset.h"

#include <cstring>

namespace lyre::machine {
namespace {

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

std::vector<std::byte> riscv_reset_rom(Gpa start, Gpa device_tree, const FwDynamicInfo& info) {
  ResetRom rom{.code = {}, .start = start.value, .device_tree = device_tree.value, .info = info};
  std::memcpy(rom.code, kCode, sizeof kCode);
  std::vector<std::byte> bytes(sizeof rom);
  std::memcpy(bytes.data(), &rom, sizeof rom);
  return bytes;
}

}  // namespace lyre::machine
