// The 16550A as drivers use it: probing, polling, interrupts, loopback, back-pressure.
#include <unistd.h>

#include "machine/devices/ns16550a.h"
#include "tests/support/catch.h"
#include "tests/support/machine_fakes.h"

using namespace lyre;
using namespace lyre::machine;

namespace {

enum : uint64_t { kRbr = 0, kThr = 0, kIer = 1, kIir = 2, kFcr = 2, kLcr = 3, kMcr = 4, kLsr = 5, kMsr = 6, kScr = 7 };

struct Uart {
  tests::FakeChardev chardev;
  tests::FakeSink sink;
  EventLoop io;  // not started: the tests flush themselves
  Ns16550a uart{&chardev, io, sink.line(10)};
  ~Uart() { io.stop(); }  // before the UART goes, as a machine does

  uint8_t in(uint64_t reg) { return static_cast<uint8_t>(uart.read(reg, 1)); }
  void out(uint64_t reg, uint8_t value) { uart.write(reg, 1, value); }
  bool irq() { return sink.level(10); }
};

}  // namespace

TEST_CASE_METHOD(Uart, "uart looks like a 16550A to a probe", "[uart]") {
  CHECK(in(kLsr) == 0x60);
  CHECK(in(kIir) == 0x01);
  out(kScr, 0x5a);
  CHECK(in(kScr) == 0x5a);
  out(kFcr, 0x01);
  CHECK((in(kIir)&0xc0) == 0xc0);
  out(kFcr, 0x00);
  CHECK((in(kIir)&0xc0) == 0);
  out(kIer, 0xff);
  CHECK(in(kIer) == 0x0f);
  out(kIer, 0);
  out(kLcr, 0x80);
  out(0, 0x34);
  out(1, 0x12);
  CHECK(in(0) == 0x34);
  CHECK(in(1) == 0x12);
  out(kLcr, 0x03);
  CHECK(in(kIer) == 0);
  CHECK(in(0x40) == 0);  // past the registers
}

TEST_CASE_METHOD(Uart, "uart collects output into few writes", "[uart]") {
  for (char c : std::string("hello\n")) {
    CHECK(in(kLsr) == 0x60);
    out(kThr, static_cast<uint8_t>(c));
  }
  CHECK(chardev.writes == 0);
  uart.flush();
  CHECK(chardev.output == "hello\n");
  CHECK(chardev.writes == 1);
}

TEST_CASE_METHOD(Uart, "uart's transmit interrupt rises on enabling and after a byte, and reading IIR clears it",
                 "[uart]") {
  out(kIer, 0x02);
  CHECK(irq());
  CHECK(in(kIir) == 0x02);
  CHECK_FALSE(irq());
  CHECK(in(kIir) == 0x01);
  out(kIer, 0x02);  // no change, no new interrupt
  CHECK_FALSE(irq());
  out(kThr, 'x');
  CHECK(irq());
  out(kIer, 0x00);
  CHECK_FALSE(irq());
  out(kIer, 0x02);
  CHECK(irq());
}

TEST_CASE_METHOD(Uart, "uart receives into its FIFO and reports level, then timeout", "[uart]") {
  out(kFcr, 0x81);  // FIFO, trigger 8
  out(kIer, 0x01);
  CHECK(chardev.send("0123456789abcdefXY") == 16);
  CHECK(irq());
  CHECK(in(kIir) == 0xc4);
  for (int i = 0; i < 9; ++i) in(kRbr);
  CHECK(in(kIir) == 0xcc);  // seven left, below the trigger
  CHECK(irq());
  std::string rest;
  while (in(kLsr)&1) rest += static_cast<char>(in(kRbr));
  CHECK(rest == "9abcdef");
  CHECK_FALSE(irq());
  CHECK(chardev.accepted == 1);  // told once, when there is room for many
}

TEST_CASE_METHOD(Uart, "uart without FIFO holds one byte", "[uart]") {
  CHECK(chardev.send("ab") == 1);
  CHECK(in(kRbr) == 'a');
  CHECK(chardev.accepted == 1);
  CHECK(chardev.send("b") == 1);
  CHECK((in(kLsr)&1) == 1);
}

