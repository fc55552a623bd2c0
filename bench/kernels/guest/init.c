// The guest's first process: says that userspace is reached, does the jobs that the kernel command line names, powers off.
//
// `bench=JOB,JOB,...` on the kernel command line arrives here as an environment variable. A job is
//   run:NAME:REPEAT     a kernel                                prints "BENCH NAME seconds checksum"
//   pair:NAME:REPEAT    two copies of it at once                prints "BENCH pair-NAME seconds checksum"
//   exec:PROGRAM        /PROGRAM from start to end, its output  prints "BENCH PROGRAM seconds checksum-of-its-output"
//   quiet:PROGRAM       the same without a report (warms the paths of fork and exec)
//   wait:MS             sleeps, so that the host can look at the emulator at rest
// Each job is announced by "BENCH-BEGIN job", so that the host can charge processor time to it.
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void run(char *const argv[]) {
    fflush(stdout);
    pid_t child = vfork();
    if (child == 0) {
        execv(argv[0], argv);
        _exit(127);
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0) printf("BENCH-FAILED %s status %#x\n", argv[0], status);
}

// Wall time from before the fork to after the wait, and an FNV-1a hash of what the program wrote.
static void time_program(const char *name, int report) {
    char path[64];
    snprintf(path, sizeof path, "/%s", name);
    char *const argv[] = {path, NULL};
    int output[2];
    if (pipe(output)) return perror("init: pipe");
    double begin = now();
    pid_t child = vfork();
    if (child == 0) {
        dup2(output[1], 1);
        close(output[0]), close(output[1]);
        execv(path, argv);
        _exit(127);
    }
    close(output[1]);
    uint64_t sum = 0xcbf29ce484222325u;
    uint8_t bytes[512];
    ssize_t got;
    while ((got = read(output[0], bytes, sizeof bytes)) > 0)
        for (ssize_t i = 0; i < got; i++) sum = (sum ^ bytes[i]) * 0x100000001b3u;
    int status = 0;
    waitpid(child, &status, 0);
    double seconds = now() - begin;
    close(output[0]);
    if (status != 0)
        printf("BENCH-FAILED %s status %#x\n", name, status);
    else if (report)
        printf("BENCH %s %.6f %016llx\n", name, seconds, (unsigned long long)sum);
}

static void do_job(char *job) {
    printf("BENCH-BEGIN %s\n", job);
    char *state = NULL, *kind = strtok_r(job, ":", &state), *name = strtok_r(NULL, ":", &state), *repeat = strtok_r(NULL, ":", &state);
    if (kind && name && !strcmp(kind, "wait")) {
        struct timespec t = {atoi(name) / 1000, atoi(name) % 1000 * 1000000L};
        nanosleep(&t, NULL);
    } else if (kind && name && (!strcmp(kind, "exec") || !strcmp(kind, "quiet"))) {
        time_program(name, kind[0] == 'e');
    } else if (kind && name && repeat && !strcmp(kind, "run")) {
        run((char *[]){"/kernels", name, repeat, NULL});
    } else if (kind && name && repeat && !strcmp(kind, "pair")) {
        run((char *[]){"/kernels", "--pair", name, repeat, NULL});
    } else {
        printf("BENCH-FAILED a job that init does not know\n");
    }
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("BENCH-READY\n");
    const char *jobs = getenv("bench");
    char *copy = strdup(jobs ? jobs : ""), *state = NULL;
    for (char *job = strtok_r(copy, ",", &state); job; job = strtok_r(NULL, ",", &state)) do_job(job);
    printf("BENCH-END\n");
    fflush(stdout);
    sync();
    reboot(RB_POWER_OFF);
    return 1;
}
