#include "tests/diff/random_ir_generator.h"

#include <cstring>
#include <vector>

#include "ir/builder.h"
#include "tests/ir/guest_memory.h"

namespace lyre::diff {

using namespace ir;

namespace {

uint64_t read_state(const VcpuBlock& vcpu, unsigned offset) {
  uint64_t value;
  std::memcpy(&value, vcpu.state + offset, sizeof value);
  return value;
}
void write_state(VcpuBlock& vcpu, unsigned offset, uint64_t value) { std::memcpy(vcpu.state + offset, &value, sizeof value); }

uint64_t mix(VcpuBlock*, uint64_t a, uint64_t b) noexcept { return (a ^ b) * 0x9e3779b97f4a7c15u; }
uint64_t mix_five(VcpuBlock*, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e) noexcept { return a + 3 * b + 5 * c + 7 * d + 11 * e; }
uint64_t read_slots(VcpuBlock* vcpu) noexcept {
  uint64_t sum = 0;
  for (unsigned offset = 0; offset < 256; offset += 8) sum = sum * 31 + read_state(*vcpu, offset);
  return sum;
}
uint64_t write_slots(VcpuBlock* vcpu, uint64_t value) noexcept {
  for (unsigned offset : {8u, 24u, 88u, 256u}) write_state(*vcpu, offset, read_state(*vcpu, offset) + value);
  return value + 1;
}
uint64_t maybe_leave(VcpuBlock* vcpu, uint64_t value) noexcept {
  if (value % 4 == 0) vcpu->raise(static_cast<uint32_t>(value & 0xff), read_state(*vcpu, 8), read_state(*vcpu, kPcSlot));
  if (value % 4 == 1) vcpu->leave = static_cast<uint32_t>(Leave::kLoop), write_state(*vcpu, kPcSlot, read_state(*vcpu, kPcSlot) + 4);
  if (value % 4 == 2) write_state(*vcpu, 16, value);
  return ~value;
}
uint64_t request_exit(VcpuBlock* vcpu) noexcept {
  vcpu->exit_request = 1;
  return 7;
}
uint64_t host_float(VcpuBlock* vcpu, uint64_t value) noexcept {
  // Runs under the host's control register; the guest's flags are in the block meanwhile.
  volatile double a = static_cast<double>(static_cast<int64_t>(value)), b = 3;
  double result = a / b;
  uint64_t bits;
  std::memcpy(&bits, &result, sizeof bits);
  return bits ^ (vcpu->guest_mxcsr & 0x3d);
}

const HelperInfo kHelpers[] = {
    {"mix", helper_function(mix), kPureHelper, 2},
    {"mix_five", helper_function(mix_five), 0, 5},
    {"read_slots", helper_function(read_slots), kReadsState, 0},
    {"write_slots", helper_function(write_slots), kReadsState | kWritesState, 1},
    {"maybe_leave", helper_function(maybe_leave), kReadsState | kWritesState | kMayLeave, 1},
    {"request_exit", helper_function(request_exit), 0, 0},
    {"host_float", helper_function(host_float), kHostFp, 1},
};
enum : unsigned { kMix, kMixFive, kReadSlots, kWriteSlots, kMaybeLeave, kRequestExit, kHostFloat };

struct RandomSlot {
  uint16_t offset;
  Type type;
};

class Generator {
 public:
  Generator(uint64_t seed, const GeneratorOptions& options, Region& region) : random_(seed), options_(options), region_(region), b_(region) {}

  void run() {
    region_.clear();
    region_.start = {0x40000000};
    b_.at(0, 0);
    b_.check(0);
    bool loop = one_in(3);
    uint64_t end_kind = below(4);
    bool dead_flags_wanted = one_in(2);
    dead_flags_ = options_.dead_flags && dead_flags_wanted;
    if (loop) count_down();
    for (unsigned i = 0; i < options_.length; i++) {
      pc_ += one_in(3) ? 2 : 4;
      b_.at(pc_, i + 1);
      instruction();
    }
    pc_ += 4;
    b_.at(pc_, options_.length + 1);
    finish(loop, end_kind);
    region_.guest_insns = options_.length;
  }

