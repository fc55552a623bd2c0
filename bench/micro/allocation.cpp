// Register allocation alone: liveness and the forward allocator, driven as a host's emitter drives it, with a host that emits nothing and counts
// the memory traffic it was asked for. Items are guest instructions.
#include <benchmark/benchmark.h>

#include "backend/regalloc/allocator.h"
#include "bench/micro/guest_code.h"

namespace lyre::bench {
namespace {

using backend::Place;
using backend::Reg;
using backend::RegMask;

class CountingHost final : public backend::AllocHost {
 public:
  void emit_move(Reg, Reg) override { ++moves; }
  void emit_swap(Reg, Reg) override { ++moves; }
  void emit_constant(Reg, uint64_t, ir::Type) override { ++constants; }
  void emit_load(Reg, Place) override { ++loads; }
  void emit_store(Place, Reg) override { ++stores; }
  void emit_store_constant(Place, uint64_t) override { ++stores; }
  void emit_copy(Place, Place) override { ++stores; }
  uint64_t moves = 0, constants = 0, loads = 0, stores = 0;
};

// An x86-64 host's sets: 14 general registers (no stack pointer, no vCPU register), 15 vector registers, five pinned.
constexpr Reg kPinned[] = {3, 12, 13, 14, 15};
constexpr RegMask kGprs = 0xffffu & ~(RegMask{1} << 4) & ~(RegMask{1} << 5);
constexpr backend::HostRegs kRegs = {kGprs, RegMask{0x7fff} << backend::kFirstVector, 0xfc7u | RegMask{0xffff} << backend::kFirstVector, 0xfc7u, kPinned};

void drive(backend::Allocator& allocator, const backend::Liveness& live, const ir::Region& region) {
  for (uint32_t at = 0; at < region.insts.size(); ++at) {
    const ir::Inst& inst = region[at];
    if (inst.op == ir::Op::nop || inst.op == ir::Op::constant || live.skipped(at)) continue;
    allocator.begin(at, inst);
    if (inst.op == ir::Op::get) {
      allocator.get(at, static_cast<uint16_t>(inst.imm));
      allocator.end();
      continue;
    }
    unsigned count = 0;
    const ir::ValueId* args = region.args_of(inst, count);
    const bool call = ir::has(inst.op, ir::kCall);
    if (call) {
      allocator.store_dirty_slots();
      allocator.save_clobbered(kRegs.call_clobbered);
      allocator.drop_clobbered(kRegs.call_clobbered);
    } else {
      for (unsigned k = 0; k < count; ++k)
        if (args[k] != ir::kNoId) allocator.use(args[k]);
    }
    allocator.release();
    if (inst.type != ir::Type::kVoid && inst.op != ir::Op::store) allocator.define(at);
    allocator.end();
  }
}

bool has_loop(const ir::Region& region) {
  for (const ir::Block& block : region.blocks)
    if (block.loop_header) return true;
  return false;
}

void allocate(benchmark::State& state) {
  GuestCode code;
  std::vector<ir::Region> regions = code.regions(true);
  std::erase_if(regions, has_loop);
  const std::span<const uint16_t> pinned = code.cpu->pinned_slots();
  CountingHost host;
  backend::Liveness live;
  backend::Allocator allocator(host, kRegs, live);
  for (auto _ : state)
    for (const ir::Region& region : regions) {
      live.run(region, code.cpu->helpers(), pinned, std::span(kPinned).first(pinned.size()));
      allocator.start(region, pinned, false);
      drive(allocator, live, region);
    }
  const auto insns = static_cast<double>(state.iterations()) * static_cast<double>(total_insns(regions));
  state.SetItemsProcessed(static_cast<int64_t>(insns));
  state.counters["loads/insn"] = static_cast<double>(host.loads) / insns;
  state.counters["stores/insn"] = static_cast<double>(host.stores) / insns;
}
BENCHMARK(allocate);

void liveness(benchmark::State& state) {
  GuestCode code;
  const std::vector<ir::Region> regions = code.regions(true);
  const std::span<const uint16_t> pinned = code.cpu->pinned_slots();
  backend::Liveness live;
  for (auto _ : state)
    for (const ir::Region& region : regions) live.run(region, code.cpu->helpers(), pinned, std::span(kPinned).first(pinned.size()));
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(total_insns(regions)));
}
BENCHMARK(liveness);

}  // namespace
}  // namespace lyre::bench
