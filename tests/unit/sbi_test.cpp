// The built-in SBI, called by a supervisor that runs on the interpreter: every extension, two harts, and calls that
// must be refused. For both widths.
#include "machine/firmware/sbi.h"

#include <cstring>
#include <functional>
#include <thread>

#include "machine/boards/machine.h"
#include "machine/firmware/fdt.h"
#include "machine/firmware/riscv_assembler.h"
#include "tests/support/catch.h"
#include "tests/support/machine_fakes.h"
#include "tests/support/temporary_file.h"

using namespace lyre;
using namespace lyre::machine;

namespace {

using R = RiscvAssembler;
using enum RiscvAssembler::Reg;

constexpr unsigned kSie = 0x104, kSip = 0x144, kTimeCsr = 0xc01, kTimehCsr = 0xc81;
constexpr uint64_t kFlag = 0x80800000;  // a word that the harts share

// A supervisor in the form of a Linux Image. Prints a letter before each step; a step that fails ends the machine with
// status 1.
struct Supervisor {
  R a;
  R::Label fail = a.label();
  char step = 'a';

  explicit Supervisor(unsigned xlen) : a(xlen) {
    auto start = a.label();
    a.j(start);
    while (a.size() < 16) a.word(0);
    a.word(0x300000);  // image_size
    while (a.size() < 56) a.word(0);
    a.word(0x05435352);  // "RSC\x05"
    a.word(0);
    a.bind(start);
  }
  void call(uint64_t extension, uint64_t function) {
    a.li(a7, extension);
    a.li(a6, function);
    a.ecall();
  }
  void next() {
    a.li(a0, static_cast<uint8_t>(step++));
    call(0x4442434e, 2);
  }
  void expect(R::Reg reg, int64_t value) {
    auto good = a.label();
    a.li(t0, static_cast<uint64_t>(value));
    a.beq(reg, t0, good);
    a.j(fail);
    a.bind(good);
  }
  // Waits until the shared word has the value.
  void await(uint64_t value) {
    a.li(t1, kFlag);
    a.li(t2, value);
    auto wait = a.here();
    a.fence();
    a.lw(t0, 0, t1);
    a.bne(t0, t2, wait);
  }
  void set(uint64_t value) {
    a.li(t1, kFlag);
    a.li(t2, value);
    a.fence();
    a.sw(t2, 0, t1);
  }
  std::string image() {
    a.bind(fail);
    a.li(a0, 0);
    a.li(a1, 1);
    call(0x53525354, 0);
    auto bytes = a.finish();
    return std::string(reinterpret_cast<char*>(bytes.data()), bytes.size());
  }
};

struct Outcome {
  int status = -1;
  std::string output;
};

Outcome run(const std::string& image, unsigned xlen, unsigned harts, bool sstc = true) {
  tests::TemporaryFile kernel(image);
  MachineConfig config;
  config.board = "virt";
  config.bios = "builtin";
  config.kernel = kernel.path();
  config.cpu.guest = "riscv" + std::to_string(xlen);
  config.cpu.count = harts;
  config.cpu.accel = "interp";
  if (!sstc) config.cpu.features = {"sstc=off"};
  config.nodefaults = true;
  Machine machine(config);
  auto owned = std::make_unique<tests::FakeChardev>();
  tests::FakeChardev& serial = *owned;
  machine.add_chardev("serial0", std::move(owned));
  Status built = machine.build();
  if (!built) FAIL(built.error().message);
  std::atomic<bool> ended{false};
  std::thread watchdog([&] {
    for (int i = 0; i < 3000 && !ended; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    if (!ended) machine.request_shutdown(StopCause::kHostQuit, 99);
  });
  Outcome outcome;
  outcome.status = machine.run();
  ended = true;
  watchdog.join();
  outcome.output = serial.output;
  return outcome;
}

std::string one_hart_program(unsigned xlen) {
  Supervisor s(xlen);
  R& a = s.a;
  s.next();  // a: the version
  s.call(0x10, 0);
  s.expect(a0, 0);
  s.expect(a1, 2 << 24);
  s.next();  // b: probing
  a.li(a0, 0x48534d);
  s.call(0x10, 3);
  s.expect(a1, 1);
  a.li(a0, 0x123456);
  s.call(0x10, 3);
  s.expect(a0, 0);
  s.expect(a1, 0);
  s.next();  // c: what is not there; registers other than a0 and a1 are kept
  a.li(t3, 0x1122334455667788);
  a.li(a2, 77);
  s.call(0x999999, 0);
  s.expect(a0, -2);
  s.expect(t3, 0x1122334455667788);
  s.expect(a2, 77);
  s.call(0x54494d45, 7);
  s.expect(a0, -2);
  s.next();  // d: the timer
  if (xlen == 32) a.csrr(a1, kTimehCsr);
  a.csrr(a0, kTimeCsr);
  a.addi(a0, a0, 2000);
  s.call(0x54494d45, 0);
  s.expect(a0, 0);
  auto wait = a.here();
  a.csrr(t0, kSip);
  a.andi(t0, t0, 0x20);
  a.beqz(t0, wait);
  a.li(a0, ~uint64_t{0});
  a.li(a1, ~uint64_t{0});
  s.call(0x54494d45, 0);
  a.csrr(t0, kSip);
  a.andi(t0, t0, 0x20);
  s.expect(t0, 0);
  s.next();  // e: an IPI to oneself
  a.li(a0, 1);
  a.li(a1, 0);
  s.call(0x735049, 0);
  s.expect(a0, 0);
  a.csrr(t1, kSip);
  a.andi(t1, t1, 2);
  s.expect(t1, 2);
  a.li(a0, 1);
  a.li(a1, 5);  // no such hart
  s.call(0x735049, 0);
  s.expect(a0, -3);
  s.next();  // f: fences
  a.li(a0, 0);
  a.li(a1, ~uint64_t{0});
  s.call(0x52464e43, 1);
  s.expect(a0, 0);
  s.call(0x52464e43, 5);
  s.expect(a0, -2);
  s.next();  // g: harts
  a.li(a0, 0);
  s.call(0x48534d, 2);
  s.expect(a1, 0);
  a.li(a0, 0);
  a.li(a1, 0x80200000);
  s.call(0x48534d, 0);
  s.expect(a0, -6);
  a.li(a0, 9);
  s.call(0x48534d, 0);
  s.expect(a0, -3);
  s.next();  // h: the console takes no buffer of the firmware's, outside RAM, or that wraps
  for (auto [size, address] : {std::pair<uint64_t, uint64_t>{4, 0x80000000},
                               {4, 0x100000},
                               {0x10000000, 0x80400000},
                               {~uint64_t{0}, 0x80400000}}) {
    a.li(a0, size);
    a.li(a1, address);
    a.li(a2, 0);
    s.call(0x4442434e, 0);
    s.expect(a0, -3);
  }
  s.next();         // i: the console
  s.set(0x0a6b6f);  // "ok\n"
  a.li(a0, 3);
  a.li(a1, kFlag);
  a.li(a2, 0);
  s.call(0x4442434e, 0);
  s.expect(a0, 0);
  s.expect(a1, 3);
  s.next();  // j: counters
  s.call(0x504d55, 0);
  s.expect(a1, 3);
  a.li(a0, 2);
  s.call(0x504d55, 1);
  s.expect(a1, 0xc02 | 63 << 12);
  a.li(a0, 0);
  a.li(a1, 7);
  a.li(a3, 2);
  s.call(0x504d55, 2);
  s.expect(a0, 0);
  s.expect(a1, 2);
  a.li(a3, 3);
  s.call(0x504d55, 2);
  s.expect(a0, -2);
  s.next();  // k: legacy calls
  a.li(a0, '!');
  s.call(1, 0);
  s.expect(a0, 0);
  s.call(2, 0);
  s.expect(a0, -1);
  s.call(8, 0);
  return s.image();
}

// Hart 0 starts hart 1, interrupts it, fences it while it fences back, and sees it stop.
std::string two_hart_program(unsigned xlen) {
  Supervisor s(xlen);
  R& a = s.a;
  auto second = a.label(), first = a.label();
  a.beqz(a0, first);
  a.bind(second);
  s.expect(a1, 0x1234);
  s.set(1);
  a.li(t0, 2);
  a.csrs(kSie, t0);
  auto sleep = a.here();
  a.wfi();
  a.csrr(t0, kSip);
  a.andi(t0, t0, 2);
  a.beqz(t0, sleep);
  s.set(2);
  a.li(s0, 50);
  auto back = a.here();
  a.li(a0, 1);
  a.li(a1, 0);
  s.call(0x52464e43, 1);
  s.expect(a0, 0);
  a.addi(s0, s0, -1);
  a.bnez(s0, back);
  s.await(3);
  s.call(0x48534d, 1);

  a.bind(first);
  s.next();
  a.li(a0, 1);
  s.call(0x48534d, 2);
  s.expect(a1, 1);
  a.li(a0, 1);
  a.li(a1, 0x80000000);  // the firmware's memory
  s.call(0x48534d, 0);
  s.expect(a0, -5);
  a.li(a0, 1);
  a.la(a1, second);
  a.li(a2, 0x1234);
  s.call(0x48534d, 0);
  s.expect(a0, 0);
  s.next();
  s.await(1);
  a.li(a0, 1);
  a.li(a1, 0);
  s.call(0x48534d, 2);
  a.li(a0, 2);
  a.li(a1, 0);
  s.call(0x735049, 0);
  s.expect(a0, 0);
  s.next();
  s.await(2);
  a.li(s0, 50);
  auto fences = a.here();
  a.li(a0, 3);
  a.li(a1, 0);
  s.call(0x52464e43, 0);
  s.expect(a0, 0);
  a.addi(s0, s0, -1);
  a.bnez(s0, fences);
  s.next();
  s.set(3);
  auto wait = a.here();
  a.li(a0, 1);
  s.call(0x48534d, 2);
  a.li(t0, 1);
  a.bne(a1, t0, wait);
  s.next();
  a.li(a0, 0);
  a.li(a1, 0);
  s.call(0x53525354, 0);
  return s.image();
}

}  // namespace

TEST_CASE("sbi answers every extension, with stimecmp and without", "[sbi]") {
  const unsigned xlen = GENERATE(64u, 32u);
  for (bool sstc : {true, false}) {
    Outcome outcome = run(one_hart_program(xlen), xlen, 1, sstc);
    CHECK(outcome.output == "abcdefghiok\njk!");
    CHECK(outcome.status == 0);
  }
}

TEST_CASE("sbi starts, interrupts, fences and stops another hart", "[sbi]") {
  const unsigned xlen = GENERATE(64u, 32u);
  Outcome outcome = run(two_hart_program(xlen), xlen, 2);
  CHECK(outcome.output == "abcde");
  CHECK(outcome.status == 0);
}

TEST_CASE("sbi resets: a failure gives its status, a wrong type is refused", "[sbi]") {
  Supervisor s(64);
  s.a.li(a0, 7);
  s.call(0x53525354, 0);
  s.expect(a0, -3);
  s.next();
  s.a.j(s.fail);
  Outcome outcome = run(s.image(), 64, 1);
  CHECK(outcome.output == "a");
  CHECK(outcome.status == 1);
}

TEST_CASE("sbi fits its region for any number of harts", "[sbi]") {
  const unsigned xlen = GENERATE(64u, 32u);
  for (unsigned harts : {1u, 16u, 17u, 512u}) {
    SbiImage image = make_sbi({.xlen = xlen,
                               .base = Gpa{0x80000000},
                               .ram_bytes = 1 << 28,
                               .harts = harts,
                               .next = Gpa{0x80200000},
                               .clint = Gpa{0x2000000},
                               .sswi = Gpa{0x2f00000},
                               .uart = Gpa{0x10000000},
                               .test = Gpa{0x100000},
                               .sstc = true});
    CHECK(image.bytes.size() <= image.region);
    CHECK((image.region & (image.region - 1)) == 0);
    CHECK(image.region < 2 << 20);
  }
}
