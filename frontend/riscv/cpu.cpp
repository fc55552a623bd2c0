// RiscvCpu: what the engine asks of a model that is not privileged architecture. Tables are built once, at creation.
#include "frontend/riscv/cpu.h"

#include "frontend/riscv/isa.h"
#include "frontend/riscv/sysreg.h"
#include "runtime/base/check.h"

namespace lyre::riscv {

namespace {

constexpr uint16_t kPinned[] = {x_slot(2), x_slot(1), x_slot(10), x_slot(11), x_slot(15)};  // sp, ra, a0, a1, a5

}  // namespace

RiscvCpu::RiscvCpu(RiscvConfig config) : config_(std::move(config)) {
  std::vector<const decode::Picture*> wide, compressed;
  for (std::span<const Row> file : all_rows()) {
    for (const Row& row : file) {
      if (!row.needs.met_by(config_.extensions)) continue;
      bool is_wide = row.picture.width == 32;
      (is_wide ? wide_rows_ : compressed_rows_).push_back(&row);
      (is_wide ? wide : compressed).push_back(&row.picture);
    }
  }
  wide_ = decode::Decoder(wide, {2, 5, 12, 3});              // opcode and funct3
  compressed_ = decode::Decoder(compressed, {0, 2, 13, 3});  // quadrant and funct3

  helpers_.assign(kHelperEnd, ir::HelperInfo{"", nullptr, 0, 0});
  for (const HelperTable& table : {trap_helpers(), sys_helpers(), float_helpers(), crypto_helpers(), cache_helpers(), bit_helpers()}) {
    unsigned at = table.base;
    for (const ir::HelperInfo& helper : table.helpers) {
      LYRE_CHECK(at < kHelperEnd && !helpers_[at].function, "two helpers have one number");
      helpers_[at++] = helper;
    }
  }
}

const Row* RiscvCpu::find_row(uint32_t word) const {
  bool is_wide = (word & 3) == 3;
  unsigned index = is_wide ? wide_.find(word) : compressed_.find(word);
  if (index == decode::Decoder::kNone) return nullptr;
  return is_wide ? wide_rows_[index] : compressed_rows_[index];
}

frontend::Next RiscvCpu::translate_insn(frontend::InsnContext& context) const {
  std::span<const uint8_t> bytes = context.bytes;
  uint32_t word = static_cast<uint32_t>(bytes[0] | bytes[1] << 8);
  bool is_wide = (word & 3) == 3;
  if (is_wide) {
    if (bytes.size() < 4) {
      context.truncated = true;
      return frontend::Next::kEnded;
    }
    word |= static_cast<uint32_t>(bytes[2]) << 16 | static_cast<uint32_t>(bytes[3]) << 24;
  }
  context.length = is_wide ? 4 : 2;
  Insn insn(*this, context, word);
  const Row* row = find_row(word);
  return row ? row->body(insn) : insn.illegal();
}

std::string_view RiscvCpu::guest_name() const { return config_.xlen == 64 ? "riscv64" : "riscv32"; }

// Single letters run together, the others follow in the order of extensions.def (ISA manual, "ISA extension naming conventions").
std::string RiscvCpu::isa_string() const {
  std::string text = "rv" + std::to_string(config_.xlen);
  for (unsigned k = 0; k < kNamedExtCount; ++k) {
    if (!has(static_cast<Ext>(k))) continue;
    if (kExtInfo[k].name.size() > 1) text += '_';
    text += kExtInfo[k].name;
  }
  return text;
}

std::vector<std::string> RiscvCpu::isa_extensions() const {
  std::vector<std::string> names;
  for (unsigned k = 0; k < kNamedExtCount; ++k)
    if (has(static_cast<Ext>(k))) names.emplace_back(kExtInfo[k].name);
  return names;
}

std::string RiscvCpu::mmu_type() const {
  switch (config_.satp_mode_max) {
    case 1: return "riscv,sv32";
    case 8: return "riscv,sv39";
    case 9: return "riscv,sv48";
    case 10: return "riscv,sv57";
    default: return "riscv,none";
  }
}

uint64_t RiscvCpu::sstatus_mask() const { return mstatus::kSstatusWrite | top_bit() | (narrow() ? 0 : mstatus::kUxl64); }

std::span<const uint16_t> RiscvCpu::pinned_slots() const { return kPinned; }

std::string RiscvCpu::slot_name(uint16_t offset) const {
  if (offset < x_slot(32)) return register_name(offset / 8);
  if (offset >= f_slot(0) && offset < f_slot(32)) return float_register_name((offset - f_slot(0)) / 8u);
  if (offset == kPcSlot) return "pc";
  if (offset == kReservationAddressSlot) return "reservation_address";
  if (offset == kReservationValueSlot) return "reservation_value";
  if (offset == kMstatusSlot) return "mstatus";
  for (const Csr& csr : csr_rows())
    if (csr.slot && csr.slot == offset) return csr.name;
  return "state" + std::to_string(offset);
}

}  // namespace lyre::riscv
