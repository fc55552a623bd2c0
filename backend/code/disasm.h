// Host code as text. The only user of Capstone. Cold.
#pragma once
#include <cstdint>
#include <span>
#include <string>

namespace lyre::backend {

// One line an instruction, "address: text"; bytes that are no instruction are shown as .byte. `address` is the first byte's.
std::string disassemble_x64(std::span<const uint8_t> code, uint64_t address);
// Instructions in `code`.
unsigned count_x64(std::span<const uint8_t> code);

}  // namespace lyre::backend
