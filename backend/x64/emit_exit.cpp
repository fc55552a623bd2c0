// Leaving a region: side exits, linkable jumps, calls and returns, indirect jumps, checks, and the cold part.
//
// Linkable jump, target in the page of the region's start:      jmp rel32            -> target, or the unlinked path behind it
// Any other target: cmp dword [code_pages slot], imm32; je rel32 -> target; falls into the unlinked path while imm32 is kNoMapping
// Unlinked path: call leave_direct; dq guest pc.  The call's return address is the exit's key.
// A guest's call pushes the guest pc behind it and is a host call, with a linkable jump to that pc where the host returns to. A guest's return compares
// that pc with the one on top and is a host return, predicted by the host's own return stack; where they differ (longjmp, a thread switch), it empties
// the stack and goes by the jump cache. A Debian boot to its shell missed the jump cache 172,254 times without this and 81,328 times with it.
// imm32 and rel32 each lie inside one aligned 8 bytes, so a single store patches them under running vCPUs.
#include <algorithm>

#include "backend/x64/compiler.h"
#include "runtime/base/bits.h"
#include "runtime/base/check.h"

namespace lyre::backend::x64 {

using ir::Type;
using ir::VcpuBlock;

namespace {
constexpr Type type_of_bytes(unsigned bytes) { return bytes == 1 ? Type::kI8 : bytes == 2 ? Type::kI16 : bytes == 4 ? Type::kI32 : Type::kI64; }
}  // namespace

bool X64Compiler::same_page(int64_t target) const {
  // User mode: what a page's address holds changes only by system calls, which unlink.
  if (shared_.options.direct_memory) return true;
  const uint64_t start = region_->start.value;
  return ((start ^ (start + static_cast<uint64_t>(target))) & kPageMask) == 0;
}

Mem X64Compiler::code_page_slot(Gva address) {
  return block_mem(offsetof(VcpuBlock, code_pages) + 4 * (address.value >> kPageBits & (ir::kCodePages - 1)));
}

void X64Compiler::call_thunk(uint64_t thunk) {
  as_.byte(0xe8);
  as_.dword(static_cast<uint32_t>(thunk - (code_offset_ + as_.at() + 4)));
}
void X64Compiler::jump_thunk(uint64_t thunk) {
  as_.byte(0xe9);
  as_.dword(static_cast<uint32_t>(thunk - (code_offset_ + as_.at() + 4)));
}
void X64Compiler::jcc_thunk(Cc cc, uint64_t thunk) {
  as_.byte(0x0f), as_.byte(0x80u + cc);
  as_.dword(static_cast<uint32_t>(thunk - (code_offset_ + as_.at() + 4)));
}

// All pinned slots in their registers, all others in memory.
bool X64Compiler::nothing_to_do(std::span<const BoundSlot> slots) const {
  const size_t pinned = shared_.layout.pinned_slots.size();
  if (slots.size() > pinned) return false;
  for (size_t k = 0; k < pinned; k++) {
    const Location& at = slots[k].location;
    if (at.kind != LocationKind::kGpr || at.index != kPinnedRegs[k]) return false;
  }
  return true;
}

void X64Compiler::load_location(Reg dst, const Location& at, uint16_t slot, Type type) {
  switch (at.kind) {
    case LocationKind::kGpr: return as_.mov_rr(true, dst, at.index);
    case LocationKind::kVector: return type == Type::kF32 ? as_.movd(as_.r32(dst), as_.x(vector_reg(at.index))) : as_.movq(as_.r64(dst), as_.x(vector_reg(at.index)));
    case LocationKind::kSpill: return emit_load(dst, {Place::kSpill, Type::kI64, at.spill});
    case LocationKind::kConstant: return as_.mov_ri(dst, at.constant);
    case LocationKind::kHome: return emit_load(dst, {Place::kState, type, slot});
    case LocationKind::kState: return emit_load(dst, {Place::kState, type_of_bytes(at.index), at.spill});
  }
}

// A value that only lives in the memory of a slot which this exit overwrites moves to a spill slot first.
void X64Compiler::detach_overwritten(std::span<BoundSlot> slots) {
  const size_t pinned = shared_.layout.pinned_slots.size();
  unsigned used = 0;
  for (BoundSlot& slot : slots) {
    if (slot.location.kind != LocationKind::kState) continue;
    const uint16_t source = slot.location.spill;
    const bool overwritten = std::any_of(slots.begin() + static_cast<ptrdiff_t>(pinned), slots.end(), [&](const BoundSlot& other) { return other.offset == source; });
    if (!overwritten) continue;
    LYRE_CHECK(used < kExitSpills, "too many state slots exchange their values at one exit");
    const auto spill = static_cast<uint16_t>(kAllocatorSpills + used++);
    emit_copy({Place::kSpill, Type::kI64, spill}, {Place::kState, type_of_bytes(slot.location.index), source});
    slot.location.kind = LocationKind::kSpill;
    slot.location.spill = spill;
  }
}

// Stores what is dirty and puts pinned slots into their registers. target: a value that goes to rax as well. rcx and rdx are free afterwards.
void X64Compiler::leave_state(std::span<BoundSlot> slots, const Location* target) {
  const size_t pinned = shared_.layout.pinned_slots.size();
  detach_overwritten(slots);
  auto in_memory = [](const Location& at) { return at.kind == LocationKind::kSpill || at.kind == LocationKind::kState; };
  auto late = [&](const Location& at) { return in_memory(at) || (at.kind == LocationKind::kConstant && !fits32(at.constant)); };
  for (size_t k = pinned; k < slots.size(); k++) {
    const BoundSlot& slot = slots[k];
    if (late(slot.location)) continue;
    as_.ensure();
    const Place to{Place::kState, slot.type, slot.offset};
    if (slot.location.kind == LocationKind::kConstant) {
      emit_store_constant(to, slot.location.constant);
    } else {
      emit_store(to, slot.location.kind == LocationKind::kVector ? vector_reg(slot.location.index) : static_cast<Reg>(slot.location.index));
    }
  }
  moves_.clear();
  for (size_t k = 0; k < pinned; k++) {
    if (slots[k].location.kind == LocationKind::kGpr) moves_.add(kPinnedRegs[k], slots[k].location.index);
  }
  const bool target_in_reg = target && target->kind == LocationKind::kGpr;
  if (target_in_reg) moves_.add(kRax, target->index);
  moves_.emit(*this);
  as_.ensure();
  if (target && !target_in_reg) load_location(kRax, *target, 0, Type::kI64);
  for (size_t k = 0; k < pinned; k++) {
    if (slots[k].location.kind != LocationKind::kGpr) load_location(kPinnedRegs[k], slots[k].location, slots[k].offset, Type::kI64);
  }
  for (size_t k = pinned; k < slots.size(); k++) {
    const BoundSlot& slot = slots[k];
    if (!late(slot.location)) continue;
    as_.ensure();
    load_location(kRcx, slot.location, slot.offset, slot.type);
    emit_store({Place::kState, slot.type, slot.offset}, kRcx);
  }
}

// Nops, so that a field of 4 bytes that starts `ahead` bytes from here lies inside one aligned 8 bytes. They keep the flags.
void X64Compiler::align_field(unsigned ahead) {
  while (((as_.at() + ahead) & 7) > 4) as_.nops(8 - ((as_.at() + ahead) & 7));
}

// Equal: the page of site.target has the mapping that the exit was linked under. A jump on the flags may follow whose displacement is patched too.
void X64Compiler::compare_mapping(ExitSite& site) {
  const Mem slot = code_page_slot(region_->start + static_cast<uint64_t>(site.target));
  // The compare's immediate starts 6 bytes in, the jump's displacement 12 bytes in.
  const unsigned at = (as_.at() + 6) & 7;
  if (at < 2 || at > 4) as_.nops((2 - at) & 7);
  as_.byte(0x81), as_.byte(0xbd), as_.dword(static_cast<uint32_t>(slot.disp)), as_.dword(ir::kNoMapping);
  site.guard_offset = as_.at() - 4;
}

void X64Compiler::direct_jump(int64_t target, uint8_t hint) {
  ExitSite site;
  site.target = target;
  site.hint = hint;
  if (same_page(target)) {
    align_field(1);
    site.jump_offset = as_.jmp_far();
  } else {
    compare_mapping(site);
    site.jump_offset = as_.jcc_far(kCcE);
  }
  unlinked_path(site);
}

void X64Compiler::unlinked_path(ExitSite& site) {
  site.unlinked_offset = as_.at();
  call_thunk(shared_.thunks.leave_direct);
  site.key_offset = as_.at();
  as_.qword(region_->start.value + static_cast<uint64_t>(site.target));
  exits_.push_back(site);
}

// rcx is free.
void X64Compiler::push_return(int64_t next) {
  as_.alu_rm(kCmp, true, kRsp, vcpu_field(&VcpuBlock::return_limit));
  const uint32_t full = as_.jcc_far(kCcB);
  cold_empty_.push_back({full, as_.at()});
  const uint64_t pc = region_->start.value + static_cast<uint64_t>(next);
  if (fits32(pc)) {
    as_.push_imm(static_cast<int32_t>(pc));
  } else {
    as_.mov_ri(kRcx, pc);
    as_.push(as_.r64(kRcx));
  }
}

// next: the guest pc that is returned to.
void X64Compiler::direct_call(int64_t target, int64_t next) {
  ExitSite site;
  site.target = target;
  site.hint = ir::kHintCall;
  uint32_t elsewhere = 0;
  if (!same_page(target)) {
    compare_mapping(site);
    elsewhere = as_.jcc_far(kCcNe);
  }
  push_return(next);
  align_field(1);
  site.jump_offset = as_.call_far();
  direct_jump(next, ir::kHintNone);
  as_.patch(site.jump_offset, as_.at());
  if (elsewhere) as_.bind_far(elsewhere);
  unlinked_path(site);
}

void X64Compiler::side_exit(Cc cc, int64_t target, uint64_t thunk, uint8_t hint) {
  ColdExit exit;
  exit.slots_first = static_cast<uint32_t>(exit_slots_.size());
  ra_.bound_slots(exit_slots_);
  exit.slots_count = static_cast<uint32_t>(exit_slots_.size()) - exit.slots_first;
  exit.target = target, exit.thunk = thunk, exit.hint = hint;
  exit.direct = false;
  if (thunk == 0 && same_page(target) && nothing_to_do({exit_slots_.data() + exit.slots_first, exit.slots_count})) {
    // The conditional jump itself is the patched one; the padding keeps the flags.
    align_field(2);
    exit.direct = true;
  }
  exit.fixup = as_.jcc_far(cc);
  cold_exits_.push_back(exit);
}

void X64Compiler::emit_exit_if(ValueId, const Inst& inst) {
  if (inst.op == ir::Op::exit_if_cmp) {
    Compare compare = prepare_compare(inst, 0);
    emit_compare(compare);
    side_exit(compare.cc, inst.target(), 0, ir::kHintNone);
  } else {
    Reg test = ra_.use(inst.args[0]);
    as_.test_rr(false, test, test);
    side_exit(kCcNe, inst.target(), 0, ir::kHintNone);
  }
}

void X64Compiler::emit_check(const Inst& inst) {
  as_.alu_mi(kCmp, false, vcpu_field(&VcpuBlock::exit_request), 0);
  side_exit(kCcNe, inst.target(), shared_.thunks.leave_loop, ir::kHintNone);
}

void X64Compiler::emit_exit_direct(const Inst& inst) {
  now_slots_.clear();
  ra_.bound_slots(now_slots_);
  leave_state(now_slots_, nullptr);
  if (inst.aux == ir::kHintCall) {
    direct_call(inst.target(), region_->snapshots[inst.snapshot].pc_offset);
  } else {
    direct_jump(inst.target(), inst.aux);
  }
}

// rax = guest pc; probes VcpuBlock::jump_cache at pc >> 1 modulo the entries in use, of 32 bytes each.
void X64Compiler::emit_exit_indirect(const Inst& inst) {
  // Not from a slot that the stores below may overwrite.
  if (!ra_.is_constant(inst.args[0])) ra_.use(inst.args[0]);
  now_slots_.clear();
  ra_.bound_slots(now_slots_);
  const Location target = ra_.location_of(inst.args[0]);
  leave_state(now_slots_, &target);
  if (inst.aux == ir::kHintReturn) {
    as_.alu_rm(kCmp, true, kRax, {kRsp, kNoReg, 0, 8});
    const uint32_t other = as_.jcc_near(kCcNe);
    as_.ret_pop(8);
    as_.bind_near(other);
    as_.load(true, kRsp, vcpu_field(&VcpuBlock::return_base));
  }
  static_assert(sizeof(ir::JumpCacheEntry) == 32);
  auto entry = [](size_t field) {
    Mem mem = block_mem(offsetof(VcpuBlock, jump_cache) + field);
    mem.index = kRcx;
    return mem;
  };
  as_.mov_rr(false, kRcx, kRax);
  as_.shift_ri(kShl, false, kRcx, 4);
  as_.alu_rm(kAnd, false, kRcx, vcpu_field(&VcpuBlock::jump_mask));
  as_.load(true, kRdx, vcpu_field(&VcpuBlock::key));
  as_.alu_rm(kCmp, true, kRax, entry(offsetof(ir::JumpCacheEntry, pc)));
  jcc_thunk(kCcNe, shared_.thunks.leave_indirect);
  as_.alu_rm(kCmp, true, kRdx, entry(offsetof(ir::JumpCacheEntry, key)));
  jcc_thunk(kCcNe, shared_.thunks.leave_indirect);
  if (inst.aux != ir::kHintCall) return as_.rm(false, 0xff, 4, entry(offsetof(ir::JumpCacheEntry, host)));  // jmp
  as_.load(true, kRdx, entry(offsetof(ir::JumpCacheEntry, host)));
  const int64_t next = region_->snapshots[inst.snapshot].pc_offset;
  push_return(next);
  as_.call(as_.r64(kRdx));
  direct_jump(next, ir::kHintNone);
}

void X64Compiler::emit_exit_loop() {
  now_slots_.clear();
  ra_.bound_slots(now_slots_);
  leave_state(now_slots_, nullptr);
  jump_thunk(shared_.thunks.leave_as_is);
}

void X64Compiler::emit_cold_exit(const ColdExit& exit) {
  std::span<BoundSlot> slots(exit_slots_.data() + exit.slots_first, exit.slots_count);
  as_.bind_far(exit.fixup);
  if (exit.direct) {
    ExitSite site;
    site.target = exit.target;
    site.hint = exit.hint;
    site.jump_offset = exit.fixup;
    site.unlinked_offset = as_.at();
    call_thunk(shared_.thunks.leave_direct);
    site.key_offset = as_.at();
    as_.qword(region_->start.value + static_cast<uint64_t>(exit.target));
    exits_.push_back(site);
    return;
  }
  leave_state(slots, nullptr);
  if (exit.thunk == 0) {
    direct_jump(exit.target, exit.hint);
  } else {
    call_thunk(exit.thunk);
    as_.qword(region_->start.value + static_cast<uint64_t>(exit.target));
  }
}

void X64Compiler::emit_cold_slow(const ColdSlow& slow) {
  as_.bind_far(slow.fixup);
  call_thunk(slow.thunk);
  const uint32_t key = as_.at();
  as_.patch(as_.jmp_far(), slow.resume);
  memcpy(as_.base() + as_.at(), slow.data, slow.data_bytes);
  as_.skip(slow.data_bytes);
  if (slow.has_point) {
    points_.push_back(slow.point);
    points_.back().host_offset = key;
  }
}

void X64Compiler::emit_cold() {
  for (size_t k = 0; k < cold_slow_.size() && as_.ensure(); k++) emit_cold_slow(cold_slow_[k]);
  for (size_t k = 0; k < cold_exits_.size() && as_.ensure(); k++) emit_cold_exit(cold_exits_[k]);
  for (size_t k = 0; k < cold_empty_.size() && as_.ensure(); k++) {
    as_.bind_far(cold_empty_[k].fixup);
    as_.load(true, kRsp, vcpu_field(&VcpuBlock::return_base));
    as_.patch(as_.jmp_far(), cold_empty_[k].resume);
  }
  if (!as_.ensure()) return;
  restart_at_ = as_.at();
  if (region_->guard_mapping) as_.bind_far(guard_fixup_);
  call_thunk(shared_.thunks.leave_restart);
  as_.qword(region_->start.value);
  if (literals_.empty()) return;
  as_.skip((8 - (as_.at() & 7)) & 7);
  for (size_t k = 0; k < literals_.size() && as_.ensure(); k++) {
    as_.bind_far(literals_[k].fixup);
    as_.qword(literals_[k].bits);
  }
}

}  // namespace lyre::backend::x64
