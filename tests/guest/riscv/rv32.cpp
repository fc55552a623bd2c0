// RV32: what differs from RV64, on both hosts: results in register form, addresses that wrap at 4 GiB, traps, halves of CSRs, Sv32, encodings of its own.
#include <array>
#include <bit>
#include <functional>

#include "frontend/riscv/mmu.h"
#include "tests/guest/riscv/encode.h"
#include "tests/guest/riscv/hart_rig.h"
#include "tests/support/catch.h"

using namespace lyre;
using namespace lyre::test;
using namespace lyre::riscv;
using frontend::Access;
using frontend::Translation;

namespace {

constexpr uint32_t kEdges[] = {0, 1, 2, 31, 32, 33, 0x7f, 0x80, 0xff, 0x8000, 0xffff, 0x7fffffff, 0x80000000, 0x80000001, 0xfffffffe, 0xffffffff, 0x01234567, 0xfedcba98};
constexpr uint64_t kCode = HartRig::kRam, kHandler = HartRig::kRam + 0x1000;

uint64_t sext32(uint64_t value) { return static_cast<uint64_t>(int64_t{static_cast<int32_t>(value)}); }

struct Rig32 : HartRig {
  explicit Rig32(const std::string& host = test_backend(), unsigned max_insns = 64) : HartRig(host, {}, max_insns, 32) {
    x(a0) = sext32(~0u), x(a1) = 0x1f;
    RiscvAsm open;
    open.csrw(kPmpaddr0, a0);
    open.csrw(kPmpcfg0, a1);
    execute(open.finish());
    state().mtvec = sext32(kHandler), state().stvec = sext32(kHandler);
  }
  // One instruction; a0 is the destination, a1 and a2 are the sources.
  uint32_t result(uint32_t word, uint32_t a, uint32_t b) {
    x(a1) = sext32(a), x(a2) = sext32(b), x(a0) = 0x55;
    if (word != last_) load(kCode, {last_ = word, 0x00000013});
    state().pc = kCode;
    run_block();
    CHECK(x(a0) == sext32(x(a0)));
    return static_cast<uint32_t>(x(a0));
  }
  uint64_t csr(unsigned number) {
    execute({number << 20 | 2u << 12 | a0 << 7 | 0x73});
    CHECK(x(a0) == sext32(x(a0)));
    return x(a0) & 0xffffffff;
  }
  void set_csr(unsigned number, uint32_t value) {
    x(a0) = sext32(value);
    execute({number << 20 | a0 << 15 | 1u << 12 | 0x73});
  }

