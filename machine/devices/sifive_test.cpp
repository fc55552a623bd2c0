// SiFive test finisher. See sifive_test.h.
#include "machine/devices/sifive_test.h"

#include "runtime/base/log.h"

namespace lyre::machine {

void SifiveTest::write(uint64_t offset, unsigned, uint64_t value) {
  if (offset != 0) return;
  switch (value & 0xffff) {
    case kFail:
      return actions_.fail(static_cast<int>(value >> 16 & 0xffff));
    case kPass:
      return actions_.power_off();
    case kReset:
      return actions_.reset();
    default:
      LYRE_GUEST_ERROR("test: 0x%x is no command\n", static_cast<unsigned>(value));
  }
}

void SifiveTest::describe(FdtBuilder& fdt, const FdtPlace& place, uint32_t phandle) {
  auto node = fdt.node_at("test", place.base);
  fdt.strings("compatible", {"sifive,test1", "sifive,test0", "syscon"});
  fdt.reg(place.base, place.size);
  fdt.u32("phandle", phandle);
}

}  // namespace lyre::machine
