// What a vCPU did, counted where it costs nothing next to the event. Written by the vCPU's thread, read by any (relaxed).
#pragma once
#include <cstdint>

namespace lyre::runtime {

#define LYRE_COUNTERS(X)                                                                                              \
  X(translations, "regions translated")                                                                               \
  X(translated_insns, "guest instructions translated")                                                                \
  X(translated_bytes, "bytes of host code made")                                                                      \
  X(translation_ns, "nanoseconds spent translating")                                                                  \
  X(loop_entries, "times translated code was entered from the loop")                                                  \
  X(lookups, "look-ups of a block by the loop")                                                                       \
  X(links, "direct exits linked")                                                                                     \
  X(jump_misses, "indirect exits that missed the jump cache")                                                         \
  X(restarts, "entries of retired blocks")                                                                            \
  X(slow_loads, "loads through the slow path")                                                                        \
  X(slow_stores, "stores through the slow path")                                                                      \
  X(slow_atomics, "atomic operations through the slow path")                                                          \
  X(tlb_fills, "soft TLB entries filled")                                                                             \
  X(tlb_flushes, "soft TLB flushes")                                                                                  \
  X(tlb_space_flushes, "soft TLB flushes of address spaces")                                                          \
  X(tlb_page_flushes, "soft TLB page flushes")                                                                        \
  X(device_accesses, "loads and stores that reached a device")                                                        \
  X(code_stores, "stores into pages that hold translated code")                                                       \
  X(invalidations, "translated regions dropped because their code was overwritten")                                   \
  X(code_room_waits, "translations that waited for room in code memory")                                             \
  X(faults, "guest faults delivered")                                                                                 \
  X(interrupts, "guest interrupts taken")                                                                             \
  X(waits, "times the vCPU slept")

struct Counters {
#define LYRE_COUNTER_FIELD(name, help) uint64_t name = 0;
  LYRE_COUNTERS(LYRE_COUNTER_FIELD)
#undef LYRE_COUNTER_FIELD
};

}  // namespace lyre::runtime
