// Every operation on edge values against ir/eval, with all instruction-set extensions, without any, and with some: variable operands and constant ones.
#include <vector>

#include "ir/builder.h"
#include "ir/eval.h"
#include "tests/unit/x64_rig.h"

namespace lyre::backend {
namespace {

using namespace ir;

struct Host {
  const char* name;
  x64::HostFeatures features;
  bool spill = false;
};

std::vector<Host> hosts() {
  const x64::HostFeatures all = x64::host_features();
  x64::HostFeatures no_bmi = all;
  no_bmi.bmi1 = no_bmi.bmi2 = no_bmi.lzcnt = false;
  x64::HostFeatures sse41;
  sse41.sse41 = all.sse41;
  return {{"all", all}, {"all, spilled", all, true}, {"no BMI", no_bmi}, {"SSE4.1", sse41}, {"SSE2", {}}};
}

// Slots: three arguments, the result. Each type lives at a fixed place, so that widths do not mix.
constexpr uint16_t kArgs[] = {256, 264, 272};
constexpr uint16_t kResult = 280;

struct Case {
  Op op;
  Type type, arg_type;
  uint8_t aux = 0;
};

std::vector<uint64_t> edges(Type type) {
  const unsigned bits = type_bits(type);
  const uint64_t mask = bits == 64 ? ~uint64_t{0} : (uint64_t{1} << bits) - 1;
  if (type == Type::kF64) {
    return {0, 0x8000000000000000, 0x3ff0000000000000, 0xbff8000000000000, 0x7ff0000000000000, 0xfff0000000000000, 0x7ff8000000000000, 0x7ff0000000000001,
            0x0000000000000001, 0x7fefffffffffffff, 0x43e0000000000000, 0xc3e0000000000000, 0x43f0000000000000, 0x41f0000000000000, 0x41efffffffe00000,
            0x3fe0000000000000, 0xbfe0000000000000, 0x4008000000000000, 0x43dfffffffffffff};
  }
  if (type == Type::kF32) {
    return {0, 0x80000000, 0x3f800000, 0xbfc00000, 0x7f800000, 0xff800000, 0x7fc00000, 0x7f800001, 1, 0x7f7fffff, 0x5f000000, 0xdf000000, 0x5f800000,
            0x4f800000, 0x4f7fffff, 0x3f000000, 0xbf000000, 0x40400000};
  }
  std::vector<uint64_t> result;
  for (uint64_t value : {uint64_t{0}, uint64_t{1}, uint64_t{2}, uint64_t{3}, uint64_t{7}, uint64_t{0x7f}, uint64_t{0x80}, uint64_t{0xff}, uint64_t{0x8000},
                         uint64_t{0x12345678}, uint64_t{0x7fffffff}, uint64_t{0x80000000}, uint64_t{0xffffffff}, uint64_t{0x123456789abcdef0},
                         uint64_t{0x7fffffffffffffff}, uint64_t{0x8000000000000000}, ~uint64_t{0}, ~uint64_t{1}, ~uint64_t{0} - 62}) {
    result.push_back(value & mask);
  }
  return result;
}

std::vector<Case> cases() {
  std::vector<Case> result;
  const Type ints[] = {Type::kI8, Type::kI16, Type::kI32, Type::kI64};
  for (Type type : ints) {
    for (Op op : {Op::add, Op::sub, Op::mul, Op::mulh_s, Op::mulh_u, Op::mulh_su, Op::div_s, Op::div_u, Op::rem_s, Op::rem_u, Op::and_, Op::or_, Op::xor_,
                  Op::andn, Op::not_, Op::neg, Op::shl, Op::shr, Op::sar, Op::rotl, Op::rotr, Op::clz, Op::ctz, Op::popcnt, Op::bswap, Op::brev8, Op::orcb,
                  Op::min_s, Op::max_s, Op::min_u, Op::max_u, Op::clmul, Op::clmulh}) {
      result.push_back({op, type, type});
    }
    for (uint8_t cond = 0; cond < 10; cond++) {
      result.push_back({Op::cmp, Type::kI1, type, cond});
      result.push_back({Op::select_cmp, type, type, cond});
    }
    for (Type wide : ints) {
      if (type_bits(wide) <= type_bits(type)) continue;
      result.push_back({Op::zext, wide, type});
      result.push_back({Op::sext, wide, type});
      result.push_back({Op::trunc, type, wide});
    }
  }
  for (Type type : {Type::kF32, Type::kF64}) {
    for (Op op : {Op::fadd, Op::fsub, Op::fmul, Op::fdiv, Op::fsqrt, Op::fma, Op::fneg, Op::fabs, Op::fcopysign}) result.push_back({op, type, type});
    for (uint8_t cond = 0; cond < 6; cond++) result.push_back({Op::fcmp, Type::kI1, type, cond});
    for (uint8_t mode = 0; mode < 5; mode++) result.push_back({Op::fround, type, type, mode});
    result.push_back({Op::fcvt, type, type == Type::kF32 ? Type::kF64 : Type::kF32});
    for (Type integer : {Type::kI32, Type::kI64}) {
      for (Op op : {Op::ftoi_s, Op::ftoi_u}) result.push_back({op, integer, type});
      for (Op op : {Op::itof_s, Op::itof_u}) result.push_back({op, type, integer});
    }
  }
  result.push_back({Op::bitcast, Type::kI64, Type::kF64});
  result.push_back({Op::bitcast, Type::kF64, Type::kI64});
  result.push_back({Op::bitcast, Type::kI32, Type::kF32});
  result.push_back({Op::bitcast, Type::kF32, Type::kI32});
  return result;
}

// constant: the last argument's value, or none.
Region region_of(const Case& c, const uint64_t* constant) {
  Region region;
  region.start = {0x40000000};
  Builder b(region);
  b.at(0, 0);
  b.check(0);
  const unsigned count = op_info(c.op).args;
  ValueId args[4];
  for (unsigned k = 0; k < count; k++) {
    const Type type = c.op == Op::fcmp || c.op == Op::cmp || k == 0 ? c.arg_type : c.op == Op::select_cmp || c.arg_type == c.type ? c.type : c.arg_type;
    if (constant && k + 1 == count && k > 0) {
      args[k] = b.append(Op::constant, type, *constant);
    } else {
      args[k] = b.append(Op::get, type, kArgs[k % 3]);
    }
  }
  for (unsigned k = count; k < 4; k++) args[k] = kNoId;
  ValueId value = b.append(c.op, c.type, 0, args[0], args[1], args[2], args[3], c.aux);
  b.append(Op::set, c.type, kResult, value);
  b.at(4, 1);
  b.exit_direct(4);
  return region;
}

bool is_nan(uint64_t bits, Type type) {
  return type == Type::kF64 ? (bits & 0x7fffffffffffffff) > 0x7ff0000000000000 : type == Type::kF32 && (bits & 0x7fffffff) > 0x7f800000;
}

void run_case(X64Rig& rig, const Host& host, const Case& c, uint32_t mxcsr) {
  const std::vector<uint64_t> values = edges(c.arg_type);
  const unsigned count = op_info(c.op).args;
  auto variable = rig.compile(region_of(c, nullptr), false);
  REQUIRE(variable);
  for (size_t j = 0; j < (count > 1 ? values.size() : 1); j++) {
    std::unique_ptr<CompiledRegion> constant;
    if (count == 2) constant = rig.compile(region_of(c, &values[j]), false);
    for (uint64_t a : values) {
      const uint64_t b = values[j], third = values[(j * 7 + 3) % values.size()];
      EvalInput in{c.op, c.type, c.arg_type, c.aux, a, b, c.op == Op::select_cmp ? third : Bits{third}, a};
      uint64_t expected;
      uint32_t flags = 0;
      if (can_eval_pure(c.op)) {
        expected = static_cast<uint64_t>(eval_pure(in));
      } else {
        const uint32_t before = __builtin_ia32_stmxcsr();
        __builtin_ia32_ldmxcsr(mxcsr);
        expected = static_cast<uint64_t>(eval_float(in));
        flags = __builtin_ia32_stmxcsr() & 0x3d;
        __builtin_ia32_ldmxcsr(before);
      }
      for (CompiledRegion* region : {variable.get(), constant.get()}) {
        if (!region) continue;
        rig.vcpu->guest_mxcsr = mxcsr;
        const uint64_t given[] = {a, b, third};
        for (unsigned k = 0; k < 3; k++) rig.set(kArgs[k], given[k] | (type_bits(c.arg_type) < 64 ? uint64_t{0xa5a5a5a5a5a5a5a5} << type_bits(c.arg_type) : 0));
        rig.set(kResult, 0);
        rig.backend->run(*rig.vcpu, *region);
        const uint64_t found = rig.get(kResult);
        if (found == expected && (rig.vcpu->guest_mxcsr & 0x3d) == flags) continue;
        if (is_nan(expected, c.type) && is_nan(found, c.type) && (rig.vcpu->guest_mxcsr & 0x3d) == flags) continue;
        CAPTURE(host.name, op_info(c.op).name, type_name(c.type), type_name(c.arg_type), int{c.aux}, a, b, third, region == constant.get());
        CAPTURE(rig.backend->disassemble(*region));
        CHECK(found == expected);
        CHECK((rig.vcpu->guest_mxcsr & 0x3d) == flags);
        FAIL("stop at the first");
      }
    }
    if (constant) rig.backend->forget(*constant);
  }
  rig.backend->forget(*variable);
}

TEST_CASE("x64: every operation on edge values") {
  for (const Host& host : hosts()) {
    X64Rig rig(host.features, host.spill);
    for (const Case& c : cases()) {
      run_case(rig, host, c, 0x1f80);
      if (!can_eval_pure(c.op)) {
        for (uint32_t mode = 1; mode < 4; mode++) run_case(rig, host, c, 0x1f80 | mode << 13);
      }
    }
  }
}

}  // namespace
}  // namespace lyre::backend
