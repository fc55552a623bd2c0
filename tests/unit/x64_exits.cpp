// Leaving, linking, unlinking and poisoning regions on the x86-64 host, precise state at faults, loops, and many threads compiling at once.
#include <sstream>
#include <thread>
#include <vector>

#include "tests/unit/x64_rig.h"

namespace lyre::backend {
namespace {

using ir::Leave;

// x += add; leave to target.
std::string adder(uint64_t start, int add, int64_t target) {
  std::ostringstream text;
  text << "region start=" << start << " key=0x0 insns=1 {\n check -> +0 !s0\n v1: i64 = get @16\n v2: i64 = constant " << add
       << "\n v3: i64 = add v1, v2\n set @16, v3\n exit_direct -> " << (target < 0 ? "" : "+") << target << " !s1\n s0: pc +0 insn 0 {}\n s1: pc +4 insn 1 {}\n}\n";
  return text.str();
}

TEST_CASE("x64: links inside a page, across pages, and takes them back") {
  X64Rig rig;
  for (int64_t distance : {int64_t{64}, int64_t{0x5000}}) {
    auto from = rig.compile(adder(0x40000000, 1, distance)), to = rig.compile(adder(0x40000000 + static_cast<uint64_t>(distance), 100, 8));
    const ExitSite& exit = from->exits.at(0);
    CHECK((exit.guard_offset == 0) == (distance == 64));
    CHECK(exit.jump_offset % 8 <= 4);
    CHECK(exit.guard_offset % 8 <= 4);
    uint32_t& mapping = rig.vcpu->code_pages[(0x40000000 + distance) >> 12 & (ir::kCodePages - 1)];
    auto run = [&](uint64_t expected_sum, const CompiledRegion* left_from, uint64_t expected_pc) {
      rig.set(16, 0);
      auto left = rig.backend->run(*rig.vcpu, *from);
      CHECK(rig.leave() == Leave::kDirect);
      CHECK(left.from == left_from);
      CHECK(left.exit == 0);
      CHECK(rig.get(16) == expected_sum);
      CHECK(rig.pc() == expected_pc);
    };
    const uint64_t target = 0x40000000 + static_cast<uint64_t>(distance);
    mapping = 7;
    run(1, from.get(), target);
    rig.backend->link(*from, exit, *to, 7);
    run(101, to.get(), target + 8);
    if (exit.guard_offset) {
      mapping = 8;  // the page is mapped anew: the edge no longer counts
      run(1, from.get(), target);
      mapping = 7;
    }
    rig.backend->unlink(*from, exit);
    run(1, from.get(), target);
    rig.backend->link(*from, exit, *to, 7);
    rig.backend->poison(*to);
    rig.set(16, 0);
    rig.backend->run(*rig.vcpu, *from);
    CHECK(rig.leave() == Leave::kRestart);
    CHECK(rig.get(16) == 1);
    CHECK(rig.pc() == target);
  }
}

TEST_CASE("x64: a check leaves when asked, with state and pc") {
  X64Rig rig;
  auto region = rig.compile(adder(0x40000000, 1, 64));
  rig.vcpu->exit_request = 1;
  rig.set(16, 5);
  rig.backend->run(*rig.vcpu, *region);
  CHECK(rig.leave() == Leave::kLoop);
  CHECK(rig.get(16) == 5);
  CHECK(rig.pc() == 0x40000000);
}

TEST_CASE("x64: indirect exits probe the jump cache") {
  X64Rig rig;
  auto from = rig.compile(R"(region start=0x40000000 key=0x0 insns=1 {
    check -> +0 !s0
    v1: i64 = get @24
    exit_indirect v1 !s0
    s0: pc +0 insn 0 {}
  })");
  auto to = rig.compile(adder(0x41000000, 3, 8));
  rig.set(24, 0x41000000);
  rig.set(16, 1);
  rig.backend->run(*rig.vcpu, *from);
  CHECK(rig.leave() == Leave::kIndirect);
  CHECK(rig.pc() == 0x41000000);
  ir::JumpCacheEntry& entry = rig.vcpu->jump_cache[0x41000000 >> 1 & (ir::kJumpCacheEntries - 1)];
  entry = {0x41000000, 1, reinterpret_cast<uintptr_t>(to->code), 0};
  rig.backend->run(*rig.vcpu, *from);
  CHECK(rig.leave() == Leave::kDirect);
  CHECK(rig.get(16) == 4);
  entry.key = 2;
  rig.backend->run(*rig.vcpu, *from);
  CHECK(rig.leave() == Leave::kIndirect);
}

TEST_CASE("x64: a fault finds the state of its instruction") {
  for (bool spill : {false, true}) {
    X64Rig rig(x64::host_features(), spill);
    auto region = rig.compile(R"(region start=0x40000000 key=0x0 insns=3 {
      check -> +0 !s0
      v1: i64 = get @16
      v2: i64 = constant 5
      v3: i64 = add v1, v2
      set @16, v3
      v4: i64 = get @40
      v5: i64 = mul v3, v4
      set @48, v5
      v6: i64 = get @80
      v7: i64 = load.8 [v6] !s1
      set @80, v7
      set @40, v7
      v8: i64 = constant 0x1122334455667788
      set @56, v8
      v9: i64 = load.4 [v7 + 16] !s2
      set @16, v9
      exit_direct -> +12 !s3
      s0: pc +0 insn 0 {}
      s1: pc +4 insn 1 {}
      s2: pc +8 insn 2 {}
      s3: pc +12 insn 3 {}
    })");
    auto prepare = [&](uint64_t address) {
      rig.set(16, 10), rig.set(40, 3), rig.set(48, 0), rig.set(56, 0), rig.set(80, address);
    };
    prepare(0xdead000);
    rig.backend->run(*rig.vcpu, *region);
    CHECK(rig.leave() == Leave::kFault);
    CHECK(rig.vcpu->fault.value == 0xdead000);
    CHECK(rig.pc() == 0x40000004);
    CHECK(rig.get(16) == 15);
    CHECK(rig.get(48) == 45);
    CHECK(rig.get(80) == 0xdead000);
    CHECK(rig.get(56) == 0);
    // The first load is good, through the TLB or the slow path; the second one faults.
    for (uint64_t good : {ir::TestMemory::kBase + 64, ir::TestMemory::kBase + ir::TestMemory::kFastBytes + 64}) {
      prepare(good);
      const uint64_t bad = 0xbad000;
      memcpy(rig.memory.base + (good - ir::TestMemory::kBase), &bad, 8);
      rig.backend->run(*rig.vcpu, *region);
      CHECK(rig.leave() == Leave::kFault);
      CHECK(rig.vcpu->fault.value == bad + 16);
      CHECK(rig.pc() == 0x40000008);
      CHECK(rig.get(80) == bad);
      CHECK(rig.get(40) == bad);
      CHECK(rig.get(16) == 15);
      CHECK(rig.get(56) == 0x1122334455667788);
    }
  }
}

