#include "backend/code/disasm.h"

#include <capstone/capstone.h>
#include <stdio.h>
#include <string.h>

#include <algorithm>

namespace lyre::backend {
namespace {

// `visit` says whether to go on.
template <typename Visit>
void each_insn(std::span<const uint8_t> code, uint64_t address, Visit&& visit) {
  csh handle;
  if (cs_open(CS_ARCH_X86, CS_MODE_64, &handle) != CS_ERR_OK) return;
  cs_insn* insn = cs_malloc(handle);
  const uint8_t* at = code.data();
  size_t left = code.size();
  for (bool more = true; more && left;) {
    const uint8_t* before = at;
    if (cs_disasm_iter(handle, &at, &left, &address, insn)) {
      more = visit(insn, before);
    } else {
      more = visit(nullptr, before);
      at++, left--, address++;
    }
  }
  cs_free(insn, 1);
  cs_close(&handle);
}

std::string code_lines(std::span<const uint8_t> code, uint64_t address) {
  std::string text;
  each_insn(code, address, [&](const cs_insn* insn, const uint8_t* at) {
    char line[256];
    if (insn) {
      snprintf(line, sizeof line, "%llx: %s %s\n", static_cast<unsigned long long>(insn->address), insn->mnemonic,
               insn->op_str);
    } else {
      snprintf(line, sizeof line, "%llx: .byte 0x%02x\n",
               static_cast<unsigned long long>(address + static_cast<uint64_t>(at - code.data())), *at);
    }
    text += line;
    return true;
  });
  return text;
}

// As quads where they are aligned to the start of the data, and what is left in smaller pieces.
std::string data_lines(std::span<const uint8_t> data, uint64_t address) {
  constexpr struct {
    unsigned bytes;
    const char* name;
  } kUnits[] = {{8, ".quad"}, {4, ".long"}, {1, ".byte"}};
  std::string text;
  for (size_t at = 0; at < data.size();) {
    for (const auto& unit : kUnits) {
      if (data.size() - at < unit.bytes) continue;
      uint64_t value = 0;
      memcpy(&value, data.data() + at, unit.bytes);
      char line[64];
      snprintf(line, sizeof line, "%llx: %s 0x%0*llx\n", static_cast<unsigned long long>(address + at), unit.name,
               static_cast<int>(2 * unit.bytes), static_cast<unsigned long long>(value));
      text += line;
      at += unit.bytes;
      break;
    }
  }
  return text;
}

// Where the first run of data at or behind `from` begins and ends, both offsets; empty at the end of the code: there is
// none.
struct Range {
  size_t begin, end;
};
Range next_data(std::span<const uint8_t> code, uint64_t address, size_t from, const FindCallData& call_data) {
  constexpr uint8_t kCall = 0xe8;  // with a 32-bit displacement
  Range found{code.size(), code.size()};
  each_insn(code.subspan(from), address + from, [&](const cs_insn* insn, const uint8_t* at) {
    if (!insn || insn->size != 5 || *at != kCall) return true;
    int32_t displacement;
    memcpy(&displacement, at + 1, sizeof displacement);
    const size_t after = static_cast<size_t>(at - code.data()) + 5;
    const CallData data = call_data(address + after + static_cast<uint64_t>(int64_t{displacement}));
    if (!data.bytes) return true;
    found.begin = std::min(code.size(), after + data.distance);
    found.end = std::min(code.size(), found.begin + data.bytes);
    return false;
  });
  return found;
}

}  // namespace

std::string disassemble_x64(std::span<const uint8_t> code, uint64_t address, const FindCallData& call_data,
                            size_t data_from) {
  const std::span<const uint8_t> mixed = code.first(std::min(code.size(), data_from));
  std::string text;
  for (size_t at = 0; at < mixed.size();) {
    const Range data = call_data ? next_data(mixed, address, at, call_data) : Range{mixed.size(), mixed.size()};
    text += code_lines(mixed.subspan(at, data.begin - at), address + at);
    text += data_lines(mixed.subspan(data.begin, data.end - data.begin), address + data.begin);
    at = data.end;
  }
  // What lies behind all code is aligned to its own size.
  const std::span<const uint8_t> tail = code.subspan(mixed.size());
  const uint64_t begin = address + mixed.size();
  const size_t padding = std::min<size_t>(tail.size(), (8 - begin % 8) % 8);
  return text + data_lines(tail.first(padding), begin) + data_lines(tail.subspan(padding), begin + padding);
}

unsigned count_x64(std::span<const uint8_t> code) {
  unsigned count = 0;
  each_insn(code, 0, [&](const cs_insn*, const uint8_t*) { return ++count != 0; });
  return count;
}

}  // namespace lyre::backend
