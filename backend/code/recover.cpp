#include "backend/code/recover.h"

#include <string.h>

namespace lyre::backend {
namespace {
uint64_t read_location(const ir::VcpuBlock& vcpu, const Location& at) {
  switch (at.kind) {
    case LocationKind::kGpr: return vcpu.save_gpr[at.index];
    case LocationKind::kVector: return vcpu.save_vector[at.index][0];
    case LocationKind::kSpill: return vcpu.spill[at.spill];
    case LocationKind::kConstant: return at.constant;
    case LocationKind::kState: {
      uint64_t value = 0;
      memcpy(&value, vcpu.state + at.spill, at.index);
      return value;
    }
    case LocationKind::kHome: break;
  }
  return 0;
}
}  // namespace

void recover_state(ir::VcpuBlock& vcpu, const CompiledRegion& region, const StatePoint& point, uint16_t pc_slot) {
  // The log is read backwards: the newest entry of a slot counts. All values are read before any slot is written, since one slot's memory may be
  // another one's location.
  constexpr unsigned kMaxSlots = 512;
  struct Write {
    uint64_t value;
    uint16_t slot;
    uint8_t bytes;
  } writes[kMaxSlots];
  unsigned count = 0;
  uint64_t seen[ir::kStateBytes / 64] = {};
  StateTable::Reader entries(region.states, point);
  for (StateEntry entry; entries.next(entry);) {
    uint64_t& word = seen[entry.slot / 64];
    uint64_t bit = uint64_t{1} << (entry.slot % 64);
    if (word & bit) continue;
    word |= bit;
    if (entry.location.kind == LocationKind::kHome || count == kMaxSlots) continue;
    writes[count++] = {read_location(vcpu, entry.location), entry.slot, static_cast<uint8_t>(ir::type_bytes(entry.type))};
  }
  for (unsigned k = 0; k < count; k++) memcpy(vcpu.state + writes[k].slot, &writes[k].value, writes[k].bytes);
  uint64_t pc = region.start.value + static_cast<uint64_t>(int64_t{point.pc_offset});
  memcpy(vcpu.state + pc_slot, &pc, sizeof pc);
}

}  // namespace lyre::backend
