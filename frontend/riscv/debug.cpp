#include "frontend/riscv/debug.h"

#include <immintrin.h>

#include "frontend/riscv/cpu.h"
#include "frontend/riscv/sysreg.h"

namespace lyre::riscv {
namespace {

enum Number : unsigned { kPc = 32, kFirstFloat = 33, kFirstCsr = 65, kPrivilege = kFirstCsr + 4096 };

constexpr char kIntegerNames[32][5] = {"zero", "ra", "sp", "gp", "tp",  "t0",  "t1", "t2", "fp", "s1", "a0",
                                           "a1",   "a2", "a3", "a4", "a5",  "a6",  "a7", "s2", "s3", "s4", "s5",
                                           "s6",   "s7", "s8", "s9", "s10", "s11", "t3", "t4", "t5", "t6"};
constexpr char kFloatNames[32][5] = {"ft0", "ft1", "ft2", "ft3", "ft4",  "ft5",  "ft6", "ft7", "fs0",  "fs1", "fa0",
                                         "fa1", "fa2", "fa3", "fa4", "fa5",  "fa6",  "fa7", "fs2", "fs3",  "fs4", "fs5",
                                         "fs6", "fs7", "fs8", "fs9", "fs10", "fs11", "ft8", "ft9", "ft10", "ft11"};

std::string reg(std::string_view name, unsigned bits, unsigned number, std::string_view type) {
  return "  <reg name=\"" + std::string(name) + "\" bitsize=\"" + std::to_string(bits) + "\" type=\"" +
         std::string(type) + "\" regnum=\"" + std::to_string(number) + "\"/>\n";
}

std::string feature(std::string_view name, const std::string& body) {
  return "<?xml version=\"1.0\"?>\n<!DOCTYPE feature SYSTEM \"gdb-target.dtd\">\n<feature name=\"org.gnu.gdb.riscv." +
         std::string(name) + "\">\n" + body + "</feature>\n";
}

// Reading seed uses up entropy.
const Csr* visible_csr(const RiscvCpu& cpu, unsigned number) {
  const Csr* csr = find_csr(number);
  return csr && number != kSeed && csr->needs.met_by(cpu.config().extensions) ? csr : nullptr;
}

// The accessors of flags and rounding work on the guest's control register, live in the host's.
class GuestFloatingPoint {
 public:
  explicit GuestFloatingPoint(const ir::VcpuBlock& vcpu) : host_(_mm_getcsr()) { _mm_setcsr(vcpu.guest_mxcsr); }
  ~GuestFloatingPoint() { _mm_setcsr(host_); }
  GuestFloatingPoint(const GuestFloatingPoint&) = delete;
  GuestFloatingPoint& operator=(const GuestFloatingPoint&) = delete;

