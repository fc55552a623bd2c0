#include "backend/interp/interp.h"

#include "tests/ir/guest_memory.h"
#include "tests/ir/ir_test.h"

namespace lyre::ir {
namespace {

uint64_t slot_value(const VcpuBlock& vcpu, unsigned offset) {
  uint64_t value;
  std::memcpy(&value, vcpu.state + offset, sizeof value);
  return value;
}
void set_slot(VcpuBlock& vcpu, unsigned offset, uint64_t value) { std::memcpy(vcpu.state + offset, &value, sizeof value); }

uint64_t double_it(VcpuBlock*, uint64_t value) noexcept { return value * 2; }
uint64_t sum_slots(VcpuBlock* vcpu) noexcept { return slot_value(*vcpu, 24) + slot_value(*vcpu, 32); }
uint64_t write_slot(VcpuBlock* vcpu) noexcept {
  set_slot(*vcpu, 24, slot_value(*vcpu, 24) + 100);
  return 0;
}
uint64_t leave_with_fault(VcpuBlock* vcpu) noexcept {
  vcpu->raise(2, slot_value(*vcpu, 24));
  return 0;
}
const HelperInfo kHelpers[] = {
    {"double", helper_function(double_it), 0, 1},
    {"sum", helper_function(sum_slots), kReadsState, 0},
    {"write", helper_function(write_slot), kReadsState | kWritesState, 0},
    {"fault", helper_function(leave_with_fault), kMayLeave, 0},
};

// Runs a region as it is (raw), forwarded, and optimised: all three must end alike.
struct Outcome {
  std::vector<std::byte> state;
  uint32_t leave = 0, exit = 0;
  Fault fault;
};

class Machine {
 public:
  Machine() : vcpu(std::make_unique<VcpuBlock>()) {
    memory.attach(*vcpu);
    for (unsigned i = 0; i < std::size(kHelpers); i++) vcpu->helpers[kFirstGuestHelper + i] = kHelpers[i].function;
    layout.pc_slot = kTestPcSlot;
    layout.pinned_slots = kTestPinned;
    layout.helpers = kHelpers;
  }
  Outcome run(std::string_view text, int mode) {
    Region region = region_of(text);
    PipelineOptions options = test_options(mode == 2 ? uint32_t{kAllPasses} : 0);
    options.forward = mode > 0;
    options.helpers = kHelpers;
    options.pinned_slots = kTestPinned;
    run_pipeline(region, options);
    auto host = backend::make_interp_backend(layout, {});
    auto compiled = host->make_compiler()->compile(region);
    host->prepare(*vcpu);
    backend::Backend::Left left = host->run(*vcpu, *compiled);
    CHECK(left.from == compiled.get());
    Outcome outcome;
    outcome.state.assign(vcpu->state, vcpu->state + 1024);
    outcome.leave = vcpu->leave, outcome.exit = left.exit, outcome.fault = vcpu->fault;
    return outcome;
  }
  std::unique_ptr<VcpuBlock> vcpu;
  TestMemory memory;
  backend::GuestLayout layout;
};

// The outcome, the same for all modes. `prepare` sets the initial state.
template <typename Prepare>
std::unique_ptr<Machine> run_all(std::string_view text, Outcome& outcome, Prepare&& prepare) {
  std::unique_ptr<Machine> last;
  for (int mode = 0; mode < 3; mode++) {
    INFO("mode " << mode << ": 0 raw, 1 forwarded, 2 optimised");
    auto machine = std::make_unique<Machine>();
    prepare(*machine);
    Outcome now = machine->run(text, mode);
    if (mode) {
      CHECK(now.state == outcome.state);
      CHECK(now.leave == outcome.leave);
      CHECK(now.exit == outcome.exit);
      CHECK(std::memcmp(machine->memory.base, last->memory.base, TestMemory::kBytes) == 0);
    }
    outcome = now;
    last = std::move(machine);
  }
  return last;
}

TEST_CASE("interpreter: direct exits say which one, with state and pc") {
  Outcome outcome;
  constexpr std::string_view kText = R"(region start=0x8000 key=0 {
    check -> +0 !s0
    v1: i64 = get @8
    v2: i64 = get @24
    v3: i64 = add v1, v2
    set @32, v3
    v4: i1 = cmp.lt_u v1, v2
    exit_if v4 -> +64 !s0
    exit_direct.call -> -8 !s0
    s0: pc +0 insn 0 {}
  })";
  auto machine = run_all(kText, outcome, [](Machine& m) { set_slot(*m.vcpu, 8, 5), set_slot(*m.vcpu, 24, 7); });
  CHECK(slot_value(*machine->vcpu, 32) == 12);
  CHECK(slot_value(*machine->vcpu, kTestPcSlot) == 0x8040);
  CHECK(outcome.leave == static_cast<uint32_t>(Leave::kDirect));
  CHECK(outcome.exit == 0);
  machine = run_all(kText, outcome, [](Machine& m) { set_slot(*m.vcpu, 8, 7), set_slot(*m.vcpu, 24, 7); });
  CHECK(slot_value(*machine->vcpu, kTestPcSlot) == 0x7ff8);
  CHECK(outcome.exit == 1);
}

