// Host code as text. The only user of Capstone outside tests. Cold.
#pragma once
#include <cstdint>
#include <functional>
#include <span>
#include <string>

namespace lyre::backend {

// What stands between instructions: `bytes` of data, `distance` bytes behind a call. bytes = 0: there is none.
struct CallData {
  uint32_t distance = 0, bytes = 0;
};
// The data that follow a call of this address.
using FindCallData = std::function<CallData(uint64_t target)>;

// One line an instruction, "address: text"; bytes that are no instruction are shown as .byte. `address` is the first
// byte's. Data are shown as .quad (or shorter) and never as instructions: those that `call_data` knows of, and
// everything from offset `data_from` on.
std::string disassemble_x64(std::span<const uint8_t> code, uint64_t address, const FindCallData& call_data = {},
                            size_t data_from = SIZE_MAX);
// Instructions in `code`.
unsigned count_x64(std::span<const uint8_t> code);

}  // namespace lyre::backend
