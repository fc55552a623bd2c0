// Gaussian elimination with partial pivoting of a 100 x 100 system, column operations as in LINPACK: loads, multiply-add, stores.
#include "kernel.h"

#include <math.h>

enum { kSize = 100 };
static double matrix[kSize][kSize], factors[kSize][kSize], right[kSize];
static int pivots[kSize];

static void setup(void) {
    uint64_t seed = 6;
    for (int column = 0; column < kSize; column++)
        for (int row = 0; row < kSize; row++) matrix[column][row] = (double)(int32_t)next_random(&seed) / 2147483648.0;
}

__attribute__((noinline)) static void add_scaled(int count, double scale, const double *from, double *to) {
    for (int i = 0; i < count; i++) to[i] += scale * from[i];
}

static void factor(void) {
    for (int k = 0; k < kSize - 1; k++) {
        double *column = factors[k];
        int pivot = k;
        for (int i = k + 1; i < kSize; i++)
            if (fabs(column[i]) > fabs(column[pivot])) pivot = i;
        pivots[k] = pivot;
        double value = column[pivot];
        column[pivot] = column[k], column[k] = value;
        double scale = -1.0 / value;
        for (int i = k + 1; i < kSize; i++) column[i] *= scale;
        for (int j = k + 1; j < kSize; j++) {
            double t = factors[j][pivot];
            factors[j][pivot] = factors[j][k], factors[j][k] = t;
            add_scaled(kSize - k - 1, t, column + k + 1, factors[j] + k + 1);
        }
    }
}

static void solve(void) {
    for (int k = 0; k < kSize - 1; k++) {
        double t = right[pivots[k]];
        right[pivots[k]] = right[k], right[k] = t;
        add_scaled(kSize - k - 1, t, factors[k] + k + 1, right + k + 1);
    }
    for (int k = kSize - 1; k >= 0; k--) {
        right[k] /= factors[k][k];
        add_scaled(k, -right[k], factors[k], right);
    }
}

// The right side is made so that the solution is 1, 2, 3, ... plus the repeat number.
static uint64_t run(uint32_t repeat) {
    uint64_t sum = 0;
    while (repeat--) {
        for (int row = 0; row < kSize; row++) right[row] = 0;
        for (int column = 0; column < kSize; column++)
            for (int row = 0; row < kSize; row++) {
                factors[column][row] = matrix[column][row];
                right[row] += matrix[column][row] * (column + 1 + (double)repeat);
            }
        factor();
        solve();
        for (int row = 0; row < kSize; row++) sum = mix(sum, rounded(right[row]));
    }
    return sum;
}

const Kernel kernel_linpack = {"linpack", setup, run};
