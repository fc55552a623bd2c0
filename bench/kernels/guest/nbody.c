// Five bodies under gravity, symplectic Euler steps: multiply, add, one square root and one division per pair.
#include "kernel.h"

#include <math.h>

enum { kBodies = 5, kSteps = 1000 };
typedef struct {
    double x[3], v[3], mass;
} Body;
static Body bodies[kBodies];

// A made-up system with about our own's scales (AU, days, solar masses) that stays stable for millions of steps.
static void setup(void) {
    static const double distance[kBodies] = {0, 5.2, 9.5, 19.2, 30.1}, mass[kBodies] = {1, 9.5e-4, 2.9e-4, 4.4e-5, 5.2e-5};
    const double gravity = 39.47841760435743, day = 1 / 365.24;
    double momentum = 0;
    for (int i = 0; i < kBodies; i++) {
        Body *b = &bodies[i];
        b->mass = mass[i] * gravity * day * day;
        b->x[0] = distance[i], b->x[1] = 0.1 * i, b->x[2] = 0.02 * i * i;
        b->v[0] = 0, b->v[1] = i ? sqrt(gravity / distance[i]) * day : 0, b->v[2] = 0;
        momentum += b->mass * b->v[1];
    }
    bodies[0].v[1] = -momentum / bodies[0].mass;
}

static void step(double dt) {
    for (int i = 0; i < kBodies; i++) {
        Body *a = &bodies[i];
        for (int j = i + 1; j < kBodies; j++) {
            Body *b = &bodies[j];
            double dx = a->x[0] - b->x[0], dy = a->x[1] - b->x[1], dz = a->x[2] - b->x[2];
            double square = dx * dx + dy * dy + dz * dz;
            double pull = dt / (square * sqrt(square));
            double pa = b->mass * pull, pb = a->mass * pull;
            a->v[0] -= dx * pa, a->v[1] -= dy * pa, a->v[2] -= dz * pa;
            b->v[0] += dx * pb, b->v[1] += dy * pb, b->v[2] += dz * pb;
        }
    }
    for (int i = 0; i < kBodies; i++)
        for (int k = 0; k < 3; k++) bodies[i].x[k] += dt * bodies[i].v[k];
}

static double energy(void) {
    double sum = 0;
    for (int i = 0; i < kBodies; i++) {
        const Body *a = &bodies[i];
        sum += 0.5 * a->mass * (a->v[0] * a->v[0] + a->v[1] * a->v[1] + a->v[2] * a->v[2]);
        for (int j = i + 1; j < kBodies; j++) {
            const Body *b = &bodies[j];
            double dx = a->x[0] - b->x[0], dy = a->x[1] - b->x[1], dz = a->x[2] - b->x[2];
            sum -= a->mass * b->mass / sqrt(dx * dx + dy * dy + dz * dz);
        }
    }
    return sum;
}

static uint64_t run(uint32_t repeat) {
    while (repeat--)
        for (int i = 0; i < kSteps; i++) step(0.01);
    return mix(rounded(energy() * 1e9), rounded(bodies[1].x[0]));
}

const Kernel kernel_nbody = {"nbody", setup, run};
