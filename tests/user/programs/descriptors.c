// All descriptors used: calls say so, and threads and children work all the same; with two left programs can be executed.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
static void *thread(void *sum) { return *(int *)sum += 1, sum; }
static volatile int seen;
static void handler(int number) { seen++; }

int main(int argc, char **argv) {
  if (argc > 1) return printf("%s executed\n", argv[1]), fflush(stdout), 3;
  char self[4096];
  ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
  if (length <= 0) return 1;
  self[length] = 0;
  setrlimit(RLIMIT_NOFILE, &(struct rlimit){1024, 2048});
  int count = 0;
  while (open("/dev/null", O_RDONLY) >= 0) count++;
  printf("%d many, %s\n", count >= 1000, strerror(errno));
  int two[2];
  printf("pipe %d %s\n", pipe(two), strerror(errno));
  printf("socket %d\n", socket(AF_UNIX, SOCK_STREAM, 0));
  printf("epoll %d\n", epoll_create1(0));
  printf("memfd %d\n", memfd_create("m", 0));
  printf("maps %d\n", open("/proc/self/maps", O_RDONLY));
  printf("cpuinfo %d\n", open("/proc/cpuinfo", O_RDONLY));
  int sum = 0;
  for (int k = 0; k < 20; k++) {
    pthread_t other;
    printf("%s", pthread_create(&other, 0, thread, &sum) ? "no thread\n" : "");
    pthread_join(other, 0);
  }
  signal(SIGUSR1, handler);
  raise(SIGUSR1);
  printf("%d %d\n", sum, seen);
  fflush(stdout);
  int status = 0;
  pid_t child = fork();
  if (!child) _exit(4);
  waitpid(child, &status, 0);
  printf("fork %d\n", WEXITSTATUS(status));
  fflush(stdout);
  close(3), close(4);  // a program's loader needs one
  child = fork();
  if (!child) execl(self, "descriptors", "fork", (char *)0), _exit(errno);
  waitpid(child, &status, 0);
  printf("exec %d\n", WEXITSTATUS(status));
  fflush(stdout);
  printf("spawn %d\n", posix_spawn(&child, self, 0, 0, (char *[]){"descriptors", "spawn", 0}, environ));
  waitpid(child, &status, 0);
  printf("%d\n", WEXITSTATUS(status));
  return 0;
}
