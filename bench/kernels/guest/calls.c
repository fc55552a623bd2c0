// Recursive call trees: Fibonacci, the Takeuchi function, and n queens through a function pointer. Calls, returns, stack traffic.
#include "kernel.h"

static uint32_t (*volatile queens_pointer)(uint32_t, uint32_t, uint32_t);

__attribute__((noinline, noclone)) static uint32_t fibonacci(uint32_t n) { return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2); }

__attribute__((noinline, noclone)) static int takeuchi(int x, int y, int z) {
    return y < x ? takeuchi(takeuchi(x - 1, y, z), takeuchi(y - 1, z, x), takeuchi(z - 1, x, y)) : z;
}

__attribute__((noinline, noclone)) static uint32_t queens(uint32_t columns, uint32_t left, uint32_t right) {
    uint32_t count = 0;
    for (uint32_t free = ~(columns | left | right) & 0xff; free; free &= free - 1) {
        uint32_t bit = free & -free;
        count += (columns | bit) == 0xff ? 1 : queens_pointer(columns | bit, (left | bit) << 1, (right | bit) >> 1);
    }
    return count;
}

static uint64_t run(uint32_t repeat) {
    queens_pointer = queens;
    uint64_t sum = 0;
    while (repeat--) {
        sum = mix(sum, fibonacci(20 + (uint32_t)(sum & 1)));
        sum = mix(sum, (uint32_t)takeuchi(12, 8, 4));
        sum = mix(sum, queens_pointer(0, 0, 0));
    }
    return sum;
}

const Kernel kernel_calls = {"calls", 0, run};
