// Descriptors that tell of something: eventfd, timerfd, signalfd, inotify, fanotify, epoll over all of them.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/fanotify.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *said(long result) { return result < 0 ? strerrorname_np(errno) : "done"; }

static void counters(void) {
  uint64_t value = 0;
  const int fd = eventfd(3, EFD_NONBLOCK | EFD_CLOEXEC), semaphore = eventfd(2, EFD_SEMAPHORE);
  read(fd, &value, 8);
  printf("eventfd %d\n", (int)value);
  printf("again %s\n", said(read(fd, &value, 8)));
  value = UINT64_MAX - 1;
  printf("full %s\n", said(write(fd, &value, 8)));
  value = 1;
  printf("more %s\n", said(write(fd, &value, 8)));
  value = UINT64_MAX;
  printf("too much %s\n", said(write(fd, &value, 8)));
  printf("short %s\n", said(read(fd, &value, 4)));
  read(semaphore, &value, 8);
  printf("semaphore %d\n", (int)value);
  struct pollfd wait = {fd, POLLIN | POLLOUT};
  poll(&wait, 1, 0);
  printf("poll %#x\n", wait.revents);
}

static void timers(void) {
  const int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  struct itimerspec when = {.it_value = {0, 1000000}, .it_interval = {0, 1000000}}, old;
  uint64_t times = 0;
  printf("set %s\n", said(timerfd_settime(fd, 0, &when, 0)));
  poll(&(struct pollfd){fd, POLLIN}, 1, 5000);
  usleep(5000);
  printf("read %zd", read(fd, &times, 8));
  printf(" %d\n", times >= 1);
  when = (struct itimerspec){0};
  timerfd_settime(fd, 0, &when, &old);
  printf("interval was %ld\n", (long)old.it_interval.tv_nsec);
  printf("nothing %s\n", said(read(fd, &times, 8)));
  when.it_value.tv_sec = 1, when.it_value.tv_nsec = 1000000000;
  printf("wrong %s\n", said(timerfd_settime(fd, 0, &when, 0)));
  when.it_value = (struct timespec){100, 0};
  timerfd_settime(fd, 0, &when, 0), timerfd_gettime(fd, &old);
  printf("left %d\n", old.it_value.tv_sec >= 98 && old.it_value.tv_sec < 101);
  printf("absolute %s\n", said(timerfd_settime(timerfd_create(CLOCK_REALTIME, 0), TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &when, 0)));
  printf("no clock %s\n", said(timerfd_create(77, 0)));
}

static void signals(void) {
  sigset_t set;
  sigemptyset(&set), sigaddset(&set, SIGUSR1), sigaddset(&set, SIGRTMIN + 2), sigaddset(&set, SIGCHLD);
  sigprocmask(SIG_BLOCK, &set, 0);
  const int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
  struct signalfd_siginfo info;
  printf("none %s\n", said(read(fd, &info, sizeof info)));
  raise(SIGUSR1);
  sigqueue(getpid(), SIGRTMIN + 2, (union sigval){.sival_int = 77});
  sigqueue(getpid(), SIGRTMIN + 2, (union sigval){.sival_int = 78});
  for (int k = 0; k < 3; k++) {
    const ssize_t got = read(fd, &info, sizeof info);
    printf("%zd signal %d code %d self %d value %d\n", got, info.ssi_signo, info.ssi_code, info.ssi_pid == (unsigned)getpid(), info.ssi_int);
  }
  const pid_t child = fork();
  if (!child) _exit(12);
  poll(&(struct pollfd){fd, POLLIN}, 1, 5000);
  read(fd, &info, sizeof info);
  printf("child %d code %d status %d\n", info.ssi_pid == (unsigned)child, info.ssi_code, info.ssi_status);
  wait(0);
  sigdelset(&set, SIGUSR1);
  printf("less %d\n", signalfd(fd, &set, 0) == fd);
  raise(SIGUSR1);
  printf("not this %s\n", said(read(fd, &info, sizeof info)));
  printf("wrong size %s\n", said(read(fd, &info, 10)));
}

static void print_events(int fd) {
  char room[4096] __attribute__((aligned(8)));
  const ssize_t got = read(fd, room, sizeof room);
  if (got < 0) printf("%s\n", strerrorname_np(errno));
  for (ssize_t at = 0; at < got;) {
    struct inotify_event *e = (void *)(room + at);
    printf("  watch %d mask %#x cookie %d name %u '%s'\n", e->wd, e->mask, e->cookie != 0, e->len, e->len ? e->name : "");
    at += (ssize_t)(sizeof *e + e->len);
  }
}

