// The boards that exist, one row each in list.def. Cold.
#pragma once
#include <memory>
#include <span>
#include <string_view>

#include "machine/boards/machine.h"

namespace lyre::machine {

struct BoardInfo {
  std::string_view guest;  // as CpuConfig::guest
  std::string_view name;   // -M NAME
  std::string_view description;
  unsigned max_cpus;
  std::unique_ptr<Board> (*make)();
};

std::span<const BoardInfo> boards();  // of all guests
// Error: no such board for the guest, with the nearest name.
Result<const BoardInfo*> find_board(std::string_view guest, std::string_view name);

}  // namespace lyre::machine
