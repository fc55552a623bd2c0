// Guest loads and stores: the inline TLB probe, and its slow path.
//
//   lea   page, [base + disp]        (mov without displacement)
//   rorx  entry, page, 7             entry offset = page number * 32
//   and   entry, [tlb_mask]
//   add   entry, [tlb]
//   and   page, kPageMask | (size - 1)
//   cmp   page, [entry + tag]        misaligned: low bits are left, no tag has any
//   jne   slow
//   mov   page, [entry + addend]
//   mov   value, [base + page + disp]
//
// Direct memory (user mode) has no probe: the access is one instruction, [base + disp]. A fault of it is found by its host pc, so each one is a state
// point, set right in front of it; only what must be aligned has a check and a slow path.
//
// The middle four vanish when the entry of a nearby access through the same base value is still in a register: the tag is compared again, so that an
// access to another page, or after a flush, still misses.
#include "backend/x64/compiler.h"

#include <cstddef>

namespace lyre::backend::x64 {

using ir::Type;

namespace {
static_assert(sizeof(ir::TlbEntry) == 32);
constexpr unsigned kPageToEntry = kPageBits - 5;
constexpr int32_t kNearby = 256;
constexpr unsigned kKeptEntries = 3;
}  // namespace

// `page` is a scratch register; afterwards it holds the addend. keep: the base lives on, so the entry may serve again.
X64Compiler::Probe X64Compiler::probe(ValueId base, const Inst& inst, bool write, Reg page, bool keep) {
  if (direct_memory_) return direct(base, inst, page);
  const ir::MemOp op = inst.mem();
  const int32_t disp = inst.displacement();
  const ValueId id = live_.alias(base);
  Probe result;
  result.base = ra_.use(base);
  result.page = page;
  Reg entry = kNoReg;
  for (unsigned k = 0; k < kKeptEntries; k++) {
    if (ra_.scratch(k) == kNoReg || kept_[k].base != id) continue;
    const int64_t distance = int64_t{disp} - kept_[k].displacement;
    if (distance > -kNearby && distance < kNearby) entry = ra_.scratch(k), ra_.lock(entry);
  }
  const bool cached = entry != kNoReg;
  if (!cached) entry = ra_.temp_gpr();
  if (disp) {
    as_.lea_rm(true, page, {result.base, kNoReg, 0, disp});
  } else {
    as_.mov_rr(true, page, result.base);
  }
  if (!cached) {
    const Reg from = disp ? page : result.base;
    if (has_.bmi2) {
      as_.rorx(as_.r64(entry), as_.r64(from), kPageToEntry);
    } else {
      as_.mov_rr(true, entry, from);
      as_.shift_ri(kShr, true, entry, kPageToEntry);
    }
    as_.alu_rm(kAnd, true, entry, vcpu_field(&ir::VcpuBlock::tlb_mask));
    as_.alu_rm(kAdd, true, entry, vcpu_field(&ir::VcpuBlock::tlb));
  }
  as_.alu_ri(kAnd, true, page, static_cast<int32_t>(kPageMask | (op.size() - 1)));
  const size_t tag = write ? offsetof(ir::TlbEntry, write_tag) : offsetof(ir::TlbEntry, read_tag);
  as_.alu_rm(kCmp, true, page, {entry, kNoReg, 0, static_cast<int32_t>(tag)});
  result.fixup = as_.jcc_far(kCcNe);
  as_.load(true, page, {entry, kNoReg, 0, static_cast<int32_t>(offsetof(ir::TlbEntry, addend))});
  result.host = {result.base, page, 0, disp};
  if (!cached && keep) {
    // Whatever was kept in this place falls out of its register by itself.
    const unsigned k = next_kept_++ % kKeptEntries;
    ra_.keep_scratch(k, entry);
    kept_[k] = {id, disp};
  }
  return result;
}

// `page` is a scratch register, needed if the access must be aligned.
X64Compiler::Probe X64Compiler::direct(ValueId base, const Inst& inst, Reg page) {
  Probe result;
  result.base = ra_.use(base);
  result.page = page;
  result.host = {result.base, kNoReg, 0, inst.displacement()};
  result.fixup = 0;
  if (region_->watched) {
    result.fixup = as_.jmp_far();
    return result;
  }
  if (!needs_alignment(inst)) return result;
  const auto mask = static_cast<int32_t>(inst.mem().size() - 1);
  if (inst.displacement()) {
    as_.lea_rm(true, page, result.host);
    as_.test_ri(false, page, mask);
  } else {
    as_.test_ri(false, result.base, mask);
  }
  result.fixup = as_.jcc_far(kCcNe);
  return result;
}

StatePoint X64Compiler::point_of(const Inst& inst) const {
  const ir::Snapshot& snapshot = region_->snapshots[inst.snapshot];
  StatePoint point;
  point.host_offset = as_.at();
  point.entries_count = static_cast<uint32_t>(entries_.size());
  point.pc_offset = snapshot.pc_offset;
  return point;
}

// The next instruction is the access itself.
void X64Compiler::access_here(const Inst& inst) {
  if (direct_memory_) points_.push_back(point_of(inst));
}

// Records the slow path of an access whose hot path ends here.
void X64Compiler::slow_access(const Probe& probe, const Inst& inst, uint64_t thunk, uint32_t word, int32_t imm) {
  if (!probe.fixup) return;
  ColdSlow slow;
  slow.fixup = probe.fixup, slow.resume = as_.at(), slow.thunk = thunk;
  word |= inst.mem().pack() | uint32_t{probe.base} << SlowWord::kBase;
  const int32_t disp = inst.displacement();
  memcpy(slow.data, &word, 4);
  memcpy(slow.data + 4, &disp, 4);
  memcpy(slow.data + 8, &imm, 4);
  slow.data_bytes = kSlowAccessDataBytes;
  slow.has_point = true;
  slow.point = point_of(inst);
  cold_slow_.push_back(slow);
}

void X64Compiler::load_memory(Reg dst, Mem mem, const Inst& inst) {
  const ir::MemOp op = inst.mem();
  const unsigned bytes = op.size();
  if (is_vector(dst)) {
    if (bytes == 4) {
      as_.movss(as_.x(dst), Assembler::address(mem, 32));
    } else {
      as_.movsd(as_.x(dst), Assembler::address(mem, 64));
    }
    return;
  }
  const bool w = wide(inst.type);
  if (op.big_endian && bytes > 1) {
    as_.load(bytes == 8, dst, mem);
    byte_swap(dst, bytes);
    if (bytes < 8) extend_result(dst, inst);
    return;
  }
  if (bytes == 8) return as_.load(true, dst, mem);
  if (bytes == 4) return op.sign_extend && w ? as_.rm(true, 0x63, dst, mem) : as_.load(false, dst, mem);
  as_.rm0f(op.sign_extend && w, (op.sign_extend ? 0xbeu : 0xb6u) + (bytes == 2 ? 1u : 0u), dst, mem);
}

void X64Compiler::emit_guest_load(ValueId id, const Inst& inst) {
  const ValueId base = inst.args[0];
  const Reg base_reg = ra_.use(base);
  const bool last_use = ra_.dies(base);
  uint32_t word = 0;
  Reg dst = kNoReg, page;
  // The result goes to the register that it is wanted in, if that is free now or by the base's end; else to the probe's own scratch register.
  const Reg hint = ra_.hint(id);
  const bool takes_base = last_use && hint == base_reg && !in_vector(inst.type);
  if (in_vector(inst.type)) {
    dst = ra_.define(id);
    page = !direct_memory_ || needs_alignment(inst) || inst.mem().big_endian ? ra_.temp_gpr() : kNoReg;
    word |= SlowWord::kDstVector;
  } else if (direct_memory_ && takes_base) {
    page = needs_alignment(inst) ? ra_.temp_gpr() : kNoReg;
  } else {
    page = !takes_base && hint != kNoReg && ra_.is_free(hint) ? ra_.temp(mask_of(hint)) : ra_.temp_gpr();
  }
  Probe at = probe(base, inst, false, page, !last_use);
  ra_.changed_slots(entries_);
  if (takes_base) {
    ra_.release();
    dst = ra_.define(id, mask_of(base_reg));
  } else if (dst == kNoReg) {
    dst = page;
    ra_.define_as(id, page);
  }
  access_here(inst);
  if (is_vector(dst) && inst.mem().big_endian) {
    as_.load(inst.type == Type::kF64, page, at.host);
    byte_swap(page, inst.mem().size());
    inst.type == Type::kF64 ? as_.movq(as_.x(dst), as_.r64(page)) : as_.movd(as_.x(dst), as_.r32(page));
  } else {
    load_memory(dst, at.host, inst);
  }
  word |= hw(dst) << SlowWord::kDst;
  if (inst.type != Type::kI64 && !in_vector(inst.type)) word |= SlowWord::kDst32;
  slow_access(at, inst, shared_.thunks.slow_load, word, 0);
}

void X64Compiler::emit_guest_store(ValueId id, const Inst& inst) {
  const ir::MemOp op = inst.mem();
  const ValueId base = inst.args[0], value = inst.args[1];
  uint32_t word = 0;
  int32_t imm = 0;
  Reg source = kNoReg;
  ra_.use(base);
  const bool immediate = !in_vector(inst.type) && !op.big_endian && small_constant(value, inst.type, imm);
  if (immediate) {
    word |= SlowWord::kValueImm;
  } else {
    source = ra_.use(value);
    word |= hw(source) << SlowWord::kValue;
    if (is_vector(source)) word |= SlowWord::kValueVector;
  }
  Reg swapped = kNoReg;
  if (op.big_endian && op.size() > 1) swapped = ra_.temp_gpr();
  const Reg page = !direct_memory_ || needs_alignment(inst) ? ra_.temp_gpr() : kNoReg;
  Probe at = probe(base, inst, true, page, !ra_.dies(base));
  ra_.changed_slots(entries_);
  if (swapped != kNoReg) {
    is_vector(source) ? as_.movq(as_.r64(swapped), as_.x(source)) : as_.mov_rr(true, swapped, source);
    byte_swap(swapped, op.size());
  }
  access_here(inst);
  if (immediate) {
    as_.store_imm(op.size(), at.host, imm);
  } else if (is_vector(source) && swapped == kNoReg) {
    if (op.size() == 4) {
      as_.movss(Assembler::address(at.host, 32), as_.x(source));
    } else {
      as_.movsd(Assembler::address(at.host, 64), as_.x(source));
    }
  } else {
    as_.store(op.size(), at.host, swapped != kNoReg ? swapped : source);
  }
  if (op.ordering == ir::Ordering::kSeqCst) {
    Inst fence = inst;
    fence.aux = ir::kFenceStoreLoad;
    emit_fence(fence);
  }
  slow_access(at, inst, shared_.thunks.slow_store, word, imm);
  (void)id;
}

}  // namespace lyre::backend::x64
