// The list of guests, one row each.
#include "frontend/guest_isa.h"
#include "frontend/riscv/cpu.h"

namespace lyre::frontend {

namespace {

constexpr GuestInfo kGuests[] = {
    {"riscv64", riscv::models, riscv::feature_list, riscv::create_cpu},
};

}  // namespace

std::span<const GuestInfo> guests() { return kGuests; }

const GuestInfo* find_guest(std::string_view name) {
  for (const GuestInfo& guest : kGuests)
    if (guest.name == name) return &guest;
  return nullptr;
}

}  // namespace lyre::frontend