 private:
  uint64_t below(uint64_t limit) { return random_() % limit; }
  bool one_in(uint64_t n) { return below(n) == 0; }

  // A slot by number, with one of the types that it is accessed in.
  RandomSlot slot() {
    uint64_t kind = below(10);
    if (kind < 6) return {static_cast<uint16_t>(8 * below(12)), Type::kI64};
    if (kind == 6) return {kPinnedSlots[below(5)], Type::kI64};
    if (kind < 9) return {static_cast<uint16_t>(256 + 8 * below(6)), one_in(2) ? Type::kI64 : Type::kF64};
    if (one_in(2)) return {static_cast<uint16_t>(600 + 4 * below(3)), one_in(2) ? Type::kI32 : Type::kF32};
    return {static_cast<uint16_t>(620 + below(3)), Type::kI8};
  }

  ValueId constant(Type type) {
    uint64_t bits = interesting(random_);
    if (type_bits(type) < 64) bits &= (uint64_t{1} << type_bits(type)) - 1;
    if (is_float(type) && one_in(2)) bits = float_constant(type);
    return keep(b_.append(Op::constant, type, bits));
  }
  uint64_t float_constant(Type type) {
    static constexpr double kValues[] = {0.0, -0.0, 1.0, -1.5, 3.0, 0.1, 1e300, -1e-300, 4294967296.5, 9.3e18, 1.9e19, -0.4, 1e-310, 2147483648.0};
    double value = kValues[below(std::size(kValues))];
    if (type == Type::kF64) {
      uint64_t bits;
      std::memcpy(&bits, &value, sizeof bits);
      return bits;
    }
    float narrow = static_cast<float>(value);
    uint32_t bits;
    std::memcpy(&bits, &narrow, sizeof bits);
    return bits;
  }

  ValueId keep(ValueId id) {
    Type type = region_[id].type;
    if (type != Type::kVoid) values_[static_cast<unsigned>(type)].push_back(id);
    return id;
  }

  // A value of a type: a recent one, a slot, a constant, or made from another type.
  ValueId value(Type type) {
    auto& pool = values_[static_cast<unsigned>(type)];
    if (!pool.empty() && !one_in(4)) {
      size_t recent = std::min<size_t>(pool.size(), 8);
      return pool[pool.size() - 1 - below(recent)];
    }
    if (type == Type::kI64 || type == Type::kF64) {
      RandomSlot from = slot();
      if (from.type == type || (from.type == Type::kI64 && from.offset >= 256 && from.offset < 304)) return keep(b_.append(Op::get, type, from.offset));
      if (from.type == Type::kI64 && type == Type::kF64) return keep(b_.append(Op::bitcast, type, 0, get(from)));
    }
    if (one_in(2)) return constant(type);
    return convert(type);
  }
  ValueId get(RandomSlot from) { return keep(b_.append(Op::get, from.type, from.offset)); }

  ValueId convert(Type type) {
    switch (type) {
      case Type::kI1: return compare();
      case Type::kF64: return keep(b_.append(Op::bitcast, type, 0, value(Type::kI64)));
      case Type::kF32: return keep(b_.append(Op::bitcast, type, 0, value(Type::kI32)));
      case Type::kI64: return keep(b_.append(one_in(2) ? Op::zext : Op::sext, type, 0, value(one_in(2) ? Type::kI32 : one_in(2) ? Type::kI8 : Type::kI1)));
      case Type::kI128: return keep(b_.append(one_in(2) ? Op::zext : Op::sext, type, 0, value(Type::kI64)));
      default: return keep(b_.append(Op::trunc, type, 0, value(Type::kI64)));
    }
  }
  ValueId compare() {
    Type type = int_type();
    return keep(b_.append(Op::cmp, Type::kI1, 0, value(type), value(type), kNoId, kNoId, static_cast<uint8_t>(below(10))));
  }
  Type int_type() {
    if (options_.i128 && one_in(12)) return Type::kI128;
    static constexpr Type kTypes[] = {Type::kI64, Type::kI64, Type::kI64, Type::kI32, Type::kI32, Type::kI16, Type::kI8};
    return kTypes[below(std::size(kTypes))];
  }