TEST_CASE("x64: more live values than registers") {
  std::ostringstream text;
  text << "region start=0x40000000 key=0x0 insns=1 {\n check -> +0 !s0\n v1: i64 = get @16\n";
  for (int k = 0; k < 60; k++) text << " v" << 100 + k << ": i64 = constant " << 0x100000000 + k << "\n v" << 200 + k << ": i64 = mul v1, v" << 100 + k << "\n";
  for (int k = 0; k < 60; k++) text << " v" << 300 + k << ": i64 = xor v" << 200 + k << ", v" << 200 + (k * 7 + 1) % 60 << "\n";
  for (int k = 0; k < 30; k++) text << " set @" << 600 + 8 * k << ", v" << 300 + 2 * k << "\n";
  text << " exit_direct -> +4 !s1\n s0: pc +0 insn 0 {}\n s1: pc +4 insn 1 {}\n}\n";
  X64Rig rig;
  auto region = rig.compile(text.str());
  rig.set(16, 0x9e3779b97f4a7c15);
  rig.backend->run(*rig.vcpu, *region);
  auto product = [](int k) { return 0x9e3779b97f4a7c15 * (0x100000000 + static_cast<uint64_t>(k)); };
  for (int k = 0; k < 30; k++) CHECK(rig.get(600 + 8 * static_cast<unsigned>(k)) == (product(2 * k) ^ product((2 * k * 7 + 1) % 60)));
}

TEST_CASE("x64: a loop keeps its parameters in registers") {
  X64Rig rig;
  auto region = rig.compile(R"(region start=0x40000000 key=0x0 insns=4 {
    check -> +0 !s0
    v1: i64 = get @16
    v2: i64 = get @24
    v3: i64 = add v1, v2
    set @16, v2
    set @24, v3
    v4: i64 = get @32
    v5: i64 = constant 1
    v6: i64 = sub v4, v5
    set @32, v6
    v7: i64 = constant 0
    v8: i1 = cmp.eq v6, v7
    exit_if v8 -> +16 !s1
    exit_direct -> +0 !s1
    s0: pc +0 insn 0 {}
    s1: pc +12 insn 3 {}
  })");
  rig.set(16, 0), rig.set(24, 1), rig.set(32, 50);
  rig.backend->run(*rig.vcpu, *region);
  CHECK(rig.get(16) == 12586269025);
  CHECK(rig.get(24) == 20365011074);
  CHECK(rig.pc() == 0x40000010);
}

TEST_CASE("x64: many threads compile at once, and a full code memory says so") {
  X64Rig rig;
  std::vector<std::thread> threads;
  std::vector<std::vector<std::unique_ptr<CompiledRegion>>> made(4);
  for (unsigned t = 0; t < 4; t++) {
    threads.emplace_back([&, t] {
      auto compiler = rig.backend->make_compiler();
      auto parsed = ir::parse(adder(0x40000000 + 64 * t, static_cast<int>(t + 1), 8));
      ir::PipelineOptions options;
      options.pinned_slots = kRigPinned;
      options.pc_slot = kRigPc;
      ir::run_pipeline(*parsed, options);
      for (unsigned k = 0; k < 3000; k++) {
        auto region = compiler->compile(*parsed);
        if (!region) break;
        made[t].push_back(std::move(region));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (unsigned t = 0; t < 4; t++) {
    REQUIRE(made[t].size() == 3000);
    rig.set(16, 0);
    auto left = rig.backend->run(*rig.vcpu, *made[t].back());
    CHECK(left.from == made[t].back().get());
    CHECK(rig.get(16) == t + 1);
  }
  std::vector<std::unique_ptr<CompiledRegion>> more;
  while (auto region = rig.compile(adder(0x40000000, 1, 8))) more.push_back(std::move(region));
  std::vector<CompiledRegion*> evicted;
  void* area = rig.backend->evict_oldest_area(evicted);
  REQUIRE(area);
  CHECK(!evicted.empty());
  rig.backend->recycle_area(area);
  CHECK(rig.compile(adder(0x40000000, 1, 8)));
}

}  // namespace
}  // namespace lyre::backend
