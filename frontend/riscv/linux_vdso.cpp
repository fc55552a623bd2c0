#include "frontend/riscv/linux_vdso.h"

#include <sched.h>
#include <time.h>

#include <cstring>

namespace lyre::riscv {
namespace {

enum Reg : uint32_t { zero = 0, ra = 1, sp = 2, t0 = 5, t1 = 6, t2 = 7, a0 = 10, a1 = 11, a7 = 17, t3 = 28 };
constexpr uint32_t kGettimeofday = 169, kGetcpu = 168, kClockGettime = 113, kClockGetres = 114, kRtSigreturn = 139,
                   kFlushIcache = 259;
constexpr int32_t kBillion = 1000000000;

// A small assembler: 32-bit words, branches forward to labels that are set later.
class Assembler {
 public:
  struct Forward {
    std::vector<size_t> from;
  };
  size_t here() const { return words_.size() * 4; }
  void immediate(uint32_t opcode, uint32_t function, Reg rd, Reg rs1, int32_t value) {
    put((static_cast<uint32_t>(value) & 0xfff) << 20 | rs1 << 15 | function << 12 | rd << 7 | opcode);
  }
  void addi(Reg rd, Reg rs1, int32_t value) { immediate(0x13, 0, rd, rs1, value); }
  void srli(Reg rd, Reg rs1, int32_t count) { immediate(0x13, 5, rd, rs1, count); }
  void li(Reg rd, int32_t value) {
    const int32_t low = static_cast<int32_t>(static_cast<uint32_t>(value) << 20) >> 20;
    const uint32_t high = static_cast<uint32_t>(value) - static_cast<uint32_t>(low);
    if (!high) return addi(rd, zero, low);
    put(high | rd << 7 | 0x37);                // lui
    if (low) immediate(0x1b, 0, rd, rd, low);  // addiw
  }
  void mv(Reg rd, Reg rs) { addi(rd, rs, 0); }
  void divu(Reg rd, Reg rs1, Reg rs2) { put(1u << 25 | rs2 << 20 | rs1 << 15 | 5u << 12 | rd << 7 | 0x33); }
  void remu(Reg rd, Reg rs1, Reg rs2) { put(1u << 25 | rs2 << 20 | rs1 << 15 | 7u << 12 | rd << 7 | 0x33); }
  void store(uint32_t width, Reg value, Reg base, uint32_t offset) {
    put((offset >> 5) << 25 | value << 20 | base << 15 | width << 12 | (offset & 31) << 7 | 0x23);
  }
  void sd(Reg value, Reg base, uint32_t offset) { store(3, value, base, offset); }
  void sw(Reg value, Reg base, uint32_t offset) { store(2, value, base, offset); }
  void branch(uint32_t function, Reg rs1, Reg rs2, Forward& to) {
    to.from.push_back(words_.size());
    put(rs2 << 20 | rs1 << 15 | function << 12 | 0x63);
  }
  void beqz(Reg r, Forward& to) { branch(0, r, zero, to); }
  void bnez(Reg r, Forward& to) { branch(1, r, zero, to); }
  void bltz(Reg r, Forward& to) { branch(4, r, zero, to); }
  void set(const Forward& label) {
    for (size_t from : label.from) {
      const auto distance = static_cast<uint32_t>((words_.size() - from) * 4);
      words_[from] |= (distance >> 12 & 1) << 31 | (distance >> 5 & 63) << 25 | (distance >> 1 & 15) << 8 |
                      (distance >> 11 & 1) << 7;
    }
  }
  void ecall() { put(0x73); }
  void ret() { put(0x8067); }
  void nop() { put(0x13); }
  void ask(uint64_t number) {
    li(a7, static_cast<int32_t>(number));
    ecall();
  }
  std::vector<uint8_t> bytes() const {
    std::vector<uint8_t> out(words_.size() * 4);
    std::memcpy(out.data(), words_.data(), out.size());
    return out;
  }