 private:
  const unsigned host_;
};

uint64_t slot(const ir::VcpuBlock& vcpu, const Csr& csr) {
  return *reinterpret_cast<const uint64_t*>(vcpu.state + csr.slot);
}

}  // namespace

// A program has the floating-point status and the three counters that Linux lets it read.
bool RiscvDebug::visible(unsigned csr) const {
  constexpr unsigned kFcsr = 3, kCycle = 0xc00, kInstret = 0xc02;
  return visible_csr(cpu_, csr) && (!user_ || csr <= kFcsr || (csr >= kCycle && csr <= kInstret));
}

uint64_t RiscvDebug::address_mask() const { return cpu_.address_form(~uint64_t{0}); }

std::string RiscvDebug::core_document() const {
  std::string body;
  const unsigned xlen = cpu_.config().xlen;
  for (unsigned i = 0; i < 32; ++i)
    body += reg(kIntegerNames[i], xlen, i, i == 1 ? "code_ptr" : i >= 2 && i <= 4 ? "data_ptr" : "int");
  return feature("cpu", body + reg("pc", xlen, kPc, "code_ptr"));
}

std::string RiscvDebug::float_document() const {
  std::string body;
  const bool doubles = cpu_.has(Ext::d);
  if (doubles)
    body =
        "  <union id=\"riscv_double\">\n    <field name=\"float\" type=\"ieee_single\"/>\n    <field name=\"double\" "
        "type=\"ieee_double\"/>\n  </union>\n";
  for (unsigned i = 0; i < 32; ++i)
    body += reg(kFloatNames[i], doubles ? 64 : 32, kFirstFloat + i, doubles ? "riscv_double" : "ieee_single");
  return feature("fpu", body);
}

std::string RiscvDebug::csr_document() const {
  std::string body;
  for (unsigned number = 0; number < 4096; ++number) {
    if (!visible(number)) continue;
    const Csr* csr = find_csr(number);
    std::string name = csr->name;
    if (csr->count > 1) {  // rows of a bank have the name of the first: hpmcounter3, pmpaddr0
      const size_t digits = name.find_first_of("0123456789");
      const size_t end = name.find_first_not_of("0123456789", digits);
      name = name.substr(0, digits) + std::to_string(std::stoul(name.substr(digits)) + number - csr->number) +
             (end == name.npos ? "" : name.substr(end));
    }
    body += reg(name, cpu_.config().xlen, kFirstCsr + number, "int");
  }
  return feature("csr", body);
}

std::string RiscvDebug::document(std::string_view name) const {
  const std::string width = std::to_string(cpu_.config().xlen);
  if (name == "target.xml") {
    std::string text =
        "<?xml version=\"1.0\"?>\n<!DOCTYPE target SYSTEM \"gdb-target.dtd\">\n<target "
        "version=\"1.0\">\n<architecture>riscv:rv" +
        width + "</architecture>\n" + (user_ ? "<osabi>GNU/Linux</osabi>\n" : "");
    for (const char* part : {"cpu", "fpu", "virtual", "csr"})
      if ((std::string_view(part) != "fpu" || cpu_.has(Ext::f)) && (std::string_view(part) != "virtual" || !user_))
        text += "<xi:include href=\"riscv-" + std::string(part) + ".xml\"/>\n";
    return text + "</target>\n";
  }
  if (name == "riscv-cpu.xml") return core_document();
  if (name == "riscv-fpu.xml" && cpu_.has(Ext::f)) return float_document();
  if (name == "riscv-csr.xml") return csr_document();
  if (name == "riscv-virtual.xml" && !user_) return feature("virtual", reg("priv", cpu_.config().xlen, kPrivilege, "int"));
  return {};
}

unsigned RiscvDebug::register_bytes(unsigned number) const {
  const unsigned xlen = cpu_.config().xlen / 8;
  if (number <= kPc || (number == kPrivilege && !user_)) return xlen;
  if (number < kFirstCsr) return cpu_.has(Ext::d) ? 8 : cpu_.has(Ext::f) ? 4 : 0;
  return visible(number - kFirstCsr) ? xlen : 0;
}

bool RiscvDebug::read_register(ir::VcpuBlock& vcpu, unsigned number, uint64_t& value) const {
  const State& state = vcpu.as<State>();
  if (number < kPc) return value = state.x[number], true;
  if (number == kPc) return value = state.pc, true;
  if (!register_bytes(number)) return false;
  if (number == kPrivilege) return value = static_cast<uint64_t>(state.privilege), true;
  if (number < kFirstCsr) return value = state.f[number - kFirstFloat], true;
  const unsigned whole = whole_csr(*find_csr(number - kFirstCsr), number - kFirstCsr);
  const Csr& csr = *find_csr(whole);
  GuestFloatingPoint live(vcpu);
  value = csr.slot ? slot(vcpu, csr) : csr.read(vcpu, whole);
  if (whole != number - kFirstCsr) value >>= 32;
  return true;
}

bool RiscvDebug::write_register(ir::VcpuBlock& vcpu, unsigned number, uint64_t value) const {
  State& state = vcpu.as<State>();
  if (number == 0) return true;
  if (number < kPc) return state.x[number] = cpu_.register_form(value), true;
  if (number == kPc) {
    state.pc = cpu_.address_form(value) & ~uint64_t{1};
    return true;
  }
  if (number == kPrivilege && !user_) {
    if (value != 0 && value != 1 && value != 3) return false;
    state.privilege = static_cast<Privilege>(value);
    vcpu.env->state_key_changed();
    return true;
  }
  if (!register_bytes(number)) return false;
  if (number < kFirstCsr) {
    // A single is NaN-boxed where registers are sent as such.
    state.f[number - kFirstFloat] = cpu_.has(Ext::d) ? value : value | ~uint64_t{0xffffffff};
    return true;
  }
  const unsigned asked = number - kFirstCsr, whole = whole_csr(*find_csr(asked), asked);
  const Csr& csr = *find_csr(whole);
  if (csr_read_only(asked)) return false;
  GuestFloatingPoint live(vcpu);
  if (csr.slot) {
    uint64_t& field = *reinterpret_cast<uint64_t*>(vcpu.state + csr.slot);
    field = (field & ~csr.mask) | (cpu_.register_form(value) & csr.mask);
    return true;
  }
  if (cpu_.narrow() && (csr.flags & kWide)) {
    const uint64_t old = csr.read(vcpu, whole);
    value = whole == asked ? (old & ~uint64_t{0xffffffff}) | (value & 0xffffffff) : (old & 0xffffffff) | value << 32;
  }
  csr.write(vcpu, whole, value);
  return true;
}

}  // namespace lyre::riscv
