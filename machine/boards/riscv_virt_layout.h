// Addresses and interrupt sources of the RISC-V `virt` board. Firmware and kernels have them compiled in or read them
// from the device tree: they are the interface to unmodified software and do not change.
#pragma once
#include <cstdint>

#include "runtime/base/types.h"

namespace lyre::machine::riscv_virt {

struct Place {
  Gpa base;
  uint64_t size;
  uint32_t irq = 0;  // PLIC source; 0: none
};

inline constexpr Place kMaskRom{{0x1000}, 0xf000};
inline constexpr Place kTest{{0x100000}, 0x1000};
inline constexpr Place kRtc{{0x101000}, 0x1000, 11};
inline constexpr Place kClint{{0x2000000}, 0x10000};
inline constexpr Place kSswi{{0x2f00000}, 0x4000};
inline constexpr Place kPciPio{{0x3000000}, 0x10000};
inline constexpr Place kPlic{{0xc000000}, 0x600000};
inline constexpr Place kUart{{0x10000000}, 0x100, 10};
inline constexpr Place kVirtio{{0x10001000}, 0x1000, 1};  // the first of the slots
inline constexpr uint64_t kVirtioDecoded = 0x200;         // what a slot answers to
inline constexpr unsigned kVirtioSlots = 8;
inline constexpr Place kFwCfg{{0x10100000}, 0x18};
inline constexpr Place kFlash{{0x20000000}, 0x2000000};  // the first of the two banks
inline constexpr unsigned kFlashBanks = 2;
inline constexpr Place kPciEcam{{0x30000000}, 0x10000000, 32};  // INTA of slot 0; INTx are four sources in a row
inline constexpr Place kPciMmio32{{0x40000000}, 0x40000000};
inline constexpr Gpa kRam{0x80000000};
inline constexpr uint64_t kPciMmio64Size = uint64_t{16} << 30;

// 32-bit harts have physical addresses of 34 bits: the large PCI window is the last 4 GiB of them, and RAM ends below
// it.
inline constexpr Place kPciMmio64Narrow{{0x300000000}, uint64_t{4} << 30};
inline constexpr uint64_t kMaxRamNarrow = kPciMmio64Narrow.base.value - kRam.value;

// Otherwise it lies at 16 GiB, or above RAM if that reaches so far; aligned to its size.
constexpr Place pci_mmio64(uint64_t ram_bytes, unsigned xlen) {
  if (xlen == 32) return kPciMmio64Narrow;
  uint64_t end = kRam.value + ram_bytes;
  uint64_t base = (end + kPciMmio64Size - 1) / kPciMmio64Size * kPciMmio64Size;
  return {{base < kPciMmio64Size ? kPciMmio64Size : base}, kPciMmio64Size};
}

}  // namespace lyre::machine::riscv_virt
