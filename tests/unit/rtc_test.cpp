// Goldfish RTC: time in halves, setting it, alarms. And the test finisher.
#include <unistd.h>

#include "machine/devices/goldfish_rtc.h"
#include "machine/devices/sifive_test.h"
#include "tests/support/catch.h"
#include "tests/support/machine_fakes.h"

using namespace lyre;
using namespace lyre::machine;

namespace {

struct Rtc {
  static constexpr int64_t kStart = 1'700'000'000'000'000'123;
  runtime::VirtualClock clock;
  runtime::TimerService timers{clock};
  tests::FakeSink sink;
  GoldfishRtc rtc{clock, timers, kStart, sink.line(11)};

  int64_t now() {
    uint64_t low = rtc.read(0, 4);
    return static_cast<int64_t>(rtc.read(4, 4) << 32 | low);
  }
  void set(uint64_t at, int64_t value) {
    rtc.write(at + 4, 4, static_cast<uint64_t>(value) >> 32);
    rtc.write(at, 4, static_cast<uint64_t>(value) & 0xffffffff);
  }
};

}  // namespace

TEST_CASE_METHOD(Rtc, "rtc shows guest time from its start and can be set", "[rtc]") {
  CHECK(now() == kStart);
  CHECK(now() == kStart);  // guest time stands still
  set(0, 5'000'000'000);
  CHECK(now() == 5'000'000'000);
  clock.resume();
  usleep(2000);
  CHECK(now() >= 5'002'000'000);
  rtc.reset();
  CHECK(now() >= 5'002'000'000);
}

TEST_CASE_METHOD(Rtc, "rtc alarm rings at its time and only with the interrupt enabled", "[rtc]") {
  clock.resume();
  timers.clock_changed();
  set(8, kStart + 20'000'000);
  CHECK(rtc.read(0x18, 4) == 1);
  CHECK(rtc.read(8, 4) == (static_cast<uint64_t>(kStart + 20'000'000) & 0xffffffff));
  for (int i = 0; i < 5000 && rtc.read(0x18, 4); ++i) usleep(1000);
  CHECK(rtc.read(0x18, 4) == 0);
  CHECK_FALSE(sink.level(11));
  rtc.write(0x10, 4, 1);
  CHECK(sink.level(11));
  rtc.write(0x1c, 4, 1);
  CHECK_FALSE(sink.level(11));
}

TEST_CASE_METHOD(Rtc, "rtc alarm: past at once, cleared never, far away never", "[rtc]") {
  rtc.write(0x10, 4, 1);
  set(8, kStart - 1);
  CHECK(sink.level(11));
  rtc.write(0x1c, 4, 0);
  set(8, INT64_MAX);
  CHECK_FALSE(sink.level(11));
  CHECK(rtc.read(0x18, 4) == 1);
  rtc.write(0x14, 4, 0);
  CHECK(rtc.read(0x18, 4) == 0);
  set(8, kStart + 1'000);
  set(0, kStart + 2'000);  // setting the time past the alarm rings it
  CHECK(sink.level(11));
  CHECK(rtc.read(0x20, 4) == 0);
}

TEST_CASE("test finisher tells the three commands apart", "[rtc][test_finisher]") {
  int off = 0, code = -1, resets = 0;
  SifiveTest test({[&] { ++off; }, [&](int c) { code = c; }, [&] { ++resets; }});
  test.write(0, 4, 0x5555);
  test.write(0, 4, 0x2a3333);
  test.write(0, 2, 0x7777);
  test.write(0, 4, 0x1234);
  test.write(4, 4, 0x5555);
  CHECK(off == 1);
  CHECK(code == 42);
  CHECK(resets == 1);
  CHECK(test.read(0, 4) == 0);
}
