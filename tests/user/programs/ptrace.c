// ptrace: a tracer and its tracees, both of them this program: stops and their statuses, options and events, signals, memory, ends.
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PTRACE_EVENT_STOP 128
static int failures;

static const char *signal_text(int signal) {
  static char text[20];
  const struct { int number; const char *name; } names[] = {{SIGTRAP, "TRAP"}, {SIGSTOP, "STOP"}, {SIGUSR1, "USR1"}, {SIGUSR2, "USR2"}, {SIGCHLD, "CHLD"}, {SIGKILL, "KILL"}, {SIGSEGV, "SEGV"}, {SIGTERM, "TERM"}, {SIGCONT, "CONT"}, {SIGTSTP, "TSTP"}, {SIGALRM, "ALRM"}, {SIGSYS, "SYS"}};
  for (unsigned k = 0; k < sizeof names / sizeof *names; k++)
    if (names[k].number == signal) return names[k].name;
  snprintf(text, sizeof text, "%d", signal);
  return text;
}
static const char *status_text(int status) {
  static char text[80];
  static const char *events[] = {"", " fork", " vfork", " clone", " exec", " vfork-done", " exit", " seccomp"};
  int event = status >> 16;
  if (WIFEXITED(status)) snprintf(text, sizeof text, "exited %d", WEXITSTATUS(status));
  else if (WIFSIGNALED(status)) snprintf(text, sizeof text, "killed by %s%s", signal_text(WTERMSIG(status)), "");
  else if (WIFCONTINUED(status)) snprintf(text, sizeof text, "continued");
  else snprintf(text, sizeof text, "stopped by %s%s%s", WSTOPSIG(status) == (SIGTRAP | 0x80) ? "TRAP+80" : signal_text(WSTOPSIG(status)), event == PTRACE_EVENT_STOP ? " stop" : event < 8 ? events[event] : "?", "");
  return text;
}
static int wait_for(pid_t pid) {
  int status = -1;
  if (waitpid(pid, &status, __WALL) != pid) printf("waitpid: %s\n", strerror(errno));
  return status;
}
static int show(const char *what, pid_t pid) {
  int status = wait_for(pid);
  printf("%s: %s\n", what, status_text(status));
  return status;
}
static long told(const char *what, long result) {
  printf("%s: %s\n", what, result == -1 ? strerror(errno) : "done");
  return result;
}
static pid_t start(void (*body)(void)) {
  fflush(stdout);
  pid_t pid = fork();
  if (!pid) {
    freopen("/dev/null", "w", stderr);
    body();
    fflush(stdout);
    _exit(0);
  }
  return pid;
}
static pid_t start_traced(void (*body)(void)) {
  fflush(stdout);
  pid_t pid = fork();
  if (!pid) {
    freopen("/dev/null", "w", stderr);
    ptrace(PTRACE_TRACEME, 0, 0, 0);
    raise(SIGSTOP);
    body();
    fflush(stdout);
    _exit(7);
  }
  show("start", pid);
  return pid;
}
static void end(pid_t pid) {
  kill(pid, SIGKILL);
  int status;
  while (waitpid(pid, &status, __WALL) == pid && !WIFEXITED(status) && !WIFSIGNALED(status)) {}
}

