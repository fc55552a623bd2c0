// What translated code meets at run time, measured by small guest programs on a bare machine (M mode, no paging): soft TLB hits and misses, the
// jump cache, calls and returns, direct jumps between pages. One iteration of the benchmark is one run of kRounds guest loops, so the time per item
// is that of one guest loop: the load, jump or call in question and its loop's add and branch.
#include <benchmark/benchmark.h>

#include "tests/support/bare_machine.h"
#include "tests/support/riscv_asm.h"

namespace lyre::bench {
namespace {

using namespace test;  // register names
constexpr uint64_t kRounds = 4'000'000;

// Runs `body` in a loop of kRounds; a0 counts, s0 points to the middle of RAM, the body may use everything else. `beyond` stands after the program.
template <typename Body, typename Beyond>
std::vector<uint32_t> loop_program(Body body, Beyond beyond) {
  RiscvAsm a;
  a.li(a0, kRounds);
  a.li(s0, BareMachine::kRam + BareMachine::kRamBytes / 2);
  a.li(s2, 0);
  RiscvAsm::Label top = a.bound();
  body(a);
  a.addi(a0, a0, -1);
  a.bne(a0, zero, top);
  a.li(t0, BareMachine::kExit);
  a.li(t1, 1);
  a.sd(t1, t0);
  RiscvAsm::Label stay = a.bound();
  a.j(stay);
  beyond(a);
  return a.finish();
}
template <typename Body>
std::vector<uint32_t> loop_program(Body body) {
  return loop_program(body, [](RiscvAsm&) {});
}

void run(benchmark::State& state, const std::vector<uint32_t>& program) {
  for (auto _ : state) {
    BareMachine machine("tcg", 1);
    const auto begin = std::chrono::steady_clock::now();
    if (machine.run(program) != 1u) return state.SkipWithError("the program did not end");
    state.SetIterationTime(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(kRounds));
}

void empty_loop(benchmark::State& state) {
  run(state, loop_program([](RiscvAsm&) {}));
}
BENCHMARK(empty_loop)->UseManualTime()->Unit(benchmark::kMillisecond);

void tlb_hit_load(benchmark::State& state) {
  run(state, loop_program([](RiscvAsm& a) {
        a.ld(t0, s0);
        a.add(s2, s2, t0);
      }));
}
BENCHMARK(tlb_hit_load)->UseManualTime()->Unit(benchmark::kMillisecond);

void tlb_hit_store(benchmark::State& state) {
  run(state, loop_program([](RiscvAsm& a) { a.sd(a0, s0); }));
}
BENCHMARK(tlb_hit_store)->UseManualTime()->Unit(benchmark::kMillisecond);

// Walks over `pages` pages again and again: within the TLB's reach they hit, beyond it they miss.
void page_walk_load(benchmark::State& state) {
  const auto bytes = static_cast<uint64_t>(state.range(0)) * kPageSize;
  run(state, loop_program([&](RiscvAsm& a) {
        a.add(t1, s0, s3);
        a.ld(t0, t1);
        a.lui(t2, 1);
        a.add(s3, s3, t2);
        a.li(t2, bytes - 1);
        a.and_(s3, s3, t2);
      }));
}
BENCHMARK(page_walk_load)->Arg(16)->Arg(256)->Arg(2048)->UseManualTime()->Unit(benchmark::kMillisecond);

// Every load misses: the entry is dropped before it by sfence.vma of all addresses; time includes that fence and leaving to the loop.
void fence_and_miss(benchmark::State& state) {
  run(state, loop_program([](RiscvAsm& a) {
        RiscvAsm::Label skip = a.label();
        a.andi(t0, a0, 63);
        a.bne(t0, zero, skip);
        a.sfence_vma();
        a.bind(skip);
        a.ld(t0, s0);
      }));
}
BENCHMARK(fence_and_miss)->UseManualTime()->Unit(benchmark::kMillisecond);

// An indirect jump to one of two places: the jump cache's hit.
void jump_cache_hit(benchmark::State& state) {
  run(state, loop_program([](RiscvAsm& a) {
        a.andi(t0, a0, 1);
        a.slli(t0, t0, 3);
        a.auipc(t1, 0);
        a.add(t1, t1, t0);
        a.jalr(zero, t1, 16);  // to the first or the second addi pair
        a.addi(s2, s2, 1);
        a.addi(s2, s2, 1);
        a.addi(s2, s2, 1);
        a.addi(s2, s2, 1);
      }));
}
BENCHMARK(jump_cache_hit)->UseManualTime()->Unit(benchmark::kMillisecond);

void call_and_return(benchmark::State& state) {
  run(state, loop_program([](RiscvAsm& a) {
        RiscvAsm::Label function = a.label(), after = a.label();
        a.jal(ra, function);
        a.j(after);
        a.bind(function);
        a.addi(s2, s2, 1);
        a.ret();
        a.bind(after);
      }));
}
BENCHMARK(call_and_return)->UseManualTime()->Unit(benchmark::kMillisecond);

// A direct jump into the next page and one back, through guarded links.
void jump_across_pages(benchmark::State& state) {
  RiscvAsm::Label far{}, back{};
  auto jump = [&](RiscvAsm& a) {
    far = a.label(), back = a.label();
    a.j(far);
    a.bind(back);
  };
  auto next_page = [&](RiscvAsm& a) {
    while (a.here() <= kPageSize) a.addi(zero, zero, 0);
    a.bind(far);
    a.j(back);
  };
  run(state, loop_program(jump, next_page));
}
BENCHMARK(jump_across_pages)->UseManualTime()->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace lyre::bench
