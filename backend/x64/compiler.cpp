#include "backend/x64/compiler.h"

#include <algorithm>

#include "runtime/base/bits.h"
#include "runtime/base/check.h"

namespace lyre::backend::x64 {

using ir::Op;
using ir::Type;

X64Compiler::X64Compiler(Shared& shared) : shared_(shared), direct_memory_(shared.options.direct_memory), has_(shared.features), ra_(*this, shared.regs, live_) {}

X64Compiler::~X64Compiler() {
  if (area_) shared_.memory->close_area(*area_);
}

// A generous guess: most regions take a third of it, and one that does not fit is tried again in a fresh area.
bool X64Compiler::room_for(const ir::Region& region) {
  uint64_t guess = 1024 + region.insts.size() * 40;
  if (area_ && align_up(area_->used, 16) + guess + Assembler::kSlack > CodeMemory::kAreaBytes) {
    shared_.memory->close_area(*area_);
    area_ = nullptr;
  }
  if (!area_) area_ = shared_.memory->open_area();
  return area_ != nullptr;
}

std::unique_ptr<CompiledRegion> X64Compiler::compile(const ir::Region& region) {
  while (room_for(region)) {
    const uint64_t begin = align_up(area_->used, 16);
    code_offset_ = area_->begin + begin;
    as_.rebase(shared_.memory->write_at(code_offset_), CodeMemory::kAreaBytes - begin);
    emit_region(region);
    if (!as_.full()) {
      LYRE_CHECK(Xbyak::GetError() == Xbyak::ERR_NONE, "the encoder was asked for an instruction that does not exist");
      return finish(region);
    }
    LYRE_CHECK(area_->used > 0, "a region does not fit a code area");
    shared_.memory->close_area(*area_);
    area_ = nullptr;
  }
  return nullptr;
}

void X64Compiler::emit_region(const ir::Region& region) {
  region_ = &region;
  exit_slots_.clear(), cold_exits_.clear(), cold_slow_.clear(), cold_empty_.clear(), literals_.clear(), exits_.clear(), points_.clear(), entries_.clear();
  live_.run(region, shared_.layout.helpers, shared_.layout.pinned_slots, shared_.regs.pinned);
  ra_.start(region, shared_.layout.pinned_slots, shared_.options.spill_everything);
  const auto count = static_cast<uint32_t>(region.insts.size());
  bool first = true;
  if (region.guard_mapping) {
    as_.alu_mi(kCmp, false, code_page_slot(region.guard_page), static_cast<int32_t>(region.guard_mapping));
    if (as_.at() < 5) as_.nops(5 - as_.at());
    guard_fixup_ = as_.jcc_far(kCcNe);
    first = false;
  }
  for (uint32_t i = 0; i < count && as_.ensure(); i++) {
    const Inst& inst = region.insts[i];
    if (live_.has_loop && i == live_.loop_first) {
      // Entries are patched by poison(): the header must lie behind the patch.
      if (as_.at() < 8) as_.nops(8 - as_.at());
      loop_at_ = as_.at();
      first = false;
    }
    if (inst.op == Op::nop || inst.op == Op::param || live_.skipped(i)) continue;
    if (inst.op == Op::constant || inst.op == Op::guest_pc) continue;
    if (first && inst.op != Op::get) {
      if (inst.op != Op::check || shared_.options.spill_everything) as_.nops(5);
      first = false;
    }
    if (inst.op == Op::jump && !(live_.has_loop && (i == live_.loop_back || inst.imm == live_.loop_block))) continue;
    ra_.begin(i, inst);
    emit(i, inst);
    ra_.end();
  }
  hot_bytes_ = as_.at();
  emit_cold();
}

std::unique_ptr<CompiledRegion> X64Compiler::finish(const ir::Region& region) {
  auto done = std::make_unique<CompiledRegion>();
  const uint32_t bytes = as_.at();
  done->start = region.start;
  done->state_key = region.state_key;
  done->code = shared_.memory->exec_at(code_offset_);
  done->code_bytes = bytes;
  done->hot_bytes = hot_bytes_;
  done->guest_insns = region.guest_insns;
  done->exits.assign(exits_.begin(), exits_.end());
  done->states = StateTable(points_, entries_);
  if (shared_.options.keep_ir) done->ir = std::make_unique<ir::Region>(region);
  done->restart_offset = restart_at_;
  const uint64_t begin = code_offset_ - area_->begin;
  shared_.memory->count_bytes(begin + bytes - area_->used);
  area_->used = begin + bytes;
  shared_.memory->publish(*area_, static_cast<uint32_t>(begin), bytes, done.get());
  return done;
}

void X64Compiler::emit_jump(ValueId id, const Inst& inst) {
  std::span<const ValueId> args(region_->pool.data() + inst.args[0], inst.args[1]);
  const auto target = static_cast<ir::BlockId>(inst.imm);
  const ir::Block& block = region_->blocks[target];
  if (live_.has_loop && id == live_.loop_back) {
    ra_.close_loop(*region_, args);
    as_.jmp_back(loop_at_);
  } else if (live_.has_loop && target == live_.loop_block) {
    ra_.enter_loop(*region_, args, block);
  }
  // Any other jump only renames its arguments: the block follows.
}

void X64Compiler::emit(ValueId id, const Inst& inst) {
  switch (inst.op) {
    case Op::get: return ra_.get(id, static_cast<uint16_t>(inst.imm));
    case Op::set: return ra_.set(inst.args[0], static_cast<uint16_t>(inst.imm), inst.type);
    case Op::add: return emit_add(id, inst);
    case Op::sub: return emit_sub(id, inst);
    case Op::mul: return emit_mul(id, inst);
    case Op::mulh_s:
    case Op::mulh_u:
    case Op::mulh_su: return emit_mulh(id, inst);
    case Op::div_s:
    case Op::div_u:
    case Op::rem_s:
    case Op::rem_u: return emit_div(id, inst);
    case Op::and_: return emit_logic(id, inst, kAnd);
    case Op::or_: return emit_logic(id, inst, kOr);
    case Op::xor_: return emit_logic(id, inst, kXor);
    case Op::andn: return emit_andn(id, inst);
    case Op::not_:
    case Op::neg: return emit_not_neg(id, inst);
    case Op::shl:
    case Op::shr:
    case Op::sar:
    case Op::rotl:
    case Op::rotr: return emit_shift(id, inst);
    case Op::clz:
    case Op::ctz: return emit_count_zeros(id, inst);
    case Op::popcnt: return emit_popcnt(id, inst);
    case Op::bswap: return emit_bswap(id, inst);
    case Op::brev8: return emit_brev8(id, inst);
    case Op::orcb: return emit_orcb(id, inst);
    case Op::min_s:
    case Op::max_s:
    case Op::min_u:
    case Op::max_u: return emit_min_max(id, inst);
    case Op::clmul:
    case Op::clmulh: return emit_clmul(id, inst);
    case Op::zext:
    case Op::sext: return emit_extend(id, inst);
    case Op::trunc: return as_.alu_ri(kAnd, false, ra_.redefine(id, inst.args[0]), 1);  // to one bit: the others are aliases
    case Op::cmp: return emit_cmp(id, inst);
    case Op::select: return emit_select(id, inst);
    case Op::select_cmp: return emit_select_cmp(id, inst);
    case Op::bitcast: return emit_bitcast(id, inst);
    case Op::fadd:
    case Op::fsub:
    case Op::fmul:
    case Op::fdiv:
    case Op::fsqrt:
    case Op::fma:
    case Op::fneg:
    case Op::fabs:
    case Op::fcopysign:
    case Op::fcmp:
    case Op::fcvt:
    case Op::fround:
    case Op::ftoi_s:
    case Op::ftoi_u:
    case Op::itof_s:
    case Op::itof_u: return emit_fp(id, inst);
    case Op::load: return emit_guest_load(id, inst);
    case Op::store: return emit_guest_store(id, inst);
    case Op::rmw: return emit_rmw(id, inst);
    case Op::cmpxchg: return emit_cmpxchg(id, inst);
    case Op::fence: return emit_fence(inst);
    case Op::count: return as_.alu_mi(kAdd, true, vcpu_field(&ir::VcpuBlock::insns), static_cast<int32_t>(inst.imm));
    case Op::call: return emit_call(id, inst);
    case Op::call_if: return emit_call_if(id, inst);
    case Op::clock_ns: return emit_clock(id);
    case Op::exit_if:
    case Op::exit_if_cmp: return emit_exit_if(id, inst);
    case Op::exit_direct: return emit_exit_direct(inst);
    case Op::exit_indirect: return emit_exit_indirect(inst);
    case Op::exit_loop: return emit_exit_loop();
    case Op::jump: return emit_jump(id, inst);
    case Op::check: return emit_check(inst);
    case Op::nop:
    case Op::param:
    case Op::constant:
    case Op::guest_pc:
    case Op::kCount: return;
  }
}

// ---- what the allocator asks for

Mem X64Compiler::mem_of(Place place) const {
  return place.kind == Place::kState ? block_mem(place.index) : block_mem(offsetof(ir::VcpuBlock, spill) + 8u * place.index);
}

void X64Compiler::emit_move(Reg dst, Reg src) {
  if (is_vector(dst)) {
    as_.movaps(as_.x(dst), as_.x(src));
  } else {
    as_.mov_rr(true, dst, src);
  }
}

void X64Compiler::emit_swap(Reg a, Reg b) {
  if (is_vector(a)) {
    as_.xorps(as_.x(a), as_.x(b));
    as_.xorps(as_.x(b), as_.x(a));
    as_.xorps(as_.x(a), as_.x(b));
  } else {
    as_.rr(true, 0x87, a, b);
  }
}

void X64Compiler::emit_constant(Reg dst, uint64_t bits, Type type) {
  if (is_vector(dst)) {
    literal(dst, bits, type == Type::kF64);
  } else if (bits == 0) {
    as_.zero(dst);
  } else {
    as_.mov_ri(dst, bits);
  }
}

void X64Compiler::emit_load(Reg dst, Place src) {
  const Mem mem = mem_of(src);
  switch (ir::type_bytes(src.type)) {
    case 1: return as_.rm0f(false, 0xb6, dst, mem);
    case 2: return as_.rm0f(false, 0xb7, dst, mem);
    case 4: return is_vector(dst) ? as_.movss(as_.x(dst), Assembler::address(mem, 32)) : as_.load(false, dst, mem);
    default: return is_vector(dst) ? as_.movsd(as_.x(dst), Assembler::address(mem, 64)) : as_.load(true, dst, mem);
  }
}

void X64Compiler::emit_store(Place dst, Reg src) {
  const Mem mem = mem_of(dst);
  const unsigned bytes = ir::type_bytes(dst.type);
  if (!is_vector(src)) return as_.store(bytes, mem, src);
  if (bytes == 4) {
    as_.movss(Assembler::address(mem, 32), as_.x(src));
  } else {
    as_.movsd(Assembler::address(mem, 64), as_.x(src));
  }
}

void X64Compiler::emit_store_constant(Place dst, uint64_t bits) {
  Mem mem = mem_of(dst);
  const unsigned bytes = ir::type_bytes(dst.type);
  if (bytes < 8 || fits32(bits)) return as_.store_imm(bytes, mem, static_cast<int32_t>(bits));
  as_.store_imm(4, mem, static_cast<int32_t>(bits));
  mem.disp += 4;
  as_.store_imm(4, mem, static_cast<int32_t>(bits >> 32));
}

// Memory to memory through a vector register that is never allocated; small ones through rax, which is kept in the save area meanwhile (number 4 is
// rsp's place there: unused).
void X64Compiler::emit_copy(Place dst, Place src) {
  if (ir::type_bytes(src.type) >= 4 && ir::type_bytes(dst.type) >= 4) {
    emit_load(kCopyVector, src);
    return emit_store(dst, kCopyVector);
  }
  const Mem keep = block_mem(offsetof(ir::VcpuBlock, save_gpr) + 8 * 4);
  as_.store(8, keep, kRax);
  emit_load(kRax, src);
  emit_store(dst, kRax);
  as_.load(true, kRax, keep);
}

}  // namespace lyre::backend::x64
