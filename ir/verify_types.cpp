#include "ir/verify_types.h"

#include "ir/abi.h"

namespace lyre::ir {
namespace {

bool is_wide_int(Type type) { return is_int(type) && type != Type::kI1; }

// Argument types of one instruction against what its row in ops.def says.
class Rules {
 public:
  Rules(const Region& region, const Inst& inst) : region_(region), inst_(inst), args_(region.args_of(inst, count_)) {}

  std::string check() {
    switch (inst_.op) {
      case Op::nop: case Op::exit_loop: return none();
      case Op::exit_direct: return aux_below(3) + none();
      case Op::count: return none() + (inst_.imm ? "" : "it counts nothing");
      case Op::fence: return none() + (inst_.aux > kFenceAll ? "unknown fence bits" : "");
      case Op::check: return none();
      case Op::param: return inst_.type == Type::kVoid ? "a parameter needs a type" : "";
      case Op::constant: return constant();
      case Op::guest_pc: case Op::clock_ns: return inst_.type == Type::kI64 ? "" : "the result is i64";
      case Op::get: case Op::set: return slot();
      case Op::and_: case Op::or_: case Op::xor_: case Op::andn: case Op::not_: return same_as_result(is_int(inst_.type), "integers");
      case Op::bswap: return same_as_result(type_bits(inst_.type) >= 16 && is_int(inst_.type), "integers of 16 bits or more");
      case Op::zext: case Op::sext: return width(is_int(inst_.type) && is_int(type(0)) && type_bits(inst_.type) > type_bits(type(0)), "widens an integer");
      case Op::trunc: return width(is_int(inst_.type) && is_int(type(0)) && type_bits(inst_.type) < type_bits(type(0)), "narrows an integer");
      case Op::bitcast: return width(type_bits(inst_.type) == type_bits(type(0)) && inst_.type != type(0), "changes between types of one width");
      case Op::cmp: return compare(0, is_wide_int(type(0)));
      case Op::select: return select(0);
      case Op::select_cmp: return compare_rule(is_int(type(0))) + select(1);
      case Op::fcmp: return inst_.type != Type::kI1 ? "the result is i1" : flags_aux(6) + pair(is_float(type(0)), "floats");
      case Op::fround: return flags_aux(5) + same_as_result(is_float(inst_.type), "floats");
      case Op::fadd: case Op::fsub: case Op::fmul: case Op::fdiv: case Op::fsqrt: case Op::fma:
        return flags_aux(1) + same_as_result(is_float(inst_.type), "floats");
      case Op::fneg: case Op::fabs: case Op::fcopysign: return same_as_result(is_float(inst_.type), "floats");
      case Op::fcvt: return flags_aux(1) + width(is_float(inst_.type) && is_float(type(0)) && inst_.type != type(0), "changes between float types");
      case Op::ftoi_s: case Op::ftoi_u: return flags_aux(1) + width(is_wide_int(inst_.type) && is_float(type(0)), "makes an integer of a float");
      case Op::itof_s: case Op::itof_u: return flags_aux(1) + width(is_float(inst_.type) && is_wide_int(type(0)), "makes a float of an integer");
      case Op::load: case Op::store: case Op::rmw: case Op::cmpxchg: return memory();
      case Op::call: return call(0);
      case Op::call_if: return conditional_call();
      case Op::exit_if: return type(0) == Type::kI1 ? none() : "the condition is i1";
      case Op::exit_if_cmp: return compare_rule(is_int(type(0))) + none();
      case Op::exit_indirect: return type(0) == Type::kI64 ? aux_below(3) + none() : "the address is i64";
      case Op::jump: return none();
      default: return same_as_result(is_wide_int(inst_.type), "integers wider than i1");
    }
  }

