// Threads: creation, thread-local storage, locks, conditions, atomics, and forks while others run.
#define _GNU_SOURCE
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static long counter, ready;
static atomic_long atomic_counter;
static __thread long own = 5;
static atomic_int stop;

static void *adds(void *argument) {
  own += (long)argument;
  for (int k = 0; k < 1000; k++) {
    pthread_mutex_lock(&mutex);
    counter++;
    pthread_mutex_unlock(&mutex);
    atomic_fetch_add(&atomic_counter, 1);
  }
  return (void *)own;
}
static void *waits(void *argument) {
  pthread_mutex_lock(&mutex);
  while (!ready) pthread_cond_wait(&condition, &mutex);
  pthread_mutex_unlock(&mutex);
  return argument;
}
static void *turns(void *argument) {
  (void)argument;
  volatile double x = 1;
  while (!stop) x = x * 1.0001 + 1;
  return 0;
}

int main(void) {
  pthread_t threads[40];
  long sum = 0;
  for (long k = 0; k < 40; k++)
    if (pthread_create(&threads[k], 0, adds, (void *)k)) return 1;
  for (int k = 0; k < 40; k++) {
    void *result;
    pthread_join(threads[k], &result);
    sum += (long)result;
  }
  printf("counter %ld atomic %ld own %ld main's %ld\n", counter, atomic_counter, sum, own);
  for (int k = 0; k < 4; k++) pthread_create(&threads[k], 0, waits, 0);
  usleep(1000);
  pthread_mutex_lock(&mutex);
  ready = 1;
  pthread_cond_broadcast(&condition);
  pthread_mutex_unlock(&mutex);
  for (int k = 0; k < 4; k++) pthread_join(threads[k], 0);
  printf("woken\n");
  for (int k = 0; k < 400; k++) {
    pthread_t one;
    if (pthread_create(&one, 0, waits, 0)) return 2;
    pthread_join(one, 0);
  }
  printf("one after the other 400\n");
  for (int k = 0; k < 4; k++) pthread_create(&threads[k], 0, turns, 0);
  int good = 0;
  for (int k = 0; k < 30; k++) {
    int status;
    pid_t pid = fork();
    if (pid == 0) {
      char text[20];
      _exit(snprintf(text, sizeof text, "%d", k) > 0 ? k : 99);
    }
    if (waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == k) good++;
  }
  // The C library has every thread make the call, by a signal of its own.
  printf("identity %d %d\n", setgid(getgid()), setuid(getuid()));
  stop = 1;
  for (int k = 0; k < 4; k++) pthread_join(threads[k], 0);
  printf("forked beside threads %d\n", good);
  printf("tid is pid %d\n", syscall(SYS_gettid) == getpid());
  return 0;
}
