// PLIC. Chapter numbers are those of the RISC-V PLIC Specification 1.0.0. See plic.h.
#include "machine/devices/plic.h"

#include <bit>

#include "runtime/base/check.h"
#include "runtime/base/log.h"

namespace lyre::machine {
namespace {

// Memory map (chapter 3).
constexpr uint64_t kPending = 0x1000, kEnable = 0x2000, kEnableStride = 0x80, kContext = 0x200000,
                   kContextStride = 0x1000;
constexpr uint64_t kThreshold = 0, kClaim = 4;

constexpr uint32_t mask(unsigned source) { return 1u << (source % 32); }

}  // namespace

Plic::Plic(std::vector<IrqLine> context_outputs) {
  LYRE_CHECK(context_outputs.size() <= kMaxContexts, "the PLIC's address range has room for its contexts");
  for (IrqLine line : context_outputs) contexts_.push_back(Context{.output = line});
  reset();
}

void Plic::reset() {
  std::lock_guard lock(mutex_);
  pending_ = in_service_ = {};
  priority_ = {};
  at_priority_ = above_threshold_ = {};
  for (unsigned source = 1; source <= kSources; ++source) at_priority_[0][source / 32] |= mask(source);
  for (Context& context : contexts_) {
    context.enabled = {};
    context.threshold = 0;
  }
  for (unsigned word = 0; word < kWords; ++word) latch(word);  // lines that are still high
  update_all();
}

uint64_t Plic::read(uint64_t offset, unsigned) {
  std::lock_guard lock(mutex_);
  if (offset < kPending) {
    uint64_t source = offset / 4;
    return source <= kSources ? priority_[source] : 0;
  }
  if (offset < kEnable) {
    uint64_t word = (offset - kPending) / 4;
    return word < kWords ? pending_[word] : 0;
  }
  if (offset < kContext) {
    uint64_t context = (offset - kEnable) / kEnableStride, word = (offset - kEnable) % kEnableStride / 4;
    return context < contexts_.size() && word < kWords ? contexts_[context].enabled[word] : 0;
  }
  uint64_t context = (offset - kContext) / kContextStride;
  if (context >= contexts_.size()) return 0;
  switch ((offset - kContext) % kContextStride) {
    case kThreshold:
      return contexts_[context].threshold;
    case kClaim:
      return claim(contexts_[context]);
    default:
      return 0;
  }
}

void Plic::write(uint64_t offset, unsigned, uint64_t value) {
  std::lock_guard lock(mutex_);
  uint32_t word_value = static_cast<uint32_t>(value);
  if (offset < kPending) {
    uint64_t source = offset / 4;
    if (source >= 1 && source <= kSources) set_priority(static_cast<unsigned>(source), word_value & kPriorities);
    return;
  }
  if (offset < kEnable) {
    LYRE_GUEST_ERROR("plic: the pending bits are read-only\n");
    return;
  }
  if (offset < kContext) {
    uint64_t context = (offset - kEnable) / kEnableStride, word = (offset - kEnable) % kEnableStride / 4;
    if (context >= contexts_.size() || word >= kWords) return;
    contexts_[context].enabled[word] = word == 0 ? word_value & ~1u : word_value;  // source 0 does not exist
    update(contexts_[context]);
    return;
  }
  uint64_t context = (offset - kContext) / kContextStride;
  if (context >= contexts_.size()) return;
  switch ((offset - kContext) % kContextStride) {
    case kThreshold:
      contexts_[context].threshold = word_value & kPriorities;
      update(contexts_[context]);
      return;
    case kClaim:
      complete(contexts_[context], word_value);
      return;
    default:
      return;
  }
}

void Plic::set_irq(unsigned number, bool level) {
  LYRE_CHECK(number >= 1 && number <= kSources, "a board wires a source that the PLIC has");
  std::lock_guard lock(mutex_);
  uint32_t before = line_[number / 32];
  uint32_t after = level ? before | mask(number) : before & ~mask(number);
  if (before == after) return;
  line_[number / 32] = after;
  if (!level || (pending_[number / 32] & mask(number))) return;
  latch(number / 32);
  update_all();
}

void Plic::set_priority(unsigned source, uint32_t priority) {
  if (priority_[source] == priority) return;
  unsigned word = source / 32;
  at_priority_[priority_[source]][word] &= ~mask(source);
  at_priority_[priority][word] |= mask(source);
  priority_[source] = static_cast<uint8_t>(priority);
  for (unsigned threshold = 0; threshold <= kPriorities; ++threshold) {
    if (priority > threshold)
      above_threshold_[threshold][word] |= mask(source);
    else
      above_threshold_[threshold][word] &= ~mask(source);
  }
  update_all();
}

// The gateway (chapter 1): forwards a high line as a request unless one of the same source is still in service.
void Plic::latch(unsigned word) { pending_[word] |= line_[word] & ~in_service_[word]; }

void Plic::update(Context& context) {
  bool raise = false;
  for (unsigned word = 0; word < kWords; ++word)
    raise |= (pending_[word] & context.enabled[word] & above_threshold_[context.threshold][word]) != 0;
  if (raise == context.raised) return;
  context.raised = raise;
  context.output.set(raise);
}

void Plic::update_all() {
  for (Context& context : contexts_) update(context);
}

// Chapter 8: the highest priority wins, then the lowest number; the threshold plays no part.
uint32_t Plic::claim(Context& context) {
  for (unsigned priority = kPriorities; priority > 0; --priority)
    for (unsigned word = 0; word < kWords; ++word) {
      uint32_t found = pending_[word] & context.enabled[word] & at_priority_[priority][word];
      if (!found) continue;
      uint32_t bit = found & -found;
      pending_[word] &= ~bit;
      in_service_[word] |= bit;
      update_all();
      return word * 32 + static_cast<uint32_t>(std::countr_zero(bit));
    }
  return 0;
}

// Chapter 9: a completion of a source that is not enabled for the context is ignored.
void Plic::complete(Context& context, uint32_t source) {
  if (source == 0 || source > kSources) return;
  unsigned word = source / 32;
  if (!(context.enabled[word] & mask(source)) || !(in_service_[word] & mask(source))) return;
  in_service_[word] &= ~mask(source);
  if (!(line_[word] & mask(source))) return;
  latch(word);
  update_all();
}

void Plic::describe(FdtBuilder& fdt, const FdtPlace& place, uint32_t phandle, std::span<const uint32_t> cpu_intc) {
  std::vector<uint32_t> outputs;
  for (uint32_t cpu : cpu_intc) outputs.insert(outputs.end(), {cpu, 11, cpu, 9});
  auto node = fdt.node_at("interrupt-controller", place.base);
  fdt.strings("compatible", {"sifive,plic-1.0.0", "riscv,plic0"});
  fdt.reg(place.base, place.size);
  fdt.u32("#interrupt-cells", 1);
  fdt.u32("#address-cells", 0);
  fdt.flag("interrupt-controller");
  fdt.cells("interrupts-extended", outputs);
  fdt.u32("riscv,ndev", kSources);
  fdt.u32("phandle", phandle);
}

}  // namespace lyre::machine
