// CLINT: software interrupts, compare registers of all widths, and the clock; ACLINT SSWI.
#include "machine/devices/aclint.h"

#include <unistd.h>

#include "tests/support/catch.h"
#include "tests/support/machine_fakes.h"

using namespace lyre;
using namespace lyre::machine;

namespace {

struct TwoHarts {
  runtime::VirtualClock clock;
  runtime::TimerService timers{clock};
  tests::FakeSink sink;  // 3 and 7 of hart h are 16 h + 3 and 16 h + 7
  Clint clint{clock, timers, 10'000'000, {{sink.line(3), sink.line(7)}, {sink.line(19), sink.line(23)}}};

  bool becomes(unsigned input, bool level) {
    for (int i = 0; i < 5000 && sink.level(input) != level; ++i) usleep(1000);
    return sink.level(input) == level;
  }
};

}  // namespace

TEST_CASE_METHOD(TwoHarts, "clint software interrupts are one bit a hart", "[aclint]") {
  clint.write(4, 4, 0xffffffff);
  CHECK(sink.level(19));
  CHECK_FALSE(sink.level(3));
  CHECK(clint.read(4, 4) == 1);
  CHECK(clint.read(0, 8) == uint64_t{1} << 32);
  clint.write(4, 4, 0xfffffffe);
  CHECK_FALSE(sink.level(19));
  clint.write(0, 8, uint64_t{1} << 32 | 1);
  CHECK(sink.level(3));
  CHECK(sink.level(19));
  clint.write(8, 4, 1);  // no third hart
  CHECK(clint.read(8, 4) == 0);
  clint.reset();
  CHECK_FALSE(sink.level(3));
}

TEST_CASE_METHOD(TwoHarts, "clint compares against guest time", "[aclint]") {
  CHECK(clint.read(0xbff8, 8) == 0);
  CHECK(clint.read(0x4000, 8) == ~uint64_t{0});
  clint.write(0x4008, 8, 0);
  CHECK(sink.level(23));  // mtime >= mtimecmp
  clint.write(0x4008, 8, ~uint64_t{0});
  CHECK_FALSE(sink.level(23));
  clint.write(0x4000, 8, 50'000);  // 5 ms
  CHECK_FALSE(sink.level(7));
  clock.resume();
  timers.clock_changed();
  CHECK(becomes(7, true));
  CHECK(clint.read(0xbff8, 8) >= 50'000);
  CHECK_FALSE(sink.level(23));
  clint.write(0x4000, 8, clint.mtime() + 1'000'000'000);
  CHECK_FALSE(sink.level(7));
  clint.reset();
  CHECK_FALSE(sink.level(7));
}

TEST_CASE_METHOD(TwoHarts, "clint registers in halves, and mtime that nobody can set", "[aclint]") {
  clint.write(0x400c, 4, 0x11223344);
  clint.write(0x4008, 4, 0x55667788);
  CHECK(clint.read(0x4008, 8) == 0x1122334455667788);
  CHECK(clint.read(0x400c, 4) == 0x11223344);
  clint.write(0xbff8, 8, 12345);
  CHECK(clint.read(0xbff8, 4) == 0);
  CHECK(clint.read(0xbffc, 4) == 0);
  clint.write(0x4000 + 8 * 100, 8, 0);
  CHECK(clint.read(0x4000 + 8 * 100, 8) == 0);
  clint.write(0x4000, 8, uint64_t{1} << 62);  // beyond what nanoseconds can count
  CHECK_FALSE(sink.level(7));
}

TEST_CASE("sswi latches a supervisor software interrupt and reads as zero", "[aclint]") {
  tests::FakeSink sink;
  AclintSswi sswi({sink.line(0), sink.line(1)});
  sswi.write(4, 4, 1);
  CHECK(sink.level(1));
  CHECK_FALSE(sink.level(0));
  sswi.write(4, 4, 0);
  CHECK(sink.level(1));
  CHECK(sswi.read(4, 4) == 0);
  sswi.write(0x3ffc, 4, 1);
}
