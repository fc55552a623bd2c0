// The vDSO as programs use it: symbols by dl_iterate_phdr and by AT_SYSINFO_EHDR, clocks against the system calls, unwinding through a signal frame.
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <link.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
#include <unwind.h>

const void *_Unwind_Find_FDE(void *pc, void *bases);

#ifdef __riscv
#define VERSION "LINUX_4.15"
#else
#define VERSION "LINUX_2.6"
#endif

static const Elf64_Ehdr *g_image;
static const Elf64_Sym *g_symbols;
static const char *g_strings;
static const uint16_t *g_versions;
static unsigned g_count;
static const Elf64_Verdef *g_definitions;
static uintptr_t g_bias;

static int same_image(struct dl_phdr_info *info, size_t size, void *out) {
  for (int k = 0; k < info->dlpi_phnum; k++)
    if (info->dlpi_phdr[k].p_type == PT_LOAD && info->dlpi_addr + info->dlpi_phdr[k].p_vaddr == (uintptr_t)g_image) *(int *)out = 1;
  return 0;
}

static void read_image(void) {
  const Elf64_Phdr *segments = (const void *)((const char *)g_image + g_image->e_phoff);
  const Elf64_Dyn *dynamic = 0;
  for (int k = 0; k < g_image->e_phnum; k++) {
    if (segments[k].p_type == PT_LOAD) g_bias = (uintptr_t)g_image + segments[k].p_offset - segments[k].p_vaddr;
    if (segments[k].p_type == PT_DYNAMIC) dynamic = (const void *)((const char *)g_image + segments[k].p_offset);
  }
  for (; dynamic->d_tag; dynamic++) {
    const void *at = (const void *)(g_bias + dynamic->d_un.d_ptr);
    if (dynamic->d_tag == DT_STRTAB) g_strings = at;
    if (dynamic->d_tag == DT_SYMTAB) g_symbols = at;
    if (dynamic->d_tag == DT_HASH) g_count = ((const uint32_t *)at)[1];
    if (dynamic->d_tag == DT_VERSYM) g_versions = at;
    if (dynamic->d_tag == DT_VERDEF) g_definitions = at;
  }
}

static int version_is(unsigned index) {
  const char *def = (const char *)g_definitions;
  for (;;) {
    const Elf64_Verdef *d = (const void *)def;
    const Elf64_Verdaux *name = (const void *)(def + d->vd_aux);
    if (d->vd_ndx == (index & 0x7fff)) return !strcmp(g_strings + name->vda_name, VERSION);
    if (!d->vd_next) return 0;
    def += d->vd_next;
  }
}

static void *find(const char *name) {
  for (unsigned k = 1; k < g_count; k++)
    if (!strcmp(g_strings + g_symbols[k].st_name, name) && g_symbols[k].st_shndx && version_is(g_versions[k])) return (void *)(g_bias + g_symbols[k].st_value);
  return 0;
}

typedef int (*ClockCall)(clockid_t, struct timespec *);
typedef int (*TimeCall)(struct timeval *, void *);
typedef int (*CpuCall)(unsigned *, unsigned *, void *);

static int64_t ns(struct timespec t) { return t.tv_sec * 1000000000ll + t.tv_nsec; }

static void clocks(void) {
  static const clockid_t kClocks[] = {CLOCK_REALTIME,        CLOCK_MONOTONIC,        CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID, CLOCK_MONOTONIC_RAW,
                                      CLOCK_REALTIME_COARSE, CLOCK_MONOTONIC_COARSE, CLOCK_BOOTTIME,           CLOCK_TAI};
  ClockCall get = (ClockCall)find("__vdso_clock_gettime"), res = (ClockCall)find("__vdso_clock_getres");
  for (unsigned k = 0; k < sizeof kClocks / sizeof *kClocks; k++) {
    struct timespec before, between, after, a, b;
    int good = 1;
    for (int n = 0; n < 200; n++) {
      syscall(SYS_clock_gettime, kClocks[k], &before);
      int result = get(kClocks[k], &between);
      syscall(SYS_clock_gettime, kClocks[k], &after);
      good &= !result && ns(before) <= ns(between) && ns(between) <= ns(after) && between.tv_nsec < 1000000000;
    }
    int r = res(kClocks[k], &a);
    printf("clock %d: %s, resolution %s\n", kClocks[k], good ? "in order" : "WRONG", !r && !syscall(SYS_clock_getres, kClocks[k], &b) && ns(a) == ns(b) ? "the same" : "WRONG");
  }
  struct timespec t;
  printf("no clock: %d %d, no result wanted: %d\n", get(99, &t), res(99, &t), res(CLOCK_MONOTONIC, 0));
  struct timeval now, then;
  struct timezone zone = {1, 1};
  TimeCall gettime = (TimeCall)find("__vdso_gettimeofday");
  int first = gettime(&now, 0);
  syscall(SYS_gettimeofday, &then, 0);
  int64_t apart = (then.tv_sec - now.tv_sec) * 1000000ll + then.tv_usec - now.tv_usec;
  printf("gettimeofday: %d %d %d\n", first, apart >= 0 && apart < 30000000, now.tv_usec < 1000000);
  int both = gettime(&now, &zone);
  printf("zone: %d %d\n", both, zone.tz_minuteswest);
  printf("only the zone: %d\n", gettime(0, &zone));
}