 private:
  uint32_t last_ = 0;
};

using Model = std::function<uint32_t(uint32_t, uint32_t)>;
uint64_t clmul(uint32_t a, uint32_t b) {
  uint64_t product = 0;
  for (unsigned bit = 0; bit < 32; ++bit)
    if (b >> bit & 1) product ^= uint64_t{a} << bit;
  return product;
}
uint32_t each_byte(uint32_t value, const std::function<uint32_t(uint32_t)>& of) {
  uint32_t result = 0;
  for (unsigned at = 0; at < 32; at += 8) result |= (of(value >> at & 255) & 255) << at;
  return result;
}
uint32_t reversed(uint32_t byte) {
  uint32_t result = 0;
  for (unsigned bit = 0; bit < 8; ++bit) result |= (byte >> bit & 1) << (7 - bit);
  return result;
}
uint32_t zipped(uint32_t value) {
  uint32_t result = 0;
  for (unsigned bit = 0; bit < 16; ++bit) result |= (value >> bit & 1) << 2 * bit | (value >> (16 + bit) & 1) << (2 * bit + 1);
  return result;
}
uint32_t unzipped(uint32_t value) {
  uint32_t result = 0;
  for (unsigned bit = 0; bit < 16; ++bit) result |= (value >> 2 * bit & 1) << bit | (value >> (2 * bit + 1) & 1) << (16 + bit);
  return result;
}
uint32_t permuted(uint32_t table, uint32_t indices, unsigned bits) {
  uint32_t mask = (1u << bits) - 1, result = 0;
  for (unsigned at = 0; at < 32; at += bits)
    if (uint32_t from = (indices >> at & mask) * bits; from < 32) result |= (table >> from & mask) << at;
  return result;
}
int32_t s(uint32_t value) { return static_cast<int32_t>(value); }
uint32_t u(int64_t value) { return static_cast<uint32_t>(value); }

const std::pair<const char*, Model> kBinary[] = {
    {"add", [](auto a, auto b) { return a + b; }}, {"sub", [](auto a, auto b) { return a - b; }},
    {"sll", [](auto a, auto b) { return a << (b & 31); }}, {"srl", [](auto a, auto b) { return a >> (b & 31); }},
    {"sra", [](auto a, auto b) { return u(s(a) >> (b & 31)); }}, {"slt", [](auto a, auto b) { return u(s(a) < s(b)); }},
    {"sltu", [](auto a, auto b) { return u(a < b); }}, {"xor", [](auto a, auto b) { return a ^ b; }},
    {"mul", [](auto a, auto b) { return a * b; }}, {"mulh", [](auto a, auto b) { return u(int64_t{s(a)} * s(b) >> 32); }},
    {"mulhsu", [](auto a, auto b) { return u(int64_t{s(a)} * int64_t{b} >> 32); }},
    {"mulhu", [](auto a, auto b) { return static_cast<uint32_t>(uint64_t{a} * b >> 32); }},
    {"div", [](auto a, auto b) { return !b ? ~0u : u(int64_t{s(a)} / s(b)); }}, {"divu", [](auto a, auto b) { return !b ? ~0u : a / b; }},
    {"rem", [](auto a, auto b) { return !b ? a : u(int64_t{s(a)} % s(b)); }}, {"remu", [](auto a, auto b) { return !b ? a : a % b; }},
    {"sh1add", [](auto a, auto b) { return (a << 1) + b; }}, {"sh3add", [](auto a, auto b) { return (a << 3) + b; }},
    {"andn", [](auto a, auto b) { return a & ~b; }}, {"orn", [](auto a, auto b) { return a | ~b; }}, {"xnor", [](auto a, auto b) { return ~(a ^ b); }},
    {"min", [](auto a, auto b) { return s(a) < s(b) ? a : b; }}, {"maxu", [](auto a, auto b) { return a > b ? a : b; }},
    {"minu", [](auto a, auto b) { return a < b ? a : b; }}, {"max", [](auto a, auto b) { return s(a) > s(b) ? a : b; }},
    {"rol", [](auto a, auto b) { return std::rotl(a, s(b & 31)); }}, {"ror", [](auto a, auto b) { return std::rotr(a, s(b & 31)); }},
    {"bclr", [](auto a, auto b) { return a & ~(1u << (b & 31)); }}, {"bset", [](auto a, auto b) { return a | 1u << (b & 31); }},
    {"binv", [](auto a, auto b) { return a ^ 1u << (b & 31); }}, {"bext", [](auto a, auto b) { return a >> (b & 31) & 1; }},
    {"clmul", [](auto a, auto b) { return static_cast<uint32_t>(clmul(a, b)); }}, {"clmulh", [](auto a, auto b) { return static_cast<uint32_t>(clmul(a, b) >> 32); }},
    {"clmulr", [](auto a, auto b) { return static_cast<uint32_t>(clmul(a, b) >> 31); }}, {"pack", [](auto a, auto b) { return (a & 0xffff) | b << 16; }},
    {"packh", [](auto a, auto b) { return (a & 255) | (b & 255) << 8; }}, {"xperm4", [](auto a, auto b) { return permuted(a, b, 4); }},
    {"xperm8", [](auto a, auto b) { return permuted(a, b, 8); }}, {"czero.eqz", [](auto a, auto b) { return b ? a : 0; }},
};
const std::pair<const char*, std::function<uint32_t(uint32_t)>> kUnary[] = {
    {"clz", [](auto a) { return u(std::countl_zero(a)); }}, {"ctz", [](auto a) { return u(std::countr_zero(a)); }},
    {"cpop", [](auto a) { return u(std::popcount(a)); }}, {"sext.b", [](auto a) { return u(static_cast<int8_t>(a)); }},
    {"sext.h", [](auto a) { return u(static_cast<int16_t>(a)); }}, {"zext.h", [](auto a) { return a & 0xffff; }},
    {"rev8", [](auto a) { return __builtin_bswap32(a); }}, {"orc.b", [](auto a) { return each_byte(a, [](uint32_t byte) { return byte ? 255u : 0u; }); }},
    {"brev8", [](auto a) { return each_byte(a, reversed); }}, {"zip", zipped}, {"unzip", unzipped},
};
const std::pair<const char*, Model> kShifts[] = {
    {"slli", [](auto a, auto n) { return a << n; }}, {"srli", [](auto a, auto n) { return a >> n; }}, {"srai", [](auto a, auto n) { return u(s(a) >> n); }},
    {"rori", [](auto a, auto n) { return std::rotr(a, s(n)); }}, {"bclri", [](auto a, auto n) { return a & ~(1u << n); }},
    {"bseti", [](auto a, auto n) { return a | 1u << n; }}, {"binvi", [](auto a, auto n) { return a ^ 1u << n; }}, {"bexti", [](auto a, auto n) { return a >> n & 1; }},
};

}  // namespace