 private:
  Type type(unsigned i) const { return region_[args_[i]].type; }
  std::string none() const { return inst_.type == Type::kVoid ? "" : "this operation has no result"; }
  std::string aux_below(unsigned limit) const { return inst_.aux < limit ? "" : "aux is out of range"; }
  std::string flags_aux(unsigned limit) const { return (inst_.aux & ~unsigned{kFlagsDead}) < limit ? "" : "aux is out of range"; }
  std::string width(bool right, const char* what) const { return right ? "" : std::string("this operation ") + what; }

  std::string same_as_result(bool right_kind, const char* kind) const {
    if (!right_kind) return std::string("this operation works on ") + kind;
    for (unsigned i = 0; i < count_; i++)
      if (type(i) != inst_.type) return "arguments and result are of one type";
    return "";
  }
  std::string pair(bool right_kind, const char* kind) const {
    if (!right_kind) return std::string("this operation works on ") + kind;
    return type(0) == type(1) ? "" : "both sides are of one type";
  }
  std::string compare_rule(bool right_kind) const { return aux_below(10) + pair(right_kind, "integers"); }
  std::string compare(unsigned, bool right_kind) const { return inst_.type != Type::kI1 ? "the result is i1" : compare_rule(right_kind); }
  // select: args 1, 2; select_cmp: args 2, 3.
  std::string select(unsigned skip) const {
    if (!skip && type(0) != Type::kI1) return "the condition is i1";
    if (inst_.type == Type::kVoid) return "a select needs a type";
    return type(1 + skip) == inst_.type && type(2 + skip) == inst_.type ? "" : "both choices are of the result's type";
  }
  std::string constant() const {
    if (inst_.type == Type::kVoid) return "a constant needs a type";
    unsigned bits = type_bits(inst_.type);
    return bits < 64 && inst_.imm >> bits ? "the constant is wider than its type" : "";
  }
  std::string slot() const {
    if (inst_.type == Type::kVoid) return "a slot needs a type";
    if (inst_.imm + type_bytes(inst_.type) > kStateBytes) return "the slot lies outside the guest state";
    return inst_.op == Op::set && type(0) != inst_.type ? "the value is not of the slot's type" : "";
  }

  std::string memory() const {
    MemOp op = inst_.mem();
    if (type(0) != Type::kI64) return "the address is i64";
    if (op.size_log2 > 3) return "an access is at most 8 bytes";
    if (inst_.op != Op::store && inst_.type == Type::kVoid) return "the result needs a type";
    if (type_bits(inst_.type) < 8 * op.size()) return "the access is wider than its type";
    if (is_float(inst_.type) && type_bits(inst_.type) != 8 * op.size()) return "a float is accessed in its own width";
    for (unsigned i = 1; i < count_; i++)
      if (type(i) != inst_.type) return "operands are of the access's type";
    if (inst_.op == Op::rmw) {
      if (!op.must_align) return "a read-modify-write must be aligned";
      return aux_below(9);
    }
    return inst_.op == Op::cmpxchg && !op.must_align ? "a compare-and-exchange must be aligned" : "";
  }

  std::string call(unsigned skip) const {
    if (count_ - skip > 5) return "a helper takes at most five arguments";
    for (unsigned i = skip; i < count_; i++)
      if (type(i) != Type::kI64 && type(i) != Type::kF64 && type(i) != Type::kF32) return "helper arguments are i64, f32 or f64";
    return type_bits(inst_.type) > 64 ? "a helper's result is at most 64 bits" : "";
  }
  std::string conditional_call() const {
    if (count_ < 2) return "call_if needs a condition and another value";
    if (type(0) != Type::kI1) return "the condition is i1";
    if (inst_.type == Type::kVoid || type(1) != inst_.type) return "the other value is of the result's type";
    return call(2);
  }

  const Region& region_;
  const Inst& inst_;
  unsigned count_ = 0;
  const ValueId* args_;
};

}  // namespace

bool has_result(const Inst& inst) { return inst.type != Type::kVoid && inst.op != Op::set && inst.op != Op::store; }

std::string check_inst(const Region& region, const Inst& inst) { return Rules(region, inst).check(); }

}  // namespace lyre::ir
