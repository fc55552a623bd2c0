#include "ir/verify.h"

#include <map>
#include <vector>

#include "ir/text.h"
#include "ir/verify_types.h"

namespace lyre::ir {
namespace {

// Thrown inside this file only; verify() turns it into its result.
struct Invalid {
  std::string sentence;
};

class Verifier {
 public:
  Verifier(const Region& region, const VerifyOptions& options) : region_(region), options_(options) {}

  void run() {
    check_blocks();
    find_dominators();
    for (BlockId b = 0; b < blocks_.size(); b++) check_params(b);
    for (BlockId b = 0; b < blocks_.size(); b++) {
      for (ValueId id = blocks_[b].first; id < blocks_[b].end; id++) check_instruction(id);
      check_jump(b);
    }
    check_snapshot_chains();
  }

 private:
  [[noreturn]] void fail(ValueId id, const std::string& sentence) const {
    throw Invalid{"v" + std::to_string(id) + " (" + op_info(region_[id].op).name + "): " + sentence};
  }
  [[noreturn]] static void fail_block(BlockId block, const std::string& sentence) { throw Invalid{"block" + std::to_string(block) + ": " + sentence}; }

  void check_blocks() {
    blocks_ = region_.blocks;
    if (blocks_.empty()) blocks_.push_back({0, static_cast<uint32_t>(region_.insts.size()), 0, false});
    uint32_t expected = 0;
    for (BlockId b = 0; b < blocks_.size(); b++) {
      const Block& block = blocks_[b];
      if (block.first != expected || block.end < block.first || block.end > region_.insts.size()) fail_block(b, "its range does not follow the one before");
      if (block.first == block.end) fail_block(b, "it is empty");
      for (ValueId id = block.first; id < block.end; id++) {
        if (region_[id].op >= Op::kCount) fail_block(b, "unknown operation");
        bool last = id + 1 == block.end;
        if (has(region_[id].op, kTerminator) != last) fail_block(b, last ? "it does not end with a terminator" : "a terminator stands inside it");
      }
      const Inst& end = region_[block.end - 1];
      if (end.op == Op::jump && end.imm >= blocks_.size()) fail(block.end - 1, "the block does not exist");
      expected = block.end;
    }
    if (expected != region_.insts.size()) fail_block(static_cast<BlockId>(blocks_.size() - 1), "instructions stand behind it");
    block_of_.resize(region_.insts.size());
    for (BlockId b = 0; b < blocks_.size(); b++)
      for (ValueId id = blocks_[b].first; id < blocks_[b].end; id++) block_of_[id] = b;
  }

  // dominates_[b][d]: d dominates b. Plain iteration over sets: regions have few blocks.
  void find_dominators() {
    size_t count = blocks_.size();
    dominates_.assign(count, std::vector<bool>(count, true));
    dominates_[0].assign(count, false);
    dominates_[0][0] = true;
    for (bool changed = true; changed;) {
      changed = false;
      for (BlockId b = 1; b < count; b++) {
        std::vector<bool> next(count, true);
        for (BlockId from = 0; from < count; from++) {
          const Inst& end = region_[blocks_[from].end - 1];
          if (end.op != Op::jump || end.imm != b) continue;
          for (BlockId d = 0; d < count; d++) next[d] = next[d] && dominates_[from][d];
        }
        next[b] = true;
        if (next != dominates_[b]) dominates_[b] = next, changed = true;
      }
    }
  }

  bool dominates(ValueId definition, ValueId use) const {
    BlockId from = block_of_[definition], to = block_of_[use];
    return from == to ? definition < use : static_cast<bool>(dominates_[to][from]);
  }

  void check_params(BlockId b) const {
    const Block& block = blocks_[b];
    uint32_t params = 0;
    for (ValueId id = block.first; id < block.end; id++) {
      if (region_[id].op != Op::param) continue;
      if (id != block.first + params) fail(id, "a parameter stands at the start of its block");
      if (region_[id].imm != params) fail(id, "imm is not the parameter's position");
      params++;
    }
    if (params != block.param_count) fail_block(b, "it does not have as many parameters as it says");
    if (b == 0 && params) fail_block(b, "the entry block has no parameters");
  }

  void check_instruction(ValueId id) {
    const Inst& inst = region_[id];
    if (op_info(inst.op).args == kVariableArgs && (inst.args[0] > region_.pool.size() || inst.args[1] > region_.pool.size() - inst.args[0]))
      fail(id, "its arguments lie outside the pool");
    unsigned count;
    const ValueId* args = region_.args_of(inst, count);
    for (unsigned i = 0; i < count; i++) {
      if (args[i] >= region_.insts.size()) fail(id, "argument " + std::to_string(i) + " does not exist");
      if (!has_result(region_[args[i]])) fail(id, "argument " + std::to_string(i) + " has no value");
      if (!dominates(args[i], id)) fail(id, "argument " + std::to_string(i) + " does not dominate it");
    }
    if (std::string wrong = check_inst(region_, inst); !wrong.empty()) fail(id, wrong);
    if (inst.op == Op::get || inst.op == Op::set) check_slot(id);
    if (inst.op == Op::call || inst.op == Op::call_if) check_call(id);
    check_snapshot(id);
  }