 private:
  void put(uint32_t word) { words_.push_back(word); }
  std::vector<uint32_t> words_;
};

// a0 is what the call answered, in ns: seconds and the rest go to a1.
void store_timespec(Assembler& a) {
  a.li(t1, kBillion);
  a.divu(t2, a0, t1);
  a.remu(t3, a0, t1);
  a.sd(t2, a1, 0);
  a.sd(t3, a1, 8);
}
void system_call(Assembler& a, uint32_t number) {
  a.li(a7, static_cast<int32_t>(number));
  a.ecall();
  a.ret();
}

void clock_gettime(Assembler& a) {
  Assembler::Forward kernel;
  a.mv(t0, a0);
  a.ask(kVdsoClock);
  a.bltz(a0, kernel);
  store_timespec(a);
  a.li(a0, 0);
  a.ret();
  a.set(kernel);
  a.mv(a0, t0);
  system_call(a, kClockGettime);
}

void clock_getres(Assembler& a) {
  Assembler::Forward kernel, done;
  a.mv(t0, a0);
  a.ask(kVdsoResolution);
  a.bltz(a0, kernel);
  a.beqz(a1, done);
  store_timespec(a);
  a.set(done);
  a.li(a0, 0);
  a.ret();
  a.set(kernel);
  a.mv(a0, t0);
  system_call(a, kClockGetres);
}

// The time zone is the kernel's business.
void gettimeofday(Assembler& a) {
  Assembler::Forward kernel, restore;
  a.beqz(a0, kernel);
  a.bnez(a1, kernel);
  a.mv(t0, a0);
  a.li(a0, CLOCK_REALTIME);
  a.ask(kVdsoClock);
  a.bltz(a0, restore);
  a.mv(a1, t0);
  a.li(t1, kBillion);
  a.divu(t2, a0, t1);
  a.remu(t3, a0, t1);
  a.li(t1, 1000);
  a.divu(t3, t3, t1);
  a.sd(t2, a1, 0);
  a.sd(t3, a1, 8);
  a.li(a0, 0);
  a.ret();
  a.set(restore);
  a.mv(a0, t0);
  a.set(kernel);
  system_call(a, kGettimeofday);
}

void getcpu(Assembler& a) {
  Assembler::Forward kernel, no_cpu, no_node;
  a.mv(t0, a0);
  a.ask(kVdsoProcessor);
  a.bltz(a0, kernel);
  a.beqz(t0, no_cpu);
  a.sw(a0, t0, 0);
  a.set(no_cpu);
  a.beqz(a1, no_node);
  a.srli(a0, a0, 32);
  a.sw(a0, a1, 0);
  a.set(no_node);
  a.li(a0, 0);
  a.ret();
  a.set(kernel);
  a.mv(a0, t0);
  system_call(a, kGetcpu);
}

void flush_icache(Assembler& a) { system_call(a, kFlushIcache); }
void rt_sigreturn(Assembler& a) {
  a.li(a7, kRtSigreturn);
  a.ecall();
}

// Signed LEB128 (DWARF 7.6).
void put_signed(std::vector<uint8_t>& out, int64_t value) {
  for (bool more = true; more;) {
    uint8_t byte = value & 0x7f;
    value >>= 7;
    more = !((value == 0 && !(byte & 0x40)) || (value == -1 && (byte & 0x40)));
    out.push_back(static_cast<uint8_t>(byte | (more ? 0x80 : 0)));
  }
}

// Every register is at its offset from the trampoline's stack pointer; the CFA is the interrupted stack pointer.
constexpr uint8_t kReturnColumn = 64;  // psABI: the alternate frame return column
std::vector<uint8_t> signal_rules(const FrameOffsets& frame) {
  constexpr uint8_t kDefCfaExpression = 0x0f, kExpression = 0x10, kStackPlus = 0x70 + sp, kDeref = 0x06;
  std::vector<uint8_t> rules;
  auto at = [&](unsigned offset, bool value) {
    std::vector<uint8_t> expression{kStackPlus};
    put_signed(expression, offset);
    if (value) expression.push_back(kDeref);
    rules.push_back(static_cast<uint8_t>(expression.size()));
    rules.insert(rules.end(), expression.begin(), expression.end());
  };
  rules.push_back(kDefCfaExpression);
  at(frame.x1 + 8, true);
  auto saved = [&](uint8_t column, unsigned offset) {
    rules.push_back(kExpression);
    rules.push_back(column);
    at(offset, false);
  };
  saved(kReturnColumn, frame.pc);
  for (unsigned k = 1; k < 32; ++k)
    if (k != sp) saved(static_cast<uint8_t>(k), frame.x1 + 8 * (k - 1));
  for (unsigned k = 0; k < 32; ++k) saved(static_cast<uint8_t>(32 + k), frame.f0 + 8 * k);
  return rules;
}

}  // namespace

int64_t vdso_call(uint64_t number, uint64_t argument) noexcept {
  if (number == kVdsoProcessor) {
    unsigned cpu = 0, node = 0;
    return ::getcpu(&cpu, &node) == 0 ? static_cast<int64_t>(uint64_t{node & 0x7fffffff} << 32 | cpu) : -1;
  }
  switch (argument) {  // those that the host answers without a system call, too
    case CLOCK_REALTIME:
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_REALTIME_COARSE:
    case CLOCK_MONOTONIC_COARSE:
    case CLOCK_BOOTTIME:
    case CLOCK_TAI:
      break;
    default:
      return -1;
  }
  timespec time;
  const auto clock = static_cast<clockid_t>(argument);
  if ((number == kVdsoClock ? ::clock_gettime(clock, &time) : ::clock_getres(clock, &time)) != 0) return -1;
  int64_t ns = 0;
  return __builtin_mul_overflow(time.tv_sec, kBillion, &ns) || __builtin_add_overflow(ns, time.tv_nsec, &ns) ? -1 : ns;
}

frontend::VdsoCode vdso_code(const FrameOffsets& frame) {
  struct Function {
    const char* name;
    void (*make)(Assembler&);
  };
  constexpr Function kFunctions[] = {
      {"__vdso_clock_gettime", clock_gettime}, {"__vdso_gettimeofday", gettimeofday},
      {"__vdso_clock_getres", clock_getres},   {"__vdso_getcpu", getcpu},
      {"__vdso_flush_icache", flush_icache},   {"__vdso_rt_sigreturn", rt_sigreturn},
  };
  frontend::VdsoCode code;
  Assembler assembler;
  for (const Function& function : kFunctions) {
    if (function.make == rt_sigreturn) {
      // Unwinders look up the byte before a return address.
      code.trampoline_start = static_cast<uint32_t>(assembler.here());
      assembler.nop();
      code.sigreturn = static_cast<uint32_t>(assembler.here());
    }
    const auto start = static_cast<uint32_t>(assembler.here());
    function.make(assembler);
    code.symbols.push_back({function.name, start, static_cast<uint32_t>(assembler.here()) - start});
  }
  code.text = assembler.bytes();
  code.version = "LINUX_4.15";
  code.elf_flags = 5;  // EF_RISCV_RVC, EF_RISCV_FLOAT_ABI_DOUBLE
  code.return_register = ra;
  code.stack_register = sp;
  code.signal_return_column = kReturnColumn;
  code.signal_frame_rules = signal_rules(frame);
  return code;
}

}  // namespace lyre::riscv
