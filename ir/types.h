// Types of IR values, guest state slots, condition codes and memory operations: the vocabulary shared by frontends, passes and hosts.
// Nothing here names a guest or a host.
#pragma once
#include <cstdint>

namespace lyre::ir {

// kI1 is a truth value (0 or 1). Vectors join as (element, count) types with the vector work.
enum class Type : uint8_t { kVoid, kI1, kI8, kI16, kI32, kI64, kI128, kF16, kF32, kF64, kF80 };

constexpr unsigned type_bits(Type type) {
  constexpr unsigned kBits[] = {0, 1, 8, 16, 32, 64, 128, 16, 32, 64, 80};
  return kBits[static_cast<unsigned>(type)];
}
constexpr unsigned type_bytes(Type type) { return (type_bits(type) + 7) / 8; }
constexpr bool is_int(Type type) { return type >= Type::kI1 && type <= Type::kI128; }
constexpr bool is_float(Type type) { return type >= Type::kF16 && type <= Type::kF80; }

// A guest register in the state area of the vCPU block: byte offset from the start of the guest state, and its type.
struct Slot {
  uint16_t offset = 0;
  Type type = Type::kI64;
  constexpr bool operator==(const Slot&) const = default;
};

// Conditions of cmp (integers). The others are had by swapping operands or inverting.
enum class Cond : uint8_t { kEq, kNe, kLtS, kGeS, kLtU, kGeU, kLeS, kGtS, kLeU, kGtU };
constexpr Cond invert(Cond cond) {
  constexpr Cond kInverse[] = {Cond::kNe, Cond::kEq, Cond::kGeS, Cond::kLtS, Cond::kGeU, Cond::kLtU, Cond::kGtS, Cond::kLeS, Cond::kGtU, Cond::kLeU};
  return kInverse[static_cast<unsigned>(cond)];
}
constexpr Cond swap_operands(Cond cond) {
  constexpr Cond kSwapped[] = {Cond::kEq, Cond::kNe, Cond::kGtS, Cond::kLeS, Cond::kGtU, Cond::kLeU, Cond::kGeS, Cond::kLtS, Cond::kGeU, Cond::kLtU};
  return kSwapped[static_cast<unsigned>(cond)];
}

// Conditions of fcmp. Quiet compares raise invalid only for signalling NaN, signalling ones for any NaN. False on unordered, but
// kUnordered is true only then.
enum class FloatCond : uint8_t { kEqQuiet, kLtQuiet, kLeQuiet, kLtSignaling, kLeSignaling, kUnordered };

enum class Rounding : uint8_t { kNearestEven, kTowardZero, kDown, kUp, kDynamic };

// What an access means, from the frontend down to the slow path. 32 bits when packed.
enum class Ordering : uint8_t { kRelaxed, kAcquire, kRelease, kAcqRel, kSeqCst };
struct MemOp {
  uint8_t size_log2 = 3;         // bytes: 1, 2, 4, 8 (16 later)
  bool sign_extend = false;      // loads: widen to the result type with sign, else with zeros
  bool big_endian = false;
  bool must_align = false;       // misaligned: an alignment fault (atomics), else the access is done, tearing allowed
  bool atomic = false;           // single-copy atomic when naturally aligned
  Ordering ordering = Ordering::kRelaxed;
  bool exec = false;             // hlvx-like read with execute permission
  constexpr unsigned size() const { return 1u << size_log2; }
  constexpr uint32_t pack() const {
    return uint32_t{size_log2} | uint32_t{sign_extend} << 3 | uint32_t{big_endian} << 4 | uint32_t{must_align} << 5 | uint32_t{atomic} << 6 |
           uint32_t{static_cast<uint8_t>(ordering)} << 7 | uint32_t{exec} << 10;
  }
  static constexpr MemOp unpack(uint32_t word) {
    MemOp op;
    op.size_log2 = word & 7;
    op.sign_extend = word >> 3 & 1;
    op.big_endian = word >> 4 & 1;
    op.must_align = word >> 5 & 1;
    op.atomic = word >> 6 & 1;
    op.ordering = static_cast<Ordering>(word >> 7 & 7);
    op.exec = word >> 10 & 1;
    return op;
  }
};

// Atomic read-modify-write kinds; the result is the old value.
enum class RmwKind : uint8_t { kSwap, kAdd, kAnd, kOr, kXor, kMinS, kMaxS, kMinU, kMaxU };

// Fences by what they keep in order (bits): predecessor loads/stores, successor loads/stores.
enum FenceBits : uint8_t { kFenceLoadLoad = 1, kFenceLoadStore = 2, kFenceStoreLoad = 4, kFenceStoreStore = 8, kFenceAll = 15 };

}  // namespace lyre::ir
