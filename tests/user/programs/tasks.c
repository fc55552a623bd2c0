// Processes as descriptors, another's memory, scheduling, prctl, capabilities, asynchronous input and output.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/capability.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

static const char *said(long result) { return result < 0 ? strerrorname_np(errno) : "done"; }
static volatile int seen, value;
static void handler(int number, siginfo_t *info, void *context) { seen = number, value = info->si_code; }

static void descriptors(void) {
  int two[2];
  pipe(two);
  const pid_t child = fork();
  if (!child) {
    char one;
    read(two[0], &one, 1);
    for (;;) pause();
  }
  const int fd = (int)syscall(SYS_pidfd_open, child, 0);
  { printf("pidfd %s", said(fd)); printf(" cloexec %d\n", fcntl(fd, F_GETFD)); }
  const int taken = (int)syscall(SYS_pidfd_getfd, fd, two[1], 0);
  printf("getfd %s", said(taken));
  { printf(" write %zd", write(taken, "x", 1)); printf(" none %s\n", said(syscall(SYS_pidfd_getfd, fd, 999, 0))); }
  struct pollfd wait = {fd, POLLIN};
  printf("alive %d", poll(&wait, 1, 0));
  siginfo_t info = {0};
  printf(" nothing %d %d", waitid(P_PIDFD, fd, &info, WEXITED | WNOHANG), info.si_pid);
  printf(" signal 0 %s", said(syscall(SYS_pidfd_send_signal, fd, 0, 0, 0)));
  printf(" kill %s", said(syscall(SYS_pidfd_send_signal, fd, SIGTERM, 0, 0)));
  printf(" dead %d", poll(&wait, 1, 5000));
  printf(" waitid %s", said(waitid(P_PIDFD, fd, &info, WEXITED)));
  printf(" %d %d code %d status %d\n", info.si_pid == child, info.si_signo, info.si_code, info.si_status);
  printf("gone %s", said(syscall(SYS_pidfd_send_signal, fd, 0, 0, 0)));
  printf(" wrong %s\n", said(syscall(SYS_pidfd_open, -1, 0)));
}

static void other_memory(void) {
  static char text[2][32] = {"memory of the parent", "second part"};
  char *last = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  memset(last, 'l', 4096), munmap(last + 4096, 4096);
  fflush(stdout);
  const pid_t child = fork();
  if (!child) {
    for (;;) pause();
  }
  char into[64] = {0};
  struct iovec local[2] = {{into, 10}, {into + 10, 50}}, remote[2] = {{text[0], 20}, {text[1], 11}};
  printf("readv %zd", process_vm_readv(child, local, 2, remote, 2, 0));
  printf(" %s\n", into);
  strcpy(into, "written");
  local[0] = (struct iovec){into, 8};
  printf("writev %zd", process_vm_writev(child, local, 1, remote, 1, 0));
  memset(into, 0, sizeof into);
  process_vm_readv(child, local, 1, remote, 1, 0);
  printf(" %s here %s\n", into, text[0]);
  remote[0] = (struct iovec){last + 4090, 20}, local[0] = (struct iovec){into, 20};
  printf("partly %zd", process_vm_readv(child, local, 1, remote, 1, 0));
  remote[0].iov_base = (void *)8;
  { printf(" none %s", said(process_vm_readv(child, local, 1, remote, 1, 0))); printf(" flags %s\n", said(process_vm_readv(child, local, 1, remote, 1, 5))); }
  { printf("kcmp %ld", syscall(SYS_kcmp, getpid(), child, 0 /* file */, 1, 1)); printf(" %s\n", said(syscall(SYS_kcmp, getpid(), child, 99, 0, 0))); }
  kill(child, SIGKILL), wait(0);
}

