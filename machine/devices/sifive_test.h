// SiFive test finisher (Linux binding sifive,test0, used as "syscon" for poweroff and reboot): one register. The low 16
// bits say what to do, the next 16 are an exit code. Threads: any; stateless.
#pragma once
#include <functional>

#include "machine/bus/device.h"
#include "machine/firmware/fdt.h"

namespace lyre::machine {

class SifiveTest final : public MmioDevice {
 public:
  static constexpr uint64_t kSize = 0x1000;
  static constexpr uint32_t kFail = 0x3333, kPass = 0x5555, kReset = 0x7777;

  struct Actions {  // called on the vCPU's thread; must not wait for it
    std::function<void()> power_off;
    std::function<void(int code)> fail;
    std::function<void()> reset;
  };
  explicit SifiveTest(Actions actions) : actions_(std::move(actions)) {}

  std::string_view name() const override { return "test"; }
  AccessSizes access_sizes() const override { return {.min = 2, .max = 4, .unaligned = false}; }
  uint64_t read(uint64_t, unsigned) override { return 0; }
  void write(uint64_t offset, unsigned size, uint64_t value) override;
  static void describe(FdtBuilder& fdt, const FdtPlace& place, uint32_t phandle);

 private:
  Actions actions_;
};

}  // namespace lyre::machine
