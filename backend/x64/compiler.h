// X64Compiler: one walk over a region that allocates registers and emits code. One thread's; its buffers are reused, so that in steady state only the
// CompiledRegion's own vectors are allocated. Hot (translation).
//
// Code of a region: entry (16-byte aligned, its first instruction at least 5 bytes long so that poison() can overwrite it), the hot part in program
// order, then the cold part: side exits, slow paths, literals. rbp is the biased vCPU block throughout.
//
// Rule that keeps slow paths right: from the jump to a cold stub until the place it returns to, nothing is emitted by the allocator, so every
// register that the access needs is taken before its check.
#pragma once
#include <memory>
#include <vector>

#include "backend/regalloc/allocator.h"
#include "backend/x64/assembler.h"
#include "backend/x64/features.h"
#include "backend/x64/thunks.h"

namespace lyre::backend::x64 {

// What all compilers of one backend share; immutable.
struct Shared {
  GuestLayout layout;
  BackendOptions options;
  HostFeatures features;
  HostRegs regs;
  std::unique_ptr<CodeMemory> memory;
  Thunks thunks;
};

// Never allocated: carries values from memory to memory.
inline constexpr Reg kCopyVector = vector_reg(15);

class X64Compiler final : public Compiler, private AllocHost {
 public:
  explicit X64Compiler(Shared& shared);
  ~X64Compiler() override;
  std::unique_ptr<CompiledRegion> compile(const ir::Region& region) override;

 private:
  using ValueId = ir::ValueId;
  using Inst = ir::Inst;
  using Type = ir::Type;

  // An operand after allocation: a register, memory or an immediate.
  struct Operand {
    enum Kind : uint8_t { kReg, kMem, kImm } kind = kReg;
    Reg reg = kNoReg;
    Mem mem;
    int32_t imm = 0;
  };
  struct Compare {
    Operand a, b;
    bool wide = false;
    Cc cc = kCcE;
  };
  struct ColdExit {
    uint32_t fixup;
    uint32_t slots_first, slots_count;  // in exit_slots_
    int64_t target;
    uint64_t thunk;                     // 0: a linkable exit, else a thunk that takes the pc
    uint8_t hint;
    bool direct;                        // nothing to store: the conditional jump is the linkable one
  };
  struct ColdSlow {
    uint32_t fixup, resume;
    uint64_t thunk;
    uint8_t data[13];                   // what follows the jump back
    uint8_t data_bytes;
    bool has_point;
    StatePoint point;
  };
  struct ColdEmpty {
    uint32_t fixup, resume;
  };
  struct Literal {
    uint32_t fixup;
    uint64_t bits;
  };
  struct Probe {
    Mem host;                           // the guest bytes in host memory
    Reg base, page;
    uint32_t fixup;                     // jump to the slow path; 0: there is none
  };

  // compiler.cpp
  void emit_region(const ir::Region& region);
  void emit(ValueId id, const Inst& inst);
  std::unique_ptr<CompiledRegion> finish(const ir::Region& region);
  bool room_for(const ir::Region& region);
  void emit_jump(ValueId id, const Inst& inst);
  Mem mem_of(Place place) const;
  void emit_move(Reg dst, Reg src) override;
  void emit_swap(Reg a, Reg b) override;
  void emit_constant(Reg dst, uint64_t bits, Type type) override;
  void emit_load(Reg dst, Place src) override;
  void emit_store(Place dst, Reg src) override;
  void emit_store_constant(Place dst, uint64_t bits) override;
  void emit_copy(Place dst, Place src) override;

  // operand.cpp: choosing operand forms
  Type type_of(ValueId id) const { return region_->insts[id].type; }
  static bool wide(Type type) { return type == Type::kI64; }
  static bool narrow(Type type) { return type == Type::kI8 || type == Type::kI16 || type == Type::kI1; }
  bool small_constant(ValueId id, Type type, int32_t& imm) const;
  Operand operand(ValueId id, Type type);              // any form
  Reg extended(ValueId id, Type type, bool is_signed); // narrow types widened to 32 bits in a scratch register
  void alu(Alu op, bool w, Reg dst, const Operand& src);
  Compare prepare_compare(const Inst& inst, unsigned first);
  void emit_compare(const Compare& compare);

  // emit_int.cpp, emit_mul.cpp, emit_bits.cpp
  void emit_add(ValueId id, const Inst& inst);
  void emit_sub(ValueId id, const Inst& inst);
  void emit_logic(ValueId id, const Inst& inst, Alu op);
  void emit_andn(ValueId id, const Inst& inst);
  void emit_not_neg(ValueId id, const Inst& inst);
  void emit_shift(ValueId id, const Inst& inst);
  void emit_shift_constant(ValueId id, const Inst& inst, unsigned count);
  void emit_narrow_shift(ValueId id, const Inst& inst);
  void emit_extend(ValueId id, const Inst& inst);
  void emit_cmp(ValueId id, const Inst& inst);
  void emit_select(ValueId id, const Inst& inst);
  void emit_select_cmp(ValueId id, const Inst& inst);
  void finish_select(ValueId id, Cc cc, ValueId if_true, ValueId if_false, const Compare* compare, Reg test);
  void emit_min_max(ValueId id, const Inst& inst);
  void emit_mul(ValueId id, const Inst& inst);
  void emit_mulh(ValueId id, const Inst& inst);
  void emit_narrow_mulh(ValueId id, const Inst& inst);
  void emit_div(ValueId id, const Inst& inst);
  void emit_count_zeros(ValueId id, const Inst& inst);
  void emit_popcnt(ValueId id, const Inst& inst);
  void emit_bswap(ValueId id, const Inst& inst);
  void emit_brev8(ValueId id, const Inst& inst);
  void emit_orcb(ValueId id, const Inst& inst);
  void emit_clmul(ValueId id, const Inst& inst);
  void emit_bitcast(ValueId id, const Inst& inst);

