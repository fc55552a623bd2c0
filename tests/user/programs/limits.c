// Resource limits: what is set is read back, kept to, inherited by threads, children and executed programs.
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static const int kResources[] = {RLIMIT_AS, RLIMIT_DATA, RLIMIT_STACK, RLIMIT_CORE, RLIMIT_NOFILE};
static const char *kNames[] = {"as", "data", "stack", "core", "nofile"};

static void show(const char *what) {
  printf("%s:", what);
  for (int k = 0; k < 5; k++) {
    struct rlimit now;
    getrlimit(kResources[k], &now);
    printf(" %s %lld", kNames[k], now.rlim_cur == RLIM_INFINITY ? -1ll : (long long)now.rlim_cur);
  }
  printf("\n");
  fflush(stdout);
}
static void set(int resource, rlim_t soft) {
  struct rlimit now;
  getrlimit(resource, &now);
  now.rlim_cur = soft;
  printf("set %d: %d\n", resource, setrlimit(resource, &now));
}
static void *in_thread(void *unused) {
  show("thread");
  return 0;
}
static void try_map(size_t bytes) {
  void *p = mmap(0, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  printf("map %zu MiB: %s\n", bytes >> 20, p == MAP_FAILED ? strerror(errno) : "there");
  if (p != MAP_FAILED) munmap(p, bytes);
}

int main(int argc, char **argv) {
  if (argc > 1) {
    show("executed");
    if (!strcmp(argv[1], "again")) {
      execl("/proc/self/exe", "limits", "last", (char *)0);
      printf("exec: %s\n", strerror(errno));
    }
    return 0;
  }
  struct rlimit bad = {2, 1};
  int refused = setrlimit(RLIMIT_AS, &bad);
  printf("soft above hard: %d %s\n", refused, strerror(errno));
  try_map((size_t)6 << 30);
  set(RLIMIT_AS, (rlim_t)4 << 30);
  try_map((size_t)6 << 30);
  try_map((size_t)1 << 30);
  set(RLIMIT_DATA, (rlim_t)512 << 20);
  try_map((size_t)1 << 30);
  try_map((size_t)100 << 20);
  set(RLIMIT_STACK, (rlim_t)5 << 20);
  set(RLIMIT_CORE, 0);
  set(RLIMIT_NOFILE, 200);
  show("set");
  pthread_t thread;
  pthread_create(&thread, 0, in_thread, 0);
  pthread_join(thread, 0);
  pid_t child = fork();
  if (!child) {
    set(RLIMIT_DATA, (rlim_t)700 << 20);
    execl("/proc/self/exe", "limits", "again", (char *)0);
    printf("exec: %s\n", strerror(errno));
    _exit(1);
  }
  waitpid(child, 0, 0);
  child = vfork();
  if (!child) {
    struct rlimit now = {(rlim_t)6 << 20, (rlim_t)6 << 20};
    setrlimit(RLIMIT_STACK, &now);
    execl("/proc/self/exe", "limits", "last", (char *)0);
    _exit(1);
  }
  waitpid(child, 0, 0);
  show("parent");
  return 0;
}