  void integer() {
    static constexpr Op kBinary[] = {Op::add,   Op::sub,   Op::mul,   Op::mulh_s, Op::mulh_u, Op::mulh_su, Op::div_s, Op::div_u, Op::rem_s,
                                     Op::rem_u, Op::and_,  Op::or_,   Op::xor_,   Op::andn,   Op::shl,     Op::shr,   Op::sar,   Op::rotl,
                                     Op::rotr,  Op::min_s, Op::max_s, Op::min_u,  Op::max_u,  Op::clmul,   Op::clmulh};
    static constexpr Op kUnary[] = {Op::not_, Op::neg, Op::clz, Op::ctz, Op::popcnt, Op::bswap, Op::brev8, Op::orcb};
    Type type = int_type();
    if (one_in(4)) {
      Op op = kUnary[below(std::size(kUnary))];
      if (op == Op::bswap && type == Type::kI8) type = Type::kI16;
      keep(b_.append(op, type, 0, value(type)));
    } else {
      Op op = one_in(2) ? kBinary[below(std::size(kBinary))] : one_in(2) ? Op::add : Op::and_;
      keep(b_.append(op, type, 0, value(type), one_in(3) ? constant(type) : value(type)));
    }
  }

  void width_or_choice() {
    switch (below(8)) {
      case 0: keep(b_.append(Op::zext, Type::kI64, 0, value(one_in(2) ? Type::kI32 : Type::kI16))); return;
      case 1: keep(b_.append(Op::sext, Type::kI64, 0, value(one_in(2) ? Type::kI32 : Type::kI8))); return;
      case 2: keep(b_.append(Op::trunc, one_in(2) ? Type::kI32 : Type::kI8, 0, value(Type::kI64))); return;
      case 3: keep(b_.append(Op::sext, Type::kI32, 0, value(one_in(2) ? Type::kI16 : Type::kI1))); return;
      case 4: keep(b_.append(Op::xor_, Type::kI1, 0, value(Type::kI1), value(Type::kI1))); return;
      case 5: keep(b_.append(Op::not_, Type::kI1, 0, value(Type::kI1))); return;
      default: {
        Type type = one_in(4) ? (one_in(2) ? Type::kF64 : Type::kF32) : int_type();
        keep(b_.append(Op::select, type, 0, value(Type::kI1), value(type), value(type)));
        return;
      }
    }
  }

  // Some quiet NaN: which one is the host's choice, so it is replaced by one.
  void canonical(ValueId id) {
    Type type = region_[id].type;
    ValueId nan = b_.append(Op::fcmp, Type::kI1, 0, id, id, kNoId, kNoId, static_cast<uint8_t>(FloatCond::kUnordered));
    ValueId plain = b_.append(Op::constant, type, type == Type::kF64 ? 0x7ff8000000000000 : 0x7fc00000);
    keep(b_.append(Op::select, type, 0, nan, plain, id));
  }

  void floating() {
    Type type = one_in(2) ? Type::kF64 : Type::kF32, other = type == Type::kF64 ? Type::kF32 : Type::kF64;
    uint8_t dead = dead_flags_ && one_in(3) ? kFlagsDead : uint8_t{0};
    auto append = [&](Op op, Type result, ValueId a, ValueId b = kNoId, ValueId c = kNoId, unsigned aux = 0) {
      return b_.append(op, result, 0, a, b, c, kNoId, static_cast<uint8_t>(aux | dead));
    };
    static constexpr Op kBinary[] = {Op::fadd, Op::fsub, Op::fmul, Op::fdiv};
    Type integer_type = one_in(2) ? Type::kI64 : Type::kI32;
    switch (below(11)) {
      case 0: case 1: case 2: {
        ValueId a = value(type), b = value(type);
        return canonical(append(kBinary[below(4)], type, a, b));
      }
      case 3: return canonical(append(Op::fsqrt, type, value(type)));
      case 4: {
        ValueId a = value(type), b = value(type), c = value(type);
        return canonical(append(Op::fma, type, a, b, c));
      }
      case 5: {
        static constexpr Op kSign[] = {Op::fneg, Op::fabs};
        keep(b_.append(kSign[below(2)], type, 0, value(type)));
        ValueId a = value(type), b = value(type);
        keep(b_.append(Op::fcopysign, type, 0, a, b));
        return;
      }
      case 6: {
        ValueId a = value(type), b = value(type);
        keep(append(Op::fcmp, Type::kI1, a, b, kNoId, static_cast<unsigned>(below(6))));
        return;
      }
      case 7: return canonical(append(Op::fcvt, type, value(other)));
      case 8: {
        ValueId a = value(type);
        return canonical(append(Op::fround, type, a, kNoId, kNoId, static_cast<unsigned>(below(5))));
      }
      case 9: {
        ValueId a = value(type);
        keep(append(one_in(2) ? Op::ftoi_s : Op::ftoi_u, integer_type, a));
        return;
      }
      default: {
        ValueId a = value(integer_type);
        keep(append(one_in(2) ? Op::itof_s : Op::itof_u, type, a));
        return;
      }
    }
  }

