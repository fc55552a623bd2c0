// The vDSO: the shared object that the kernel maps into every process: functions that answer without a system call, the
// signal trampoline, and what unwinds through it. The code is the guest's (frontend/linux_abi.h); here it becomes an
// ELF image. Cold: once at start.
#pragma once
#include <cstdint>
#include <vector>

#include "frontend/linux_abi.h"

namespace lyre::linux_user {

struct VdsoImage {
  std::vector<uint8_t> bytes;
  uint64_t text = 0;  // offset of the code
};

// Position-independent: one segment, read and executed. Section headers are in it too, for debuggers that read it from
// memory.
VdsoImage make_vdso(const frontend::VdsoCode& code, uint16_t elf_machine);

}  // namespace lyre::linux_user
