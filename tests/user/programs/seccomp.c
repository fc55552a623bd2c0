// seccomp: which filters are taken, what each action does, who inherits them. Filters look numbers up by SYS_ macros.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef __riscv
#define OWN_ARCH (0xc0000000u | 243)
#else
#define OWN_ARCH AUDIT_ARCH_X86_64
#endif
#define ARG(k) offsetof(struct seccomp_data, args[k])
#define LOAD(at) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, at)
#define NUMBER offsetof(struct seccomp_data, nr)
#define SAY(x) BPF_STMT(BPF_RET | BPF_K, x)
// If the number is `nr`, say `what`.
#define ON(nr, what) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1), SAY(what)

static int set(unsigned operation, unsigned flags, struct sock_filter *code, unsigned count) {
  struct sock_fprog program = {count, code};
  return syscall(SYS_seccomp, operation, flags, &program);
}
#define INSTALL_WITH(flags, ...)                                             \
  ({                                                                         \
    struct sock_filter code_[] = {__VA_ARGS__};                              \
    set(SECCOMP_SET_MODE_FILTER, flags, code_, sizeof code_ / sizeof *code_); \
  })
#define INSTALL(...) INSTALL_WITH(0, __VA_ARGS__)

static void show(const char *what, long result) { printf("%s: %ld %s\n", what, result < 0 ? -1 : result, result < 0 ? strerror(errno) : ""), fflush(stdout); }

static void in_child(const char *what, void (*body)(void)) {
  fflush(stdout);
  int status = 0;
  pid_t pid = fork();
  if (!pid) {
    freopen("/dev/null", "w", stderr);
    body();
    fflush(stdout);
    syscall(SYS_exit_group, 0);
  }
  waitpid(pid, &status, 0);
  if (WIFSIGNALED(status))
    printf("%s: signal %d\n", what, WTERMSIG(status));
  else
    printf("%s: exit %d\n", what, WEXITSTATUS(status));
}
static void privileges(void) { prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); }

static void refused(void) {
  show("allow", INSTALL(SAY(SECCOMP_RET_ALLOW)));
  show("empty", set(SECCOMP_SET_MODE_FILTER, 0, NULL, 0));
  show("too long", set(SECCOMP_SET_MODE_FILTER, 0, NULL, 4097));
  show("bad address", set(SECCOMP_SET_MODE_FILTER, 0, (void *)8, 1));
  show("no return", INSTALL(BPF_STMT(BPF_LD | BPF_IMM, 1)));
  show("jump out", INSTALL(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 1, 0, 1), SAY(SECCOMP_RET_ALLOW)));
  show("jump away", INSTALL(BPF_STMT(BPF_JMP | BPF_JA, 0xffffffff), SAY(SECCOMP_RET_ALLOW)));
  show("load beyond", INSTALL(LOAD(sizeof(struct seccomp_data)), SAY(SECCOMP_RET_ALLOW)));
  show("load misaligned", INSTALL(LOAD(2), SAY(SECCOMP_RET_ALLOW)));
  show("load byte", INSTALL(BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0), SAY(SECCOMP_RET_ALLOW)));
  show("modulo", INSTALL(BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, 3), SAY(SECCOMP_RET_ALLOW)));
  show("divide by zero", INSTALL(BPF_STMT(BPF_ALU | BPF_DIV | BPF_K, 0), SAY(SECCOMP_RET_ALLOW)));
  show("shift", INSTALL(BPF_STMT(BPF_ALU | BPF_LSH | BPF_K, 32), SAY(SECCOMP_RET_ALLOW)));
  show("scratch unwritten", INSTALL(BPF_STMT(BPF_LD | BPF_MEM, 3), SAY(SECCOMP_RET_ALLOW)));
  show("scratch on one path", INSTALL(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 1, 0, 1), BPF_STMT(BPF_ST, 3), BPF_STMT(BPF_LD | BPF_MEM, 3), SAY(SECCOMP_RET_ALLOW)));
  show("scratch beyond", INSTALL(BPF_STMT(BPF_ST, 16), SAY(SECCOMP_RET_ALLOW)));
  show("unknown flag", INSTALL_WITH(1u << 20, SAY(SECCOMP_RET_ALLOW)));
  show("unknown operation", syscall(SYS_seccomp, 77, 0, 0));
  show("strict with flags", syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 1, 0));
  show("strict after filter", syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 0, 0));
  show("mode", prctl(PR_GET_SECCOMP));
  unsigned actions[] = {SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_KILL_THREAD, SECCOMP_RET_TRAP, SECCOMP_RET_ERRNO, SECCOMP_RET_TRACE, SECCOMP_RET_LOG, SECCOMP_RET_ALLOW, 0x12340000};
  for (int k = 0; k < 8; k++) show("action", syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &actions[k]));
  show("action with flags", syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 1, &actions[0]));
  show("action nowhere", syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, 8));
}

