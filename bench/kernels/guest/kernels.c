// Runs one kernel, or two copies of it side by side, and says how long it took:
//
//   kernels NAME REPEAT          prints "BENCH NAME seconds checksum"
//   kernels --pair NAME REPEAT   two processes at once; "BENCH pair-NAME seconds checksum" with the wall time of both
//   kernels --list               prints the names
#include "kernel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const Kernel *const kernels[] = {&kernel_hash, &kernel_sort, &kernel_matrix, &kernel_search,  &kernel_vm,
                                        &kernel_calls, &kernel_list, &kernel_nbody,  &kernel_linpack, &kernel_spectral};
enum { kKernels = sizeof kernels / sizeof *kernels };

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static const Kernel *find(const char *name) {
    for (int i = 0; i < kKernels; i++)
        if (!strcmp(kernels[i]->name, name)) return kernels[i];
    fprintf(stderr, "kernels: no kernel is called '%s'\n", name);
    exit(1);
}

// Forks two processes that set up, wait for each other and run; their checksums must agree.
static int run_pair(const Kernel *kernel, uint32_t repeat) {
    int ready[2], start[2], result[2];
    if (pipe(ready) || pipe(start) || pipe(result)) return perror("kernels: pipe"), 1;
    for (int i = 0; i < 2; i++) {
        pid_t child = fork();
        if (child < 0) return perror("kernels: fork"), 1;
        if (child == 0) {
            char byte = 0;
            if (kernel->setup) kernel->setup();
            if (write(ready[1], &byte, 1) != 1 || read(start[0], &byte, 1) != 1) _exit(1);
            uint64_t sum = kernel->run(repeat);
            _exit(write(result[1], &sum, sizeof sum) == sizeof sum ? 0 : 1);
        }
    }
    char bytes[2] = {0, 0};
    for (int i = 0; i < 2; i++)
        if (read(ready[0], bytes, 1) != 1) return 1;
    double begin = now();
    if (write(start[1], bytes, 2) != 2) return 1;
    uint64_t sum[2];
    for (int i = 0; i < 2; i++)
        if (read(result[0], &sum[i], sizeof sum[i]) != sizeof sum[i]) return 1;
    double seconds = now() - begin;
    while (wait(NULL) > 0) {}
    if (sum[0] != sum[1]) return fprintf(stderr, "kernels: two runs of %s disagree\n", kernel->name), 1;
    printf("BENCH pair-%s %.6f %016llx\n", kernel->name, seconds, (unsigned long long)sum[0]);
    return 0;
}

int main(int argc, char **argv) {
    if (argc == 2 && !strcmp(argv[1], "--list")) {
        for (int i = 0; i < kKernels; i++) puts(kernels[i]->name);
        return 0;
    }
    if (argc == 4 && !strcmp(argv[1], "--pair")) return run_pair(find(argv[2]), (uint32_t)strtoul(argv[3], NULL, 10));
    if (argc != 3) return fprintf(stderr, "usage: kernels [--pair] NAME REPEAT | --list\n"), 1;
    const Kernel *kernel = find(argv[1]);
    uint32_t repeat = (uint32_t)strtoul(argv[2], NULL, 10);
    if (kernel->setup) kernel->setup();
    double begin = now();
    uint64_t sum = kernel->run(repeat);
    printf("BENCH %s %.6f %016llx\n", kernel->name, now() - begin, (unsigned long long)sum);
    return 0;
}