TEST_CASE_METHOD(Uart, "uart priorities: line status before data before transmit", "[uart]") {
  out(kFcr, 0x01);
  out(kIer, 0x07);
  chardev.receiver.event(ChardevEvent::kBreak);
  CHECK(in(kIir) == 0xc6);
  CHECK((in(kLsr)&0x91) == 0x91);  // break, data, FIFO error
  CHECK((in(kLsr)&0x90) == 0);     // cleared by reading
  CHECK(in(kIir) == 0xc4);         // trigger level 1
  CHECK(in(kRbr) == 0);
  CHECK(in(kIir) == 0xc2);
  CHECK(in(kIir) == 0xc1);
}

TEST_CASE_METHOD(Uart, "uart loops back data and modem lines, and hears nothing meanwhile", "[uart]") {
  CHECK((in(kMsr)&0xf0) == 0xb0);
  out(kFcr, 0x01);
  out(kMcr, 0x1a);  // LOOP, RTS, OUT2: the probe of Linux' 8250 driver
  CHECK((in(kMsr)&0xf0) == 0x90);
  out(kThr, 0xae);
  CHECK(chardev.send("q") == 0);
  CHECK(in(kRbr) == 0xae);
  out(kMcr, 0x0b);
  CHECK(chardev.accepted == 1);
  CHECK(chardev.send("q") == 1);
  uart.flush();
  CHECK(chardev.output.empty());
}

TEST_CASE_METHOD(Uart, "uart overruns in loopback and keeps the FIFO's bytes", "[uart]") {
  out(kFcr, 0x01);
  out(kMcr, 0x10);
  for (uint8_t i = 0; i < 20; ++i) out(kThr, i);
  CHECK((in(kLsr)&0x02) == 0x02);
  CHECK((in(kLsr)&0x02) == 0);
  CHECK(in(kRbr) == 0);
  out(kFcr, 0x03);
  CHECK((in(kLsr)&0x01) == 0);
}

TEST_CASE_METHOD(Uart, "uart withholds THRE while the chardev does not keep up, and loses nothing", "[uart]") {
  chardev.room = 0;
  std::string sent;
  out(kIer, 0x02);
  while (in(kLsr)&0x20) {
    out(kThr, static_cast<uint8_t>('a' + sent.size() % 26));
    sent += static_cast<char>('a' + sent.size() % 26);
    REQUIRE(sent.size() < 10000);
  }
  CHECK(sent.size() > 1000);
  CHECK_FALSE(irq());
  uart.flush();
  CHECK((in(kLsr)&0x20) == 0);
  chardev.room = ~size_t{0};
  chardev.receiver.can_write();
  CHECK((in(kLsr)&0x60) == 0x60);
  CHECK(irq());
  CHECK(chardev.output == sent);
}

TEST_CASE_METHOD(Uart, "uart reset forgets everything but the output on its way", "[uart]") {
  out(kFcr, 0x01);
  out(kIer, 0x0f);
  chardev.send("abc");
  out(kThr, 'x');
  uart.reset();
  CHECK_FALSE(irq());
  CHECK(in(kLsr) == 0x60);
  CHECK(in(kIer) == 0);
  uart.flush();
  CHECK(chardev.output == "x");
}

TEST_CASE("uart flushes by itself, and works with nobody at the other end", "[uart]") {
  tests::FakeChardev chardev;
  EventLoop io;
  io.start("io");
  Ns16550a uart(&chardev, io, {}), lonely(nullptr, io, {});
  uart.write(0, 1, 'z');
  lonely.write(0, 1, 'z');
  CHECK(lonely.read(5, 1) == 0x60);
  for (int i = 0; i < 1000; ++i) {
    {
      std::lock_guard lock(chardev.mutex_);
      if (chardev.output == "z") break;
    }
    usleep(1000);
  }
  io.stop();
  CHECK(chardev.output == "z");
}