// ---- system calls
static const char *call_name(uint64_t number) {
  const struct { long number; const char *name; } names[] = {{SYS_getppid, "getppid"}, {SYS_getsid, "getsid"}, {SYS_exit_group, "exit_group"}, {SYS_getpgid, "getpgid"}, {SYS_umask, "umask"}, {SYS_nanosleep, "nanosleep"}, {SYS_rt_sigreturn, "rt_sigreturn"}, {SYS_kill, "kill"}};
  for (unsigned k = 0; k < sizeof names / sizeof *names; k++)
    if ((uint64_t)names[k].number == number) return names[k].name;
  return "another";
}
static void calls(void) {
  syscall(SYS_getppid);
  syscall(SYS_getsid, -5, 11, 12, 13, 14, 15);
  syscall(SYS_umask, 022);
}
static void show_info(pid_t pid, int signed_results) {
  struct __ptrace_syscall_info info;
  memset(&info, 0, sizeof info);
  long bytes = ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info);
  printf("  info %ld, op %d", bytes, info.op);
  if (info.op == PTRACE_SYSCALL_INFO_ENTRY) {
    printf(" %s", call_name(info.entry.nr));
    if (info.entry.nr == SYS_getsid) printf("(%d, %lu, %lu, %lu, %lu, %lu)", (int)info.entry.args[0], (long)info.entry.args[1], (long)info.entry.args[2], (long)info.entry.args[3], (long)info.entry.args[4], (long)info.entry.args[5]);
  }
  if (info.op == PTRACE_SYSCALL_INFO_EXIT && signed_results) printf(" error %d value %s%ld", info.exit.is_error, info.exit.rval < 0 ? "" : "positive ", info.exit.rval < 0 ? (long)info.exit.rval : 0);
  if (info.op == PTRACE_SYSCALL_INFO_SECCOMP) printf(" %s data %u", call_name(info.seccomp.nr), info.seccomp.ret_data);
  unsigned long message = 99;
  ptrace(PTRACE_GETEVENTMSG, pid, 0, &message);
  printf(" message %lu", message);
  siginfo_t s;
  memset(&s, 0, sizeof s);
  ptrace(PTRACE_GETSIGINFO, pid, 0, &s);
  printf(" siginfo %s code 0x%x pid %s\n", signal_text(s.si_signo), s.si_code, s.si_pid == pid ? "own" : "other");
}
static void system_calls(void) {
  pid_t pid = start_traced(calls);
  told("options", ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD));
  for (int k = 0; k < 6; k++) {
    ptrace(PTRACE_SYSCALL, pid, 0, 0);
    show("call", pid);
    show_info(pid, 1);
  }
  ptrace(PTRACE_CONT, pid, 0, 0);
  show("end", pid);
}
static void without_sysgood(void) {
  pid_t pid = start_traced(calls);
  ptrace(PTRACE_SYSCALL, pid, 0, 0);
  show("call", pid);
  show_info(pid, 0);
  siginfo_t s;
  ptrace(PTRACE_SYSCALL, pid, 0, SIGUSR1);  // sent to it at the stop
  show("call", pid);
  end(pid);
}

// Registers as words, the same way on both machines: the place of the first argument and of the number.
#ifdef __riscv
enum { REG_NUMBER = 17, REG_RESULT = 10, REG_COUNT = 32 };
#else
enum { REG_NUMBER = 15, REG_RESULT = 10, REG_COUNT = 27 };
#endif
static long get_regs(pid_t pid, unsigned long *regs) {
  struct iovec where = {regs, REG_COUNT * 8};
  long result = ptrace(PTRACE_GETREGSET, pid, NT_PRSTATUS, &where);
  return result < 0 ? -1 : (long)where.iov_len;
}
static long set_regs(pid_t pid, unsigned long *regs) {
  struct iovec where = {regs, REG_COUNT * 8};
  return ptrace(PTRACE_SETREGSET, pid, NT_PRSTATUS, &where);
}
static void changed_call(void) {
  errno = 0;
  long result = syscall(SYS_getppid);  // becomes getsid(its argument), then none, then another result
  printf("first: %s\n", result > 0 ? "a number" : strerror(errno));
  errno = 0;
  result = syscall(SYS_getppid);
  printf("second: %ld %s\n", result, strerror(errno));
  result = syscall(SYS_getppid);
  printf("third: %ld\n", result);
}
static void change_calls(void) {
  pid_t pid = start_traced(changed_call);
  ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD);
  for (int nth = 0, inside = 0; nth < 3;) {
    ptrace(PTRACE_SYSCALL, pid, 0, 0);
    wait_for(pid);
    struct __ptrace_syscall_info info;
    ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info);
    unsigned long regs[REG_COUNT];
    if (get_regs(pid, regs) != sizeof regs) printf("registers: %s\n", strerror(errno));
    if (info.op == PTRACE_SYSCALL_INFO_ENTRY && info.entry.nr == SYS_getppid) {
      inside = 1;
      if ((int)regs[REG_RESULT] != -ENOSYS) printf("result before the call: %ld\n", (long)regs[REG_RESULT]);
      if (nth == 0) regs[REG_NUMBER] = SYS_getpid;
      if (nth == 1) regs[REG_NUMBER] = -1;
      set_regs(pid, regs);
    } else if (info.op == PTRACE_SYSCALL_INFO_EXIT && inside) {
      if (nth == 2) regs[REG_RESULT] = 4321, set_regs(pid, regs);
      inside = 0, nth++;
    }
  }
  ptrace(PTRACE_CONT, pid, 0, 0);
  show("end", pid);
}

