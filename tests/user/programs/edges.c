// Calls about memory with addresses and lengths at the edge: what they say, and that the page beside keeps what it has.
#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static char *pages;  // four: two mapped, a hole, one mapped

static void make(void) {
  // More than is used lies behind: what reaches beyond the four meets no one else's.
  if (!pages) pages = mmap(0, 16 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  munmap(pages, 16 * 4096), mmap(pages + 8 * 4096, 8 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  pages = mmap(pages, 4 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  memset(pages, 'x', 4 * 4096);
  munmap(pages + 2 * 4096, 4096);
}

int main(void) {
  static const struct {
    const char *name;
    long number;
    int kind;  // 0: (address, bytes), 1: and a number, 2: mremap
  } calls[] = {{"munmap", SYS_munmap, 0}, {"mprotect", SYS_mprotect, 1}, {"madvise", SYS_madvise, 1}, {"msync", SYS_msync, 1}, {"mincore", SYS_mincore, 3}, {"mlock", SYS_mlock, 0}, {"munlock", SYS_munlock, 0}, {"mremap", SYS_mremap, 2}};
  static const uint64_t lengths[] = {0, 1, 4096, 4097, 2 * 4096, 3 * 4096, 4 * 4096, -(uint64_t)1, -(uint64_t)4096, -(uint64_t)4097, (uint64_t)1 << 63};
  static const int numbers[] = {0, 1, 3, 4, 8, 0x10, 99, -1};
  static char states[16];
  make();
  for (unsigned c = 0; c < sizeof calls / sizeof *calls; c++)
    for (int place = 0; place < 7; place++) {
      printf("%s %d:", calls[c].name, place);
      for (unsigned l = 0; l < sizeof lengths / sizeof *lengths; l++)
        for (unsigned n = 0; n < (calls[c].kind == 1 ? sizeof numbers / sizeof *numbers : calls[c].kind == 2 ? 4 : 1); n++) {
          make();
          const uint64_t addresses[] = {(uintptr_t)pages, (uintptr_t)pages + 1, (uintptr_t)pages + 4096, (uintptr_t)pages + 2 * 4096, 0, -(uint64_t)4096, (uint64_t)1 << 63};
          // What would take more than these pages away, or the program's own.
          if (calls[c].kind == 0 && place == 4 && lengths[l] > 4096) continue;
          if ((calls[c].kind == 1 || calls[c].kind == 2) && lengths[l] > 4 * 4096 && place != 1 && place < 5) continue;
          static const uint64_t wanted[] = {0, 4096, 2 * 4096, -(uint64_t)1};
          const long argument = calls[c].kind == 3 ? (long)states : calls[c].kind == 2 ? (long)wanted[n] : numbers[n];
          const long result = syscall(calls[c].number, addresses[place], lengths[l], argument, 0, 0);
          printf(" %s", result < 0 ? strerrorname_np(errno) : calls[c].kind == 2 && result != (long)addresses[place] ? "moved" : "done");
          if (calls[c].kind == 2 && result > 0 && result != (long)addresses[place]) munmap((void *)result, wanted[n]);
        }
      printf("\n");
    }
  make();
  printf("%c%c\n", pages[0], pages[3 * 4096]);
}
