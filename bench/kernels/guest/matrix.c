// Product of two 160 x 160 integer matrices, the textbook's three loops: multiply-add with one long stride.
#include "kernel.h"

enum { kSize = 160 };
static int32_t a[kSize][kSize], b[kSize][kSize], c[kSize][kSize];

static void setup(void) {
    uint64_t seed = 3;
    for (int i = 0; i < kSize; i++)
        for (int j = 0; j < kSize; j++) a[i][j] = (int32_t)next_random(&seed) >> 20, b[i][j] = (int32_t)next_random(&seed) >> 20;
}

static void multiply(void) {
    for (int i = 0; i < kSize; i++)
        for (int j = 0; j < kSize; j++) {
            uint32_t sum = 0;
            for (int k = 0; k < kSize; k++) sum += (uint32_t)a[i][k] * (uint32_t)b[k][j];
            c[i][j] = (int32_t)sum;
        }
}

static uint64_t run(uint32_t repeat) {
    uint64_t sum = 0;
    while (repeat--) {
        a[repeat % kSize][0] += (int32_t)(sum & 15);
        multiply();
        for (int i = 0; i < kSize; i++) sum = mix(sum, (uint32_t)c[i][i]);
    }
    return sum;
}

const Kernel kernel_matrix = {"matrix", setup, run};