static void scheduling(void) {
  struct {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
    uint32_t low, high;
  } attributes = {0};
  fflush(stdout);
  if (fork()) {
    wait(0);
    return;
  }
  printf("getattr %s", said(syscall(SYS_sched_getattr, 0, &attributes, sizeof attributes, 0)));
  printf(" %u policy %u nice %d\n", attributes.size, attributes.policy, attributes.nice);
  attributes.size = sizeof attributes, attributes.policy = SCHED_BATCH, attributes.nice = 3;
  { printf("setattr %s", said(syscall(SYS_sched_setattr, 0, &attributes, 0))); printf(" policy %d", sched_getscheduler(0)); printf(" nice %d\n", getpriority(PRIO_PROCESS, 0)); }
  attributes.policy = 77;
  printf("wrong %s", said(syscall(SYS_sched_setattr, 0, &attributes, 0)));
  attributes.size = 8;
  printf(" small %s\n", said(syscall(SYS_sched_setattr, 0, &attributes, 0)));
  struct sched_param parameter = {5};
  { printf("other %s", said(sched_setscheduler(0, SCHED_OTHER, &parameter))); printf(" min %d", sched_get_priority_min(SCHED_FIFO)); printf(" max %d\n", sched_get_priority_max(SCHED_RR)); }
  parameter.sched_priority = 0;
  printf("idle %s", said(sched_setscheduler(0, SCHED_IDLE, &parameter)));
  printf(" %d\n", sched_getscheduler(0));
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(0, &set);
  printf("affinity %s", said(sched_setaffinity(0, sizeof set, &set)));
  CPU_ZERO(&set);
  { printf(" %s", said(sched_getaffinity(0, sizeof set, &set))); printf(" count %d", CPU_COUNT(&set)); }
  unsigned cpu = 99, node = 99;
  printf(" on %s", said(getcpu(&cpu, &node)));
  printf(" %u\n", cpu);
  { printf("nice %d", getpriority(PRIO_PROCESS, 0)); printf(" %s\n", said(setpriority(PRIO_PROCESS, 0, 10))); }
  { printf("io %ld", syscall(SYS_ioprio_get, 1, 0) & 0xe000); printf(" %s\n", said(syscall(SYS_ioprio_set, 1, 0, 3 << 13))); }
  struct timespec slice;
  printf("slice %s\n", said(sched_rr_get_interval(0, &slice)));
  fflush(stdout);
  _exit(0);
}

static void control(void) {
  char name[17] = {0};
  int number = 0;
  printf("name %s", said(prctl(PR_SET_NAME, "a name that is too long")));
  { printf(" %s", said(prctl(PR_GET_NAME, name))); printf(" %s\n", name); }
  { printf("death %s", said(prctl(PR_SET_PDEATHSIG, SIGUSR2))); printf(" %s", said(prctl(PR_GET_PDEATHSIG, &number))); printf(" %d\n", 0); }
  printf("signal %d\n", number);
  { printf("dumpable %d", prctl(PR_GET_DUMPABLE)); printf(" %s", said(prctl(PR_SET_DUMPABLE, 0))); }
  { printf(" %d", prctl(PR_GET_DUMPABLE)); printf(" %s", said(prctl(PR_SET_DUMPABLE, 1))); }
  printf(" %s\n", said(prctl(PR_SET_DUMPABLE, 7)));
  { printf("reaper %s", said(prctl(PR_SET_CHILD_SUBREAPER, 1))); printf(" %s", said(prctl(PR_GET_CHILD_SUBREAPER, &number))); }
  printf(" %d\n", number);
  { printf("slack %d", prctl(PR_GET_TIMERSLACK)); printf(" %s\n", said(prctl(PR_SET_TIMERSLACK, 12345))); }
  printf("slack %d\n", prctl(PR_GET_TIMERSLACK));
  { printf("keep %d", prctl(PR_GET_KEEPCAPS)); printf(" %s", said(prctl(PR_SET_KEEPCAPS, 1))); printf(" %d\n", 0); }
  printf("secure %d\n", prctl(PR_GET_SECUREBITS));
  printf("privileges %d", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
  printf(" %s", said(prctl(PR_SET_NO_NEW_PRIVS, 1, 1, 0, 0)));
  { printf(" bounding %d", prctl(PR_CAPBSET_READ, CAP_CHOWN) >= 0); printf(" %s\n", said(prctl(PR_CAPBSET_READ, 200))); }
  { printf("huge %d", prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0)); printf(" %s", said(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0))); printf(" %d\n", 0); }
  { printf("unknown %s", said(prctl(12345))); printf(" %s\n", said(prctl(PR_SET_NAME, 8))); }
  void *memory = mmap(0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  printf("names of memory %s\n", said(prctl(0x53564d41, 0, memory, 4096, "a name")));
  struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[2] = {{0}};
  printf("capget %s", said(syscall(SYS_capget, &head, data)));
  printf(" %d\n", (data[0].effective & data[0].permitted) == data[0].effective);
  data[0].inheritable = 0, data[1].inheritable = 0;
  printf("capset %s", said(syscall(SYS_capset, &head, data)));
  data[1].permitted = ~0u;
  printf(" more %s", said(syscall(SYS_capset, &head, data)));
  head.version = 1;
  { printf(" version %s", said(syscall(SYS_capget, &head, data))); printf(" %#x\n", head.version); }
}

