// The list of guests, one row each.
#include "frontend/guest_isa.h"
#include "frontend/riscv/cpu.h"

namespace lyre::frontend {

namespace {

// One frontend for both widths.
template <unsigned kXlen>
constexpr GuestInfo riscv_guest(std::string_view name) {
  return {name, [] { return riscv::models(kXlen); }, [] { return riscv::feature_list(kXlen); },
          [](std::string_view model, std::span<const std::string> features) -> Result<std::unique_ptr<GuestCpu>> {
            Result<std::unique_ptr<riscv::RiscvCpu>> cpu = riscv::create_riscv_cpu(model, features, kXlen);
            if (!cpu) return cpu.error();
            return std::unique_ptr<GuestCpu>(std::move(*cpu));
          },
          kXlen == 64 ? riscv::linux_abi : nullptr};
}

constexpr GuestInfo kGuests[] = {
    riscv_guest<64>("riscv64"),
    riscv_guest<32>("riscv32"),
};

}  // namespace

std::span<const GuestInfo> guests() { return kGuests; }

const GuestInfo* find_guest(std::string_view name) {
  for (const GuestInfo& guest : kGuests)
    if (guest.name == name) return &guest;
  return nullptr;
}

}  // namespace lyre::frontend
