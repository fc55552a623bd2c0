// Eight threads write functions and call them until code memory has been filled many times over (run with a small
// -tb-size), while the first thread forks: what is called is always what was written last. With a number: so many children,
// every tenth spawned, and threads that write until the last has ended.
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
static volatile int g_children, g_stop;

enum { kThreads = 8, kFunctions = 1024, kRounds = 12, kForks = 20 };

// A function that returns `value` (below 2048), at most 16 bytes long.
static void write_function(unsigned char *at, unsigned value) {
#ifdef __riscv
  unsigned words[2] = {value << 20 | 10 << 7 | 0x13, 0x8067};  // addi a0, zero, value; ret
  memcpy(at, words, sizeof words);
#else
  at[0] = 0xb8, memcpy(at + 1, &value, 4), at[5] = 0xc3;  // mov eax, value; ret
#endif
}

static void *generate(void *number) {
  unsigned char *page = mmap(0, kFunctions * 16, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  for (unsigned round = 0; g_children ? !g_stop : round < kRounds; round++) {
    for (unsigned k = 0; k < kFunctions; k++) write_function(page + 16 * k, (round * 100 + k) & 0x7ff);
    __builtin___clear_cache((char *)page, (char *)page + kFunctions * 16);
    for (unsigned k = 0; k < kFunctions; k++) {
      unsigned got = ((unsigned (*)(void))(page + 16 * k))();
      if (got != ((round * 100 + k) & 0x7ff)) {
        printf("thread %ld, round %u, function %u returned %u\n", (long)number, round, k, got);
        exit(1);
      }
    }
  }
  return 0;
}

static int spawn(void) {
  pid_t child;
  char *arguments[] = {"much_code", "0", "child", 0};
  int status = 0;
  return posix_spawn(&child, "/proc/self/exe", 0, 0, arguments, environ) || waitpid(child, &status, 0) != child || status != 3 << 8;
}

int main(int argc, char **argv) {
  if (argc > 2) return 3;
  g_children = argc > 1 ? atoi(argv[1]) : 0;
  pthread_t threads[kThreads];
  for (long k = 0; k < kThreads; k++) pthread_create(&threads[k], 0, generate, (void *)k);
  int bad = 0;
  for (int k = 0; k < (g_children ? g_children : kForks); k++) {
    if (k % 10 == 9) {
      bad += spawn();
      continue;
    }
    pid_t child = fork();
    if (!child) _exit(k & 63);
    int status = 0;
    if (waitpid(child, &status, 0) != child || status != (k & 63) << 8) bad++;
  }
  g_stop = 1;
  for (int k = 0; k < kThreads; k++) pthread_join(threads[k], 0);
  printf("%d functions in %d threads, %d children went wrong\n", kFunctions * kRounds, kThreads, bad);
  return 0;
}