  void check_slot(ValueId id) {
    const Inst& inst = region_[id];
    if (inst.op == Op::set && options_.forwarded) fail(id, "state has been forwarded");
    uint64_t offset = inst.imm;
    unsigned bytes = type_bytes(inst.type);
    auto [place, fresh] = slots_.emplace(offset, bytes);
    if (!fresh && place->second != bytes) fail(id, "the slot is accessed with two widths");
    auto after = std::next(place);
    bool overlaps = after != slots_.end() && offset + bytes > after->first;
    if (place != slots_.begin()) {
      auto before = std::prev(place);
      overlaps |= before->first + before->second > offset;
    }
    if (overlaps) fail(id, "the slot overlaps another one");
  }

  void check_call(ValueId id) const {
    const Inst& inst = region_[id];
    if (options_.helpers.empty()) return;
    if (inst.imm >= options_.helpers.size()) fail(id, "there is no such helper");
    const HelperInfo& helper = options_.helpers[inst.imm];
    unsigned skip = inst.op == Op::call_if ? 2 : 0;
    if (inst.args[1] - skip != helper.args) fail(id, std::string(helper.name) + " takes " + std::to_string(helper.args) + " arguments");
    bool looks = helper.flags & (kReadsState | kWritesState | kMayLeave);
    if (looks && inst.op == Op::call_if) fail(id, "the helper touches guest state");
    if (looks && inst.snapshot == kNoId) fail(id, "it has no snapshot");
  }

  void check_snapshot(ValueId id) {
    const Inst& inst = region_[id];
    if (inst.snapshot == kNoId) {
      if (op_info(inst.op).properties & (kMemory | kExit)) fail(id, "it has no snapshot");
      return;
    }
    if (inst.snapshot >= region_.snapshots.size()) fail(id, "its snapshot does not exist");
    for (SnapshotId s = inst.snapshot; s != kNoId; s = region_.snapshots[s].parent) {
      const Snapshot& snapshot = region_.snapshots[s];
      if (snapshot.parent != kNoId && snapshot.parent >= s) fail(id, "the parent of snapshot s" + std::to_string(s) + " does not come before it");
      if (snapshot.first_entry + uint64_t{snapshot.entry_count} > region_.snapshot_entries.size()) fail(id, "entries of s" + std::to_string(s) + " lie outside the table");
      for (uint32_t i = 0; i < snapshot.entry_count; i++) check_entry(id, s, snapshot.first_entry + i);
    }
  }

  void check_entry(ValueId id, SnapshotId s, uint32_t index) const {
    const SnapshotEntry& entry = region_.snapshot_entries[index];
    std::string where = "snapshot s" + std::to_string(s) + ", slot @" + std::to_string(entry.slot) + ": ";
    if (entry.value >= region_.insts.size() || !has_result(region_[entry.value])) fail(id, where + "no such value");
    if (region_[entry.value].type != entry.type) fail(id, where + "the value is not of the slot's type");
    if (!dominates(entry.value, id)) fail(id, where + "the value does not dominate the operation");
    if (entry.slot + type_bytes(entry.type) > kStateBytes) fail(id, where + "outside the guest state");
    for (uint32_t i = region_.snapshots[s].first_entry; i < index; i++)
      if (region_.snapshot_entries[i].slot == entry.slot) fail(id, where + "named twice");
  }

  // Chains that no operation uses must be sound too: readers may walk any.
  void check_snapshot_chains() const {
    for (SnapshotId s = 0; s < region_.snapshots.size(); s++)
      if (region_.snapshots[s].parent != kNoId && region_.snapshots[s].parent >= s) throw Invalid{"s" + std::to_string(s) + ": its parent does not come before it"};
  }

  void check_jump(BlockId b) const {
    ValueId id = blocks_[b].end - 1;
    const Inst& jump = region_[id];
    if (jump.op != Op::jump) return;
    const Block& to = blocks_[jump.imm];
    if (jump.args[1] != to.param_count) fail(id, "it does not pass as many arguments as there are parameters");
    for (uint32_t i = 0; i < to.param_count; i++)
      if (region_[region_.pool[jump.args[0] + i]].type != region_[to.first + i].type) fail(id, "argument " + std::to_string(i) + " is not of its parameter's type");
    if (jump.imm > b) return;
    if (!to.loop_header) fail(id, "a back edge to a block that is not marked as a loop header");
    if (region_[to.first + to.param_count].op != Op::check) fail(id, "a back edge to a block that does not start with a check");
  }

  const Region& region_;
  const VerifyOptions& options_;
  std::vector<Block> blocks_;
  std::vector<BlockId> block_of_;
  std::vector<std::vector<bool>> dominates_;
  std::map<uint64_t, unsigned> slots_;
};

}  // namespace

std::string verify(const Region& region, const VerifyOptions& options) {
  try {
    Verifier(region, options).run();
    return "";
  } catch (const Invalid& invalid) {
    return invalid.sentence;
  }
}

}  // namespace lyre::ir
