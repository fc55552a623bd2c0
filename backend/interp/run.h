// One run of one region by the interpreter.
#pragma once
#include <cstdint>
#include <vector>

#include "backend/backend.h"
#include "ir/eval.h"
#include "ir/snapshot.h"

namespace lyre::backend {

// Per thread, reused.
struct InterpScratch {
  std::vector<ir::Bits> values;
  std::vector<ir::Bits> block_args;
  ir::SnapshotReader snapshots;
};

class InterpRun {
 public:
  InterpRun(const GuestLayout& layout, const BackendOptions& options, ir::VcpuBlock& vcpu, const CompiledRegion& entry, InterpScratch& scratch);
  Backend::Left run();

 private:
  enum class Step : uint8_t { kNext, kLeft };

  Step step(const ir::Inst& inst, ir::ValueId id);
  Step leave(const ir::Inst& inst);
  Step take_direct(const ir::Inst& inst);
  Step call(const ir::Inst& inst, ir::ValueId id);
  void jump(const ir::Inst& inst);

  Step load(const ir::Inst& inst, ir::ValueId id);
  Step store(const ir::Inst& inst);
  Step rmw(const ir::Inst& inst, ir::ValueId id);
  Step cmpxchg(const ir::Inst& inst, ir::ValueId id);
  Step after_slow(const ir::Inst& inst);
  // Direct memory. kSlow: misaligned where that faults; kFaulted: Leave::kFault is set, the signal handler has put the fault into VcpuBlock::fault.
  enum class Direct : uint8_t { kSlow, kDone, kFaulted };
  Direct direct_load(uint64_t address, ir::MemOp op, uint64_t& value);
  Direct direct_store(uint64_t address, ir::MemOp op, uint64_t value);
  Direct direct_cmpxchg(uint64_t address, ir::MemOp op, uint64_t& expected, uint64_t desired);
  Direct direct_end(bool done);
  // Host address of the access if the TLB knows the page, else nullptr.
  std::byte* probe(uint64_t address, ir::MemOp op, bool write) const;

  void write_snapshot(ir::SnapshotId id);
  void write_slot(uint64_t offset, ir::Type type, ir::Bits value);
  ir::Bits read_slot(uint64_t offset, ir::Type type) const;
  void set_pc(int64_t offset);
  ir::Bits evaluate(const ir::Inst& inst) const;
  uint64_t low(ir::ValueId id) const { return static_cast<uint64_t>(values_[id]); }
  uint64_t call_helper(unsigned slot, const uint64_t* args, unsigned count);

  const GuestLayout& layout_;
  const bool direct_memory_;
  ir::VcpuBlock& vcpu_;
  const CompiledRegion& entry_;
  const ir::Region& ir_;
  InterpScratch& scratch_;
  ir::Bits* values_;
  uint32_t next_ = 0;
  uint32_t exit_ = 0;
};

}  // namespace lyre::backend
