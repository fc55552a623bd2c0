// Code made once at start: the way into translated code, the ways out of it, and the slow paths that save every register. Offsets are bytes in code
// memory; all are in rel32 reach of every region. thunks.cpp tells each one's contract.
#pragma once
#include <cstdint>
#include <span>

#include "backend/code/code_memory.h"
#include "backend/x64/assembler.h"

namespace lyre::backend::x64 {

// Host registers of the pinned slots, hottest first: callee-saved, so C++ keeps them.
inline constexpr Reg kPinnedRegs[5] = {kRbx, kR12, kR13, kR14, kR15};

// What follows `call slow_*; jmp resume` in a cold stub, 12 bytes: word, displacement, immediate.
struct SlowWord {
  static constexpr unsigned kBase = 11, kValue = 15, kDst = 19;           // register numbers, 4 bits each; bits 0..10: MemOp
  static constexpr uint32_t kValueVector = 1u << 23, kDstVector = 1u << 24, kValueImm = 1u << 25;
  static constexpr unsigned kKind = 26;                                   // RmwKind, 4 bits
  static constexpr uint32_t kDst32 = 1u << 30;                            // upper half of the result register: zero
};
// What follows `call slow_call; jmp resume`: helper index (16 bits), argument count (8), result register | 0x80 vector | 0x40 none (8); then a byte per
// argument: register | 0x80 vector; five bytes reserved.
inline constexpr unsigned kSlowCallArgs = 5;

// Depth of the return stack on the thread's own stack; a call below it starts over at the bottom. 4,096 calls.
inline constexpr int32_t kReturnStackBytes = 64 << 10;

struct Thunks {
  uint64_t enter = 0;           // uint64_t enter(VcpuBlock*, code): 0 = state is precise, 1 = to be recovered at exit_host_pc
  uint64_t leave_direct = 0;    // called; an 8-byte guest pc follows the call
  uint64_t leave_loop = 0;      // the same with Leave::kLoop
  uint64_t leave_restart = 0;   // the same with Leave::kRestart
  uint64_t leave_indirect = 0;  // jumped to with rax = guest pc
  uint64_t leave_as_is = 0;     // jumped to: pc slot and all but pinned slots are stored
  uint64_t leave_flushed = 0;   // jumped to: the whole state is in memory and `leave` is set
  uint64_t leave_fault = 0;     // entered from a signal handler: rbx = host pc of the access that faulted, registers are saved, `leave` is set
  uint64_t slow_load = 0, slow_store = 0, slow_rmw = 0, slow_cmpxchg = 0;
  uint64_t slow_call = 0, slow_call_fp = 0;
};

// Bytes of cold stubs behind their call.
inline constexpr unsigned kLeaveDataBytes = 8;      // guest pc
inline constexpr unsigned kSlowResumeBytes = 5;     // jmp resume
inline constexpr unsigned kSlowAccessDataBytes = 12, kSlowCallDataBytes = 4 + kSlowCallArgs;

Thunks emit_thunks(CodeMemory& memory, uint16_t pc_slot, std::span<const uint16_t> pinned_slots);

}  // namespace lyre::backend::x64