static void full_path(void) {
  struct sock_filter code[4096];
  for (int k = 0; k < 4096; k++) code[k] = (struct sock_filter)SAY(SECCOMP_RET_ALLOW);
  int taken = 0;
  while (set(SECCOMP_SET_MODE_FILTER, 0, code, 4096) == 0) taken++;
  printf("%d of 4096 instructions, then %s\n", taken, strerror(errno));
}

static void arithmetic(void) {
  // The fifth argument decides; the whole calculation is in the filter.
  struct sock_filter code[] = {
      LOAD(NUMBER), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 1, 0), SAY(SECCOMP_RET_ALLOW),
      LOAD(ARG(0)), BPF_STMT(BPF_MISC | BPF_TAX, 0), LOAD(ARG(1)), BPF_STMT(BPF_ALU | BPF_ADD | BPF_X, 0), BPF_STMT(BPF_ST, 0),
      BPF_STMT(BPF_ALU | BPF_MUL | BPF_K, 3), BPF_STMT(BPF_ALU | BPF_SUB | BPF_K, 5), BPF_STMT(BPF_ALU | BPF_XOR | BPF_K, 0x55),
      BPF_STMT(BPF_STX, 15), BPF_STMT(BPF_LDX | BPF_W | BPF_LEN, 0), BPF_STMT(BPF_ALU | BPF_ADD | BPF_X, 0), BPF_STMT(BPF_LDX | BPF_MEM, 0),
      BPF_STMT(BPF_ALU | BPF_OR | BPF_X, 0), BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 1), BPF_STMT(BPF_ALU | BPF_NEG, 0), BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0x7f),
      BPF_STMT(BPF_LDX | BPF_MEM, 15), BPF_STMT(BPF_ALU | BPF_DIV | BPF_X, 0), BPF_STMT(BPF_ALU | BPF_OR | BPF_K, SECCOMP_RET_ERRNO), BPF_STMT(BPF_RET | BPF_A, 0)};
  if (set(SECCOMP_SET_MODE_FILTER, 0, code, sizeof code / sizeof *code)) printf("not taken\n");
  for (long a = 1; a < 6; a++) {
    errno = 0;
    long result = syscall(SYS_getppid, a, a * 7);
    printf("%ld: %ld %d\n", a, result > 0 ? 1 : result, errno);
  }
  fflush(stdout);
  syscall(SYS_getppid, 0, 0);  // divides by zero: that is KILL_THREAD
}

