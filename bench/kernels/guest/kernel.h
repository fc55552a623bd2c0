// What a benchmark kernel offers to the program that runs it.
//
// A kernel is one file with one `const Kernel` in it. `setup` makes the data (not timed, may be null); `run` repeats the work
// and returns a checksum that depends on all of it. A checksum is the same on every machine for the same repeat count:
// floating-point kernels round theirs, because compilers contract to fused operations on one machine and not on another.
#ifndef LYRE_BENCH_KERNEL_H
#define LYRE_BENCH_KERNEL_H

#include <stdint.h>

typedef struct {
    const char *name;
    void (*setup)(void);
    uint64_t (*run)(uint32_t repeat);
} Kernel;

// A small generator of our own, so that every machine makes the same data.
static inline uint64_t next_random(uint64_t *state) {
    uint64_t x = *state += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 32)) * 0xd6e8feb86659fd93u;
    x = (x ^ (x >> 29)) * 0xc2b2ae3d27d4eb4fu;
    return x ^ (x >> 32);
}

static inline uint64_t mix(uint64_t sum, uint64_t value) { return (sum ^ value) * 0x100000001b3u + (sum >> 47); }

// Six decimals of a floating-point result: more than contraction can change in these kernels.
static inline uint64_t rounded(double value) { return (uint64_t)(int64_t)(value * 1e6 + (value < 0 ? -0.5 : 0.5)); }

extern const Kernel kernel_hash, kernel_sort, kernel_matrix, kernel_search, kernel_vm, kernel_calls, kernel_list;
extern const Kernel kernel_nbody, kernel_linpack, kernel_spectral;

#endif
