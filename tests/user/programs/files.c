// Structures that differ between machines (stat, epoll, semaphores), and calls around them.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <sys/un.h>
#include <unistd.h>

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

int main(void) {
  char folder[] = "/tmp/lyre-files-XXXXXX";
  if (!mkdtemp(folder) || chdir(folder)) return 1;
  int fd = open("a", O_RDWR | O_CREAT | O_EXCL, 0640);
  printf("write %zd\n", write(fd, "0123456789", 10));
  struct stat s;
  fstat(fd, &s);
  printf("stat size %ld mode %o links %ld blocks %ld block %ld uid %d\n", (long)s.st_size, s.st_mode, (long)s.st_nlink, (long)s.st_blocks,
         (long)s.st_blksize, s.st_uid == getuid());
  struct timespec times[2] = {{1000000000, 1}, {1234567890, 987654321}};
  futimens(fd, times);
  stat("a", &s);
  printf("times %ld.%ld %ld.%ld\n", s.st_atim.tv_sec, s.st_atim.tv_nsec, s.st_mtim.tv_sec, s.st_mtim.tv_nsec);
  struct statx x;
  statx(AT_FDCWD, "a", 0, STATX_BASIC_STATS, &x);
  printf("statx %ld %lld\n", (long)x.stx_size, (long long)x.stx_mtime.tv_sec);
  lstat("/dev/null", &s);
  printf("device %lx char %d\n", (long)s.st_rdev, S_ISCHR(s.st_mode));
  errno = 0;
  printf("excl %d", open("a", O_CREAT | O_EXCL, 0600));
  printf(" %d\n", errno);
  printf("directory %d", open("a", O_DIRECTORY));
  printf(" %d\n", errno);
  symlink("a", "link");
  printf("nofollow %d", open("link", O_NOFOLLOW));
  printf(" %d\n", errno);
  mkdir("b", 0755), rename("a", "b/c"), link("b/c", "d");
  DIR *dir = opendir(".");
  char *names[16];
  int count = 0;
  for (struct dirent *e; (e = readdir(dir));)
    if (e->d_name[0] != '.') {
      if (asprintf(&names[count++], "%s:%d", e->d_name, e->d_type) < 0) return 1;
    }
  qsort(names, count, sizeof *names, by_name);
  for (int k = 0; k < count; k++) printf("entry %s\n", names[k]);
  char one[4], two[8];
  struct iovec parts[2] = {{one, 4}, {two, 8}};
  printf("preadv %zd", preadv(fd, parts, 2, 0));
  printf(" %.4s %.6s\n", one, two);
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 2, .l_len = 3};
  printf("lock %d\n", fcntl(fd, F_SETLK, &lock));
  printf("flags %o\n", fcntl(fd, F_GETFL) & ~0100000);
  printf("truncate %d", ftruncate(fd, 5));
  printf(" seek %ld\n", (long)lseek(fd, 0, SEEK_END));
  unlink("b/c"), unlink("d"), unlink("link"), rmdir("b");
  // epoll with its 64 bits of data.
  int epoll = epoll_create1(EPOLL_CLOEXEC), event = eventfd(3, EFD_NONBLOCK), timer = timerfd_create(CLOCK_MONOTONIC, 0);
  struct epoll_event e = {.events = EPOLLIN, .data.u64 = 0x1122334455667788};
  epoll_ctl(epoll, EPOLL_CTL_ADD, event, &e);
  e.data.u64 = 0xaabbccddeeff0011;
  epoll_ctl(epoll, EPOLL_CTL_ADD, timer, &e);
  struct epoll_event got[4];
  printf("epoll %d", epoll_wait(epoll, got, 4, 1000));
  printf(" %x %lx\n", got[0].events, (long)got[0].data.u64);
  unsigned long value;
  printf("eventfd %zd", read(event, &value, 8));
  printf(" %lu\n", value);
  struct itimerspec soon = {.it_value = {0, 1000000}};
  timerfd_settime(timer, 0, &soon, 0);
  printf("timer %d", epoll_wait(epoll, got, 4, 1000));
  printf(" %lx\n", (long)got[0].data.u64);
  struct pollfd p = {.fd = timer, .events = POLLIN};
  printf("poll %d", poll(&p, 1, 0));
  printf(" %x\n", p.revents);
  fd_set readable;
  FD_ZERO(&readable);
  FD_SET(timer, &readable);
  printf("select %d\n", select(timer + 1, &readable, 0, 0, 0));
  // Sockets: descriptors in a message.
  int pair[2];
  socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
  char control[CMSG_SPACE(sizeof(int))] = {0}, byte = 'z';
  struct iovec io = {&byte, 1};
  struct msghdr m = {.msg_iov = &io, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  struct cmsghdr *c = CMSG_FIRSTHDR(&m);
  c->cmsg_level = SOL_SOCKET, c->cmsg_type = SCM_RIGHTS, c->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(c), &event, sizeof event);
  printf("sendmsg %zd", sendmsg(pair[0], &m, 0));
  memset(control, 0, sizeof control);
  printf(" recvmsg %zd\n", recvmsg(pair[1], &m, 0));
  int passed;
  memcpy(&passed, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof passed);
  value = 7;
  printf("through it %zd\n", write(passed, &value, 8));
  // System V.
  int sem = semget(IPC_PRIVATE, 3, 0600), shm = shmget(IPC_PRIVATE, 10000, 0600), msg = msgget(IPC_PRIVATE, 0600);
  struct sembuf up = {1, 4, 0};
  semop(sem, &up, 1);
  struct semid_ds sd;
  semctl(sem, 0, IPC_STAT, &sd);
  printf("sem %d count %ld mode %o time %d\n", semctl(sem, 1, GETVAL), (long)sd.sem_nsems, sd.sem_perm.mode, sd.sem_otime > 1000000000);
  char *memory = shmat(shm, 0, 0);
  struct shmid_ds hd;
  shmctl(shm, IPC_STAT, &hd);
  strcpy(memory, "shared");
  printf("shm %s %zu attached %ld\n", memory, hd.shm_segsz, (long)hd.shm_nattch);
  printf("shmdt %d\n", shmdt(memory));
  struct {
    long type;
    char text[8];
  } note = {2, "note"}, back;
  msgsnd(msg, &note, 8, 0);
  printf("msg %zd", msgrcv(msg, &back, 8, 2, 0));
  printf(" %s\n", back.text);
  semctl(sem, 0, IPC_RMID), shmctl(shm, IPC_RMID, 0), msgctl(msg, IPC_RMID, 0);
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  printf("limit %d\n", limit.rlim_cur > 0);
  limit.rlim_cur = 4 << 20, limit.rlim_max = RLIM_INFINITY;
  setrlimit(RLIMIT_STACK, &limit);
  getrlimit(RLIMIT_STACK, &limit);
  printf("stack limit %lu\n", (long)limit.rlim_cur);
  printf("close range %d\n", close_range(3, ~0u, 0));
  printf("closed %d", fcntl(fd, F_GETFD));
  printf(" %d\n", errno);
  printf("no such call %ld", (long)syscall(5000));
  printf(" %d\n", errno);
  chdir("/");
  return rmdir(folder);
}
