// VcpuSet: the vCPUs of a machine, a thread each. The machine side sees only this: interrupt pins, run control, reports. Who executes
// the guest (translator, interpreter, kvm) is behind runtime/accel.
// Threads: set_irq from any thread, lock-free (sets a pending bit and asks the vCPU to look). The run-control calls come from one control thread at a time.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/base/result.h"
#include "runtime/base/types.h"
#include "runtime/mem/physical_map.h"
#include "runtime/vcpu/clock.h"
#include "runtime/vcpu/debug.h"

namespace lyre::runtime {

struct CpuConfig {
  std::string guest = "riscv64";       // as in lyrebird-system-GUEST
  std::string model;                   // -cpu MODEL; empty: the guest's default
  std::vector<std::string> features;   // "zba=on", "sstc=off", as typed after the model
  unsigned count = 1;
  std::string accel = "tcg";           // "tcg" or "interp"
  bool single_thread = false;          // thread=single: all vCPUs take turns on one thread
  bool counted = false;                // cycle and instret count instructions, not time
  bool one_insn_per_tb = false;        // debugging: every block is one instruction
  uint64_t code_cache_bytes = 0;       // tb-size in bytes; 0: the default
};

// Register values that the board wants at reset (boot ABI), by guest register number. pc first.
struct ResetState {
  Gva pc;
};

// One model or feature that `-cpu help` lists.
struct CpuModelInfo {
  std::string name;
  std::string description;
};
std::vector<CpuModelInfo> cpu_models(std::string_view guest);
std::vector<CpuModelInfo> cpu_features(std::string_view guest);

class VcpuSet {
 public:
  // Errors: unknown guest, model or feature (with the nearest name).
  static Result<std::unique_ptr<VcpuSet>> create(const CpuConfig& config, PhysicalMap& memory, VirtualClock& clock, TimerService& timers);
  virtual ~VcpuSet() = default;  // stops and joins the threads

  virtual unsigned count() const = 0;
  // riscv: the ISA string and the extension list for the device tree, as the chosen model has them.
  virtual std::string isa_string() const = 0;                     // "rv64imafdc_zicsr_..."
  virtual std::vector<std::string> isa_extensions() const = 0;    // "i", "m", ..., "zicsr", ...
  virtual std::string mmu_type() const = 0;                       // "riscv,sv57"
  virtual uint64_t timebase_hz() const = 0;

  virtual void set_reset_state(const ResetState& state) = 0;
  // input: guest-defined pin; riscv: the mip bit number (3 MSIP, 7 MTIP, 9 SEIP, 11 MEIP).
  virtual void set_irq(unsigned cpu, unsigned input, bool level) = 0;

  virtual void start() = 0;   // from reset state; threads are created on the first start
  virtual void pause() = 0;   // returns when every vCPU has left guest code
  virtual void resume() = 0;
  virtual void reset() = 0;   // while paused: architectural reset of all vCPUs
  virtual void stop() = 0;    // for good; joins

  virtual std::string registers(unsigned cpu) = 0;  // `info registers`; pauses the vCPU for it
  virtual DebugVcpus* debug() { return nullptr; }   // null: no debugger can be attached to this guest
  virtual std::string stuck_report() = 0;           // `info stuck`, SIGQUIT: pc, block, lock held; takes no lock and pauses nobody

  // Counters that do not wobble: name and value, summed over vCPUs.
  virtual std::vector<std::pair<std::string, uint64_t>> counters() = 0;
};

}  // namespace lyre::runtime
