// io_uring without a library: files, pipes, epoll, timeouts, links, many entries at once; what is refused.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static int ring;
static struct io_uring_params params;
static char *queue, *completions;
static struct io_uring_sqe *entries;
static unsigned pending;

static unsigned *at(char *base, unsigned offset) { return (unsigned *)(base + offset); }

static struct io_uring_sqe *next(int opcode, int fd, void *address, unsigned length, unsigned long data) {
  unsigned *tail = at(queue, params.sq_off.tail), mask = *at(queue, params.sq_off.ring_mask);
  unsigned index = (*tail + pending) & mask;
  struct io_uring_sqe *entry = &entries[index];
  memset(entry, 0, sizeof *entry);
  entry->opcode = opcode, entry->fd = fd, entry->addr = (unsigned long)address, entry->len = length, entry->user_data = data;
  at(queue, params.sq_off.array)[index] = index;
  pending++;
  return entry;
}
static int submit(unsigned wait) {
  unsigned count = pending;
  __atomic_store_n(at(queue, params.sq_off.tail), *at(queue, params.sq_off.tail) + pending, __ATOMIC_RELEASE);
  pending = 0;
  int done = syscall(SYS_io_uring_enter, ring, count, wait, wait ? IORING_ENTER_GETEVENTS : 0, 0, 0);
  return done < 0 ? -errno : done;
}
// Results in the order of their numbers.
static void results(const char *what) {
  unsigned *head = at(completions, params.cq_off.head), *tail = at(completions, params.cq_off.tail), mask = *at(completions, params.cq_off.ring_mask);
  struct io_uring_cqe *all = (struct io_uring_cqe *)(completions + params.cq_off.cqes);
  printf("%s:", what);
  for (unsigned long data = 0; data < 100; data++)
    for (unsigned k = *head; k != __atomic_load_n(tail, __ATOMIC_ACQUIRE); k++)
      if (all[k & mask].user_data == data) printf(" %lu=%d", data, all[k & mask].res);
  __atomic_store_n(head, *tail, __ATOMIC_RELEASE);
  printf("\n");
}

int main(void) {
  struct io_uring_params bad;
  memset(&bad, 0, sizeof bad);
  bad.flags = 1u << 30;
  int refused = syscall(SYS_io_uring_setup, 8, &bad);
  printf("unknown flag: %d\n", refused < 0 && errno == EINVAL);
  ring = syscall(SYS_io_uring_setup, 64, &params);
  if (ring < 0) {
    printf("refused here: %s\n", strerror(errno));
    return 0;
  }
  size_t queue_bytes = params.sq_off.array + params.sq_entries * 4, more = params.cq_off.cqes + params.cq_entries * sizeof(struct io_uring_cqe);
  if (more > queue_bytes) queue_bytes = more;
  queue = completions = mmap(0, queue_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_SQ_RING);
  entries = mmap(0, params.sq_entries * sizeof *entries, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_SQES);
  printf("single mapping %d, mapped %d\n", !!(params.features & IORING_FEAT_SINGLE_MMAP), queue != MAP_FAILED && entries != MAP_FAILED);

  for (int k = 0; k < 40; k++) next(IORING_OP_NOP, -1, 0, 0, k);
  printf("submitted %d\n", submit(40));
  results("nothing");

  int ends[2];
  pipe(ends);
  static char text[64];
  next(IORING_OP_READ, ends[0], text, sizeof text, 1);
  next(IORING_OP_WRITE, ends[1], "through a ring", 14, 2);
  printf("submitted %d\n", submit(2));
  results("pipe");
  printf("read '%s'\n", text);

  next(IORING_OP_OPENAT, AT_FDCWD, "/proc/self/nothing", 0, 3)->open_flags = O_RDONLY;
  next(IORING_OP_OPENAT, AT_FDCWD, "relative-nothing", 0, 4)->open_flags = O_RDONLY;
  printf("submitted %d\n", submit(2));
  results("open");

  int epoll = epoll_create1(0), event = eventfd(0, 0);
  struct epoll_event wanted = {EPOLLIN, {.u64 = 0x123456789abcdef0}};
  struct io_uring_sqe *add = next(IORING_OP_EPOLL_CTL, epoll, &wanted, EPOLL_CTL_ADD, 5);
  add->off = event;
  unsigned long address = add->addr;
  printf("submitted %d\n", submit(1));
  results("epoll");
  printf("as it was %d\n", add->addr == address);
  eventfd_write(event, 1);
  struct epoll_event got;
  int count = epoll_wait(epoll, &got, 1, 1000);
  printf("event %d %x %llx\n", count, got.events, (unsigned long long)got.data.u64);

  struct __kernel_timespec soon = {0, 1000000};
  next(IORING_OP_TIMEOUT, -1, &soon, 1, 6);
  printf("submitted %d\n", submit(1));
  results("timeout");
  next(IORING_OP_WRITE, ends[1], "x", 1, 7)->flags = IOSQE_IO_LINK;
  next(IORING_OP_READ, ends[0], text, 1, 8);
  next(IORING_OP_READ, ends[0], (void *)8, 1, 9);
  next(200, -1, 0, 0, 10);
  printf("submitted %d\n", submit(0));
  write(ends[1], "y", 1);
  syscall(SYS_io_uring_enter, ring, 0, 4, IORING_ENTER_GETEVENTS, 0, 0);
  results("links and mistakes");
  int failed = syscall(SYS_io_uring_enter, ends[0], 1, 0, 0, 0, 0);
  printf("no ring: %d\n", failed < 0 && (errno == EOPNOTSUPP));
  failed = syscall(SYS_io_uring_enter, 999, 0, 0, 0, 0, 0);
  printf("no descriptor: %s\n", failed < 0 ? strerror(errno) : "?");
  close(ring);
  return 0;
}
