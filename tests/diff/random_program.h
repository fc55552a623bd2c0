// Random RISC-V programs drawn from the decoder's rows: every instruction that is not privileged, operands biased so that memory accesses mostly hit and
// registers are reused. A shorter program of the same seed is a prefix of a longer one, apart from its end.
#pragma once
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "frontend/riscv/isa.h"

namespace lyre::diff {

struct RandomProgram {
  std::vector<uint8_t> bytes;
  std::vector<uint32_t> offsets;  // of each instruction

  void append(uint32_t word) {
    offsets.push_back(static_cast<uint32_t>(bytes.size()));
    for (unsigned k = 0; k < ((word & 3) == 3 ? 4u : 2u); ++k) bytes.push_back(static_cast<uint8_t>(word >> 8 * k));
  }
};

inline constexpr unsigned kLoopRegister = 27;  // s11: iterations left; only the program's end writes it
inline constexpr uint8_t kBaseRegisters[] = {2, 8, 9};  // sp, s0, s1: hold addresses at the start, and are seldom written

// `skip`: instructions left out, by their index, for shortening.
RandomProgram random_program(uint64_t seed, unsigned length, const riscv::RiscvCpu& cpu, const std::vector<bool>& skip = {});

}  // namespace lyre::diff
