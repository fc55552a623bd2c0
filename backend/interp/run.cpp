#include "backend/interp/run.h"

#include <cstring>

#include "runtime/base/check.h"

namespace lyre::backend {

using ir::Bits;
using ir::Inst;
using ir::Op;
using ir::Type;

InterpRun::InterpRun(const GuestLayout& layout, const BackendOptions& options, ir::VcpuBlock& vcpu, const CompiledRegion& entry, InterpScratch& scratch)
    : layout_(layout), direct_memory_(options.direct_memory && !entry.ir->watched), vcpu_(vcpu), entry_(entry), ir_(*entry.ir), scratch_(scratch) {
  if (scratch.values.size() < ir_.insts.size()) scratch.values.resize(ir_.insts.size() * 2);
  values_ = scratch.values.data();
}

Backend::Left InterpRun::run() {
  vcpu_.leave = static_cast<uint32_t>(ir::Leave::kNone);
  next_ = 0;
  for (;;) {
    LYRE_CHECK(next_ < ir_.insts.size(), "the interpreter ran off the end of a region");
    uint32_t id = next_++;
    if (step(ir_.insts[id], id) == Step::kLeft) return {&entry_, exit_};
  }
}

Bits InterpRun::evaluate(const Inst& inst) const {
  ir::EvalInput in;
  in.op = inst.op, in.type = inst.type, in.aux = inst.aux;
  in.arg_type = ir_.insts[inst.args[0]].type;
  unsigned count = ir::op_info(inst.op).args;
  in.a = values_[inst.args[0]];
  if (count > 1) in.b = values_[inst.args[1]];
  if (count > 2) in.c = values_[inst.args[2]];
  if (count > 3) in.d = values_[inst.args[3]];
  return ir::has(inst.op, ir::kPure) ? ir::eval_pure(in) : ir::eval_float(in);
}

InterpRun::Step InterpRun::step(const Inst& inst, ir::ValueId id) {
  switch (inst.op) {
    case Op::nop: case Op::param: return Step::kNext;  // a jump has set the parameters
    case Op::constant: values_[id] = ir::truncate(inst.imm, inst.type); return Step::kNext;
    case Op::guest_pc: values_[id] = ir_.start.value + inst.imm; return Step::kNext;
    case Op::get: values_[id] = read_slot(inst.imm, inst.type); return Step::kNext;
    case Op::set: write_slot(inst.imm, inst.type, values_[inst.args[0]]); return Step::kNext;
    case Op::load: return load(inst, id);
    case Op::store: return store(inst);
    case Op::rmw: return rmw(inst, id);
    case Op::cmpxchg: return cmpxchg(inst, id);
    case Op::fence: __atomic_thread_fence(__ATOMIC_SEQ_CST); return Step::kNext;
    case Op::count: vcpu_.insns += inst.imm; return Step::kNext;
    case Op::call: return call(inst, id);
    case Op::call_if: {
      const ir::ValueId* pool = ir_.pool.data() + inst.args[0];
      if (values_[pool[0]]) return call(inst, id);
      values_[id] = values_[pool[1]];
      return Step::kNext;
    }
    case Op::clock_ns: values_[id] = call_helper(ir::kHelperClock, nullptr, 0); return Step::kNext;
    case Op::exit_if: return values_[inst.args[0]] ? take_direct(inst) : Step::kNext;
    case Op::exit_if_cmp: {
      Type type = ir_.insts[inst.args[0]].type;
      bool taken = ir::eval_cond(static_cast<ir::Cond>(inst.aux), values_[inst.args[0]], values_[inst.args[1]], type);
      return taken ? take_direct(inst) : Step::kNext;
    }
    case Op::check:
      return vcpu_.exit_request.load(std::memory_order_relaxed) ? leave(inst) : Step::kNext;
    case Op::exit_direct: return take_direct(inst);
    case Op::exit_indirect: case Op::exit_loop: return leave(inst);
    case Op::jump: jump(inst); return Step::kNext;
    default: values_[id] = evaluate(inst); return Step::kNext;
  }
}

InterpRun::Step InterpRun::take_direct(const Inst& inst) {
  write_snapshot(inst.snapshot);
  set_pc(inst.target());
  exit_ = inst.args[3];  // put there by the compiler
  vcpu_.leave = static_cast<uint32_t>(ir::Leave::kDirect);
  return Step::kLeft;
}

// check, exit_indirect, exit_loop.
InterpRun::Step InterpRun::leave(const Inst& inst) {
  write_snapshot(inst.snapshot);
  if (inst.op == Op::check) set_pc(inst.target());
  if (inst.op == Op::exit_indirect) write_slot(layout_.pc_slot, Type::kI64, values_[inst.args[0]]);
  vcpu_.leave = static_cast<uint32_t>(inst.op == Op::exit_indirect ? ir::Leave::kIndirect : ir::Leave::kLoop);
  return Step::kLeft;
}

// Parallel assignment: an argument may be another parameter.
void InterpRun::jump(const Inst& inst) {
  const ir::Block& to = ir_.blocks[inst.imm];
  uint32_t count = inst.args[1];
  const ir::ValueId* args = ir_.pool.data() + inst.args[0];
  scratch_.block_args.resize(count);
  for (uint32_t i = 0; i < count; i++) scratch_.block_args[i] = values_[args[i]];
  for (uint32_t i = 0; i < count; i++) values_[to.first + i] = scratch_.block_args[i];
  next_ = to.first;
}

InterpRun::Step InterpRun::call(const Inst& inst, ir::ValueId id) {
  uint8_t flags = inst.imm < layout_.helpers.size() ? layout_.helpers[inst.imm].flags : 0;
  unsigned skip = inst.op == Op::call_if ? 2 : 0;
  const ir::ValueId* args = ir_.pool.data() + inst.args[0] + skip;
  unsigned count = inst.args[1] - skip;
  uint64_t values[5] = {};
  LYRE_CHECK(count <= 5, "a helper call with more than five arguments");
  for (unsigned i = 0; i < count; i++) values[i] = low(args[i]);
  if (flags & (ir::kReadsState | ir::kWritesState | ir::kMayLeave)) {
    if (flags & ir::kMayLeave) set_pc(ir_.snapshots[inst.snapshot].pc_offset);
    write_snapshot(inst.snapshot);  // after set_pc: IR that has set the pc slot wins
  }
  if (flags & ir::kHostFp) {
    vcpu_.guest_mxcsr = __builtin_ia32_stmxcsr();
    __builtin_ia32_ldmxcsr(vcpu_.host_mxcsr);
  }
  uint64_t result = call_helper(ir::kFirstGuestHelper + static_cast<unsigned>(inst.imm), values, count);
  if (flags & ir::kHostFp) __builtin_ia32_ldmxcsr(vcpu_.guest_mxcsr);
  if ((flags & ir::kMayLeave) && vcpu_.leave) return Step::kLeft;
  if (inst.type != Type::kVoid) values_[id] = ir::truncate(result, inst.type);
  return Step::kNext;
}

uint64_t InterpRun::call_helper(unsigned slot, const uint64_t* a, unsigned count) {
  using V = ir::VcpuBlock*;
  using U = uint64_t;
  ir::HelperFunction function = vcpu_.helpers[slot];
  LYRE_CHECK(function, "a helper that is not in the vCPU's table");
  switch (count) {
    case 0: return reinterpret_cast<U (*)(V)>(function)(&vcpu_);
    case 1: return reinterpret_cast<U (*)(V, U)>(function)(&vcpu_, a[0]);
    case 2: return reinterpret_cast<U (*)(V, U, U)>(function)(&vcpu_, a[0], a[1]);
    case 3: return reinterpret_cast<U (*)(V, U, U, U)>(function)(&vcpu_, a[0], a[1], a[2]);
    case 4: return reinterpret_cast<U (*)(V, U, U, U, U)>(function)(&vcpu_, a[0], a[1], a[2], a[3]);
    default: return reinterpret_cast<U (*)(V, U, U, U, U, U)>(function)(&vcpu_, a[0], a[1], a[2], a[3], a[4]);
  }
}

void InterpRun::write_snapshot(ir::SnapshotId id) {
  scratch_.snapshots.each(ir_, id, [&](const ir::SnapshotEntry& entry) { write_slot(entry.slot, entry.type, values_[entry.value]); });
}

void InterpRun::write_slot(uint64_t offset, Type type, Bits value) {
  std::memcpy(vcpu_.state + offset, &value, ir::type_bytes(type));
}

Bits InterpRun::read_slot(uint64_t offset, Type type) const {
  Bits value = 0;
  std::memcpy(&value, vcpu_.state + offset, ir::type_bytes(type));
  return ir::truncate(value, type);
}

void InterpRun::set_pc(int64_t offset) {
  write_slot(layout_.pc_slot, Type::kI64, ir_.start.value + static_cast<uint64_t>(offset));
}

}  // namespace lyre::backend