TEST_CASE("interpreter: indirect exits, the loop exit and check") {
  Outcome outcome;
  auto machine = run_all(R"(
    v0: i64 = get @8
    exit_indirect.return v0 !s0
    s0: pc +0 insn 0 {}
  )", outcome, [](Machine& m) { set_slot(*m.vcpu, 8, 0x4444); });
  CHECK(outcome.leave == static_cast<uint32_t>(Leave::kIndirect));
  CHECK(slot_value(*machine->vcpu, kTestPcSlot) == 0x4444);

  machine = run_all(R"(
    v0: i64 = constant 0x99
    set @512, v0
    exit_loop !s0
    s0: pc +0 insn 0 {}
  )", outcome, [](Machine&) {});
  CHECK(outcome.leave == static_cast<uint32_t>(Leave::kLoop));
  CHECK(slot_value(*machine->vcpu, kTestPcSlot) == 0x99);

  machine = run_all(R"(region start=0x100 key=0 {
    check -> +4 !s0
    v1: i64 = constant 0x99
    set @8, v1
    exit_direct -> +0 !s0
    s0: pc +0 insn 0 {}
  })", outcome, [](Machine& m) { m.vcpu->exit_request = 1; });
  CHECK(outcome.leave == static_cast<uint32_t>(Leave::kLoop));
  CHECK(slot_value(*machine->vcpu, kTestPcSlot) == 0x104);
  CHECK(slot_value(*machine->vcpu, 8) == 0);
}

TEST_CASE("interpreter: accesses through the TLB and the slow path") {
  Outcome outcome;
  for (uint64_t address : {TestMemory::kBase + 16, TestMemory::kBase + TestMemory::kFastBytes + 16, TestMemory::kBase + 4093u}) {
    auto machine = run_all(R"(
      v0: i64 = get @8
      v1: i64 = constant 0x8899aabbccddeeff
      store.8 [v0], v1 !s0
      v3: i64 = load.4.s [v0 + 4] !s0
      set @24, v3
      v5: i64 = load.2.be [v0] !s0
      set @32, v5
      v7: i32 = load.1 [v0 + 7] !s0
      v8: i64 = zext v7
      set @40, v8
      exit_loop !s0
      s0: pc +0 insn 0 {}
    )", outcome, [&](Machine& m) { set_slot(*m.vcpu, 8, address); });
    CHECK(slot_value(*machine->vcpu, 24) == 0xffffffff8899aabb);
    CHECK(slot_value(*machine->vcpu, 32) == 0xffee);
    CHECK(slot_value(*machine->vcpu, 40) == 0x88);
  }
}

TEST_CASE("interpreter: atomics through the TLB and the slow path") {
  Outcome outcome;
  for (uint64_t address : {TestMemory::kBase + 16, TestMemory::kBase + TestMemory::kFastBytes + 16}) {
    auto machine = run_all(R"(
      v0: i64 = get @8
      v1: i64 = constant 0xfffffffe
      store.8 [v0], v1 !s0
      v3: i64 = constant 0x5
      v4: i64 = rmw.add.4.s.align [v0], v3 !s0
      set @24, v4
      v6: i64 = rmw.max_s.4.align [v0], v1 !s0
      set @32, v6
      v8: i64 = constant 0x77
      v9: i64 = cmpxchg.8.align [v0], v3, v8 !s0
      v10: i64 = cmpxchg.8.align [v0], v9, v8 !s0
      v11: i64 = load.8 [v0] !s0
      set @40, v11
      exit_loop !s0
      s0: pc +0 insn 0 {}
    )", outcome, [&](Machine& m) { set_slot(*m.vcpu, 8, address); });
    CHECK(slot_value(*machine->vcpu, 24) == 0xfffffffffffffffe);
    CHECK(slot_value(*machine->vcpu, 32) == 3);
    CHECK(slot_value(*machine->vcpu, 40) == 0x77);
  }
}

TEST_CASE("interpreter: a fault leaves the state of its instruction") {
  Outcome outcome;
  auto machine = run_all(R"(region start=0x8000 key=0 {
    check -> +0 !s0
    v1: i64 = constant 0x33
    set @8, v1
    set @24, v1
    v4: i64 = get @40
    v5: i64 = load.8 [v4 + 8] !s1
    set @24, v5
    exit_direct -> +8 !s1
    s0: pc +0 insn 0 {}
    s1: pc +4 insn 1 {}
  })", outcome, [](Machine& m) { set_slot(*m.vcpu, 40, 0x500); });
  CHECK(outcome.leave == static_cast<uint32_t>(Leave::kFault));
  CHECK(outcome.fault.cause == TestMemory::kFaultLoad);
  CHECK(outcome.fault.value == 0x508);
  CHECK(slot_value(*machine->vcpu, 8) == 0x33);
  CHECK(slot_value(*machine->vcpu, 24) == 0x33);
  CHECK(slot_value(*machine->vcpu, kTestPcSlot) == 0x8004);
}