static volatile int trapped;
static char text[200];
static void on_sys(int signal, siginfo_t *info, void *context) {
  trapped++;
  snprintf(text, sizeof text, "SIGSYS code %d errno %d number %s arch %s address %s\n", info->si_code, info->si_errno, info->si_syscall == SYS_getppid ? "same" : "other",
           info->si_arch == OWN_ARCH ? "own" : "other", info->si_call_addr ? "there" : "null");
}
static void actions(void) {
  struct sigaction action = {.sa_sigaction = on_sys, .sa_flags = SA_SIGINFO};
  sigaction(SIGSYS, &action, NULL);
  INSTALL(LOAD(offsetof(struct seccomp_data, arch)), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, OWN_ARCH, 1, 0), SAY(SECCOMP_RET_KILL_PROCESS), LOAD(NUMBER), ON(SYS_getppid, SECCOMP_RET_TRAP | 7),
          ON(SYS_getsid, SECCOMP_RET_ERRNO | 5), ON(SYS_getpgid, SECCOMP_RET_ERRNO), ON(SYS_umask, SECCOMP_RET_ERRNO | 0xffff), ON(SYS_getuid, SECCOMP_RET_TRACE | 3), ON(SYS_geteuid, SECCOMP_RET_LOG),
          SAY(SECCOMP_RET_ALLOW));
  syscall(SYS_getppid);
  printf("%d %s", trapped, text);
  show("errno 5", syscall(SYS_getsid, 0));
  show("errno 0", syscall(SYS_getpgid, 0));
  errno = 0;
  long result = syscall(SYS_umask, 0);
  printf("errno 65535: %ld %d\n", result, errno);
  show("trace without tracer", syscall(SYS_getuid));
  printf("log: %s\n", syscall(SYS_geteuid) == geteuid() ? "made" : "not made");
  INSTALL(LOAD(NUMBER), ON(SYS_sched_yield, SECCOMP_RET_ERRNO | 512), ON(SYS_getpriority, SECCOMP_RET_ERRNO | 1000), SAY(SECCOMP_RET_ALLOW));
  errno = 0;
  result = syscall(SYS_sched_yield);
  printf("errno 512: %ld %d\n", result, errno);
  result = syscall(SYS_getpriority, 0, 0);
  printf("errno 1000: %ld %d\n", result, errno);
  // A second filter: the action with the highest precedence counts.
  INSTALL(LOAD(NUMBER), ON(SYS_getsid, SECCOMP_RET_LOG), ON(SYS_getpgid, SECCOMP_RET_ERRNO | 9), ON(SYS_geteuid, SECCOMP_RET_ERRNO | 11), ON(SYS_getppid, SECCOMP_RET_ERRNO | 12), SAY(SECCOMP_RET_ALLOW));
  show("errno 5 and log", syscall(SYS_getsid, 0));
  show("errno 0 and errno 9", syscall(SYS_getpgid, 0));
  show("log and errno 11", syscall(SYS_geteuid));
  syscall(SYS_getppid);
  printf("trap and errno 12: %d\n", trapped);
}
static void trap_unhandled(void) { INSTALL(LOAD(NUMBER), ON(SYS_getppid, SECCOMP_RET_TRAP), SAY(SECCOMP_RET_ALLOW)), syscall(SYS_getppid); }
static void trap_blocked(void) {
  sigset_t set;
  sigfillset(&set);
  struct sigaction action = {.sa_sigaction = on_sys, .sa_flags = SA_SIGINFO};
  sigaction(SIGSYS, &action, NULL);
  sigprocmask(SIG_BLOCK, &set, NULL);
  trap_unhandled();
}
static void kill_process(void) { INSTALL(LOAD(NUMBER), ON(SYS_getppid, SECCOMP_RET_KILL_PROCESS), SAY(SECCOMP_RET_ALLOW)), syscall(SYS_getppid); }
static void kill_thread(void) { INSTALL(LOAD(NUMBER), ON(SYS_getppid, SECCOMP_RET_KILL_THREAD), SAY(SECCOMP_RET_ALLOW)), syscall(SYS_getppid); }
static void unknown_action(void) { INSTALL(LOAD(NUMBER), ON(SYS_getppid, 0x12340000), SAY(SECCOMP_RET_ALLOW)), syscall(SYS_getppid); }
static void strict(void) {
  prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
  write(1, "strict\n", 7);
  syscall(SYS_exit, 3);
}
static void strict_broken(void) {
  prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
  syscall(SYS_getppid);
}

static void *die(void *argument) {
  syscall(SYS_getppid);
  return NULL;
}
static void kill_other_thread(void) {
  pthread_t thread;
  INSTALL(LOAD(NUMBER), ON(SYS_getppid, SECCOMP_RET_KILL_THREAD), SAY(SECCOMP_RET_ALLOW));
  pthread_create(&thread, NULL, die, NULL);
  pthread_join(thread, NULL);
  printf("the others go on\n");
}

