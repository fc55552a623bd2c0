#include "backend/code/disasm.h"

#include <capstone/capstone.h>
#include <stdio.h>

namespace lyre::backend {
namespace {
template <typename Visit>
void each_insn(std::span<const uint8_t> code, uint64_t address, Visit&& visit) {
  csh handle;
  if (cs_open(CS_ARCH_X86, CS_MODE_64, &handle) != CS_ERR_OK) return;
  cs_insn* insn = cs_malloc(handle);
  const uint8_t* at = code.data();
  size_t left = code.size();
  while (left) {
    const uint8_t* before = at;
    if (cs_disasm_iter(handle, &at, &left, &address, insn)) {
      visit(insn, before);
    } else {
      visit(nullptr, before);
      at++, left--, address++;
    }
  }
  cs_free(insn, 1);
  cs_close(&handle);
}
}  // namespace

std::string disassemble_x64(std::span<const uint8_t> code, uint64_t address) {
  std::string text;
  each_insn(code, address, [&](const cs_insn* insn, const uint8_t* at) {
    char line[256];
    if (insn) {
      snprintf(line, sizeof line, "%llx: %s %s\n", static_cast<unsigned long long>(insn->address), insn->mnemonic, insn->op_str);
    } else {
      snprintf(line, sizeof line, "%llx: .byte 0x%02x\n", static_cast<unsigned long long>(address + static_cast<uint64_t>(at - code.data())), *at);
    }
    text += line;
  });
  return text;
}

unsigned count_x64(std::span<const uint8_t> code) {
  unsigned count = 0;
  each_insn(code, 0, [&](const cs_insn*, const uint8_t*) { count++; });
  return count;
}

}  // namespace lyre::backend