  // emit_mem.cpp, emit_atomic.cpp
  Probe probe(ValueId base, const Inst& inst, bool write, Reg page, bool keep);
  Probe direct(ValueId base, const Inst& inst, Reg page);
  static bool needs_alignment(const Inst& inst) {
    return (inst.mem().must_align || inst.op == ir::Op::rmw || inst.op == ir::Op::cmpxchg) && inst.mem().size() > 1;
  }
  void access_here(const Inst& inst);
  StatePoint point_of(const Inst& inst) const;
  void slow_access(const Probe& probe, const Inst& inst, uint64_t thunk, uint32_t word, int32_t imm);
  void emit_guest_load(ValueId id, const Inst& inst);
  void emit_guest_store(ValueId id, const Inst& inst);
  void load_memory(Reg dst, Mem mem, const Inst& inst);
  void byte_swap(Reg reg, unsigned bytes);
  void emit_rmw(ValueId id, const Inst& inst);
  void emit_rmw_loop(ValueId id, const Inst& inst);
  void emit_cmpxchg(ValueId id, const Inst& inst);
  void extend_result(Reg reg, const Inst& inst);
  void emit_fence(const Inst& inst);

  // emit_exit.cpp
  void emit_exit_if(ValueId id, const Inst& inst);
  void emit_check(const Inst& inst);
  void emit_exit_direct(const Inst& inst);
  void emit_exit_indirect(const Inst& inst);
  void emit_exit_loop();
  void side_exit(Cc cc, int64_t target, uint64_t thunk, uint8_t hint);
  bool nothing_to_do(std::span<const BoundSlot> slots) const;
  void leave_state(std::span<BoundSlot> slots, const Location* target);
  void detach_overwritten(std::span<BoundSlot> slots);
  void load_location(Reg dst, const Location& at, uint16_t slot, Type type);
  void direct_jump(int64_t target, uint8_t hint);
  void direct_call(int64_t target, int64_t next);
  void unlinked_path(ExitSite& site);
  void push_return(int64_t next);
  bool same_page(int64_t target) const;
  static Mem code_page_slot(Gva address);
  void compare_mapping(ExitSite& site);
  void align_field(unsigned ahead);
  void emit_cold();
  void emit_cold_exit(const ColdExit& exit);
  void emit_cold_slow(const ColdSlow& slow);
  void call_thunk(uint64_t thunk);
  void jump_thunk(uint64_t thunk);
  void jcc_thunk(Cc cc, uint64_t thunk);

  // emit_call.cpp
  void emit_call(ValueId id, const Inst& inst);
  void emit_call_if(ValueId id, const Inst& inst);
  void emit_clock(ValueId id);
  void move_args(std::span<const ValueId> args);
  void take_result(ValueId id, Type type);
  void call_soft(ValueId id, const Inst& inst, uint64_t (*function)(ir::VcpuBlock*, uint64_t, uint64_t, uint64_t) noexcept);

  // emit_fp.cpp, emit_fp_convert.cpp
  void emit_fp(ValueId id, const Inst& inst);
  void emit_fp_binary(ValueId id, const Inst& inst, unsigned opcode, bool commutes);
  void emit_fsqrt(ValueId id, const Inst& inst);
  void emit_fma(ValueId id, const Inst& inst);
  void emit_fp_sign(ValueId id, const Inst& inst);
  void emit_fcopysign(ValueId id, const Inst& inst);
  bool fuses_with_call(ValueId id) const;
  void emit_fcmp(ValueId id, const Inst& inst);
  void emit_fcvt(ValueId id, const Inst& inst);
  void emit_fround(ValueId id, const Inst& inst);
  void emit_ftoi(ValueId id, const Inst& inst);
  void emit_itof(ValueId id, const Inst& inst);
  void emit_ftoi_u(ValueId id, const Inst& inst, Reg source, bool is_double);
  void literal(Reg dst, uint64_t bits, bool is_double);                            // load
  void literal_operand(unsigned prefix, unsigned opcode, Reg reg, uint64_t bits);  // second operand
  void sign_mask(Reg dst, bool is_double, bool inverted);

  Shared& shared_;
  const bool direct_memory_;   // guest accesses are plain ones: each is a state point of its own
  const HostFeatures& has_;
  Assembler as_;
  Liveness live_;
  Allocator ra_;
  ParallelMove moves_;
  const ir::Region* region_ = nullptr;
  CodeMemory::Area* area_ = nullptr;
  uint64_t code_offset_ = 0;   // of the region in code memory
  uint32_t loop_at_ = 0;       // offset of the loop header

  std::vector<BoundSlot> exit_slots_, now_slots_;
  std::vector<ColdExit> cold_exits_;
  std::vector<ColdSlow> cold_slow_;
  std::vector<ColdEmpty> cold_empty_;   // a call finds the return stack full
  std::vector<Literal> literals_;
  std::vector<ExitSite> exits_;
  std::vector<StatePoint> points_;
  std::vector<StateEntry> entries_;
  uint32_t hot_bytes_ = 0;
  uint32_t restart_at_ = 0;
  uint32_t guard_fixup_ = 0;   // of a region with code of a second page

  // Entry pointers kept in the allocator's scratch values.
  struct KeptEntry {
    ValueId base = ir::kNoId;
    int32_t displacement = 0;
  } kept_[Liveness::kScratchValues];
  unsigned next_kept_ = 0;
};

}  // namespace lyre::backend::x64
