// Builder: appends instructions to a region. The typed wrappers make a wrong width a compile error in frontends. Folds nothing but
// trivial identities that cost nothing to see (x + 0); passes do the rest. Hot: every call is inline and allocates only vector growth.
#pragma once
#include <cstdint>
#include <initializer_list>

#include "ir/region.h"

namespace lyre::ir {

template <Type T>
struct Value {
  ValueId id = kNoId;
  static constexpr Type type = T;
};
using I1 = Value<Type::kI1>;
using I8 = Value<Type::kI8>;
using I16 = Value<Type::kI16>;
using I32 = Value<Type::kI32>;
using I64 = Value<Type::kI64>;
using F16 = Value<Type::kF16>;
using F32 = Value<Type::kF32>;
using F64 = Value<Type::kF64>;

class Builder {
 public:
  explicit Builder(Region& region) : region_(region) {}
  Region& region() { return region_; }

  // Position in guest code: stamped on the snapshots of what is appended from here on.
  void at(int32_t pc_offset, uint32_t insn_index) { pc_offset_ = pc_offset, insn_index_ = insn_index, snapshot_ = kNoId; }
  // The current instruction has had its effects, except for leaving: what is appended from here on resumes at the next one.
  void completed(int32_t next_pc_offset) { at(next_pc_offset, insn_index_ + 1); }

  // From here on what may leave the region or look at the count is preceded by a `count` of the instructions completed before it.
  void count_insns() { counted_ = true, counted_insns_ = insn_index_; }

  ValueId append(Op op, Type type, uint64_t imm = 0, ValueId a = kNoId, ValueId b = kNoId, ValueId c = kNoId, ValueId d = kNoId, uint8_t aux = 0) {
    const bool observes = op_info(op).properties & (kMemory | kExit | kCall);
    if (observes && counted_ && insn_index_ > counted_insns_) {
      region_.insts.push_back(Inst{Op::count, Type::kVoid, 0, 0, {kNoId, kNoId, kNoId, kNoId}, kNoId, insn_index_ - counted_insns_});
      counted_insns_ = insn_index_;
    }
    SnapshotId at_snapshot = observes ? snapshot() : kNoId;
    region_.insts.push_back(Inst{op, type, aux, 0, {a, b, c, d}, at_snapshot, imm});
    return static_cast<ValueId>(region_.insts.size() - 1);
  }
  ValueId append_pool(Op op, Type type, uint64_t imm, std::initializer_list<ValueId> args, uint8_t aux = 0) {
    uint32_t first = static_cast<uint32_t>(region_.pool.size());
    region_.pool.insert(region_.pool.end(), args);
    return append(op, type, imm, first, static_cast<uint32_t>(args.size()), kNoId, kNoId, aux);
  }

  template <Type T>
  Value<T> constant(uint64_t bits) { return {append(Op::constant, T, bits)}; }
  I64 i64(uint64_t bits) { return constant<Type::kI64>(bits); }
  I32 i32(uint32_t bits) { return constant<Type::kI32>(bits); }
  I64 guest_pc(int64_t offset) { return {append(Op::guest_pc, Type::kI64, static_cast<uint64_t>(offset))}; }
  template <Type T>
  Value<T> get(uint16_t slot_offset) { return {append(Op::get, T, slot_offset)}; }
  template <Type T>
  void set(uint16_t slot_offset, Value<T> value) { append(Op::set, T, slot_offset, value.id); }

  template <Type T>
  Value<T> binary(Op op, Value<T> a, Value<T> b) { return {append(op, T, 0, a.id, b.id)}; }
  template <Type T>
  Value<T> unary(Op op, Value<T> a) { return {append(op, T, 0, a.id)}; }
#define LYRE_BINARY(name) \
  template <Type T>       \
  Value<T> name(Value<T> a, Value<T> b) { return binary(Op::name, a, b); }
  LYRE_BINARY(add) LYRE_BINARY(sub) LYRE_BINARY(mul) LYRE_BINARY(mulh_s) LYRE_BINARY(mulh_u) LYRE_BINARY(mulh_su) LYRE_BINARY(div_s)
  LYRE_BINARY(div_u) LYRE_BINARY(rem_s) LYRE_BINARY(rem_u) LYRE_BINARY(and_) LYRE_BINARY(or_) LYRE_BINARY(xor_) LYRE_BINARY(andn)
  LYRE_BINARY(shl) LYRE_BINARY(shr) LYRE_BINARY(sar) LYRE_BINARY(rotl) LYRE_BINARY(rotr) LYRE_BINARY(min_s) LYRE_BINARY(max_s)
  LYRE_BINARY(min_u) LYRE_BINARY(max_u) LYRE_BINARY(clmul) LYRE_BINARY(clmulh) LYRE_BINARY(fadd) LYRE_BINARY(fsub) LYRE_BINARY(fmul)
  LYRE_BINARY(fdiv) LYRE_BINARY(fcopysign)
#undef LYRE_BINARY
#define LYRE_UNARY(name) \
  template <Type T>      \
  Value<T> name(Value<T> a) { return unary(Op::name, a); }
  LYRE_UNARY(not_) LYRE_UNARY(neg) LYRE_UNARY(clz) LYRE_UNARY(ctz) LYRE_UNARY(popcnt) LYRE_UNARY(bswap) LYRE_UNARY(brev8) LYRE_UNARY(orcb)
  LYRE_UNARY(fsqrt) LYRE_UNARY(fneg) LYRE_UNARY(fabs)
#undef LYRE_UNARY
  template <Type T>
  Value<T> fma(Value<T> a, Value<T> b, Value<T> c) { return {append(Op::fma, T, 0, a.id, b.id, c.id)}; }

