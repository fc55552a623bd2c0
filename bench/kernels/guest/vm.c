// An interpreter of a small register bytecode that runs a prime sieve: one indirect jump per bytecode, through a jump table.
#include "kernel.h"

#include <string.h>

typedef enum { kSet, kAdd, kAddImmediate, kMul, kLoad, kStore, kJumpLess, kJumpZero, kJump, kXor, kRotate, kHalt } Op;
typedef struct {
    uint8_t op, a, b, c;
    int32_t value;
} Code;

enum { kCells = 8192 };
static uint8_t cells[kCells];

// r1 = n, r2 = i, r3 = j, r4 = composite, r5 = count, r6 = one, r7 = checksum, r8 = i * i; numbers are indices
static const Code program[] = {
    {kSet, 1, 0, 0, kCells},       // 0
    {kSet, 2, 0, 0, 2},            // 1
    {kSet, 6, 0, 0, 1},            // 2
    {kLoad, 4, 2, 0, 0},           // 3: for each i
    {kJumpZero, 4, 0, 0, 6},       // 4
    {kJump, 0, 0, 0, 15},          // 5
    {kAddImmediate, 5, 5, 0, 1},   // 6: a prime
    {kXor, 7, 7, 2, 0},            // 7
    {kRotate, 7, 7, 0, 3},         // 8
    {kMul, 8, 2, 2, 0},            // 9
    {kAddImmediate, 3, 8, 0, 0},   // 10
    {kJumpLess, 1, 3, 0, 15},      // 11: for each multiple j
    {kStore, 6, 3, 0, 0},          // 12
    {kAdd, 3, 3, 2, 0},            // 13
    {kJump, 0, 0, 0, 11},          // 14
    {kAddImmediate, 2, 2, 0, 1},   // 15
    {kJumpLess, 2, 1, 0, 3},       // 16
    {kHalt, 0, 0, 0, 0},           // 17
};

// Not inlined, so that the dispatch stays as a compiler makes it for any interpreter.
__attribute__((noinline)) static uint64_t interpret(const Code *code) {
    int64_t r[16] = {0};
    const Code *pc = code;
    for (;;) {
        const Code *now = pc++;
        switch ((Op)now->op) {
        case kSet: r[now->a] = now->value; break;
        case kAdd: r[now->a] = r[now->b] + r[now->c]; break;
        case kAddImmediate: r[now->a] = r[now->b] + now->value; break;
        case kMul: r[now->a] = r[now->b] * r[now->c]; break;
        case kLoad: r[now->a] = cells[r[now->b] & (kCells - 1)]; break;
        case kStore: cells[r[now->b] & (kCells - 1)] = (uint8_t)r[now->a]; break;
        case kJumpLess:
            if (r[now->a] < r[now->b]) pc = code + now->value;
            break;
        case kJumpZero:
            if (r[now->a] == 0) pc = code + now->value;
            break;
        case kJump: pc = code + now->value; break;
        case kXor: r[now->a] = r[now->b] ^ r[now->c]; break;
        case kRotate: r[now->a] = (int64_t)((uint64_t)r[now->b] << now->value | (uint64_t)r[now->b] >> (64 - now->value)); break;
        case kHalt: return mix((uint64_t)r[5], (uint64_t)r[7]);
        }
    }
}

static uint64_t run(uint32_t repeat) {
    uint64_t sum = 0;
    while (repeat--) {
        memset(cells, 0, sizeof cells);
        sum = mix(sum, interpret(program));
    }
    return sum;
}

const Kernel kernel_vm = {"vm", 0, run};
