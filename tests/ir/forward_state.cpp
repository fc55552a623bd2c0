#include "tests/ir/ir_test.h"

namespace lyre::ir {
namespace {

TEST_CASE("reads and writes of slots become values, snapshots say what memory does not know") {
  check_passes(R"(
    check -> +0 !s0
    v1: i64 = get @24
    v2: i64 = constant 0x1
    v3: i64 = add v1, v2
    set @24, v3
    v5: i64 = load.8 [v3] !s1
    set @32, v5
    v7: i64 = get @24
    store.8 [v7], v5 !s2
    exit_direct -> +12 !s2
    s0: pc +0 insn 0 {}
    s1: pc +4 insn 1 {}
    s2: pc +8 insn 2 {}
  )", 0, R"(
    block0:
    check -> +0 !s0
    v1: i64 = get @24
    v2: i64 = constant 0x1
    v3: i64 = add v1, v2
    v4: i64 = load.8 [v3] !s1
    store.8 [v3], v4 !s2
    exit_direct -> +12 !s2
    s0: pc +0 insn 0 {}
    s1: after s0, pc +4 insn 1 {@24: v3}
    s2: after s1, pc +8 insn 2 {@32: v4}
  )");
}

TEST_CASE("pinned slots are read at the start and stand in the first snapshot") {
  PipelineOptions options = test_options(0);
  options.pinned_slots = kTestPinned;
  CHECK(after_passes(R"(
    check -> +0 !s0
    v1: i64 = get @16
    set @24, v1
    exit_direct -> +4 !s0
    s0: pc +0 insn 0 {}
  )", options) == body(R"(
    block0:
    v0: i64 = get @8
    v1: i64 = get @16
    check -> +0 !s0
    exit_direct -> +4 !s1
    s0: pc +0 insn 0 {@8: v0, @16: v1}
    s1: after s0, pc +0 insn 0 {@24: v1}
  )"));
}

TEST_CASE("writing the value that a slot has leaves it clean") {
  check_passes(R"(
    v0: i64 = get @24
    set @24, v0
    exit_direct -> +4 !s0
    s0: pc +0 insn 0 {}
  )", 0, R"(
    block0:
    v0: i64 = get @24
    exit_direct -> +4 !s0
    s0: pc +0 insn 0 {}
  )");
}

TEST_CASE("after a helper that reads state, slots are clean and values stay known") {
  check_passes(R"(
    v0: i64 = constant 0x5
    set @24, v0
    call 1 [] !s0
    v3: i64 = get @24
    store.8 [v3], v0 !s0
    exit_loop !s0
    s0: pc +0 insn 0 {}
  )", 0, R"(
    block0:
    v0: i64 = constant 0x5
    call 1 [] !s0
    store.8 [v0], v0 !s1
    exit_loop !s1
    s0: pc +0 insn 0 {@24: v0}
    s1: pc +0 insn 0 {}
  )");
}

TEST_CASE("after a helper that writes state, everything is read again") {
  PipelineOptions options = test_options(0);
  options.pinned_slots = kTestPinned;
  CHECK(after_passes(R"(
    v0: i64 = constant 0x5
    set @24, v0
    set @8, v0
    call 2 [] !s0
    v4: i64 = get @24
    v5: i64 = get @8
    v6: i64 = add v4, v5
    set @32, v6
    exit_loop !s0
    s0: pc +0 insn 0 {}
  )", options) == body(R"(
    block0:
    v0: i64 = get @8
    v1: i64 = get @16
    v2: i64 = constant 0x5
    call 2 [] !s0
    v4: i64 = get @8
    v5: i64 = get @16
    v6: i64 = get @24
    v7: i64 = add v6, v4
    exit_loop !s1
    s0: pc +0 insn 0 {@8: v2, @16: v1, @24: v2}
    s1: pc +0 insn 0 {@8: v4, @16: v5, @32: v7}
  )"));
}

TEST_CASE("helpers that touch no state need no snapshot") {
  check_passes(R"(
    v0: i64 = constant 0x5
    set @24, v0
    v2: i64 = call 0 [v0] !s0
    set @32, v2
    exit_loop !s0
    s0: pc +0 insn 0 {}
  )", 0, R"(
    block0:
    v0: i64 = constant 0x5
    v1: i64 = call 0 [v0]
    exit_loop !s0
    s0: pc +0 insn 0 {@24: v0, @32: v1}
  )");
}

TEST_CASE("one slot may be read as an integer and as a float") {
  check_passes(R"(
    v0: f64 = get @24
    v1: f64 = fneg v0
    set @24, v1
    v3: i64 = get @24
    set @32, v3
    exit_loop !s0
    s0: pc +0 insn 0 {}
  )", 0, R"(
    block0:
    v0: f64 = get @24
    v1: f64 = fneg v0
    v2: i64 = bitcast v1
    exit_loop !s0
    s0: pc +0 insn 0 {@24: v1, @32: v2}
  )");
}

}  // namespace
}  // namespace lyre::ir