// ---- signals
static volatile int handled;
static void handler(int signal) { handled += signal == SIGUSR1 ? 1 : signal == SIGUSR2 ? 10 : 100; }
static void gets_signals(void) {
  signal(SIGUSR1, handler), signal(SIGUSR2, handler), signal(SIGTERM, SIG_IGN);
  raise(SIGUSR1);
  printf("after suppressed: %d\n", handled);
  raise(SIGUSR1);
  printf("after delivered: %d\n", handled);
  raise(SIGUSR1);
  printf("after replaced: %d\n", handled);
  raise(SIGTERM);
  printf("ignored\n"), fflush(stdout);
  sigset_t set;
  sigemptyset(&set), sigaddset(&set, SIGUSR1);
  sigprocmask(SIG_BLOCK, &set, NULL);
  raise(SIGUSR2);  // replaced by one that is blocked
  printf("after blocked: %d\n", handled);
  sigprocmask(SIG_UNBLOCK, &set, NULL);
  printf("after unblocked: %d\n", handled), fflush(stdout);
  *(volatile int *)8 = 1;
}
static void signals(void) {
  siginfo_t info;
  pid_t pid = start_traced(gets_signals);
  const int data[] = {0, SIGUSR1, SIGUSR2, SIGTERM, SIGUSR1};
  ptrace(PTRACE_CONT, pid, 0, 0);
  for (int k = 0; k < 5; k++) {
    show("signal", pid);
    memset(&info, 0, sizeof info);
    ptrace(PTRACE_GETSIGINFO, pid, 0, &info);
    printf("  %s code %d from %s\n", signal_text(info.si_signo), info.si_code, info.si_pid == pid ? "itself" : "another");
    ptrace(PTRACE_CONT, pid, 0, data[k]);
  }
  show("unblocked", pid);
  ptrace(PTRACE_CONT, pid, 0, SIGUSR1);
  show("fault", pid);
  ptrace(PTRACE_GETSIGINFO, pid, 0, &info);
  printf("  code %d address %p\n", info.si_code, info.si_addr);
  ptrace(PTRACE_CONT, pid, 0, SIGSEGV);
  show("end", pid);
}

static void on_info(int signal, siginfo_t *info, void *context) { printf("info: value %d code %d\n", info->si_value.sival_int, info->si_code); }
static void waits_for_info(void) {
  struct sigaction action = {.sa_sigaction = on_info, .sa_flags = SA_SIGINFO};
  sigaction(SIGUSR1, &action, NULL);
  raise(SIGUSR1);
}
static void changed_info(void) {
  pid_t pid = start_traced(waits_for_info);
  ptrace(PTRACE_CONT, pid, 0, 0);
  show("signal", pid);
  siginfo_t info;
  ptrace(PTRACE_GETSIGINFO, pid, 0, &info);
  info.si_code = SI_QUEUE, info.si_value.sival_int = 77;
  told("set", ptrace(PTRACE_SETSIGINFO, pid, 0, &info));
  ptrace(PTRACE_CONT, pid, 0, SIGUSR1);
  show("end", pid);
}

static void sleeps(void) {
  struct sigaction action = {.sa_handler = handler};
  sigaction(SIGUSR1, &action, NULL);
  action.sa_flags = SA_RESTART;
  sigaction(SIGUSR2, &action, NULL);
  int pipes[2];
  char byte;
  pipe(pipes);
  kill(getppid(), 0);
  // A read that is suppressed, restarted, ended.
  errno = 0;
  long got = read(pipes[0], &byte, 1);
  printf("read: %ld %s, handled %d\n", got, strerror(errno), handled);
  errno = 0;
  int result = pause();
  printf("pause: %d %s, handled %d\n", result, strerror(errno), handled);
  struct timespec wanted = {100, 0}, left = {0, 0};
  errno = 0;
  result = nanosleep(&wanted, &left);
  printf("nanosleep: %d %s, %s left\n", result, strerror(errno), left.tv_sec > 90 ? "time" : "none");
}
static void wait_until_asleep(pid_t pid) {  // in a call, as /proc says
  char name[64], text[256];
  snprintf(name, sizeof name, "/proc/%d/stat", pid);
  for (int k = 0; k < 5000; k++) {
    FILE *file = fopen(name, "r");
    size_t n = fread(text, 1, sizeof text - 1, file);
    text[n] = 0;
    fclose(file);
    if (strstr(text, ") S ")) return;
    usleep(1000);
  }
  printf("not asleep\n");
}
static void interrupted_calls(void) {
  pid_t pid = start_traced(sleeps);
  const struct { int send, pass; } steps[] = {{SIGUSR1, 0}, {SIGUSR2, SIGUSR2}, {SIGCHLD, SIGCHLD}, {SIGUSR1, SIGUSR1}, {SIGUSR1, 0}, {SIGUSR2, SIGUSR2}, {SIGUSR1, 0}, {SIGUSR1, SIGUSR1}};
  ptrace(PTRACE_CONT, pid, 0, 0);
  for (unsigned k = 0; k < sizeof steps / sizeof *steps; k++) {
    wait_until_asleep(pid);
    kill(pid, steps[k].send);
    show("signal", pid);
    ptrace(PTRACE_CONT, pid, 0, steps[k].pass);
  }
  show("end", pid);
}

