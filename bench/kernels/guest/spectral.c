// Spectral norm of the infinite matrix 1 / ((i + j)(i + j + 1) / 2 + i + 1), cut at 128: integer arithmetic, conversions, divisions.
#include "kernel.h"

#include <math.h>

enum { kSize = 128 };

static double entry(int i, int j) { return 1.0 / ((i + j) * (i + j + 1) / 2 + i + 1); }

static void times(const double *v, double *out) {
    for (int i = 0; i < kSize; i++) {
        double sum = 0;
        for (int j = 0; j < kSize; j++) sum += entry(i, j) * v[j];
        out[i] = sum;
    }
}

static void times_transposed(const double *v, double *out) {
    for (int i = 0; i < kSize; i++) {
        double sum = 0;
        for (int j = 0; j < kSize; j++) sum += entry(j, i) * v[j];
        out[i] = sum;
    }
}

static uint64_t run(uint32_t repeat) {
    uint64_t sum = 0;
    while (repeat--) {
        double u[kSize], v[kSize], middle[kSize];
        for (int i = 0; i < kSize; i++) u[i] = 1 + (double)(repeat % 7) / 8;
        for (int i = 0; i < 10; i++) {
            times(u, middle), times_transposed(middle, v);
            times(v, middle), times_transposed(middle, u);
        }
        double uv = 0, vv = 0;
        for (int i = 0; i < kSize; i++) uv += u[i] * v[i], vv += v[i] * v[i];
        sum = mix(sum, rounded(sqrt(uv / vv)));
    }
    return sum;
}

const Kernel kernel_spectral = {"spectral", 0, run};
