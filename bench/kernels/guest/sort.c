// Quicksort with insertion sort below 12 elements, of 65,536 random words: unpredictable branches, loads, short calls.
#include "kernel.h"

#include <string.h>

enum { kCount = 65536, kSmall = 12 };
static int32_t original[kCount], work[kCount];

static void insertion(int32_t *first, int32_t *last) {
    for (int32_t *p = first + 1; p <= last; p++) {
        int32_t value = *p;
        int32_t *hole = p;
        for (; hole > first && hole[-1] > value; hole--) *hole = hole[-1];
        *hole = value;
    }
}

static void sort(int32_t *first, int32_t *last) {
    while (last - first >= kSmall) {
        int32_t a = *first, b = first[(last - first) / 2], c = *last;
        int32_t pivot = a < b ? (b < c ? b : a < c ? c : a) : (a < c ? a : b < c ? c : b);
        int32_t *low = first, *high = last;
        for (;;) {
            while (*low < pivot) low++;
            while (pivot < *high) high--;
            if (low >= high) break;
            int32_t other = *low;
            *low++ = *high;
            *high-- = other;
        }
        sort(first, low - 1);
        first = low;
    }
    insertion(first, last);
}

static void setup(void) {
    uint64_t seed = 2;
    for (int i = 0; i < kCount; i++) original[i] = (int32_t)next_random(&seed);
}

static uint64_t run(uint32_t repeat) {
    uint64_t sum = 0;
    while (repeat--) {
        memcpy(work, original, sizeof work);
        work[repeat % kCount] ^= (int32_t)sum;
        sort(work, work + kCount - 1);
        for (int i = 1; i < kCount; i++)
            if (work[i - 1] > work[i]) return 0;
        for (int i = 0; i < kCount; i += 97) sum = mix(sum, (uint32_t)work[i]);
    }
    return sum;
}

const Kernel kernel_sort = {"sort", setup, run};
