// Classic BPF as seccomp takes it: struct sock_filter of linux/filter.h, words of struct seccomp_data as its only
// input. Programs are checked before they are run, by the kernel's own rules (bpf_check_classic and
// seccomp_check_filter), so that run_bpf() needs no test of its own: jumps go forward and end, scratch words are
// written before they are read. Stateless; any thread.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

namespace lyre::linux_user {

struct BpfInstruction {
  uint16_t code;
  uint8_t jump_true, jump_false;
  uint32_t k;
};
static_assert(sizeof(BpfInstruction) == 8);

inline constexpr unsigned kBpfMaxInstructions = 4096;

// struct seccomp_data of linux/seccomp.h.
struct SeccompData {
  int32_t number;
  uint32_t arch;
  uint64_t instruction_pointer;  // behind the instruction that calls
  uint64_t args[6];
};
static_assert(sizeof(SeccompData) == 64);

bool bpf_is_valid(std::span<const BpfInstruction> program);
// Its length as the kernel counts it against its limit: that of the program it is converted to (bpf_convert_filter).
size_t bpf_kernel_length(std::span<const BpfInstruction> program);
// The value that a valid program returns.
uint32_t run_bpf(std::span<const BpfInstruction> program, const SeccompData& data);

}  // namespace lyre::linux_user
