// The mmap family: results and errors. Addresses are not printed, only what must hold on any machine.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static sigjmp_buf jump;
static volatile int seen_signal, seen_code;
static void *volatile seen_address;
static void handler(int signal, siginfo_t *info, void *context) {
  (void)context;
  seen_signal = signal, seen_code = info->si_code, seen_address = info->si_addr;
  siglongjmp(jump, 1);
}
static void touch(const char *name, volatile char *where, int write) {
  if (sigsetjmp(jump, 1) == 0) {
    if (write) *where = 1;
    else (void)*where;
    printf("%s: fine\n", name);
  } else {
    printf("%s: signal %d code %d address %s\n", name, seen_signal, seen_code, seen_address == (void *)where ? "right" : "wrong");
  }
}

int main(void) {
  const long page = sysconf(_SC_PAGESIZE);
  struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
  sigaction(SIGSEGV, &action, 0);
  sigaction(SIGBUS, &action, 0);
  char *p = mmap(0, 4 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  printf("map %d zero %d\n", p != MAP_FAILED, p[0] == 0 && p[4 * page - 1] == 0);
  memset(p, 7, 4 * page);
  printf("protect %d\n", mprotect(p + page, page, PROT_READ));
  touch("read of read-only", p + page, 0);
  touch("write of read-only", p + page + 5, 1);
  touch("write below", p + page - 1, 1);
  printf("protect none %d\n", mprotect(p + 2 * page, page, PROT_NONE));
  touch("read of none", p + 2 * page, 0);
  printf("unmap %d\n", munmap(p + 3 * page, page));
  touch("read of a hole", p + 3 * page, 0);
  touch("null", (char *)8, 1);
  errno = 0;
  printf("protect over a hole %d", mprotect(p, 4 * page, PROT_READ));
  printf(" errno %d\n", errno);
  printf("noreplace %d", mmap(p, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED);
  printf(" errno %d\n", errno);
  printf("bad length %d", mmap(0, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED);
  printf(" errno %d\n", errno);
  printf("bad address %d", munmap(p + 1, page));
  printf(" errno %d\n", errno);
  char *q = mmap(p + 3 * page, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  printf("fixed %d\n", q == p + 3 * page);
  // mremap: the contents go along.
  char *r = mmap(0, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  strcpy(r, "contents"), strcpy(r + page, "more");
  char *s = mremap(r, 2 * page, 64 * page, MREMAP_MAYMOVE);
  printf("grown %s %s %d\n", s, s + page, s[63 * page]);
  s = mremap(s, 64 * page, page, 0);
  printf("shrunk %s\n", s);
  touch("behind the shrunk one", s + page, 0);
  // A file, and beyond its end.
  char name[] = "/tmp/lyre-memory-XXXXXX";
  int fd = mkstemp(name);
  unlink(name);
  if (write(fd, "file", 4) != 4) return 1;
  char *f = mmap(0, 2 * page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  printf("file %.4s\n", f);
  touch("behind the file's last page", f + page, 0);
  f[1] = 'u';
  char back[5] = "";
  printf("pread %zd %s\n", pread(fd, back, 4, 0), back);
  // A huge reservation costs nothing.
  char *huge = mmap(0, 1ul << 38, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  printf("reservation %d\n", huge != MAP_FAILED);
  printf("commit %d\n", mprotect(huge + (1ul << 37), page, PROT_READ | PROT_WRITE));
  touch("committed", huge + (1ul << 37), 1);
  char *before = sbrk(0);
  const int grown = sbrk(10 * page) == before;
  printf("brk %d %d\n", grown, (char *)sbrk(0) == before + 10 * page);
  before[5 * page] = 1;
  printf("brk back %d\n", brk(before));
  // The kernel writes where the program may not: EFAULT, no signal.
  printf("read into read-only %zd", pread(fd, p + page, 4, 0));
  printf(" errno %d\n", errno);
  printf("write from nowhere %zd", write(fd, (void *)16, 4));
  printf(" errno %d\n", errno);
  return 0;
}
