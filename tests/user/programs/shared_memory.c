// Processes that share memory with their parent and run beside it: clone with CLONE_VM alone, with files or handlers
// shared or not, ended by exit, by exec and by a signal.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile int g_flag, g_answer, g_counter;
static int g_cleared = 1, g_parent_tid, g_pidfd = -1;

static void wait_for(volatile int *word, int value) {
  while (__atomic_load_n(word, __ATOMIC_ACQUIRE) != value) sched_yield();
}
static char *new_stack(void) { return (char *)mmap(0, 65536, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) + 65536; }

static int beside(void *arg) {
  wait_for(&g_flag, 1);  // set by the parent, which does not wait
  g_answer = (long)arg;
  wait_for(&g_flag, 2);
  return 7;
}
static int closes(void *fd) {
  close((long)fd);
  return 0;
}
static int counts(void *unused) {
  for (int k = 0; k < 100000; k++) __atomic_add_fetch(&g_counter, 1, __ATOMIC_RELAXED);
  return 0;
}
static int executes(void *unused) {
  execl("/proc/self/exe", "shared_memory", "child", (char *)0);
  return 99;
}
static int dies(void *unused) {
  raise(SIGTERM);
  return 0;
}
static void on_usr1(int signal) { g_answer = getpid() != getppid() ? 5 : 6; }
static int sets_handler(void *unused) {
  signal(SIGUSR1, on_usr1);
  return 0;
}
static int status_of(int pid) {
  int status = -1;
  if (waitpid(pid, &status, __WALL) != pid) return -errno;
  return status;
}
static void *in_thread(void *unused) {
  int pid = clone(counts, new_stack(), CLONE_VM | SIGCHLD, 0);
  counts(0);
  return (void *)(long)status_of(pid);
}

int main(int argc, char **argv) {
  if (argc > 1) {
    printf("executed\n");
    return 3;
  }
  int pid = clone(beside, new_stack(), CLONE_VM | SIGCHLD, (void *)42);
  printf("child %d\n", pid > 0);
  g_flag = 1;
  wait_for(&g_answer, 42);
  g_flag = 2;
  printf("status %x\n", status_of(pid));

  int fd = open("/dev/null", O_RDONLY);
  printf("status %x\n", status_of(clone(closes, new_stack(), CLONE_VM | SIGCHLD, (void *)(long)fd)));
  printf("own files: %d\n", fcntl(fd, F_GETFD));
  printf("status %x\n", status_of(clone(closes, new_stack(), CLONE_VM | CLONE_FILES | SIGCHLD, (void *)(long)fd)));
  printf("shared files: %d\n", fcntl(fd, F_GETFD));

  pthread_t threads[4];
  for (int k = 0; k < 4; k++) pthread_create(&threads[k], 0, in_thread, 0);
  for (int k = 0; k < 4; k++) {
    void *status;
    pthread_join(threads[k], &status);
    printf("status %lx\n", (long)status);
  }
  printf("counted %d\n", g_counter);

  fflush(stdout);
  printf("status %x\n", status_of(clone(executes, new_stack(), CLONE_VM | SIGCHLD, 0)));
  printf("status %x\n", status_of(clone(dies, new_stack(), CLONE_VM | SIGCHLD, 0)));

  signal(SIGUSR1, SIG_IGN);
  status_of(clone(sets_handler, new_stack(), CLONE_VM | SIGCHLD, 0));
  g_answer = 0;
  raise(SIGUSR1);
  printf("own handlers: %d\n", g_answer);
  status_of(clone(sets_handler, new_stack(), CLONE_VM | CLONE_SIGHAND | SIGCHLD, 0));
  raise(SIGUSR1);
  printf("shared handlers: %d\n", g_answer);

  pid = clone(counts, new_stack(), CLONE_VM | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID | SIGCHLD, 0, &g_parent_tid, 0,
              &g_cleared);
  int status = status_of(pid);
  printf("status %x, number %d, cleared %d\n", status, g_parent_tid == pid, g_cleared);
  pid = clone(counts, new_stack(), CLONE_VM | CLONE_PIDFD | SIGCHLD, 0, &g_pidfd);
  siginfo_t info;
  int waited = waitid(P_PIDFD, g_pidfd, &info, WEXITED);
  printf("pidfd %d, waited %d, %d\n", g_pidfd > 2, waited, info.si_pid == pid);
  int bad = clone(counts, new_stack(), CLONE_SIGHAND | SIGCHLD, 0);
  printf("bad: %d\n", bad < 0 ? errno : 0);
  return 0;
}