  // Width changes: To is named, From deduced.
  template <Type To, Type From>
  Value<To> zext(Value<From> a) { static_assert(type_bits(To) > type_bits(From)); return {append(Op::zext, To, 0, a.id)}; }
  template <Type To, Type From>
  Value<To> sext(Value<From> a) { static_assert(type_bits(To) > type_bits(From)); return {append(Op::sext, To, 0, a.id)}; }
  template <Type To, Type From>
  Value<To> trunc(Value<From> a) { static_assert(type_bits(To) < type_bits(From)); return {append(Op::trunc, To, 0, a.id)}; }
  template <Type To, Type From>
  Value<To> bitcast(Value<From> a) { static_assert(type_bits(To) == type_bits(From)); return {append(Op::bitcast, To, 0, a.id)}; }
  template <Type T>
  I1 cmp(Cond cond, Value<T> a, Value<T> b) { return {append(Op::cmp, Type::kI1, 0, a.id, b.id, kNoId, kNoId, static_cast<uint8_t>(cond))}; }
  template <Type T>
  Value<T> select(I1 cond, Value<T> a, Value<T> b) { return {append(Op::select, T, 0, cond.id, a.id, b.id)}; }
  template <Type T>
  I1 fcmp(FloatCond cond, Value<T> a, Value<T> b) { return {append(Op::fcmp, Type::kI1, 0, a.id, b.id, kNoId, kNoId, static_cast<uint8_t>(cond))}; }
  template <Type To, Type From>
  Value<To> convert(Op op, Value<From> a) { return {append(op, To, 0, a.id)}; }  // fcvt, ftoi_*, itof_*
  template <Type T>
  Value<T> fround(Rounding mode, Value<T> a) { return {append(Op::fround, T, 0, a.id, kNoId, kNoId, kNoId, static_cast<uint8_t>(mode))}; }

  static uint64_t mem_imm(MemOp op, int32_t displacement) { return op.pack() | uint64_t{static_cast<uint32_t>(displacement)} << 32; }
  template <Type T>
  Value<T> load(I64 address, MemOp op, int32_t displacement = 0) { return {append(Op::load, T, mem_imm(op, displacement), address.id)}; }
  template <Type T>
  void store(I64 address, Value<T> value, MemOp op, int32_t displacement = 0) { append(Op::store, T, mem_imm(op, displacement), address.id, value.id); }
  template <Type T>
  Value<T> rmw(RmwKind kind, I64 address, Value<T> operand, MemOp op) {
    return {append(Op::rmw, T, mem_imm(op, 0), address.id, operand.id, kNoId, kNoId, static_cast<uint8_t>(kind))};
  }
  template <Type T>
  Value<T> cmpxchg(I64 address, Value<T> expected, Value<T> desired, MemOp op) {
    return {append(Op::cmpxchg, T, mem_imm(op, 0), address.id, expected.id, desired.id)};
  }
  void fence(uint8_t fence_bits) { append(Op::fence, Type::kVoid, 0, kNoId, kNoId, kNoId, kNoId, fence_bits); }

  // Helper calls. The result type may be kVoid.
  template <Type T>
  Value<T> call(unsigned helper, std::initializer_list<ValueId> args) { return {append_pool(Op::call, T, helper, args)}; }
  template <Type T>
  Value<T> call_if(I1 cond, Value<T> otherwise, unsigned helper, std::initializer_list<ValueId> args) {
    uint32_t first = static_cast<uint32_t>(region_.pool.size());
    region_.pool.push_back(cond.id);
    region_.pool.push_back(otherwise.id);
    region_.pool.insert(region_.pool.end(), args);
    return {append(Op::call_if, T, helper, first, static_cast<uint32_t>(args.size() + 2))};
  }
  I64 clock_ns() { return {append(Op::clock_ns, Type::kI64)}; }

  void exit_if(I1 cond, int64_t target) { append(Op::exit_if, Type::kVoid, static_cast<uint64_t>(target), cond.id); }
  void exit_direct(int64_t target, uint8_t hint = kHintNone) { append(Op::exit_direct, Type::kVoid, static_cast<uint64_t>(target), kNoId, kNoId, kNoId, kNoId, hint); }
  void exit_indirect(I64 address, uint8_t hint = kHintNone) { append(Op::exit_indirect, Type::kVoid, 0, address.id, kNoId, kNoId, kNoId, hint); }
  void exit_loop() { append(Op::exit_loop, Type::kVoid); }
  void check(int64_t target) { append(Op::check, Type::kVoid, static_cast<uint64_t>(target)); }

 private:
  // One raw snapshot per guest instruction; state forwarding replaces it where more is needed.
  SnapshotId snapshot() {
    if (snapshot_ == kNoId) {
      Snapshot made;
      made.pc_offset = pc_offset_, made.insn_index = insn_index_;
      region_.snapshots.push_back(made);
      snapshot_ = static_cast<SnapshotId>(region_.snapshots.size() - 1);
    }
    return snapshot_;
  }
  Region& region_;
  int32_t pc_offset_ = 0;
  uint32_t insn_index_ = 0;
  uint32_t counted_insns_ = 0;
  bool counted_ = false;
  SnapshotId snapshot_ = kNoId;
};

}  // namespace lyre::ir
