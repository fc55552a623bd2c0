// A linked list of 64-byte nodes in random order, 8 MiB: larger than an L2 cache and than the reach of a first TLB.
#include "kernel.h"

#include <stdlib.h>

enum { kNodes = 131072 };
typedef struct Node {
    struct Node *next;
    uint64_t value[7];
} Node;
static Node *nodes;

static void setup(void) {
    nodes = malloc(sizeof(Node) * kNodes);
    uint32_t *order = malloc(sizeof(uint32_t) * kNodes);
    if (!nodes || !order) abort();
    uint64_t seed = 5;
    for (uint32_t i = 0; i < kNodes; i++) order[i] = i;
    for (uint32_t i = kNodes - 1; i > 0; i--) {
        uint32_t j = (uint32_t)(next_random(&seed) % i), other = order[i];
        order[i] = order[j], order[j] = other;
    }
    for (uint32_t i = 0; i < kNodes; i++) {
        Node *node = nodes + order[i];
        node->next = nodes + order[(i + 1) % kNodes];
        for (int j = 0; j < 7; j++) node->value[j] = next_random(&seed);
    }
    free(order);
}

static uint64_t run(uint32_t repeat) {
    uint64_t sum = 0;
    while (repeat--) {
        Node *node = nodes;
        for (uint32_t i = 0; i < kNodes; i++) {
            sum += node->value[i % 7] ^ i;
            node->value[1] += sum & 1;
            node = node->next;
        }
    }
    return sum;
}

const Kernel kernel_list = {"list", setup, run};