TEST_CASE("interpreter: helpers see state, change it, and leave") {
  Outcome outcome;
  auto machine = run_all(R"(region start=0x8000 key=0 {
    v0: i64 = constant 0x5
    set @24, v0
    v2: i64 = call 0 [v0] !s0
    set @32, v2
    v4: i64 = call 1 [] !s0
    set @40, v4
    call 2 [] !s0
    v7: i64 = get @24
    set @8, v7
    call 3 [] !s1
    set @8, v0
    exit_loop !s1
    s0: pc +0 insn 0 {}
    s1: pc +4 insn 1 {}
  })", outcome, [](Machine&) {});
  CHECK(slot_value(*machine->vcpu, 32) == 10);
  CHECK(slot_value(*machine->vcpu, 40) == 15);
  CHECK(slot_value(*machine->vcpu, 8) == 105);
  CHECK(outcome.leave == static_cast<uint32_t>(Leave::kFault));
  CHECK(outcome.fault.value == 105);
  CHECK(slot_value(*machine->vcpu, kTestPcSlot) == 0x8004);
}

TEST_CASE("interpreter: floating point runs under the guest's control register") {
  Outcome outcome;
  for (uint32_t down : {0u, 1u}) {
    auto machine = run_all(R"(
      v0: f64 = constant 0x3ff0000000000000
      v1: f64 = constant 0x4008000000000000
      v2: f64 = fdiv v0, v1
      set @24, v2
      exit_loop !s0
      s0: pc +0 insn 0 {}
    )", outcome, [&](Machine& m) { m.vcpu->guest_mxcsr = 0x1f80 | (down ? 0x4000u : 0u); });
    // 1/3 is 0x3fd5555555555555.55...: up rounds away from it.
    CHECK(slot_value(*machine->vcpu, 24) == 0x3fd5555555555555 + uint64_t{down});
    CHECK((machine->vcpu->guest_mxcsr & 0x3f) == 0x20);
    CHECK((__builtin_ia32_stmxcsr() & 0x6000) == 0);
  }
}

TEST_CASE("interpreter: a loop runs until its exit is taken") {
  Outcome outcome;
  constexpr std::string_view kText = R"(region start=0x8000 key=0 {
    check -> +0 !s0
    v1: i64 = get @24
    v2: i64 = get @8
    v3: i64 = add v1, v2
    set @24, v3
    v5: i64 = constant 0x1
    v6: i64 = sub v2, v5
    set @8, v6
    v8: i64 = constant 0x0
    v9: i1 = cmp.eq v6, v8
    exit_if v9 -> +16 !s1
    exit_direct -> +0 !s1
    s0: pc +0 insn 0 {}
    s1: pc +12 insn 3 {}
  })";
  Machine machine;
  set_slot(*machine.vcpu, 8, 100);
  outcome = machine.run(kText, 2);
  CHECK(outcome.exit == 0);
  CHECK(slot_value(*machine.vcpu, 24) == 5050);
  CHECK(slot_value(*machine.vcpu, kTestPcSlot) == 0x8010);
  // Asked to leave: the check does so before the first iteration's effects.
  machine.vcpu->exit_request = 1;
  set_slot(*machine.vcpu, 8, 100);
  outcome = machine.run(kText, 2);
  CHECK(slot_value(*machine.vcpu, 8) == 100);
  CHECK(slot_value(*machine.vcpu, kTestPcSlot) == 0x8000);
}

TEST_CASE("interpreter: code is evicted by area, oldest first") {
  backend::BackendOptions options;
  options.code_bytes = 64 << 10;
  auto host = backend::make_interp_backend({}, options);
  auto compiler = host->make_compiler();
  Region region = region_of("block0:\nexit_loop !s0\ns0: pc +0 insn 0 {}");
  std::vector<std::unique_ptr<backend::CompiledRegion>> made;
  while (auto compiled = compiler->compile(region)) made.push_back(std::move(compiled));
  CHECK(host->code_bytes_in_use() <= options.code_bytes);
  std::vector<backend::CompiledRegion*> evicted;
  void* area = host->evict_oldest_area(evicted);
  REQUIRE(area);
  REQUIRE(!evicted.empty());
  CHECK(evicted.front() == made.front().get());
  CHECK_FALSE(compiler->compile(region));
  host->recycle_area(area);
  CHECK(compiler->compile(region));
}

}  // namespace
}  // namespace lyre::ir