TEST_CASE("rv32: computations on edge values") {
  for (const char* host : {"interp", "x64"}) {
    Rig32 rig(host, 1);
    for (const auto& [name, model] : kBinary) {
      const uint32_t word = encode(name, {{'d', a0}, {'a', a1}, {'b', a2}}, 32);
      for (uint32_t a : kEdges)
        for (uint32_t b : kEdges) {
          INFO(host << " " << name << " " << std::hex << a << " " << b);
          CHECK(rig.result(word, a, b) == model(a, b));
        }
    }
    for (const auto& [name, model] : kUnary) {
      const uint32_t word = encode(name, {{'d', a0}, {'a', a1}}, 32);
      for (uint32_t a : kEdges) {
        INFO(host << " " << name << " " << std::hex << a);
        CHECK(rig.result(word, a, 0) == model(a));
      }
    }
    for (const auto& [name, model] : kShifts)
      for (uint32_t amount : {0u, 1u, 15u, 31u}) {
        const uint32_t word = encode(name, {{'d', a0}, {'a', a1}, {'s', amount}}, 32);
        for (uint32_t a : kEdges) {
          INFO(host << " " << name << " " << std::hex << a << " " << amount);
          CHECK(rig.result(word, a, 0) == model(a, amount));
        }
      }
    for (uint32_t a : kEdges) CHECK(rig.result(encode("addi", {{'d', a0}, {'a', a1}, {'i', 0x7ff}}, 32), a, 0) == a + 0x7ff);
    CHECK(rig.result(encode("lui", {{'d', a0}, {'i', 0x80000}}, 32), 0, 0) == 0x80000000);
    CHECK(rig.result(encode("auipc", {{'d', a0}, {'i', 0x12345}}, 32), 0, 0) == 0x92345000);
    CHECK(rig.result(encode("auipc", {{'d', a0}, {'i', 0x80001}}, 32), 0, 0) == 0x1000);
  }
}

TEST_CASE("rv32: halves of SHA-512 sums are those of RV64") {
  auto check = [](const char* wide_name, const char* narrow_name, bool high) {
    HartRig wide("interp", {}, 1);
    Rig32 narrow("interp", 1);
    const uint32_t word = encode(narrow_name, {{'d', a0}, {'a', a1}, {'b', a2}}, 32);
    for (uint32_t low : kEdges)
      for (uint32_t top : kEdges) {
        wide.x(a1) = uint64_t{top} << 32 | low;
        wide.execute({encode(wide_name, {{'d', a0}, {'a', a1}})});
        const uint64_t expected = wide.x(a0);
        INFO(narrow_name << " " << std::hex << top << " " << low);
        CHECK(narrow.result(word, high ? top : low, high ? low : top) == static_cast<uint32_t>(high ? expected >> 32 : expected));
      }
  };
  check("sha512sig0", "sha512sig0h", true);
  check("sha512sig0", "sha512sig0l", false);
  check("sha512sig1", "sha512sig1h", true);
  check("sha512sig1", "sha512sig1l", false);
  check("sha512sum0", "sha512sum0r", false);
  check("sha512sum1", "sha512sum1r", false);
}