static void asynchronous(void) {
  aio_context_t context = 0;
  printf("io_setup %s\n", said(syscall(SYS_io_setup, 8, &context)));
  if (!context) return;
  const int fd = memfd_create("file", 0), event = eventfd(0, 0);
  char text[32] = "asynchronous", into[32] = {0}, more[8] = {0};
  struct iocb write_it = {.aio_data = 1, .aio_lio_opcode = IOCB_CMD_PWRITE, .aio_fildes = fd, .aio_buf = (uint64_t)(uintptr_t)text, .aio_nbytes = 12, .aio_flags = IOCB_FLAG_RESFD, .aio_resfd = event};
  struct iocb *list[2] = {&write_it};
  printf("submit %ld", syscall(SYS_io_submit, context, 1, list));
  struct io_event events[4] = {{0}};
  long count = syscall(SYS_io_getevents, context, 1, 4, events, 0);
  printf(" events %ld data %lld result %lld\n", count, (long long)events[0].data, (long long)events[0].res);
  eventfd_t told = 0;
  eventfd_read(event, &told);
  printf("told %d\n", (int)told);
  struct iovec parts[2] = {{into, 5}, {more, 7}};
  struct iocb read_it = {.aio_data = 2, .aio_lio_opcode = IOCB_CMD_PREADV, .aio_fildes = fd, .aio_buf = (uint64_t)(uintptr_t)parts, .aio_nbytes = 2};
  struct iocb wrong = {.aio_data = 3, .aio_lio_opcode = 99, .aio_fildes = fd};
  list[0] = &read_it, list[1] = &wrong;
  printf("submit %ld", syscall(SYS_io_submit, context, 2, list));
  count = syscall(SYS_io_getevents, context, 1, 4, events, &(struct timespec){5, 0});
  printf(" events %ld data %lld result %lld %s %s\n", count, (long long)events[0].data, (long long)events[0].res, into, more);
  list[0] = &wrong;
  { printf("wrong %s", said(syscall(SYS_io_submit, context, 1, list))); printf(" none %ld\n", syscall(SYS_io_getevents, context, 0, 4, events, 0)); }
  int two[2];
  pipe(two);
  struct iocb poll_it = {.aio_data = 4, .aio_lio_opcode = IOCB_CMD_POLL, .aio_fildes = two[0], .aio_buf = POLLIN};
  list[0] = &poll_it;
  printf("poll %ld", syscall(SYS_io_submit, context, 1, list));
  printf(" cancel %s", said(syscall(SYS_io_cancel, context, &poll_it, events)));
  count = syscall(SYS_io_getevents, context, 1, 4, events, &(struct timespec){5, 0});
  printf(" %ld %lld\n", count, (long long)events[0].data);
  printf("destroy %s", said(syscall(SYS_io_destroy, context)));
  printf(" %s\n", said(syscall(SYS_io_destroy, context)));
}

static void timers(void) {
  struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
  sigaction(SIGALRM, &action, 0), sigaction(SIGPROF, &action, 0);
  struct itimerval when = {{0, 0}, {0, 2000}}, old;
  printf("itimer %s\n", said(setitimer(ITIMER_REAL, &when, 0)));
  while (!seen) pause();
  printf("%d code %d\n", seen, value);
  when.it_value.tv_sec = 50, setitimer(ITIMER_PROF, &when, 0), getitimer(ITIMER_PROF, &old);
  printf("left %d\n", old.it_value.tv_sec >= 49 && old.it_value.tv_sec <= 50);
  when.it_value.tv_usec = 1000000;
  printf("wrong %s\n", said(setitimer(ITIMER_PROF, &when, 0)));
  struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGALRM};
  ((int *)&event)[4] = getpid();
  timer_t timer;
  printf("timer %s", said(timer_create(CLOCK_MONOTONIC, &event, &timer)));
  seen = 0;
  timer_settime(timer, 0, &(struct itimerspec){.it_value = {0, 1000000}}, 0);
  while (!seen) usleep(1000);
  printf(" %d code %d overrun %d\n", seen, value, timer_getoverrun(timer));
  printf("delete %s\n", said(timer_delete(timer)));
  struct rusage use;
  { printf("usage %s", said(getrusage(RUSAGE_SELF, &use))); printf(" %d\n", use.ru_utime.tv_sec < 100); }
}

int main(void) {
  descriptors();
  other_memory();
  scheduling();
  control();
  asynchronous();
  timers();
}
