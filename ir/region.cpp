#include "ir/region.h"

namespace lyre::ir {

void Region::clear() {
  start = {};
  state_key = 0;
  guest_bytes = 0;
  guest_insns = 0;
  spans.clear();
  guard_page = {}, guard_mapping = 0;
  watched = false;
  insts.clear();
  blocks.clear();
  pool.clear();
  snapshots.clear();
  snapshot_entries.clear();
}

}  // namespace lyre::ir
