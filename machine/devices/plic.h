// Platform-Level Interrupt Controller (RISC-V PLIC Specification 1.0.0; register map of SiFive's FU540 manual, chapter
// 10): 95 sources, 7 priorities, for each hart an M context and then an S context. Sources are levels: a source becomes
// pending when its line is high, stays so until claimed even if the line drops, and can become pending again only after
// completion. Threads: any. One lock; contexts are compared as bitmaps, so raising a line is a few words of work per
// context.
#pragma once
#include <array>
#include <cstdint>
#include <mutex>
#include <vector>

#include "machine/bus/device.h"
#include "machine/bus/irq.h"
#include "machine/firmware/fdt.h"
#include "runtime/base/named_mutex.h"

namespace lyre::machine {

class Plic final : public MmioDevice, public IrqSink {
 public:
  static constexpr uint64_t kSize = 0x600000;
  static constexpr unsigned kSources = 95;  // numbered from 1
  static constexpr unsigned kPriorities = 7;
  static constexpr unsigned kMaxContexts = (kSize - 0x200000) / 0x1000;

  explicit Plic(std::vector<IrqLine> context_outputs);  // at most kMaxContexts

  std::string_view name() const override { return "plic"; }
  AccessSizes access_sizes() const override { return {.min = 4, .max = 4, .unaligned = false}; }
  uint64_t read(uint64_t offset, unsigned size) override;
  void write(uint64_t offset, unsigned size, uint64_t value) override;
  void reset() override;

  IrqLine source(unsigned number) { return IrqLine(this, number); }
  void set_irq(unsigned number, bool level) override;

  // cpu_intc: phandles of the harts' interrupt controllers, in hart order.
  static void describe(FdtBuilder& fdt, const FdtPlace& place, uint32_t phandle, std::span<const uint32_t> cpu_intc);

 private:
  static constexpr unsigned kWords = (kSources + 32) / 32;
  using SourceSet = std::array<uint32_t, kWords>;

  struct Context {
    IrqLine output;
    SourceSet enabled{};
    uint32_t threshold = 0;
    bool raised = false;
  };

  void set_priority(unsigned source, uint32_t priority);
  void latch(unsigned word);
  void update(Context& context);
  void update_all();
  uint32_t claim(Context& context);
  void complete(Context& context, uint32_t source);

  NamedMutex mutex_{"plic"};
  SourceSet line_{}, pending_{}, in_service_{};
  std::array<SourceSet, kPriorities + 1>
      at_priority_{};  // sources that have exactly this priority; [0] never interrupts
  std::array<SourceSet, kPriorities + 1> above_threshold_{};  // sources whose priority exceeds the index
  std::array<uint8_t, kSources + 1> priority_{};
  std::vector<Context> contexts_;
};

}  // namespace lyre::machine
