#include "ir/text.h"

#include <cinttypes>
#include <cstdarg>
#include <cstdio>

#include "ir/text_names.h"

namespace lyre::ir {

const char* type_name(Type type) {
  auto index = static_cast<size_t>(type);
  return index < std::size(kTypeNames) ? kTypeNames[index] : "?";
}

namespace {

class Printer {
 public:
  Printer(const Region& region, const TextNames& names) : region_(region), names_(names) {}

  std::string region() {
    add("region start=0x%" PRIx64 " key=0x%" PRIx64 " insns=%u {\n", region_.start.value, region_.state_key, region_.guest_insns);
    if (region_.blocks.empty()) {
      for (ValueId id = 0; id < region_.insts.size(); id++) line(id);
    }
    for (size_t b = 0; b < region_.blocks.size(); b++) {
      const Block& block = region_.blocks[b];
      add("block%zu%s:\n", b, block.loop_header ? " loop" : "");
      for (ValueId id = block.first; id < block.end && id < region_.insts.size(); id++) line(id);
    }
    for (SnapshotId id = 0; id < region_.snapshots.size(); id++) snapshot(id);
    text_ += "}\n";
    return std::move(text_);
  }

  std::string one(ValueId id) {
    inst(id);
    return std::move(text_);
  }

 private:
  void add(const char* format, ...) __attribute__((format(printf, 2, 3))) {
    char buffer[160];
    va_list list;
    va_start(list, format);
    vsnprintf(buffer, sizeof buffer, format, list);
    va_end(list);
    text_ += buffer;
  }
  void line(ValueId id) {
    text_ += "  ";
    inst(id);
    text_ += '\n';
  }
  void signed_offset(int64_t offset) {
    if (offset < 0) add("-%" PRIu64, -static_cast<uint64_t>(offset));
    else add("+%" PRId64, offset);
  }
  void slot(uint64_t offset) {
    add("@%" PRIu64, offset);
    if (names_.slot) text_ += '(' + names_.slot(static_cast<uint16_t>(offset)) + ')';
  }
  void value(ValueId id) {
    if (id == kNoId) text_ += "none";
    else add("v%u", id);
  }
  void values(const ValueId* ids, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
      if (i) text_ += ", ";
      value(ids[i]);
    }
  }
  template <size_t N>
  void suffix(const char* const (&names)[N], unsigned index) {
    if (index < N) add(".%s", names[index]);
    else add(".%u", index);
  }

  void memop(const Inst& inst) {
    MemOp op = inst.mem();
    add(".%u", op.size());
    if (op.sign_extend) text_ += ".s";
    if (op.big_endian) text_ += ".be";
    if (op.must_align) text_ += ".align";
    if (op.atomic) text_ += ".atomic";
    if (op.exec) text_ += ".exec";
    if (op.ordering != Ordering::kRelaxed) suffix(kOrderingNames, static_cast<unsigned>(op.ordering));
  }

  void suffixes(const Inst& inst) {
    switch (inst.op) {
      case Op::cmp: case Op::select_cmp: case Op::exit_if_cmp: suffix(kCondNames, inst.aux); return;
      case Op::fcmp: suffix(kFloatCondNames, inst.aux & ~unsigned{kFlagsDead}); break;
      case Op::fround: suffix(kRoundingNames, inst.aux & ~unsigned{kFlagsDead}); break;
      case Op::rmw: suffix(kRmwNames, inst.aux); return;
      case Op::fence: add(".%u", inst.aux); return;
      case Op::exit_direct: case Op::exit_indirect:
        if (inst.aux) suffix(kHintNames, inst.aux);
        return;
      default: break;
    }
    if (inst.aux & kFlagsDead) text_ += ".dead";
  }

  void address(const Inst& inst) {
    text_ += " [";
    value(inst.args[0]);
    if (int64_t displacement = inst.displacement(); displacement > 0) add(" + %" PRId64, displacement);
    else if (displacement < 0) add(" - %" PRId64, -displacement);
    text_ += ']';
  }

  void operands(const Inst& inst) {
    unsigned count;
    const ValueId* args = region_.args_of(inst, count);
    switch (inst.op) {
      case Op::param: add(" %" PRIu64, inst.imm); return;
      case Op::count: add(" %" PRIu64, inst.imm); return;
      case Op::constant: add(" 0x%" PRIx64, inst.imm); return;
      case Op::guest_pc: text_ += ' '; signed_offset(inst.target()); return;
      case Op::get: text_ += ' '; slot(inst.imm); return;
      case Op::set: text_ += ' '; slot(inst.imm); text_ += ", "; value(args[0]); return;
      case Op::load: case Op::store: case Op::rmw: case Op::cmpxchg:
        address(inst);
        for (unsigned i = 1; i < count; i++) text_ += ", ", value(args[i]);
        return;
      case Op::call: case Op::call_if:
        add(" %" PRIu64, inst.imm);
        if (names_.helper) text_ += '(' + names_.helper(static_cast<unsigned>(inst.imm)) + ')';
        text_ += " [", values(args, count), text_ += ']';
        return;
      case Op::jump: add(" block%" PRIu64 " [", inst.imm), values(args, count), text_ += ']'; return;
      default: break;
    }
    if (count) text_ += ' ', values(args, count);
    if (inst.op == Op::exit_if || inst.op == Op::exit_if_cmp || inst.op == Op::exit_direct || inst.op == Op::check) {
      text_ += " -> ";
      signed_offset(inst.target());
    }
  }

  void inst(ValueId id) {
    const Inst& inst = region_.insts[id];
    if (inst.type != Type::kVoid && inst.op != Op::set && inst.op != Op::store) add("v%u: %s = ", id, type_name(inst.type));
    std::string name = op_info(inst.op).name;
    if (name.back() == '_') name.pop_back();
    text_ += name;
    if (has(inst.op, kMemory)) {
      if (inst.op == Op::rmw) suffixes(inst);
      memop(inst);
    } else {
      suffixes(inst);
    }
    operands(inst);
    if (inst.snapshot != kNoId) add(" !s%u", inst.snapshot);
  }

  void snapshot(SnapshotId id) {
    const Snapshot& snapshot = region_.snapshots[id];
    add("s%u: ", id);
    if (snapshot.parent != kNoId) add("after s%u, ", snapshot.parent);
    text_ += "pc ";
    signed_offset(snapshot.pc_offset);
    add(" insn %u {", snapshot.insn_index);
    for (uint32_t i = 0; i < snapshot.entry_count; i++) {
      const SnapshotEntry& entry = region_.snapshot_entries[snapshot.first_entry + i];
      if (i) text_ += ", ";
      slot(entry.slot);
      text_ += ": ";
      value(entry.value);
    }
    text_ += "}\n";
  }

  const Region& region_;
  const TextNames& names_;
  std::string text_;
};

}  // namespace

std::string print(const Region& region, const TextNames& names) { return Printer(region, names).region(); }
std::string print_inst(const Region& region, ValueId id, const TextNames& names) { return Printer(region, names).one(id); }

}  // namespace lyre::ir
