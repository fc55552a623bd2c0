// The table of boards, from list.def. See boards.h.
#include "machine/boards/boards.h"

#include <array>
#include <vector>

#include "runtime/base/nearest.h"

namespace lyre::machine {

#define LYRE_BOARD(guest, name, max_cpus, make, description) std::unique_ptr<Board> make();
#include "machine/boards/list.def"
#undef LYRE_BOARD

namespace {
#define LYRE_BOARD(guest, name, max_cpus, make, description) BoardInfo{guest, name, description, max_cpus, make},
constexpr BoardInfo kBoards[] = {
#include "machine/boards/list.def"
};
#undef LYRE_BOARD
}  // namespace

std::span<const BoardInfo> boards() { return kBoards; }

Result<const BoardInfo*> find_board(std::string_view guest, std::string_view name) {
  std::vector<std::string_view> known;
  for (const BoardInfo& board : kBoards) {
    if (board.guest != guest) continue;
    if (board.name == name) return &board;
    known.push_back(board.name);
  }
  if (name.empty())
    return Error{"no machine specified, and there is no default; use -machine help to list supported machines"};
  return Error{"unsupported machine type '" + std::string(name) + "'" + did_you_mean(name, known)};
}

}  // namespace lyre::machine
