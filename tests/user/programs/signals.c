// Delivery, masks, alternate stacks, restarts, timers, nesting.
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <ucontext.h>

static volatile sig_atomic_t count, depth, deepest;
static long page;
static void counting(int signal) { (void)signal, count++; }
static void nested(int signal) {
  depth++;
  if (depth > deepest) deepest = depth;
  if (depth < 5) raise(signal);
  depth--;
}

static char *guarded;
static void opens(int signal, siginfo_t *info, void *context) {
  (void)signal, (void)context;
  count++;
  mprotect((void *)((unsigned long)info->si_addr & ~(page - 1)), page, PROT_READ | PROT_WRITE);
}

static char *stack;
static volatile int on_stack;
static void where(int signal) {
  char here;
  (void)signal;
  on_stack = &here >= stack && &here < stack + 65536;
}

// Goes on behind the instruction that failed, with a result of its own in the context.
static volatile int fault_code;
static void skips(int signal, siginfo_t *info, void *context) {
  ucontext_t *c = context;
  (void)signal;
  fault_code = info->si_code;
#ifdef __riscv
  c->uc_mcontext.__gregs[0] += 4;
  c->uc_mcontext.__gregs[10] = 4711;
#else
  c->uc_mcontext.gregs[REG_RIP] += 2;
  c->uc_mcontext.gregs[REG_RAX] = 4711;
#endif
}
static long failing(void) {
#ifdef __riscv
  register long a0 asm("a0") = 0;
  asm volatile(".option push\n.option norvc\nld a0, 0(a0)\n.option pop" : "+r"(a0)::"memory");
  return a0;
#else
  register long rax asm("rax") = 0;
  asm volatile(".byte 0x8b, 0x00" : "+r"(rax)::"memory");  // mov (%rax), %eax
  return rax;
#endif
}

static void *sender(void *argument) {
  for (int k = 0; k < 20; k++) {
    usleep(1000);
    pthread_kill(*(pthread_t *)argument, SIGUSR1);
  }
  return 0;
}

int main(void) {
  page = sysconf(_SC_PAGESIZE);
  setvbuf(stdout, 0, _IOLBF, 0);
  signal(SIGUSR1, counting);
  raise(SIGUSR1);
  printf("raised %d\n", count);
  sigset_t set, old, pending;
  sigemptyset(&set), sigaddset(&set, SIGUSR1);
  sigprocmask(SIG_BLOCK, &set, &old);
  raise(SIGUSR1), raise(SIGUSR1);
  sigpending(&pending);
  printf("blocked %d pending %d\n", count, sigismember(&pending, SIGUSR1));
  sigprocmask(SIG_SETMASK, &old, 0);
  printf("unblocked %d\n", count);
  struct sigaction action = {.sa_handler = nested, .sa_flags = SA_NODEFER};
  sigaction(SIGUSR2, &action, 0);
  raise(SIGUSR2);
  printf("nested %d\n", deepest);
  // A handler that makes the access possible.
  guarded = mmap(0, page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  struct sigaction fault = {.sa_sigaction = opens, .sa_flags = SA_SIGINFO};
  sigaction(SIGSEGV, &fault, 0);
  count = 0;
  guarded[100] = 3;
  printf("opened %d value %d\n", count, guarded[100]);
  fault.sa_sigaction = skips;
  sigaction(SIGSEGV, &fault, 0);
  printf("skipped %ld", failing());
  printf(" code %d\n", fault_code);
  // On its own stack.
  stack = malloc(65536);
  stack_t alternate = {.ss_sp = stack, .ss_size = 65536};
  printf("altstack %d\n", sigaltstack(&alternate, 0));
  struct sigaction other = {.sa_handler = where, .sa_flags = SA_ONSTACK};
  sigaction(SIGUSR2, &other, 0);
  raise(SIGUSR2);
  printf("on it %d\n", on_stack);
  // Interrupted calls: with and without SA_RESTART.
  int ends[2];
  if (pipe(ends)) return 1;
  pthread_t self = pthread_self(), thread;
  for (int restart = 0; restart < 2; restart++) {
    struct sigaction interrupt = {.sa_handler = counting, .sa_flags = restart ? SA_RESTART : 0};
    sigaction(SIGUSR1, &interrupt, 0);
    count = 0;
    pthread_create(&thread, 0, sender, &self);
    if (restart) {
      struct itimerval later = {.it_value = {0, 200000}};
      signal(SIGALRM, SIG_IGN);
      setitimer(ITIMER_REAL, &later, 0);
      // The end of the sender's signals lets the read go on until this thread writes itself something, by a child.
      if (fork() == 0) {
        usleep(100000);
        _exit(write(ends[1], "x", 1) != 1);
      }
    }
    char c;
    ssize_t got = read(ends[0], &c, 1);
    const int error = errno;
    printf("read %zd errno %s\n", got, got < 0 ? strerror(error) : "none");
    pthread_join(thread, 0);
    printf("counted %s\n", count >= 1 ? "some" : "none");
    if (restart) wait(0);
  }
  // A timer interrupts a loop without system calls.
  signal(SIGALRM, counting);
  count = 0;
  struct itimerval often = {.it_interval = {0, 2000}, .it_value = {0, 2000}};
  setitimer(ITIMER_REAL, &often, 0);
  while (count < 20);
  memset(&often, 0, sizeof often);
  setitimer(ITIMER_REAL, &often, 0);
  printf("ticks 20\n");
  // sigsuspend opens its window.
  sigemptyset(&set), sigaddset(&set, SIGALRM);
  sigprocmask(SIG_BLOCK, &set, &old);
  count = 0;
  struct itimerval once = {.it_value = {0, 5000}};
  setitimer(ITIMER_REAL, &once, 0);
  sigset_t open_set = old;
  sigdelset(&open_set, SIGALRM);
  int result = sigsuspend(&open_set);
  const int error = errno;
  printf("suspend %d errno %d count %d\n", result, error, count);
  struct timespec wait_for = {1, 0};
  setitimer(ITIMER_REAL, &once, 0);
  siginfo_t info;
  printf("timedwait %d", sigtimedwait(&set, &info, &wait_for));
  printf(" code %d\n", info.si_code);
  // Queued signals carry values in order.
  sigemptyset(&set), sigaddset(&set, SIGRTMIN);
  sigprocmask(SIG_BLOCK, &set, 0);
  for (int k = 0; k < 3; k++) sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 10 + k});
  for (int k = 0; k < 3; k++) {
    sigwaitinfo(&set, &info);
    printf("queued %d code %d own %d\n", info.si_value.sival_int, info.si_code, info.si_pid == getpid());
  }
  // A child's end by a signal is seen as such.
  int status;
  if (fork() == 0) {
    signal(SIGSEGV, SIG_DFL);
    fclose(stderr), close(2);
    *(volatile int *)0 = 1;
    _exit(0);
  }
  wait(&status);
  printf("ended by %d\n", WIFSIGNALED(status) ? WTERMSIG(status) : -1);
  if (fork() == 0) abort();
  wait(&status);
  printf("aborted %d\n", WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
  return 0;
}