TEST_CASE("rv32: AES-128 by FIPS 197, appendix C.1") {
  Rig32 rig("interp", 1);
  auto column = [&](const char* name, uint32_t start, std::array<uint32_t, 4> bytes_from) {
    for (uint32_t byte = 0; byte < 4; ++byte) start = rig.result(encode(name, {{'d', a0}, {'a', a1}, {'b', a2}, {'s', byte}}, 32), start, bytes_from[byte]);
    return start;
  };
  using Block = std::array<uint32_t, 4>;
  std::vector<Block> keys = {{0x03020100, 0x07060504, 0x0b0a0908, 0x0f0e0d0c}};
  for (uint32_t constant : {0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0x1b, 0x36}) {
    Block key = keys.back();
    const uint32_t turned = std::rotr(key[3], 8);
    key[0] = column("aes32esi", key[0] ^ constant, {turned, turned, turned, turned});
    for (unsigned i = 1; i < 4; ++i) key[i] ^= key[i - 1];
    keys.push_back(key);
  }
  const Block plain = {0x33221100, 0x77665544, 0xbbaa9988, 0xffeeddcc}, expected = {0xd8e0c469, 0x30047b6a, 0x80b7cdd8, 0x5ac5b470};
  Block state = plain;
  for (unsigned i = 0; i < 4; ++i) state[i] ^= keys[0][i];
  for (unsigned round = 1; round <= 10; ++round) {
    Block next;
    for (unsigned i = 0; i < 4; ++i)
      next[i] = column(round == 10 ? "aes32esi" : "aes32esmi", keys[round][i], {state[i], state[(i + 1) % 4], state[(i + 2) % 4], state[(i + 3) % 4]});
    state = next;
  }
  CHECK(state == expected);
  // The equivalent inverse cipher: keys of the middle rounds through InvMixColumns, which aes32dsmi does after the S box undoes aes32esi's.
  for (unsigned i = 0; i < 4; ++i) state[i] ^= keys[10][i];
  for (unsigned round = 9;; --round) {
    Block next;
    for (unsigned i = 0; i < 4; ++i) {
      uint32_t key = keys[round][i];
      if (round) {
        const uint32_t boxed = column("aes32esi", 0, {key, key, key, key});
        key = column("aes32dsmi", 0, {boxed, boxed, boxed, boxed});
      }
      next[i] = column(round ? "aes32dsmi" : "aes32dsi", key, {state[i], state[(i + 3) % 4], state[(i + 2) % 4], state[(i + 1) % 4]});
    }
    state = next;
    if (!round) break;
  }
  CHECK(state == plain);
}