  // Mostly inside memory, aligned or not; rarely anything.
  ValueId address(unsigned size, bool aligned) {
    ValueId from = value(Type::kI64);
    if (one_in(40)) return from;
    uint64_t mask = TestMemory::kBytes - 1;
    if (aligned || one_in(2)) mask &= ~uint64_t{size - 1};
    if (one_in(30)) mask = ~uint64_t{0} >> 40;
    ValueId offset = b_.append(Op::and_, Type::kI64, 0, from, b_.append(Op::constant, Type::kI64, mask));
    return b_.append(Op::add, Type::kI64, 0, offset, b_.append(Op::constant, Type::kI64, TestMemory::kBase));
  }

  void memory() {
    MemOp op;
    op.size_log2 = static_cast<uint8_t>(below(4));
    op.sign_extend = one_in(2);
    op.big_endian = one_in(10);
    if (one_in(8)) op.ordering = static_cast<Ordering>(below(5));
    static constexpr Type kTypes[] = {Type::kI8, Type::kI16, Type::kI32, Type::kI64};
    Type type = one_in(2) ? Type::kI64 : kTypes[op.size_log2 + below(4u - op.size_log2)];
    bool atomic = one_in(5);
    if (!atomic && op.size_log2 >= 2 && one_in(5)) type = op.size_log2 == 3 ? Type::kF64 : Type::kF32;
    if (atomic) op.must_align = op.atomic = true, op.big_endian = false;
    if (atomic && op.size_log2 < 2 && one_in(2)) op.size_log2 = 2, type = Type::kI64;
    ValueId where = address(op.size(), atomic);
    int32_t displacement = atomic ? 0 : static_cast<int32_t>(one_in(2) ? 0 : 8 * static_cast<int>(below(9)) - 32);
    uint64_t imm = Builder::mem_imm(op, displacement);
    if (atomic && one_in(2)) {
      ValueId expected = value(type), desired = value(type);
      if (one_in(2)) expected = b_.append(Op::load, type, Builder::mem_imm(op, 0), where);
      keep(b_.append(Op::cmpxchg, type, imm, where, expected, desired));
    } else if (atomic) {
      keep(b_.append(Op::rmw, type, imm, where, value(type), kNoId, kNoId, static_cast<uint8_t>(below(9))));
    } else if (one_in(2)) {
      keep(b_.append(Op::load, type, imm, where));
    } else {
      b_.append(Op::store, type, imm, where, value(type));
    }
  }