static pthread_barrier_t barrier;
static void *waits(void *argument) {
  if (argument) INSTALL(LOAD(NUMBER), ON(SYS_getsid, SECCOMP_RET_ERRNO | 6), SAY(SECCOMP_RET_ALLOW));
  pthread_barrier_wait(&barrier);
  pthread_barrier_wait(&barrier);
  long own = syscall(SYS_getpgid, 0), failed = errno;
  printf("thread: mode %d, getpgid %s\n", prctl(PR_GET_SECCOMP), own < 0 ? strerror(failed) : "made");
  return NULL;
}
static void all_threads(void *apart) {
  pthread_t thread;
  pthread_barrier_init(&barrier, NULL, 2);
  pthread_create(&thread, NULL, waits, apart);
  pthread_barrier_wait(&barrier);
  long result = INSTALL_WITH(SECCOMP_FILTER_FLAG_TSYNC, LOAD(NUMBER), ON(SYS_getpgid, SECCOMP_RET_ERRNO | 7), SAY(SECCOMP_RET_ALLOW));
  printf("tsync: %s, own mode %d\n", result < 0 ? strerror(errno) : result ? "a thread" : "0", prctl(PR_GET_SECCOMP));
  if (result > 0) show("tsync, ESRCH", INSTALL_WITH(SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_TSYNC_ESRCH, SAY(SECCOMP_RET_ALLOW)));
  pthread_barrier_wait(&barrier);
  pthread_join(thread, NULL);
}
static void tsync(void) { all_threads(NULL); }
static void tsync_apart(void) { all_threads(""); }

static void inherit(void) {
  INSTALL(LOAD(NUMBER), ON(SYS_getsid, SECCOMP_RET_ERRNO | 5), SAY(SECCOMP_RET_ALLOW));
  fflush(stdout);
  int status;
  pid_t pid = fork();
  if (!pid) {
    show("forked child", syscall(SYS_getsid, 0));
    execl("/proc/self/exe", "seccomp", "executed", NULL);
    _exit(9);
  }
  waitpid(pid, &status, 0);
  pid = vfork();
  if (!pid) {
    execl("/proc/self/exe", "seccomp", "executed", NULL);
    _exit(9);
  }
  waitpid(pid, &status, 0);
  printf("ended with %d\n", WEXITSTATUS(status));
}

// ---- listeners