// ---- events
static void makes_children(void) {
  int status;
  pid_t pid = fork();
  if (!pid) _exit(3);
  waitpid(pid, &status, 0);
  pid = vfork();
  if (!pid) _exit(4);
  waitpid(pid, &status, 0);
}
static void *nothing(void *argument) { return argument; }
static void makes_thread(void) {
  pthread_t thread;
  pthread_create(&thread, NULL, nothing, NULL);
  pthread_join(thread, NULL);
}
static void follow(pid_t pid, int options) {
  // Children are waited for where their parent's event says so, so that the order is always the same.
  told("options", ptrace(PTRACE_SETOPTIONS, pid, 0, options));
  ptrace(PTRACE_CONT, pid, 0, 0);
  for (;;) {
    int status = show("parent", pid), event = status >> 16;
    if (!WIFSTOPPED(status)) return;
    unsigned long message = 0;
    ptrace(PTRACE_GETEVENTMSG, pid, 0, &message);
    if (event >= 1 && event <= 3) {
      pid_t child = message;
      printf("  child is %s\n", child > 0 && child != pid ? "a number" : "wrong");
      int first = show("  child", child);
      ptrace(PTRACE_CONT, child, 0, 0);
      if (options & PTRACE_O_TRACEEXIT) {
        show("  child", child);
        unsigned long code = 0;
        ptrace(PTRACE_GETEVENTMSG, child, 0, &code);
        printf("  code 0x%lx\n", code);
        ptrace(PTRACE_CONT, child, 0, 0);
      }
      if (event == 1) show("  child", child);
      if (event == 2) {  // its parent waits for it
        show("  child", child);
      }
      if (event == 3) show("  child", child);
    } else if (event) {
      printf("  message %s\n", message == (unsigned long)pid ? "itself" : event == 6 ? "a code" : message ? "another" : "0");
    }
    int pass = event || WSTOPSIG(status) == SIGTRAP ? 0 : WSTOPSIG(status);
    ptrace(PTRACE_CONT, pid, 0, pass);
  }
}
static void events_of_children(void) { follow(start_traced(makes_children), PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACEVFORKDONE); }
static void events_of_exit(void) { follow(start_traced(makes_children), PTRACE_O_TRACEFORK | PTRACE_O_TRACEEXIT); }
static void events_of_threads(void) { follow(start_traced(makes_thread), PTRACE_O_TRACECLONE); }
static void executes(void) { execl("/proc/self/exe", "ptrace", "executed", NULL); }
static void events_of_exec(void) { follow(start_traced(executes), PTRACE_O_TRACEEXEC); }
static void exec_of_old(void) { follow(start_traced(executes), 0); }
static void exec_calls(void) {
  pid_t pid = start_traced(executes);
  ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEEXEC);
  int seen = 0, status;
  do {
    ptrace(PTRACE_SYSCALL, pid, 0, 0);
    status = wait_for(pid);
    struct __ptrace_syscall_info info;
    ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info);
    if (seen || status >> 16 || (info.op == PTRACE_SYSCALL_INFO_ENTRY && info.entry.nr == SYS_execve)) printf("exec: %s op %d value %ld\n", status_text(status), info.op, info.op == 2 ? (long)info.exit.rval : 0), seen++;
  } while (seen < 3 && WIFSTOPPED(status));
  ptrace(PTRACE_CONT, pid, 0, 0);
  show("end", pid);
}
static void *executing_thread(void *argument) {
  usleep(20000);
  executes();
  return NULL;
}
static void executes_in_thread(void) {
  pthread_t thread;
  pthread_create(&thread, NULL, executing_thread, NULL);
  pthread_join(thread, NULL);
}
static void exec_in_thread(void) {
  pid_t pid = start_traced(executes_in_thread);
  ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACEEXEC | PTRACE_O_TRACECLONE);
  ptrace(PTRACE_CONT, pid, 0, 0);
  show("clone", pid);
  unsigned long thread = 0, former = 0;
  ptrace(PTRACE_GETEVENTMSG, pid, 0, &thread);
  show("thread", thread);
  ptrace(PTRACE_CONT, thread, 0, 0);
  ptrace(PTRACE_CONT, pid, 0, 0);
  show("exec", pid);
  ptrace(PTRACE_GETEVENTMSG, pid, 0, &former);
  printf("the former number is the thread's: %d\n", former == thread);
  ptrace(PTRACE_CONT, pid, 0, 0);
  show("end", pid);
}

