// A stack that overflows: SIGSEGV on the alternate stack; without one the program dies of it.
#define _GNU_SOURCE
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static char alternate[1 << 16];
static sigjmp_buf back;
static volatile int on_alternate, near;
static char *volatile lowest;

__attribute__((noipa)) static int deep(int level) {
  char here[256];
  memset(here, level, sizeof here);
  lowest = here;
  return level < 0 ? 0 : deep(level + 1) + here[level & 255];
}

static void handler(int number, siginfo_t *info, void *context) {
  char here;
  on_alternate = &here >= alternate && &here < alternate + sizeof alternate;
  near = labs((char *)info->si_addr - lowest) < 65536;
  siglongjmp(back, info->si_code);
}

static void *thread(void *own) {
  stack_t stack = {.ss_sp = own, .ss_size = 1 << 16};
  sigaltstack(&stack, 0);
  const int code = sigsetjmp(back, 1);
  if (!code) deep(1);
  printf("thread: near %d, code %d\n", near, code == SEGV_ACCERR);
  return 0;
}

static void die(int with_handler, int with_stack) {
  fflush(stdout);
  const pid_t child = fork();
  if (!child) {
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | (with_stack ? SA_ONSTACK : 0)};
    if (with_handler) sigaction(SIGSEGV, &action, 0);
    if (with_stack) {  // too small to hold a frame
      stack_t stack = {.ss_sp = alternate, .ss_size = MINSIGSTKSZ};
      sigaltstack(&stack, 0);
      ((uintptr_t *)alternate)[0] = 0;
    }
    if (!with_stack) sigaltstack(&(stack_t){.ss_flags = SS_DISABLE}, 0);
    deep(1);
    _exit(0);
  }
  int status;
  waitpid(child, &status, 0);
  printf("%d %d: signal %d\n", with_handler, with_stack, WIFSIGNALED(status) ? WTERMSIG(status) : 0);
}

int main(void) {
  freopen("/dev/null", "w", stderr);
  stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate};
  sigaltstack(&stack, 0);
  struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK};
  sigaction(SIGSEGV, &action, 0);
  for (int k = 0; k < 3; k++) {
    on_alternate = near = 0;
    if (!sigsetjmp(back, 1)) deep(1);
    printf("on the alternate stack %d, near %d\n", on_alternate, near);
  }
  pthread_t other;
  pthread_create(&other, 0, thread, malloc(1 << 16));
  pthread_join(other, 0);
  die(0, 0);
  die(1, 0);
  return 0;
}
