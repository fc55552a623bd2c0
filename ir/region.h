// Region: the unit of translation. Tier 1: a superblock (one entry, many exits), at most one loop back to its start; tier 2: a graph.
// An instruction yields at most one value; a value is the 32-bit index of its instruction. Instructions stand in layout order in one array, blocks are
// ranges of it; removed instructions become nop. Invariants (kept by the builder, checked by ir/verify):
//  - a definition stands before its uses, or in a dominating block; only `param` carries a value around a back edge;
//  - a block ends with exactly one terminator; memory and exit operations, and calls that may fault, carry a snapshot once state has been forwarded.
// Snapshots: the guest state at that point, as what differs from the state area in memory: slot -> value, delta-encoded along a parent chain. Before
// state forwarding (raw frontend output) there are get/set and no entries; a snapshot then only holds the guest pc.
// Regions are reused: clear() keeps the memory, so a translation allocates nothing. One thread at a time. Hot (translation).
#pragma once
#include <cstdint>
#include <vector>

#include "ir/types.h"
#include "runtime/base/types.h"

namespace lyre::ir {

enum OpProperty : uint16_t {
  kPure = 1, kCommutes = 2, kState = 4, kMemory = 8, kExit = 16, kCall = 32, kTerminator = 64,
};

enum class Op : uint8_t {
#define LYRE_OP(name, arguments, properties, help) name,
#define V 255
#include "ir/ops.def"
#undef LYRE_OP
  kCount
};

inline constexpr unsigned kVariableArgs = 255;
struct OpInfo {
  const char* name;
  uint8_t args;  // kVariableArgs: in the pool
  uint16_t properties;
};
inline constexpr OpInfo kOpInfo[] = {
#define LYRE_OP(name, arguments, properties, help) {#name, arguments, properties},
#include "ir/ops.def"
#undef LYRE_OP
#undef V
};
constexpr const OpInfo& op_info(Op op) { return kOpInfo[static_cast<unsigned>(op)]; }
constexpr bool has(Op op, OpProperty property) { return op_info(op).properties & property; }

enum ExitHint : uint8_t { kHintNone = 0, kHintCall = 1, kHintReturn = 2 };
// In aux of floating-point operations that raise sticky flags: nobody reads them, the operation may be removed when its value is unused.
inline constexpr uint8_t kFlagsDead = 0x80;

using ValueId = uint32_t;
using SnapshotId = uint32_t;
using BlockId = uint32_t;
inline constexpr uint32_t kNoId = ~uint32_t{0};

struct Inst {
  Op op = Op::nop;
  Type type = Type::kVoid;  // of the result; store, set: of the stored value
  uint8_t aux = 0;          // Cond, FloatCond, RmwKind, Rounding, FenceBits, ExitHint
  uint8_t pad = 0;
  ValueId args[4] = {kNoId, kNoId, kNoId, kNoId};
  SnapshotId snapshot = kNoId;
  uint64_t imm = 0;
  MemOp mem() const { return MemOp::unpack(static_cast<uint32_t>(imm)); }
  int32_t displacement() const { return static_cast<int32_t>(imm >> 32); }
  int64_t target() const { return static_cast<int64_t>(imm); }  // direct exits: bytes from the region's start
};
static_assert(sizeof(Inst) == 32);

struct SnapshotEntry {
  uint16_t slot;  // byte offset in the guest state
  Type type;
  ValueId value;
};
struct Snapshot {
  SnapshotId parent = kNoId;
  uint32_t first_entry = 0;  // in Region::snapshot_entries
  uint32_t entry_count = 0;
  int32_t pc_offset = 0;     // guest pc of the instruction that this point belongs to, bytes from the region's start
  uint32_t insn_index = 0;   // guest instructions completed before this point, for counted blocks
};

struct Block {
  uint32_t first = 0;  // instructions [first, end)
  uint32_t end = 0;
  uint32_t param_count = 0;
  bool loop_header = false;
};

struct Region {
  Gva start;                  // guest virtual pc of the entry
  uint64_t state_key = 0;
  uint32_t guest_bytes = 0;   // bytes covered, not necessarily contiguous: see spans
  uint32_t guest_insns = 0;
  // Guest code that this translation was made from: (virtual address, bytes); at most one per page touched.
  struct Span {
    Gva start;
    uint32_t bytes;
  };
  std::vector<Span> spans;
  // Code of a second page: the entry leaves with kRestart unless VcpuBlock::code_pages says that this page has this mapping number. 0: no such page.
  // The runtime's, as the spans are: not in the text form. A host that is entered through the runtime's look-up alone may leave it out.
  Gva guard_page;
  uint32_t guard_mapping = 0;
  // The runtime's, of direct memory: every access goes to its slow path, which knows what is watched.
  bool watched = false;
  std::vector<Inst> insts;
  std::vector<Block> blocks;
  std::vector<ValueId> pool;
  std::vector<Snapshot> snapshots;
  std::vector<SnapshotEntry> snapshot_entries;

  void clear();
  Inst& operator[](ValueId id) { return insts[id]; }
  const Inst& operator[](ValueId id) const { return insts[id]; }
  // Value arguments of an instruction, pool or inline.
  const ValueId* args_of(const Inst& inst, unsigned& count) const {
    const OpInfo& info = op_info(inst.op);
    if (info.args == kVariableArgs) {
      count = inst.args[1];
      return pool.data() + inst.args[0];
    }
    count = info.args;
    return inst.args;
  }
  ValueId* args_of(const Inst& inst, unsigned& count) { return const_cast<ValueId*>(static_cast<const Region*>(this)->args_of(inst, count)); }
};

}  // namespace lyre::ir