TEST_CASE("rv32: addresses wrap at 4 GiB, jumps too, and links have register form") {
  for (const char* host : {"interp", "x64"}) {
    Rig32 rig(host);
    rig.poke(HartRig::kRam + 0x500, 0x1122334455667788);
    // A base below 2 GiB and a displacement that takes it into RAM; and the other way round.
    rig.x(a1) = 0x7fffff00, rig.x(a2) = sext32(0x80000700);
    rig.execute({encode("addi", {{'d', a1}, {'a', a1}, {'i', 0x100}}, 32), encode("lw", {{'d', a3}, {'a', a1}, {'i', 0x500}}, 32),
                 encode("lw", {{'d', a4}, {'a', a2}, {'i', 0xe00}}, 32)});
    CHECK(rig.x(a1) == sext32(0x80000000));
    CHECK((rig.x(a3) == 0x55667788 && rig.x(a4) == 0x55667788));
    rig.x(a1) = 0x7ffffff0;
    rig.poke(HartRig::kRam + 0x10, 0xcafe);
    rig.load(kCode + 0x100, {encode("lhu", {{'d', a3}, {'a', a1}, {'i', 0x20}}, 32), 0x6f});
    rig.state().pc = kCode + 0x100;
    REQUIRE(rig.run_to(kCode + 0x104));
    CHECK(rig.x(a3) == 0xcafe);

    RiscvAsm code;
    auto target = code.label();
    code.jal(ra, target);
    code.word(0);
    code.bind(target);
    code.jalr(t0, ra, 16);  // to kCode + 20
    code.word(0), code.word(0);
    rig.execute(code.finish());
    CHECK((rig.x(ra) == sext32(kCode + 4) && rig.x(t0) == sext32(kCode + 12)));

    // Nothing at the other end: what software sees of the address and the pc is 32 bits, sign-extended.
    RiscvAsm fault;
    fault.lw(a0, zero, -4);
    rig.load(kCode, fault);
    rig.state().pc = kCode;
    REQUIRE(rig.run_to(kHandler, 4));
    CHECK((rig.state().mcause == kLoadAccess && rig.state().mtval == sext32(0xfffffffc) && rig.state().mepc == sext32(kCode)));
  }
}

TEST_CASE("rv32: interrupts have bit 31, handlers and returns work above 2 GiB") {
  for (const char* host : {"interp", "x64"}) {
    Rig32 rig(host);
    State& state = rig.state();
    state.mtvec = sext32(kHandler | 1);
    state.mie = kMtip, state.mstatus |= mstatus::kMie;
    RiscvAsm code, handler;
    code.addi(a0, a0, 1);
    code.j(code.bound());
    handler.csrr(a2, kMcause);
    handler.csrr(a3, kMepc);
    handler.mret();
    rig.load(kHandler + 4 * 7, handler);
    std::memcpy(rig.at(kCode), code.finish().data(), 8);
    state.pc = kCode;
    REQUIRE(rig.run_to(kCode + 4));
    rig.set_pin(7, true);
    REQUIRE(rig.run_to(kHandler + 4 * 7));
    rig.set_pin(7, false);
    REQUIRE(rig.run_to(kCode + 4));
    CHECK((rig.x(a2) == sext32(0x80000007) && rig.x(a3) == sext32(kCode + 4)));
  }
}

TEST_CASE("rv32: control registers of 64 bits have halves, others their own layout") {
  for (const char* host : {"interp", "x64"}) {
    Rig32 rig(host);
    CHECK(rig.csr(kMisa) >> 30 == 1);
    CHECK((rig.csr(kMisa) & 1 << ('D' - 'A')) != 0);
    rig.set_csr(kMstatus, 0x6000);  // FS Dirty
    CHECK(rig.csr(kMstatus) == 0x80006000);
    CHECK(rig.csr(kSstatus) == 0x80006000);
    CHECK((rig.csr(kMstatush) == 0 && rig.csr(kMedelegh) == 0));

    rig.set_csr(kMenvcfgh, 0xffffffff);
    CHECK(rig.csr(kMenvcfgh) == 0xa0000000);  // stimecmp and hardware A and D; no Svpbmt
    rig.set_csr(kMenvcfg, 0xf1);
    CHECK(rig.state().menvcfg == 0xa0000000000000f1);
    CHECK(rig.csr(kMenvcfg) == 0xf1);

    rig.set_clock(0x123456789abcd);
    rig.set_csr(kMcountinhibit, 5);
    rig.set_csr(kMcycle, 0x89abcdef);
    rig.set_csr(kMcycleh, 0x01234567);
    CHECK((rig.csr(kMcycle) == 0x89abcdef && rig.csr(kCycleh) == 0x01234567 && rig.csr(kMcycleh) == 0x01234567));
    const uint64_t time = 0x123456789abcd / 100;
    CHECK((rig.csr(kTime) == (time & 0xffffffff) && rig.csr(kTimeh) == time >> 32));
    rig.set_csr(kStimecmp, 0x80000001);
    rig.set_csr(kStimecmph, 5);
    CHECK((rig.state().stimecmp == 0x580000001 && rig.csr(kStimecmp) == 0x80000001 && rig.csr(kStimecmph) == 5));
    rig.set_csr(kMhpmevent3h, 0x40000000);
    CHECK((rig.state().hpmevent[3] == uint64_t{1} << 62 && rig.csr(kMhpmevent3h) == 0x40000000));

    rig.set_csr(kPmpcfg0 + 3, 0x1b000000);  // entry 15
    CHECK((rig.csr(kPmpcfg0 + 3) == 0x1b000000 && rig.state().pmpcfg[15] == 0x1b));
    CHECK(rig.csr(kPmpcfg0) == 0x1f);
    rig.set_csr(kPmpaddr0 + 15, 0xffffffff);
    CHECK(rig.csr(kPmpaddr0 + 15) == 0xffffffff);

    rig.set_csr(kSatp, 0xffffffff);
    CHECK(rig.csr(kSatp) == 0xffffffff);
    rig.set_csr(kSatp, 0);
    CHECK(rig.csr(kSatp) == 0);
    rig.set_csr(kMcause, 0x80000007);
    CHECK(rig.csr(kMcause) == 0x80000007);
    rig.x(a1) = 0xff;  // set and clear on a half
    rig.execute({kMcycleh << 20 | a1 << 15 | 3u << 12 | a2 << 7 | 0x73, kMcycleh << 20 | 1u << 15 | 6u << 12 | a3 << 7 | 0x73});
    CHECK((rig.x(a2) == 0x01234567 && rig.x(a3) == 0x01234500 && rig.csr(kMcycleh) == 0x01234501));
  }
}