// ---- memory, masks, refusals
static volatile long word = 0x1122334455667788;
static void reads_word(void) {
  raise(SIGUSR1);
  printf("word %lx\n", word);
  sigset_t set;
  sigprocmask(SIG_SETMASK, NULL, &set);
  printf("TERM blocked: %d\n", sigismember(&set, SIGTERM));
}
static void memory(void) {
  signal(SIGUSR1, SIG_IGN);
  pid_t pid = start_traced(reads_word);
  ptrace(PTRACE_CONT, pid, 0, 0);
  show("signal", pid);
  errno = 0;
  printf("peek %lx %d\n", ptrace(PTRACE_PEEKDATA, pid, &word, 0), errno);
  told("poke", ptrace(PTRACE_POKEDATA, pid, &word, 0x7766554433221100));
  told("peek nowhere", ptrace(PTRACE_PEEKDATA, pid, 16, 0));
  told("poke nowhere", ptrace(PTRACE_POKEDATA, pid, 16, 0));
  told("unaligned", ptrace(PTRACE_PEEKDATA, pid, (char *)&word + 3, 0) == -1 && errno ? -1 : 0);
  sigset_t set;
  memset(&set, 0, sizeof set);
  told("mask", ptrace(PTRACE_GETSIGMASK, pid, 8, &set));
  sigaddset(&set, SIGTERM);
  told("set mask", ptrace(PTRACE_SETSIGMASK, pid, 8, &set));
  told("mask of another size", ptrace(PTRACE_GETSIGMASK, pid, 16, &set));
  char registers[2000];
  struct iovec where = {registers, sizeof registers};
  told("registers", ptrace(PTRACE_GETREGSET, pid, NT_PRSTATUS, &where));
  printf("%s\n", where.iov_len < sizeof registers ? "some" : "all");
  told("the same", ptrace(PTRACE_SETREGSET, pid, NT_PRSTATUS, &where));
  where.iov_len = sizeof registers;
  told("floating", ptrace(PTRACE_GETREGSET, pid, NT_PRFPREG, &where));
  where.iov_len = 16;
  told("two", ptrace(PTRACE_GETREGSET, pid, NT_PRSTATUS, &where));
  printf("%zu\n", where.iov_len);
  told("no such set", ptrace(PTRACE_GETREGSET, pid, 0x12345, &where));
  told("no such request", ptrace(0x4321, pid, 0, 0));
  told("options", ptrace(PTRACE_SETOPTIONS, pid, 0, 1 << 30));
  told("bad signal", ptrace(PTRACE_CONT, pid, 0, 65));
  told("listen", ptrace(PTRACE_LISTEN, pid, 0, 0));
  told("interrupt", ptrace(PTRACE_INTERRUPT, pid, 0, 0));
  char name[64];
  long value = 0;
  snprintf(name, sizeof name, "/proc/%d/mem", pid);
  FILE *file = fopen(name, "r+");
  fseek(file, (long)&word, SEEK_SET);
  fread(&value, 8, 1, file);
  fclose(file);
  printf("mem %lx\n", value);
  ptrace(PTRACE_CONT, pid, 0, 0);
  show("end", pid);
  told("gone", ptrace(PTRACE_CONT, pid, 0, 0));
  told("another's", ptrace(PTRACE_CONT, getppid(), 0, 0));
  told("itself", ptrace(PTRACE_ATTACH, getpid(), 0, 0));
  told("nobody", ptrace(PTRACE_ATTACH, 0x3ffffff, 0, 0));
  told("seize with address", ptrace(PTRACE_SEIZE, getppid(), 1, 0));
}
static void twice(void) {
  ptrace(PTRACE_TRACEME, 0, 0, 0);
  told("again", ptrace(PTRACE_TRACEME, 0, 0, 0));
}