static void watches(const char *folder) {
  const int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  const int watch = inotify_add_watch(fd, folder, IN_ALL_EVENTS);
  printf("watch %d\n", watch);
  chdir(folder);
  const int file = open("a file", O_CREAT | O_RDWR, 0600);
  write(file, "x", 1);
  close(file);
  print_events(fd);
  rename("a file", "b"), chmod("b", 0640), mkdir("folder", 0700);
  print_events(fd);
  link("b", "c"), unlink("b"), rmdir("folder");
  print_events(fd);
  printf("more %d\n", inotify_add_watch(fd, "c", IN_DELETE_SELF | IN_ONESHOT));
  unlink("c");
  print_events(fd);
  printf("remove %s\n", said(inotify_rm_watch(fd, watch)));
  print_events(fd);
  { printf("again %s", said(inotify_rm_watch(fd, watch))); printf(" none %s\n", said(inotify_add_watch(fd, "none", IN_OPEN))); }
}

static void permissions(void) {
  const int fd = fanotify_init(FAN_CLASS_NOTIF | FAN_CLOEXEC | FAN_NONBLOCK, O_RDONLY);
  printf("fanotify %s\n", said(fd));
  if (fd < 0) return;
  printf("mark %s\n", said(fanotify_mark(fd, FAN_MARK_ADD, FAN_OPEN | FAN_CLOSE_WRITE | FAN_EVENT_ON_CHILD, AT_FDCWD, ".")));
  close(open("seen", O_CREAT | O_WRONLY, 0600));
  char room[4096] __attribute__((aligned(8)));
  ssize_t left = read(fd, room, sizeof room);
  printf("read %d\n", left > 0);
  for (struct fanotify_event_metadata *e = (void *)room; FAN_EVENT_OK(e, left); e = FAN_EVENT_NEXT(e, left)) {
    printf("  mask %#llx version %d self %d file %d\n", (unsigned long long)e->mask, e->vers, e->pid == getpid(), e->fd >= 0);
    if (e->fd >= 0) close(e->fd);
  }
  { printf("away %s", said(fanotify_mark(fd, FAN_MARK_REMOVE, FAN_OPEN | FAN_EVENT_ON_CHILD, AT_FDCWD, "."))); printf(", wrong %s\n", said(fanotify_mark(fd, FAN_MARK_ADD, FAN_OPEN, AT_FDCWD, "none"))); }
  unlink("seen");
}

static void together(void) {
  const int fd = epoll_create1(EPOLL_CLOEXEC), event = eventfd(0, 0), timer = timerfd_create(CLOCK_MONOTONIC, 0);
  struct epoll_event e = {EPOLLIN | EPOLLET, {.u64 = 0x1122334455667788}}, got[4];
  printf("add %s", said(epoll_ctl(fd, EPOLL_CTL_ADD, event, &e)));
  e.data.u64 = 2, e.events = EPOLLIN | EPOLLONESHOT;
  printf(" %s", said(epoll_ctl(fd, EPOLL_CTL_ADD, timer, &e)));
  printf(" %s", said(epoll_ctl(fd, EPOLL_CTL_ADD, timer, &e)));
  printf(" %s\n", said(epoll_ctl(fd, EPOLL_CTL_ADD, fd, &e)));
  printf("none %d\n", epoll_wait(fd, got, 4, 0));
  eventfd_write(event, 5);
  timerfd_settime(timer, 0, &(struct itimerspec){.it_value = {0, 1}}, 0);
  usleep(5000);
  const int count = epoll_wait(fd, got, 4, 1000);
  for (int k = 0; k < count; k++) printf("%#x %#llx\n", got[k].events, (unsigned long long)got[k].data.u64);
  printf("edge and once %d\n", epoll_wait(fd, got, 4, 0));
  printf("modify %s", said(epoll_ctl(fd, EPOLL_CTL_MOD, timer, &e)));
  printf(" %d", epoll_pwait2(fd, got, 4, &(struct timespec){0, 1000000}, 0));
  printf(" %s", said(epoll_ctl(fd, EPOLL_CTL_DEL, timer, 0)));
  printf(" %s\n", said(epoll_ctl(fd, EPOLL_CTL_DEL, timer, 0)));
  printf("a file %s\n", said(epoll_ctl(fd, EPOLL_CTL_ADD, open("/etc/passwd", O_RDONLY), &e)));
  printf("too many %s\n", said(epoll_wait(fd, got, 0, 0)));
}

int main(void) {
  char folder[] = "/tmp/lyre-events-XXXXXX";
  mkdtemp(folder);
  counters();
  timers();
  signals();
  watches(folder);
  permissions();
  together();
  chdir("/"), rmdir(folder);
}