TEST_CASE("upper halves do not exist on RV64, nor RV64's rows on RV32") {
  HartRig wide("interp");
  for (unsigned csr : {kCycleh, kMcycleh, kMenvcfgh, kStimecmph, kMstatush, kMhpmevent3h}) {
    wide.load(kCode, {csr << 20 | 2u << 12 | a0 << 7 | 0x73});
    wide.state().pc = kCode, wide.state().mtvec = kHandler;
    REQUIRE(wide.run_to(kHandler, 4));
    CHECK(wide.state().mcause == kIllegalInstruction);
  }
  Rig32 narrow("interp");
  for (const char* name : {"ld", "addiw", "lwu", "amoadd.d", "fcvt.l.d", "slli.uw", "aes64es"})
    CHECK((narrow.cpu->find_row(row_named(name, 64).picture.value) == nullptr));
  CHECK((narrow.cpu->find_row(0x02051513) == nullptr));  // slli a0, a0, 32
}

TEST_CASE("rv32: encodings that RV64 has other uses for") {
  for (const char* host : {"interp", "x64"}) {
    Rig32 rig(host);
    rig.state().mstatus |= mstatus::kFs | rig.cpu->top_bit();
    rig.poke(kCode + 0x600, 0x40490fdbc0000000);
    rig.x(s0) = sext32(kCode + 0x600);
    // c.jal 4, over a half that would be illegal; c.flw fa0, 4(s0); c.fsw fa0, 8(s0)
    rig.load(kCode, {0x2011, 0x6048 | 0xe408u << 16, 0x6f});
    rig.state().pc = kCode;
    REQUIRE(rig.run_to(kCode + 8));
    CHECK(rig.x(ra) == sext32(kCode + 2));
    CHECK(rig.state().f[10] == 0xffffffff40490fdb);
    CHECK(static_cast<uint32_t>(rig.peek(kCode + 0x608)) == 0x40490fdb);

    rig.x(a1) = sext32(0x89abcdef), rig.x(a2) = 0x01234567;
    rig.execute({encode("fmvp.d.x", {{'d', 1}, {'a', a1}, {'b', a2}}, 32), encode("fmvh.x.d", {{'d', a3}, {'a', 1}}, 32)});
    CHECK((rig.state().f[1] == 0x0123456789abcdef && rig.x(a3) == 0x01234567));

    rig.poke(kCode + 0x610, 0x8000000100000002);
    rig.x(s2) = 2, rig.x(s3) = sext32(0x80000001), rig.x(s4) = 7, rig.x(s5) = 8, rig.x(a1) = sext32(kCode + 0x610);
    const uint32_t swap = encode("amocas.d", {{'d', s2}, {'a', a1}, {'b', s4}}, 32);
    rig.execute({swap});
    CHECK((rig.peek(kCode + 0x610) == 0x0000000800000007 && rig.x(s2) == 2 && rig.x(s3) == sext32(0x80000001)));
    rig.execute({swap});  // found what was not expected
    CHECK((rig.peek(kCode + 0x610) == 0x0000000800000007 && rig.x(s2) == 7 && rig.x(s3) == 8));
    rig.load(kCode, {swap | 1u << 7});
    rig.state().pc = kCode;
    REQUIRE(rig.run_to(kHandler, 4));
    CHECK(rig.state().mcause == kIllegalInstruction);
  }
}

