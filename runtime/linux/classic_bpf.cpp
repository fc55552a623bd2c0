#include "runtime/linux/classic_bpf.h"

#include <linux/filter.h>

#include <cstring>
#include <vector>

namespace lyre::linux_user {
namespace {

constexpr unsigned kScratchWords = 16;  // BPF_MEMWORDS

constexpr bool is_conditional(uint16_t code) { return BPF_CLASS(code) == BPF_JMP && BPF_OP(code) != BPF_JA; }

// What seccomp lets a program use; loads from a packet have become loads from struct seccomp_data.
bool is_known(uint16_t code) {
  switch (code) {
    case BPF_LD | BPF_W | BPF_ABS:
    case BPF_LD | BPF_W | BPF_LEN:
    case BPF_LDX | BPF_W | BPF_LEN:
    case BPF_LD | BPF_IMM:
    case BPF_LDX | BPF_IMM:
    case BPF_LD | BPF_MEM:
    case BPF_LDX | BPF_MEM:
    case BPF_ST:
    case BPF_STX:
    case BPF_RET | BPF_K:
    case BPF_RET | BPF_A:
    case BPF_MISC | BPF_TAX:
    case BPF_MISC | BPF_TXA:
    case BPF_ALU | BPF_NEG:
    case BPF_JMP | BPF_JA:
      return true;
    default:
      break;
  }
  const uint16_t operation = code & ~uint16_t{BPF_X};
  switch (operation) {
    case BPF_ALU | BPF_ADD:
    case BPF_ALU | BPF_SUB:
    case BPF_ALU | BPF_MUL:
    case BPF_ALU | BPF_DIV:
    case BPF_ALU | BPF_AND:
    case BPF_ALU | BPF_OR:
    case BPF_ALU | BPF_XOR:
    case BPF_ALU | BPF_LSH:
    case BPF_ALU | BPF_RSH:
    case BPF_JMP | BPF_JEQ:
    case BPF_JMP | BPF_JGT:
    case BPF_JMP | BPF_JGE:
    case BPF_JMP | BPF_JSET:
      return true;
    default:
      return false;
  }
}

bool operand_is_valid(const BpfInstruction& each, size_t behind) {  // behind: instructions that follow
  switch (each.code) {
    case BPF_LD | BPF_W | BPF_ABS:
      return each.k < sizeof(SeccompData) && each.k % 4 == 0;
    case BPF_ALU | BPF_DIV | BPF_K:
      return each.k != 0;
    case BPF_ALU | BPF_LSH | BPF_K:
    case BPF_ALU | BPF_RSH | BPF_K:
      return each.k < 32;
    case BPF_LD | BPF_MEM:
    case BPF_LDX | BPF_MEM:
    case BPF_ST:
    case BPF_STX:
      return each.k < kScratchWords;
    case BPF_JMP | BPF_JA:
      return each.k < behind;
    default:
      return !is_conditional(each.code) || (each.jump_true < behind && each.jump_false < behind);
  }
}

// No path reads a scratch word that it has not written.
bool scratch_is_written_first(std::span<const BpfInstruction> program) {
  std::vector<uint16_t> written_at(program.size(), 0xffff);  // on every path that jumps there
  uint16_t written = 0;
  for (size_t pc = 0; pc < program.size(); ++pc) {
    const BpfInstruction& each = program[pc];
    written &= written_at[pc];
    if (each.code == BPF_ST || each.code == BPF_STX) {
      written = static_cast<uint16_t>(written | 1u << each.k);
    } else if (each.code == (BPF_LD | BPF_MEM) || each.code == (BPF_LDX | BPF_MEM)) {
      if (!(written >> each.k & 1)) return false;
    } else if (each.code == (BPF_JMP | BPF_JA)) {
      written_at[pc + 1 + each.k] &= written;
      written = 0xffff;
    } else if (is_conditional(each.code)) {
      written_at[pc + 1 + each.jump_true] &= written;
      written_at[pc + 1 + each.jump_false] &= written;
      written = 0xffff;
    }
  }
  return true;
}

}  // namespace

bool bpf_is_valid(std::span<const BpfInstruction> program) {
  if (program.empty() || program.size() > kBpfMaxInstructions) return false;
  for (size_t pc = 0; pc < program.size(); ++pc)
    if (!is_known(program[pc].code) || !operand_is_valid(program[pc], program.size() - pc - 1)) return false;
  if (BPF_CLASS(program.back().code) != BPF_RET) return false;
  return scratch_is_written_first(program);
}

size_t bpf_kernel_length(std::span<const BpfInstruction> program) {
  size_t total = 3;  // clear both registers, keep the argument
  for (const BpfInstruction& each : program) {
    ++total;
    if (each.code == (BPF_RET | BPF_K)) total += 1;            // the value first
    if (each.code == (BPF_ALU | BPF_DIV | BPF_X)) total += 4;  // the test for zero
    if (!is_conditional(each.code)) continue;
    if (BPF_SRC(each.code) == BPF_K && static_cast<int32_t>(each.k) < 0) total += 1;       // in a register
    if (each.jump_false && (each.jump_true || BPF_OP(each.code) == BPF_JSET)) total += 1;  // no condition with one way
  }
  return total;
}

uint32_t run_bpf(std::span<const BpfInstruction> program, const SeccompData& data) {
  uint32_t a = 0, x = 0, scratch[kScratchWords];
  for (size_t pc = 0;; ++pc) {
    const BpfInstruction& each = program[pc];
    const uint32_t operand = BPF_SRC(each.code) == BPF_X ? x : each.k;
    bool taken = false;
    switch (BPF_CLASS(each.code)) {
      case BPF_LD:
        switch (BPF_MODE(each.code)) {
          case BPF_ABS:
            std::memcpy(&a, reinterpret_cast<const char*>(&data) + each.k, sizeof a);
            break;
          case BPF_LEN:
            a = sizeof data;
            break;
          case BPF_MEM:
            a = scratch[each.k];
            break;
          default:
            a = each.k;
        }
        continue;
      case BPF_LDX:
        x = BPF_MODE(each.code) == BPF_LEN   ? uint32_t{sizeof data}
            : BPF_MODE(each.code) == BPF_MEM ? scratch[each.k]
                                             : each.k;
        continue;
      case BPF_ST:
        scratch[each.k] = a;
        continue;
      case BPF_STX:
        scratch[each.k] = x;
        continue;
      case BPF_RET:
        return BPF_RVAL(each.code) == BPF_A ? a : each.k;
      case BPF_MISC:
        if (BPF_MISCOP(each.code) == BPF_TAX)
          x = a;
        else
          a = x;
        continue;
      case BPF_ALU:
        switch (BPF_OP(each.code)) {
          case BPF_ADD:
            a += operand;
            break;
          case BPF_SUB:
            a -= operand;
            break;
          case BPF_MUL:
            a *= operand;
            break;
          case BPF_DIV:
            if (!operand) return 0;  // ends the program
            a /= operand;
            break;
          case BPF_AND:
            a &= operand;
            break;
          case BPF_OR:
            a |= operand;
            break;
          case BPF_XOR:
            a ^= operand;
            break;
          case BPF_LSH:
            a <<= operand & 31;
            break;
          case BPF_RSH:
            a >>= operand & 31;
            break;
          default:
            a = -a;
        }
        continue;
      default:
        break;
    }
    switch (BPF_OP(each.code)) {
      case BPF_JA:
        pc += each.k;
        continue;
      case BPF_JEQ:
        taken = a == operand;
        break;
      case BPF_JGT:
        taken = a > operand;
        break;
      case BPF_JGE:
        taken = a >= operand;
        break;
      default:
        taken = a & operand;
    }
    pc += taken ? each.jump_true : each.jump_false;
  }
}

}  // namespace lyre::linux_user
