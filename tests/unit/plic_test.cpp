// The PLIC: gateways, priorities, thresholds, contexts, claim and completion.
#include "machine/devices/plic.h"

#include "tests/support/catch.h"
#include "tests/support/machine_fakes.h"

using namespace lyre;
using namespace lyre::machine;

namespace {

struct TwoContexts {
  tests::FakeSink cpu;
  Plic plic{{cpu.line(0), cpu.line(1)}};

  uint32_t in(uint64_t offset) { return static_cast<uint32_t>(plic.read(offset, 4)); }
  void out(uint64_t offset, uint32_t value) { plic.write(offset, 4, value); }
  void enable(unsigned context, unsigned source) {
    uint64_t offset = 0x2000 + 0x80 * context + source / 32 * 4;
    out(offset, in(offset) | 1u << source % 32);
  }
  void priority(unsigned source, uint32_t value) { out(4 * source, value); }
  void threshold(unsigned context, uint32_t value) { out(0x200000 + 0x1000 * context, value); }
  uint32_t claim(unsigned context) { return in(0x200004 + 0x1000 * context); }
  void complete(unsigned context, uint32_t source) { out(0x200004 + 0x1000 * context, source); }
  bool pending(unsigned source) { return in(0x1000 + source / 32 * 4) >> source % 32 & 1; }
};

}  // namespace

TEST_CASE_METHOD(TwoContexts, "plic registers keep what they have room for", "[plic]") {
  priority(10, 0xffffffff);
  CHECK(in(40) == 7);
  priority(0, 5);
  CHECK(in(0) == 0);
  out(4 * 96, 3);
  CHECK(in(4 * 96) == 0);
  out(0x2000, 0xffffffff);
  CHECK(in(0x2000) == 0xfffffffe);
  out(0x200c, 0xffffffff);
  CHECK(in(0x200c) == 0);
  threshold(1, 0xff);
  CHECK(in(0x201000) == 7);
  out(0x1000, ~0u);
  CHECK(in(0x1000) == 0);
  CHECK(in(0x202000) == 0);  // a third context is not there
  out(0x202000, 1);
  CHECK(in(0x5ffffc) == 0);
}

TEST_CASE_METHOD(TwoContexts, "plic raises a context only for an enabled source above its threshold", "[plic]") {
  plic.source(10).set(true);
  CHECK(pending(10));
  CHECK_FALSE(cpu.level(0));
  enable(0, 10);
  CHECK_FALSE(cpu.level(0));  // priority 0 never interrupts
  CHECK(claim(0) == 0);
  priority(10, 3);
  CHECK(cpu.level(0));
  CHECK_FALSE(cpu.level(1));
  threshold(0, 3);
  CHECK_FALSE(cpu.level(0));
  threshold(0, 2);
  CHECK(cpu.level(0));
}

TEST_CASE_METHOD(TwoContexts, "plic claims the highest priority, then the lowest number, whatever the threshold",
                 "[plic]") {
  for (unsigned source : {5u, 40u, 95u, 7u}) {
    enable(0, source);
    plic.source(source).set(true);
  }
  priority(5, 1);
  priority(7, 4);
  priority(40, 4);
  priority(95, 6);
  threshold(0, 7);
  CHECK_FALSE(cpu.level(0));
  CHECK(claim(0) == 95);
  CHECK(claim(0) == 7);
  CHECK(claim(0) == 40);
  CHECK(claim(0) == 5);
  CHECK(claim(0) == 0);
}

TEST_CASE_METHOD(TwoContexts, "plic gateway: a level is taken once until completion, and again while it stays",
                 "[plic]") {
  enable(0, 10);
  enable(1, 10);
  priority(10, 1);
  plic.source(10).set(true);
  CHECK(cpu.level(0));
  CHECK(cpu.level(1));
  CHECK(claim(0) == 10);
  CHECK_FALSE(cpu.level(0));
  CHECK_FALSE(cpu.level(1));
  CHECK(claim(1) == 0);
  plic.source(10).set(false);
  plic.source(10).set(true);  // while in service: held back by the gateway
  CHECK_FALSE(pending(10));
  complete(0, 11);  // not ours
  CHECK_FALSE(pending(10));
  complete(1, 10);  // any context that has it enabled may complete
  CHECK(pending(10));
  CHECK(cpu.level(0));
  CHECK(claim(0) == 10);
  plic.source(10).set(false);
  complete(0, 10);
  CHECK_FALSE(cpu.level(0));
}

TEST_CASE_METHOD(TwoContexts, "plic: a request outlives the level that made it", "[plic]") {
  enable(0, 3);
  priority(3, 1);
  plic.source(3).set(true);
  plic.source(3).set(false);
  CHECK(cpu.level(0));
  CHECK(claim(0) == 3);
  complete(0, 3);
  CHECK_FALSE(pending(3));
}

TEST_CASE_METHOD(TwoContexts, "plic ignores a completion by a context that has the source disabled", "[plic]") {
  enable(0, 10);
  priority(10, 1);
  plic.source(10).set(true);
  REQUIRE(claim(0) == 10);
  complete(1, 10);
  CHECK_FALSE(pending(10));
  complete(0, 10);
  CHECK(pending(10));
  complete(0, 4000);
  complete(0, 0);
}

TEST_CASE_METHOD(TwoContexts, "plic reset clears its registers and keeps the wires", "[plic]") {
  enable(0, 10);
  priority(10, 1);
  plic.source(10).set(true);
  REQUIRE(claim(0) == 10);
  plic.reset();
  CHECK_FALSE(cpu.level(0));
  CHECK(pending(10));
  enable(0, 10);
  priority(10, 2);
  CHECK(cpu.level(0));
}