namespace {

constexpr uint32_t kV = 1, kR = 2, kW = 4, kX = 8, kU = 16, kA = 64, kD = 128;
constexpr uint64_t kRoot = HartRig::kRam + 0x10000, kTable = HartRig::kRam + 0x11000, kPage = HartRig::kRam + 0x20000;

struct Sv32Rig : Rig32 {
  Sv32Rig() {
    state().satp = 0x80000000 | kRoot >> 12;
    poke32(kRoot, kTable >> 12 << 10 | kV);
  }
  void poke32(uint64_t address, uint64_t value) {
    const auto word = static_cast<uint32_t>(value);
    std::memcpy(at(address), &word, 4);
  }
  uint32_t peek32(uint64_t address) { return static_cast<uint32_t>(peek(address)); }
  void map(uint32_t address, uint64_t leaf) {
    poke32(kRoot + (address >> 22) * 4, kTable >> 12 << 10 | kV);
    poke32(kTable + (address >> 12 & 1023) * 4, leaf);
  }
  Translation walk(uint64_t address, Access access, unsigned index = kMmuSupervisor) { return cpu->walk(*block, Gva{address}, access, index); }
};
uint64_t leaf32(uint64_t physical, uint32_t flags) { return physical >> 12 << 10 | flags; }

}  // namespace

TEST_CASE("Sv32: pages, megapages, rights, addresses of 34 bits") {
  Sv32Rig rig;
  for (uint32_t address : {0x00005000u, 0x7ffff000u, 0x80000000u, 0xfffff000u}) {
    rig.map(address, leaf32(kPage, kV | kR | kW | kX | kA | kD));
    // Any form of the address that a Gva may have.
    for (uint64_t form : {uint64_t{address}, sext32(address), uint64_t{1} << 32 | address}) {
      Translation t = rig.walk(form + 0x123, Access::kLoad);
      REQUIRE(t.ok);
      CHECK((t.gpa.value == kPage + 0x123 && t.page_bits == 12 && t.writable && t.executable));
    }
    rig.map(address, 0);
    Translation fault = rig.walk(sext32(address), Access::kStore);
    CHECK((!fault.ok && fault.fault.cause == kStorePageFault && fault.fault.value == address));
  }
  rig.map(0x5000, leaf32(kPage, kV | kR | kA | kU));
  CHECK(rig.walk(0x5000, Access::kLoad, kMmuUser).ok);
  CHECK(rig.walk(0x5000, Access::kLoad).fault.cause == kLoadPageFault);
  CHECK(rig.walk(0x5000, Access::kLoad, kMmuSupervisorSum).ok);
  CHECK(rig.walk(0x5000, Access::kFetch, kMmuUser).fault.cause == kInstructionPageFault);

  // A megapage, above 4 GiB in physical memory; and one that is not aligned.
  rig.poke32(kRoot + (0xc0000000 >> 22) * 4, leaf32(0x3fc000000, kV | kR | kX | kA));
  Translation t = rig.walk(sext32(0xc0123456), Access::kFetch);
  REQUIRE(t.ok);
  CHECK((t.gpa.value == 0x3fc123456 && t.page_bits == 22));
  rig.poke32(kRoot + (0xc0000000 >> 22) * 4, leaf32(0x3fc001000, kV | kR | kX | kA));
  CHECK(rig.walk(0xc0123456, Access::kFetch).fault.cause == kInstructionPageFault);
  // Reserved: a pointer at the last level, W without R, A in a pointer.
  rig.map(0x5000, leaf32(kPage, kV));
  CHECK(rig.walk(0x5000, Access::kLoad).fault.cause == kLoadPageFault);
  rig.map(0x5000, leaf32(kPage, kV | kW | kA | kD));
  CHECK(rig.walk(0x5000, Access::kStore).fault.cause == kStorePageFault);
  rig.poke32(kRoot, kTable >> 12 << 10 | kV | kA);
  CHECK(rig.walk(0x5000, Access::kLoad).fault.cause == kLoadPageFault);
}

