// Host registers as the allocator sees them: numbers, sets and classes. Host-neutral; a host maps its registers into the two classes.
#pragma once
#include <bit>
#include <cstdint>
#include <span>

#include "ir/region.h"

namespace lyre::backend {

// 0..31: general registers, 32..63: vector registers, by hardware number.
using Reg = uint8_t;
using RegMask = uint64_t;
inline constexpr Reg kNoReg = 0xff;
inline constexpr Reg kFirstVector = 32;

constexpr bool is_vector(Reg reg) { return reg >= kFirstVector; }
constexpr Reg vector_reg(unsigned number) { return static_cast<Reg>(kFirstVector + number); }
constexpr unsigned hw(Reg reg) { return reg & 31; }
constexpr RegMask mask_of(Reg reg) { return RegMask{1} << reg; }
constexpr Reg first_of(RegMask mask) { return static_cast<Reg>(std::countr_zero(mask)); }

constexpr bool in_vector(ir::Type type) { return type == ir::Type::kF32 || type == ir::Type::kF64; }

// What a host offers.
struct HostRegs {
  RegMask gprs = 0;            // allocatable
  RegMask vectors = 0;
  RegMask call_clobbered = 0;  // by a C++ call
  RegMask cheap = 0;           // taken first: not pinned, not needed by fixed constraints
  std::span<const Reg> pinned; // register of the guest layout's pinned slot k
};

// A place in memory that a value can live in.
struct Place {
  enum Kind : uint8_t { kState, kSpill } kind = kSpill;
  ir::Type type = ir::Type::kI64;
  uint16_t index = 0;  // kState: byte offset of the slot; kSpill: spill slot
};

// What the allocator asks of the host. Moves keep flags unless said otherwise.
class AllocHost {
 public:
  virtual void emit_move(Reg dst, Reg src) = 0;                      // whole register, within a class
  virtual void emit_swap(Reg a, Reg b) = 0;                          // within a class
  virtual void emit_constant(Reg dst, uint64_t bits, ir::Type type) = 0;  // may change flags
  virtual void emit_load(Reg dst, Place src) = 0;
  virtual void emit_store(Place dst, Reg src) = 0;
  virtual void emit_store_constant(Place dst, uint64_t bits) = 0;
  virtual void emit_copy(Place dst, Place src) = 0;                  // changes no register

 protected:
  ~AllocHost() = default;
};

}  // namespace lyre::backend