// Code that the tracer writes, after the tracee has run it.
typedef int (*function)(void);
#ifdef __riscv
static const unsigned char one_code[] = {0x13, 0x05, 0x10, 0x00, 0x67, 0x80, 0x00, 0x00}, two_code[] = {0x13, 0x05, 0x20, 0x00, 0x67, 0x80, 0x00, 0x00};
#else
static const unsigned char one_code[] = {0xb8, 1, 0, 0, 0, 0xc3, 0x90, 0x90}, two_code[] = {0xb8, 2, 0, 0, 0, 0xc3, 0x90, 0x90};
#endif
static unsigned char *code;
static void runs_code(void) {
  for (int k = 0; k < 3; k++) {
    printf("code says %d\n", ((function)code)());
    raise(SIGUSR1);
  }
}
static void written_code(void) {
  code = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  memcpy(code, one_code, sizeof one_code);
  mprotect(code, 4096, PROT_READ | PROT_EXEC);
  __builtin___clear_cache((char *)code, (char *)code + 8);
  pid_t pid = start_traced(runs_code);
  long value;
  ptrace(PTRACE_CONT, pid, 0, 0);
  show("signal", pid);
  memcpy(&value, two_code, 8);
  told("poke", ptrace(PTRACE_POKETEXT, pid, code, value));
  ptrace(PTRACE_CONT, pid, 0, 0);
  show("signal", pid);
  char name[64];
  snprintf(name, sizeof name, "/proc/%d/mem", pid);
  FILE *file = fopen(name, "r+");
  fseek(file, (long)code, SEEK_SET);
  fwrite(one_code, sizeof one_code, 1, file);
  fclose(file);
  ptrace(PTRACE_CONT, pid, 0, 0);
  show("signal", pid);
  ptrace(PTRACE_CONT, pid, 0, 0);
  show("end", pid);
}

// ---- attach, seize, group stops
static void idle(void) {
  signal(SIGUSR1, handler);
  for (;;) pause();
}
static void busy(void) {
  for (volatile long k = 0;; k++) {}
}
static void attach_to(void (*body)(void)) {
  pid_t pid = start(body);
  if (body == idle) wait_until_asleep(pid);
  told("attach", ptrace(PTRACE_ATTACH, pid, 0, 0));
  show("attached", pid);
  told("twice", ptrace(PTRACE_ATTACH, pid, 0, 0));
  unsigned long regs[REG_COUNT];
  printf("registers: %d\n", get_regs(pid, regs) == sizeof regs);
  told("interrupt", ptrace(PTRACE_INTERRUPT, pid, 0, 0));
  ptrace(PTRACE_CONT, pid, 0, 0);
  told("running", ptrace(PTRACE_CONT, pid, 0, 0));
  kill(pid, SIGUSR2);
  show("signal", pid);
  told("detach", ptrace(PTRACE_DETACH, pid, 0, SIGTERM));
  show("end", pid);
}
static void attach_idle(void) { attach_to(idle); }
static void attach_busy(void) { attach_to(busy); }
static void seize_of(void (*body)(void)) {
  pid_t pid = start(body);
  if (body == idle) wait_until_asleep(pid);
  told("seize", ptrace(PTRACE_SEIZE, pid, 0, PTRACE_O_TRACESYSGOOD));
  int status;
  printf("no stop: %d\n", waitpid(pid, &status, WNOHANG));
  told("interrupt", ptrace(PTRACE_INTERRUPT, pid, 0, 0));
  show("interrupted", pid);
  siginfo_t info;
  ptrace(PTRACE_GETSIGINFO, pid, 0, &info);
  printf("  %s code 0x%x\n", signal_text(info.si_signo), info.si_code);
  ptrace(PTRACE_CONT, pid, 0, 0);
  kill(pid, SIGSTOP);
  show("signal", pid);
  ptrace(PTRACE_CONT, pid, 0, SIGSTOP);
  show("group stop", pid);
  ptrace(PTRACE_GETSIGINFO, pid, 0, &info);
  printf("  %s code 0x%x\n", signal_text(info.si_signo), info.si_code);
  told("listen", ptrace(PTRACE_LISTEN, pid, 0, 0));
  told("listening", ptrace(PTRACE_CONT, pid, 0, 0));
  kill(pid, SIGCONT);
  show("woken", pid);
  ptrace(PTRACE_CONT, pid, 0, 0);
  show("signal", pid);
  ptrace(PTRACE_CONT, pid, 0, SIGCONT);
  kill(pid, SIGTERM);
  show("signal", pid);
  ptrace(PTRACE_CONT, pid, 0, SIGTERM);
  show("end", pid);
}
static void seize_idle(void) { seize_of(idle); }
static void seize_busy(void) { seize_of(busy); }
static void old_group_stop(void) {
  pid_t pid = start(idle);
  wait_until_asleep(pid);
  ptrace(PTRACE_ATTACH, pid, 0, 0);
  show("attached", pid);
  siginfo_t info;
  ptrace(PTRACE_CONT, pid, 0, SIGSTOP);
  show("group stop", pid);
  told("siginfo", ptrace(PTRACE_GETSIGINFO, pid, 0, &info));
  ptrace(PTRACE_CONT, pid, 0, 0);
  kill(pid, SIGKILL);
  show("end", pid);
}
static void forks_late(void) {
  raise(SIGUSR1);
  pid_t pid = fork();
  if (!pid) _exit(5);
  int status;
  waitpid(pid, &status, 0);
}
static void seized_children(void) {
  signal(SIGUSR1, SIG_IGN);
  pid_t pid = start(idle);
  end(pid);
  int pipes[2];
  pipe(pipes);
  fflush(stdout);
  pid = fork();
  if (!pid) {
    char byte;
    read(pipes[0], &byte, 1);
    forks_late();
    _exit(0);
  }
  ptrace(PTRACE_SEIZE, pid, 0, PTRACE_O_TRACEFORK);
  write(pipes[1], "x", 1);
  show("signal", pid);
  ptrace(PTRACE_CONT, pid, 0, 0);
  show("fork", pid);
  unsigned long child = 0;
  ptrace(PTRACE_GETEVENTMSG, pid, 0, &child);
  show("child", child);
  ptrace(PTRACE_CONT, child, 0, 0);
  ptrace(PTRACE_CONT, pid, 0, 0);
  show("child", child);
  show("signal", pid);
  ptrace(PTRACE_CONT, pid, 0, SIGCHLD);
  show("end", pid);
}
static void *spins(void *argument) {
  *(volatile int *)argument = syscall(SYS_gettid);
  for (volatile long k = 0;; k++) {}
}
static volatile int *shared;
static void two_threads(void) {
  pthread_t thread;
  pthread_create(&thread, NULL, spins, (void *)shared);
  for (;;) pause();
}
static void threads(void) {
  shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  pid_t pid = start(two_threads);
  while (!*shared) usleep(1000);
  pid_t thread = *shared;
  told("seize", ptrace(PTRACE_SEIZE, pid, 0, 0));
  told("seize thread", ptrace(PTRACE_SEIZE, thread, 0, 0));
  ptrace(PTRACE_INTERRUPT, thread, 0, 0);
  show("thread", thread);
  kill(pid, SIGSTOP);
  show("process", pid);
  ptrace(PTRACE_CONT, pid, 0, SIGSTOP);
  show("process", pid);
  ptrace(PTRACE_CONT, thread, 0, 0);
  show("thread", thread);
  kill(pid, SIGKILL);
  show("thread", thread);
  show("process", pid);
}

