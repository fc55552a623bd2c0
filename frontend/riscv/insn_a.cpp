// Zalrsc, Zaamo, Zabha, Zacas, Zawrs.
//
// Load-reserved keeps address and value; store-conditional succeeds if the address is the same and memory still holds the value, by compare-and-exchange.
// It can succeed where the specification asks for failure only if another hart changed the value and changed it back in between (ABA); lock-free code for
// RISC-V is written against compare-and-swap semantics on other machines too, so this is what is shipped. A stricter mode would have to watch the line and
// replaces store_conditional() alone.
#include "frontend/riscv/insn_base.h"

namespace lyre::riscv {

using ir::Cond;
using ir::MemOp;
using ir::Ordering;
using ir::RmwKind;
using ir::Type;

namespace {

constexpr unsigned kByte = 0, kHalf = 1, kWord = 2, kDouble = 3;

// aq and rl together: sequentially consistent (Unprivileged ISA, "Specifying ordering of atomic instructions").
MemOp atomic_op(const Insn& i, unsigned size_log2) {
  constexpr Ordering kOrderings[] = {Ordering::kRelaxed, Ordering::kRelease, Ordering::kAcquire, Ordering::kSeqCst};
  MemOp op;
  op.size_log2 = static_cast<uint8_t>(size_log2);
  op.sign_extend = size_log2 != kDouble;
  op.must_align = true;
  op.atomic = true;
  op.ordering = kOrderings[i.word >> 25 & 3];
  return op;
}

Next load_reserved(Insn& i, unsigned size_log2) {
  I64 address = i.x(i.rs1());
  I64 value = i.b.load<Type::kI64>(address, atomic_op(i, size_log2));
  i.b.set(kReservationAddressSlot, address);
  i.b.set(kReservationValueSlot, value);
  i.set_x(i.rd(), value);
  return Next::kContinue;
}

// A store-conditional elsewhere than at the reservation fails without an access: a side exit that is hardly ever taken. Its state (rd = 1, reservation gone)
// is undone on the way on, so that a fault of the access finds the registers untouched.
Next store_conditional(Insn& i, unsigned size_log2) {
  I64 address = i.x(i.rs1()), value = i.x(i.rs2()), old_rd = i.x(i.rd());
  I64 reserved = i.b.get<Type::kI64>(kReservationAddressSlot);
  I64 expected = i.b.get<Type::kI64>(kReservationValueSlot);
  i.b.set(kReservationAddressSlot, i.imm(-1));
  i.set_x(i.rd(), i.imm(1));
  i.context.leave_if(i.b.cmp(Cond::kNe, address, reserved));
  i.b.set(kReservationAddressSlot, reserved);
  i.set_x(i.rd(), old_rd);
  I64 found = i.b.cmpxchg(address, expected, value, atomic_op(i, size_log2));
  i.b.set(kReservationAddressSlot, i.imm(-1));
  i.set_x(i.rd(), i.b.zext<Type::kI64>(i.b.cmp(Cond::kNe, found, expected)));
  return Next::kContinue;
}

Next amo(Insn& i, RmwKind kind, unsigned size_log2) {
  i.set_x(i.rd(), i.b.rmw(kind, i.x(i.rs1()), i.x(i.rs2()), atomic_op(i, size_log2)));
  return Next::kContinue;
}

Next compare_and_swap(Insn& i, unsigned size_log2) {
  i.set_x(i.rd(), i.b.cmpxchg(i.x(i.rs1()), i.x(i.rd()), i.x(i.rs2()), atomic_op(i, size_log2)));
  return Next::kContinue;
}

// RV32: 64 bits in pairs of registers, the even one low; odd numbers are reserved, and the pair of x0 is zero (Unprivileged ISA, "Zacas").
Next amocas_pair(Insn& i) {
  if ((i.rd() | i.rs2()) & 1) return i.illegal();
  auto pair = [&](unsigned reg) { return reg ? i.b.or_(i.low_half(reg), i.b.shl(i.x(reg + 1), i.imm(32))) : i.imm(0); };
  I64 found = i.b.cmpxchg(i.x(i.rs1()), pair(i.rd()), pair(i.rs2()), atomic_op(i, kDouble));
  if (!i.rd()) return Next::kContinue;
  i.set_wrapped(i.rd(), found);
  i.set_x(i.rd() + 1, i.b.sar(found, i.imm(32)));
  return Next::kContinue;
}

// Zawrs: waiting may end at any time and for any reason. Going on at once would make a spin loop of it, so leave to the loop: pending interrupts are taken.
Next wait_on_reservation(Insn& i) { return i.leave_to_loop(); }

Next lr_w(Insn& i) { return load_reserved(i, kWord); }
Next lr_d(Insn& i) { return load_reserved(i, kDouble); }
Next sc_w(Insn& i) { return store_conditional(i, kWord); }
Next sc_d(Insn& i) { return store_conditional(i, kDouble); }
template <RmwKind kKind, unsigned kSize>
Next amo(Insn& i) { return amo(i, kKind, kSize); }
template <unsigned kSize>
Next amocas(Insn& i) { return compare_and_swap(i, kSize); }

constexpr Row kRows[] = {
    {lr_w, "lr.w", "00010 qr 00000 aaaaa 010 ddddd 0101111", "rd,(rs1)", Ext::zalrsc},
    {lr_d, "lr.d", "00010 qr 00000 aaaaa 011 ddddd 0101111", "rd,(rs1)", Ext::zalrsc && Ext::rv64},
    {sc_w, "sc.w", "00011 qr bbbbb aaaaa 010 ddddd 0101111", "rd,rs2,(rs1)", Ext::zalrsc},
    {sc_d, "sc.d", "00011 qr bbbbb aaaaa 011 ddddd 0101111", "rd,rs2,(rs1)", Ext::zalrsc && Ext::rv64},
#define LYRE_AMO(kind, name, bits)                                                                                                       \
  {amo<RmwKind::kind, kWord>, name ".w", bits " qr bbbbb aaaaa 010 ddddd 0101111", "rd,rs2,(rs1)", Ext::zaamo},                           \
      {amo<RmwKind::kind, kDouble>, name ".d", bits " qr bbbbb aaaaa 011 ddddd 0101111", "rd,rs2,(rs1)", Ext::zaamo && Ext::rv64},        \
      {amo<RmwKind::kind, kByte>, name ".b", bits " qr bbbbb aaaaa 000 ddddd 0101111", "rd,rs2,(rs1)", Ext::zabha},                       \
      {amo<RmwKind::kind, kHalf>, name ".h", bits " qr bbbbb aaaaa 001 ddddd 0101111", "rd,rs2,(rs1)", Ext::zabha},
    LYRE_AMO(kSwap, "amoswap", "00001")
    LYRE_AMO(kAdd, "amoadd", "00000")
    LYRE_AMO(kXor, "amoxor", "00100")
    LYRE_AMO(kAnd, "amoand", "01100")
    LYRE_AMO(kOr, "amoor", "01000")
    LYRE_AMO(kMinS, "amomin", "10000")
    LYRE_AMO(kMaxS, "amomax", "10100")
    LYRE_AMO(kMinU, "amominu", "11000")
    LYRE_AMO(kMaxU, "amomaxu", "11100")
#undef LYRE_AMO
    {amocas<kWord>, "amocas.w", "00101 qr bbbbb aaaaa 010 ddddd 0101111", "rd,rs2,(rs1)", Ext::zacas},
    {amocas<kDouble>, "amocas.d", "00101 qr bbbbb aaaaa 011 ddddd 0101111", "rd,rs2,(rs1)", Ext::zacas && Ext::rv64},
    {amocas_pair, "amocas.d", "00101 qr bbbbb aaaaa 011 ddddd 0101111", "rd,rs2,(rs1)", Ext::zacas && Ext::rv32},
    {amocas<kByte>, "amocas.b", "00101 qr bbbbb aaaaa 000 ddddd 0101111", "rd,rs2,(rs1)", Ext::zacas && Ext::zabha},
    {amocas<kHalf>, "amocas.h", "00101 qr bbbbb aaaaa 001 ddddd 0101111", "rd,rs2,(rs1)", Ext::zacas && Ext::zabha},
    {wait_on_reservation, "wrs.nto", "000000001101 00000 000 00000 1110011", "", Ext::zawrs},
    {wait_on_reservation, "wrs.sto", "000000011101 00000 000 00000 1110011", "", Ext::zawrs},
};

}  // namespace

std::span<const Row> rows_a() { return kRows; }

}  // namespace lyre::riscv