  void helper() {
    switch (below(8)) {
      case 0: case 1: {
        ValueId a = value(one_in(3) ? Type::kF64 : Type::kI64), b = value(one_in(3) ? Type::kF32 : Type::kI64);
        keep(b_.append_pool(Op::call, one_in(2) ? Type::kI64 : Type::kI32, kMix, {a, b}));
        return;
      }
      case 2: {
        ValueId a = value(Type::kI64), b = value(Type::kI64), c = value(Type::kI64), d = value(Type::kI64), e = value(Type::kI64);
        keep(b_.append_pool(Op::call, Type::kI64, kMixFive, {a, b, c, d, e}));
        return;
      }
      case 3: keep(b_.append_pool(Op::call, Type::kI64, kReadSlots, {})); return;
      case 4: keep(b_.append_pool(Op::call, Type::kI64, kWriteSlots, {value(Type::kI64)})); return;
      case 5: {
        if (one_in(2)) keep(b_.append_pool(Op::call, Type::kI64, kMaybeLeave, {value(Type::kI64)}));
        else b_.append_pool(Op::call, Type::kVoid, kMaybeLeave, {b_.append(Op::constant, Type::kI64, 2 + below(2))});
        return;
      }
      case 6: {
        Type type = one_in(2) ? Type::kI64 : Type::kF64;
        ValueId test = value(Type::kI1), otherwise = value(type), a = value(Type::kI64), b = value(Type::kI64);
        keep(b_.append_pool(Op::call_if, type, kMix, {test, otherwise, a, b}));
        return;
      }
      default:
        if (one_in(6)) keep(b_.append_pool(Op::call, Type::kI64, kRequestExit, {}));
        else if (dead_flags_) keep(b_.append_pool(Op::call, Type::kI64, kMix, {value(Type::kI64), value(Type::kI64)}));  // it reads flags
        else keep(b_.append_pool(Op::call, Type::kI64, kHostFloat, {value(Type::kI64)}));
        return;
    }
  }

  void set_some() {
    RandomSlot to = slot();
    b_.append(Op::set, to.type, to.offset, value(to.type));
  }

  void instruction() {
    unsigned steps = 1 + static_cast<unsigned>(below(3));
    for (unsigned i = 0; i < steps; i++) {
      uint64_t kind = below(20);
      if (kind < 8) integer();
      else if (kind < 11) width_or_choice();
      else if (kind < 13) floating();
      else if (kind < 17) memory();
      else if (kind == 17 && one_in(2)) helper();
      else if (kind == 18) keep(b_.append(Op::guest_pc, Type::kI64, below(64) * 2));
      else if (kind == 19 && one_in(3)) one_in(2) ? b_.fence(static_cast<uint8_t>(below(16))) : void(keep(b_.clock_ns().id));
    }
    if (!one_in(4)) set_some();
    if (one_in(10)) b_.append(Op::exit_if, Type::kVoid, static_cast<uint64_t>(pc_ + 1000), value(Type::kI1));
  }

  void count_down() {
    I64 left = b_.sub(b_.get<Type::kI64>(kCounterSlot), b_.i64(1));
    b_.set(kCounterSlot, left);
    b_.exit_if(b_.cmp(Cond::kLtS, left, b_.i64(0)), 2000);
  }

  void finish(bool loop, uint64_t kind) {
    if (loop) return b_.exit_direct(0);
    switch (kind) {
      case 0: return b_.exit_direct(pc_ + 8, one_in(2) ? kHintCall : kHintNone);
      case 1: return b_.exit_indirect({value(Type::kI64)}, static_cast<uint8_t>(below(3)));
      case 2: b_.set(kPcSlot, I64{value(Type::kI64)}); return b_.exit_loop();
      default: return b_.exit_direct(pc_);
    }
  }

  std::mt19937_64 random_;
  const GeneratorOptions& options_;
  Region& region_;
  Builder b_;
  std::vector<ValueId> values_[11];
  int32_t pc_ = 0;
  bool dead_flags_ = false;
};

}  // namespace

void generate(uint64_t seed, const GeneratorOptions& options, Region& region) { Generator(seed, options, region).run(); }

std::span<const HelperInfo> helpers() { return kHelpers; }

uint64_t interesting(std::mt19937_64& random) {
  static constexpr uint64_t kEdges[] = {0, 1, 2, 3, 7, 8, 31, 32, 63, 64, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff,
                                        0x100000000, 0x7fffffffffffffff, 0x8000000000000000, 0xffffffffffffffff, 0xffffffff80000000, 0xffffffff00000000};
  switch (random() % 4) {
    case 0: return kEdges[random() % std::size(kEdges)];
    case 1: return uint64_t{1} << random() % 64;
    case 2: return static_cast<uint64_t>(static_cast<int64_t>(random() % 512) - 256);
    default: return random();
  }
}

}  // namespace lyre::diff