static void processor(void) {
  CpuCall get = (CpuCall)find("__vdso_getcpu");
  cpu_set_t one, all;
  sched_getaffinity(0, sizeof all, &all);
  for (int k = 0; k < CPU_SETSIZE; k++)
    if (CPU_ISSET(k, &all)) {
      CPU_ZERO(&one);
      CPU_SET(k, &one);
      sched_setaffinity(0, sizeof one, &one);
      unsigned cpu = 99, node = 99, kernel_node = 98;
      int result = get(&cpu, &node, 0);
      syscall(SYS_getcpu, 0, &kernel_node, 0);
      printf("cpu %d: %d %u %d, %d\n", k, result, cpu, node == kernel_node, get(0, 0, 0));
    }
  sched_setaffinity(0, sizeof all, &all);
}

static int g_depth, g_found;
__attribute__((noinline)) static void raiser(void);
__attribute__((noinline)) static void caller(void);

static _Unwind_Reason_Code step(struct _Unwind_Context *context, void *data) {
  int before = 0;
  uintptr_t pc = _Unwind_GetIPInfo(context, &before);
  void *function = _Unwind_FindEnclosingFunction((void *)(pc - !before));
  if (function == (void *)raiser) g_found |= 1;
  if (function == (void *)caller) g_found |= 2;
  if (before) g_found |= 4;
  return ++g_depth > 64 ? _URC_END_OF_STACK : _URC_NO_REASON;
}
static void handler(int signal, siginfo_t *info, void *context) { _Unwind_Backtrace(step, 0); }
static volatile int g_zero;
static volatile char *volatile g_nowhere;
__attribute__((noinline)) static void raiser(void) {
  if (g_zero) g_nowhere[0] = 1;
  else raise(SIGUSR1);
  g_zero += 0;
}
__attribute__((noinline)) static void caller(void) {
  raiser();
  g_zero += 0;
}

static void catch_fault(int signal, siginfo_t *info, void *context) {
  _Unwind_Backtrace(step, 0);
  printf("fault: frames %d\n", g_found);
  _exit(0);
}

static volatile sig_atomic_t g_ticks;
static void tick(int signal) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  g_ticks++;
}

// Signals while the vDSO's functions run: nothing of theirs is lost.
static void interrupted(void) {
  struct sigaction action = {.sa_handler = tick, .sa_flags = SA_RESTART};
  sigaction(SIGALRM, &action, 0);
  struct itimerval timer = {{0, 1000}, {0, 1000}};
  setitimer(ITIMER_REAL, &timer, 0);
  ClockCall get = (ClockCall)find("__vdso_clock_gettime");
  int64_t last = 0, wrong = 0;
  while (g_ticks < 50) {
    struct timespec t;
    wrong |= get(CLOCK_MONOTONIC, &t) || ns(t) < last;
    last = ns(t);
  }
  struct itimerval off = {};
  setitimer(ITIMER_REAL, &off, 0);
  printf("interrupted: %s\n", wrong ? "WRONG" : "in order");
}

int main(void) {
  setvbuf(stdout, 0, _IONBF, 0);
  g_image = (const void *)getauxval(AT_SYSINFO_EHDR);
  printf("image: %d\n", g_image && !memcmp(g_image->e_ident, ELFMAG, SELFMAG) && g_image->e_type == ET_DYN);
  int listed = 0;
  dl_iterate_phdr(same_image, &listed);
  printf("listed: %d\n", listed);
  read_image();
  printf("functions:");
  for (const char *const *name = (const char *const[]){"__vdso_clock_gettime", "__vdso_gettimeofday", "__vdso_clock_getres", "__vdso_getcpu", "__vdso_nothing", 0}; *name; name++)
    printf(" %s %d", *name, find(*name) != 0);
  printf("\n");
#ifdef __riscv
  void (*flush)(void *, void *, unsigned long) = (void (*)(void *, void *, unsigned long))find("__vdso_flush_icache");
  if (!flush || !find("__vdso_rt_sigreturn")) printf("flush_icache or rt_sigreturn is missing\n");
  else flush((void *)main, (char *)main + 64, 0);
  // Without unwind information of the trampoline's own, libgcc guesses by its code.
  struct {
    void *text, *data, *function;
  } bases;
  char *trampoline = find("__vdso_rt_sigreturn");
  if (!_Unwind_Find_FDE(trampoline - 1, &bases) || (char *)bases.function != trampoline - 4) printf("the trampoline has no unwind information\n");
  if (!_Unwind_Find_FDE(find("__vdso_getcpu"), &bases)) printf("getcpu has no unwind information\n");
#endif
  clocks();
  processor();
  interrupted();
  struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
  sigaction(SIGUSR1, &action, 0);
  caller();
  printf("signal: frames %d\n", g_found & ~4);
  g_found = g_depth = 0;
  static char stack[1 << 16];
  stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
  sigaltstack(&alternate, 0);
  action.sa_sigaction = catch_fault, action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigaction(SIGSEGV, &action, 0);
  g_zero = 1;
  caller();
  return 1;
}