static void send_descriptor(int socket, int fd) {
  char byte = 'x', control[CMSG_SPACE(sizeof fd)] = {0};
  struct iovec vector = {&byte, 1};
  struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  struct cmsghdr *head = CMSG_FIRSTHDR(&message);
  head->cmsg_level = SOL_SOCKET, head->cmsg_type = SCM_RIGHTS, head->cmsg_len = CMSG_LEN(sizeof fd);
  memcpy(CMSG_DATA(head), &fd, sizeof fd);
  sendmsg(socket, &message, 0);
}
static int receive_descriptor(int socket) {
  char byte, control[CMSG_SPACE(sizeof(int))];
  struct iovec vector = {&byte, 1};
  struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  int fd = -1;
  if (recvmsg(socket, &message, 0) == 1 && CMSG_FIRSTHDR(&message)) memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
  return fd;
}
static void supervised(int socket) {
  int fd = INSTALL_WITH(SECCOMP_FILTER_FLAG_NEW_LISTENER, LOAD(NUMBER), ON(SYS_getsid, SECCOMP_RET_USER_NOTIF), ON(SYS_umask, SECCOMP_RET_USER_NOTIF), SAY(SECCOMP_RET_ALLOW));
  printf("listener: %s\n", fd < 0 ? strerror(errno) : fcntl(fd, F_GETFD) == FD_CLOEXEC ? "closed by exec" : "open");
  show("second listener", INSTALL_WITH(SECCOMP_FILTER_FLAG_NEW_LISTENER, SAY(SECCOMP_RET_ALLOW)));
  send_descriptor(socket, fd);
  close(fd);
  printf("value: %ld\n", syscall(SYS_getsid, 1, 2, 3, 4, 5, 6));
  show("error", syscall(SYS_getsid, -1));
  show("not continued", syscall(SYS_getsid, -2));
  umask(0);
  printf("continued: %ld\n", syscall(SYS_umask, 0123));
  printf("and was made: %lo\n", syscall(SYS_umask, 0));
  int added = syscall(SYS_getsid, -3), status;
  printf("added: %s\n", write(added, "through it\n", 11) == 11 ? "written" : strerror(errno));
  fflush(stdout);
  if (fork() == 0) {
    show("child", syscall(SYS_getsid, -4));
    execl("/proc/self/exe", "seccomp", "executed", NULL);
  }
  wait(&status);
  show("nobody listens", syscall(SYS_getsid, 0));
}
static void listener(void) {
  int sockets[2], pipes[2];
  socketpair(AF_UNIX, SOCK_STREAM, 0, sockets);
  pipe(pipes);
  fflush(stdout);
  pid_t pid = fork();
  if (!pid) {
    close(pipes[0]), close(pipes[1]);
    supervised(sockets[1]);
    fflush(stdout);
    _exit(0);
  }
  int fd = receive_descriptor(sockets[0]), status;
  struct seccomp_notif_sizes sizes;
  show("sizes", syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes));
  for (int k = 0; k < 9; k++) {
    struct seccomp_notif call;
    struct seccomp_notif_resp answer;
    struct pollfd waiting = {fd, POLLIN};
    poll(&waiting, 1, 10000);
    memset(&call, 0, sizeof call), memset(&answer, 0, sizeof answer);
    if (ioctl(fd, SECCOMP_IOCTL_NOTIF_RECV, &call)) {
      printf("receive: %s\n", strerror(errno));
      break;
    }
    int known = call.data.nr == SYS_getsid ? 1 : call.data.nr == SYS_umask ? 2 : 0;
    printf("call %s from %s, arch %s, place %s, arguments", known == 1 ? "getsid" : known ? "umask" : "another", call.pid == pid ? "it" : "a child", call.data.arch == OWN_ARCH ? "own" : "other", call.data.instruction_pointer ? "there" : "null");
    for (int j = 0; j < (k ? known == 0 ? 0 : 1 : 6); j++) printf(" %d", (int)call.data.args[j]);
    printf(", valid %d\n", ioctl(fd, SECCOMP_IOCTL_NOTIF_ID_VALID, &call.id));
    answer.id = call.id;
    if (k == 0) answer.val = 77;
    if (k == 1) answer.error = -EIO;
    if (k == 2) answer.error = -ENOSYS;
    if (k >= 3 && k <= 5) {
      answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE, answer.val = 1;
      printf("with a value: %s\n", ioctl(fd, SECCOMP_IOCTL_NOTIF_SEND, &answer) ? strerror(errno) : "taken");
      answer.val = 0;
    }
    if (k == 6) {
      struct seccomp_notif_addfd add = {.id = call.id, .srcfd = pipes[1]};
      answer.val = ioctl(fd, SECCOMP_IOCTL_NOTIF_ADDFD, &add);
    }
    if (k == 7) answer.error = -ENOENT;
    if (k == 8) answer.error = -EXDEV;
    printf("answer: %s\n", ioctl(fd, SECCOMP_IOCTL_NOTIF_SEND, &answer) ? strerror(errno) : "taken");
    if (k == 6) {
      char text[12] = "";
      read(pipes[0], text, 11);
      printf("read: %s", text);
    }
  }
  close(fd);
  waitpid(pid, &status, 0);
  printf("ended with %d\n", status);
}

static void unprivileged(void) {
  // Without no_new_privs an ordinary user may not.
  if (geteuid() == 0 && setuid(12345)) return;
  show("unprivileged", INSTALL(SAY(SECCOMP_RET_ALLOW)));
  privileges();
  show("no new privileges", INSTALL(SAY(SECCOMP_RET_ALLOW)));
}

int main(int argc, char **argv) {
  if (argc > 1) {
    show("executed program", syscall(SYS_getsid, 0));
    printf("mode %d\n", prctl(PR_GET_SECCOMP));
    INSTALL(LOAD(NUMBER), ON(SYS_getpgid, SECCOMP_RET_ERRNO | 8), SAY(SECCOMP_RET_ALLOW));
    show("its own filter", syscall(SYS_getpgid, 0));
    show("the first one", syscall(SYS_getsid, 0));
    return 4;
  }
  in_child("unprivileged", unprivileged);
  privileges();
  printf("mode %d\n", prctl(PR_GET_SECCOMP));
  in_child("refused", refused);
  in_child("full path", full_path);
  in_child("arithmetic", arithmetic);
  in_child("actions", actions);
  in_child("trap unhandled", trap_unhandled);
  in_child("trap blocked", trap_blocked);
  in_child("kill process", kill_process);
  in_child("kill thread", kill_thread);
  in_child("unknown action", unknown_action);
  in_child("strict", strict);
  in_child("strict, broken", strict_broken);
  in_child("kill another thread", kill_other_thread);
  in_child("tsync", tsync);
  in_child("tsync, apart", tsync_apart);
  in_child("inherit", inherit);
  in_child("listener", listener);
  return 0;
}
