// Instruction-set extensions of the host that emitted code may use, from CPUID once at start.
#pragma once

namespace lyre::backend::x64 {

struct HostFeatures {
  bool sse41 = false;
  bool popcnt = false;
  bool lzcnt = false;
  bool bmi1 = false;   // andn, tzcnt
  bool bmi2 = false;   // shlx, rorx, mulx, pdep
  bool avx = false;    // three-operand scalar forms
  bool fma = false;
  bool pclmul = false;
};
// What CPUID reports, AVX only if the operating system saves its registers.
HostFeatures host_features();

}  // namespace lyre::backend::x64
