// Programs that write code: by mprotect in turn, in pages that are writable all along, through a second mapping, and from another thread.
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static long page;
typedef int (*function)(void);

// A function that returns `value`.
static void emit(char *where, int value) {
#ifdef __riscv
  unsigned code[2] = {0x00000513u | (unsigned)(value & 0x7ff) << 20, 0x00008067u};  // li a0, value; ret
  memcpy(where, code, 8);
#else
  unsigned char code[6] = {0xb8, value & 0xff, value >> 8 & 0xff, 0, 0, 0xc3};
  memcpy(where, code, 6);
#endif
}
static int call(char *where) {
  __builtin___clear_cache(where, where + 64);
  return ((function)(void *)where)();
}

static char *code;
static void *writes(void *argument) {
  for (int k = 0; k < 200; k++) emit(code + page / 2 + 64, k), ((volatile char *)code)[page - 8] = (char)k;
  return argument;
}

int main(void) {
  page = sysconf(_SC_PAGESIZE);
  code = mmap(0, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  long sum = 0;
  for (int k = 0; k < 300; k++) {
    mprotect(code, page, PROT_READ | PROT_WRITE);
    emit(code, k);
    mprotect(code, page, PROT_READ | PROT_EXEC);
    sum += call(code);
  }
  printf("in turn %ld\n", sum);
  mprotect(code, page, PROT_READ | PROT_WRITE | PROT_EXEC);
  sum = 0;
  for (int k = 0; k < 300; k++) {
    emit(code, k), emit(code + 128, k * 2);
    sum += call(code) + call(code + 128);
  }
  printf("writable %ld\n", sum);
  int fd = memfd_create("code", 0);
  if (ftruncate(fd, page)) return 1;
  char *one = mmap(0, page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  emit(one, 77);
  char *two = mmap(0, page, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
  printf("second mapping %d\n", call(two));
  sum = 0;
  for (int k = 0; k < 200; k++) {
    emit(one, k);
    sum += call(two);
  }
  printf("written through the other %ld\n", sum);
  munmap(one, page), munmap(two, page);
  pthread_t thread;
  emit(code, 9);
  pthread_create(&thread, 0, writes, 0);
  sum = 0;
  for (int k = 0; k < 1000; k++) sum += call(code);
  pthread_join(thread, 0);
  printf("beside a writer %ld, its last %d\n", sum, call(code + page / 2 + 64));
  // The kernel writes code: read from a pipe into the page.
  int ends[2];
  if (pipe(ends)) return 1;
  char buffer[64];
  emit(buffer, 321);
  if (write(ends[1], buffer, 16) != 16) return 1;
  printf("before %d", call(code));
  printf(" read %zd", read(ends[0], code, 16));
  printf(" after %d\n", call(code));
  // New code at an address that was unmapped in between.
  munmap(code, page);
  code = mmap(code, page, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  emit(code, 55);
  printf("mapped anew %d\n", call(code));
  return 0;
}
