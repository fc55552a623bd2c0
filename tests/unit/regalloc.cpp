// Parallel moves: every permutation and every function of a few registers does what it says, with as few steps as it takes.
#include <array>

#include "backend/regalloc/parallel_move.h"
#include "tests/support/catch.h"

namespace lyre::backend {
namespace {

class Machine final : public AllocHost {
 public:
  std::array<int, 8> regs{0, 1, 2, 3, 4, 5, 6, 7};
  unsigned steps = 0;
  void emit_move(Reg dst, Reg src) override { regs[dst] = regs[src], steps++; }
  void emit_swap(Reg a, Reg b) override { std::swap(regs[a], regs[b]), steps++; }
  void emit_constant(Reg, uint64_t, ir::Type) override {}
  void emit_load(Reg, Place) override {}
  void emit_store(Place, Reg) override {}
  void emit_store_constant(Place, uint64_t) override {}
  void emit_copy(Place, Place) override {}
};

TEST_CASE("parallel moves: every assignment of five registers from five") {
  ParallelMove moves;
  for (unsigned code = 0; code < 5 * 5 * 5 * 5 * 5; code++) {
    Machine machine;
    moves.clear();
    std::array<Reg, 5> source;
    unsigned wanted = 0;
    for (unsigned k = 0, rest = code; k < 5; k++, rest /= 5) {
      source[k] = static_cast<Reg>(rest % 5);
      moves.add(static_cast<Reg>(k), source[k]);
      wanted += source[k] != k;
    }
    moves.emit(machine);
    CAPTURE(code);
    for (unsigned k = 0; k < 5; k++) REQUIRE(machine.regs[k] == source[k]);
    REQUIRE(machine.steps <= wanted);
    for (unsigned k = 5; k < 8; k++) REQUIRE(machine.regs[k] == static_cast<int>(k));
  }
}

}  // namespace
}  // namespace lyre::backend