// ---- the tracer's end
static void tracer_ends(int options, const char *what) {
  shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  fflush(stdout);
  int pipes[2];
  char byte;
  pipe(pipes);
  pid_t tracer = fork();
  if (!tracer) {
    pid_t pid = fork();
    if (!pid) {
      close(pipes[0]);
      ptrace(PTRACE_TRACEME, 0, 0, 0);
      raise(SIGSTOP);
      for (int k = 0; k < 10; k++) syscall(SYS_getppid);
      raise(SIGUSR1);
      *shared = 1;
      _exit(0);
    }
    close(pipes[1]);
    wait_for(pid);
    ptrace(PTRACE_SETOPTIONS, pid, 0, options);
    ptrace(PTRACE_SYSCALL, pid, 0, 0);
    wait_for(pid);
    _exit(0);
  }
  close(pipes[1]);
  wait_for(tracer);
  read(pipes[0], &byte, 1);  // ends with the tracee
  printf("%s: tracee %s\n", what, *shared ? "went on" : "was killed");
}
static void tracer_ends_all(void) {
  signal(SIGUSR1, SIG_IGN);
  tracer_ends(0, "without EXITKILL");
  tracer_ends(PTRACE_O_EXITKILL, "EXITKILL");
}

// ---- seccomp
static void filtered(void) {
  struct sock_filter filter[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
                                 BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE | 55), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
  struct sock_fprog program = {4, filter};
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
  long result = syscall(SYS_getppid);
  printf("traced call: %s\n", result > 0 ? "a number" : strerror(errno)), fflush(stdout);
  result = syscall(SYS_getppid);
  printf("skipped call: %ld\n", result), fflush(stdout);
}
static void seccomp_events(void) {
  pid_t pid = start_traced(filtered);
  ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESECCOMP);
  ptrace(PTRACE_CONT, pid, 0, 0);
  show("event", pid);
  show_info(pid, 0);
  ptrace(PTRACE_CONT, pid, 0, 0);
  show("event", pid);
  unsigned long regs[REG_COUNT];
  get_regs(pid, regs);
  regs[REG_NUMBER] = -1, regs[REG_RESULT] = 1234;
  set_regs(pid, regs);
  ptrace(PTRACE_CONT, pid, 0, 0);
  show("end", pid);
}