TEST_CASE("Sv32: A and D, in entries of four bytes") {
  Sv32Rig rig;
  const uint64_t at = kTable + 5 * 4;
  rig.map(0x5000, leaf32(kPage, kV | kR | kW));
  rig.poke32(at + 4, 0xdeadbeef);
  CHECK(rig.walk(0x5000, Access::kLoad).fault.cause == kLoadPageFault);
  rig.set_csr(kMenvcfgh, 1u << 29);  // ADUE
  Translation t = rig.walk(0x5000, Access::kLoad);
  CHECK((t.ok && !t.writable));
  CHECK(rig.peek32(at) == leaf32(kPage, kV | kR | kW | kA));
  CHECK(rig.walk(0x5000, Access::kStore).writable);
  CHECK(rig.peek32(at) == leaf32(kPage, kV | kR | kW | kA | kD));
  CHECK(rig.peek32(at + 4) == 0xdeadbeef);
}

TEST_CASE("Sv32: code and data above 2 GiB through tables, and a fence reaches every form of a page") {
  for (const char* host : {"interp", "x64"}) {
    Rig32 rig(host);
    State& state = rig.state();
    auto poke32 = [&](uint64_t address, uint64_t value) {
      const auto word = static_cast<uint32_t>(value);
      std::memcpy(rig.at(address), &word, 4);
    };
    poke32(kRoot + (0xc0000000 >> 22) * 4, leaf32(0x80000000, kV | kR | kW | kX | kA | kD));
    RiscvAsm code;
    code.auipc(a0, 0);
    code.lw(a1, a0, 0x700);
    code.ecall();
    std::memcpy(rig.at(kPage), code.finish().data(), 12);
    poke32(kPage + 0x700, 0x89abcdef);
    state.satp = 0x80000000 | kRoot >> 12;
    state.privilege = Privilege::kSupervisor;
    state.pc = 0xc0020000;
    REQUIRE(rig.run_to(kHandler, 8));
    CHECK((rig.x(a0) == sext32(0xc0020000) && rig.x(a1) == sext32(0x89abcdef)));
    CHECK((state.mcause == kEcallSupervisor && state.mepc == sext32(0xc0020008)));

    state.privilege = Privilege::kMachine, state.satp = 0;
    rig.flushed_pages.clear();
    rig.x(a1) = sext32(0xc0020000);
    rig.execute({9u << 25 | a1 << 15 | 0x73});
    CHECK(rig.flushed_pages == std::vector<uint64_t>{0xc0020000, 0x1c0020000, 0xffffffffc0020000});
    rig.x(a2) = 0x205;  // of an ASID, nine bits count
    rig.execute({9u << 25 | a2 << 20 | 0x73});
    CHECK((rig.flushed_spaces.back().first == 0x1ff << 22 && rig.flushed_spaces.back().second == 5 << 22));
    state.privilege = Privilege::kSupervisor;
    const unsigned bare = rig.cpu->global_space(*rig.block);
    state.satp = 0x80000000 | kRoot >> 12;
    CHECK(rig.cpu->global_space(*rig.block) != bare);
  }
}