// ---- waiting
static void waiting(void) {
  pid_t pid = start_traced(calls);
  ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD);
  ptrace(PTRACE_SYSCALL, pid, 0, 0);
  siginfo_t info;
  memset(&info, 0, sizeof info);
  int result = waitid(P_PID, pid, &info, WEXITED | WSTOPPED | WNOWAIT | __WALL);
  printf("waitid %d: code %d status 0x%x\n", result, info.si_code, info.si_status);
  result = waitid(P_PID, pid, &info, WEXITED | WSTOPPED | __WALL);
  printf("waitid %d: code %d status 0x%x\n", result, info.si_code, info.si_status);
  info.si_pid = 1;
  result = waitid(P_PID, pid, &info, WEXITED | WSTOPPED | WNOHANG | __WALL);
  printf("waitid %d: pid %d\n", result, info.si_pid);
  ptrace(PTRACE_CONT, pid, 0, 0);
  result = waitid(P_ALL, 0, &info, WEXITED | __WALL);
  printf("waitid %d: code %d status %d\n", result, info.si_code, info.si_status);
}
static void queued_signals(void) {
  sigset_t set;
  sigfillset(&set), sigdelset(&set, SIGALRM);
  sigprocmask(SIG_BLOCK, &set, NULL);
  sigqueue(getpid(), SIGUSR1, (union sigval){.sival_int = 5});
  raise(SIGUSR2);
  raise(SIGALRM);
}
static void peeked_signals(void) {
  pid_t pid = start_traced(queued_signals);
  ptrace(PTRACE_CONT, pid, 0, 0);
  show("signal", pid);
  siginfo_t infos[4];
  struct __ptrace_peeksiginfo_args args = {0, PTRACE_PEEKSIGINFO_SHARED, 4};
  long count = ptrace(PTRACE_PEEKSIGINFO, pid, &args, infos);
  printf("%ld for all:", count);
  for (long k = 0; k < count; k++) printf(" %s %d", signal_text(infos[k].si_signo), infos[k].si_value.sival_int);
  args.flags = 0;
  count = ptrace(PTRACE_PEEKSIGINFO, pid, &args, infos);
  printf("\n%ld for the thread:", count);
  for (long k = 0; k < count; k++) printf(" %s", signal_text(infos[k].si_signo));
  printf("\n");
  end(pid);
}

int main(int argc, char **argv) {
  if (argc > 1) return 9;
  setvbuf(stdout, NULL, _IOFBF, 1 << 16);
  const struct { const char *name; void (*run)(void); } parts[] = {{"system calls", system_calls}, {"without sysgood", without_sysgood}, {"changed calls", change_calls}, {"signals", signals}, {"changed siginfo", changed_info}, {"interrupted calls", interrupted_calls}, {"children", events_of_children}, {"exit", events_of_exit}, {"threads", events_of_threads}, {"exec", events_of_exec}, {"exec of old", exec_of_old}, {"calls of exec", exec_calls}, {"exec in a thread", exec_in_thread}, {"memory", memory}, {"twice", NULL}, {"written code", written_code}, {"attach, idle", attach_idle}, {"attach, busy", attach_busy}, {"seize, idle", seize_idle}, {"seize, busy", seize_busy}, {"group stop of old", old_group_stop}, {"seized children", seized_children}, {"two threads", threads}, {"tracer ends", tracer_ends_all}, {"seccomp", seccomp_events}, {"waiting", waiting}, {"queued signals", peeked_signals}};
  for (unsigned k = 0; k < sizeof parts / sizeof *parts; k++) {
    printf("--- %s\n", parts[k].name);
    fflush(stdout);
    if (!parts[k].run) {
      pid_t pid = start(twice);
      show("end", pid);
      continue;
    }
    // Each part is a process of its own.
    pid_t pid = fork();
    if (!pid) {
      parts[k].run();
      fflush(stdout);
      _exit(0);
    }
    int status;
    waitpid(pid, &status, 0);
    if (status) printf("part: %s\n", status_text(status));
  }
  return 0;
}
