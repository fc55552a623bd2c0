// /proc of this process and of another one: what its files say of the program, in every spelling of their names.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static char text[1 << 20];
static ssize_t take(int folder, const char *name) {
  int fd = openat(folder, name, O_RDONLY);
  ssize_t all = 0, got;
  if (fd < 0) return -1;
  while ((got = read(fd, text + all, sizeof text - 1 - all)) > 0) all += got;
  text[all] = 0;
  close(fd);
  return all;
}
int main(int, char **);
static int data = 1;
static void *heap, *mapped;

// Rights of the mapping that holds an address, and the label at its end.
static void show_mapping(const char *what, const char *file, const void *address) {
  for (char *line = text, *next; *line; line = next) {
    next = strchr(line, '\n') + 1;
    unsigned long from, to;
    char rights[8];
    if (sscanf(line, "%lx-%lx %7s", &from, &to, rights) != 3 || (unsigned long)address < from || (unsigned long)address >= to) continue;
    char *label = memchr(line, '[', next - line), *slash = memchr(line, '/', next - line);
    printf("%s %s: %s %.*s\n", file, what, rights, label ? 7 : slash ? 4 : 0, label ? label : "file");
    return;
  }
  printf("%s %s: nowhere\n", file, what);
}
static void show_maps(int folder, const char *file) {
  int local;
  if (take(folder, file) <= 0) printf("%s: %s\n", file, strerror(errno));
  const char *last = strrchr(file, '/') ? strrchr(file, '/') + 1 : file;
  show_mapping("code", last, (void *)main);
  show_mapping("data", last, &data);
  show_mapping("stack", last, &local);
  show_mapping("mapped", last, mapped);
}
static void show_fields(const char *name) {
  static const char *keys[] = {"SigBlk:", "SigIgn:", "SigCgt:", "Seccomp:", "Seccomp_filters:", "NoNewPrivs:", "Name:", "Threads:"};
  if (take(AT_FDCWD, name) <= 0) printf("%s\n", strerror(errno));
  for (int k = 0; k < 8; k++) {
    char *line = strstr(text, keys[k]);
    if (line) printf("%.*s\n", (int)(strchr(line, '\n') - line), line);
  }
}
static void show_link(int folder, const char *name) {
  char own[4096], link[4096];
  ssize_t n = readlink("/proc/self/exe", own, sizeof own - 1), m = readlinkat(folder, name, link, sizeof link - 1);
  printf("exe: %s\n", m < 0 ? strerror(errno) : m == n && !memcmp(own, link, n) ? "this program" : "another");
}
static void show_words(int folder, const char *name) {
  ssize_t n = take(folder, name);
  for (ssize_t k = 0; k < n; k++)
    if (!text[k]) text[k] = '|';
  char *slash = memrchr(text, '/', n > 0 ? strchrnul(text, '|') - text : 0);
  printf("%s: %s\n", strrchr(name, '/') ? strrchr(name, '/') + 1 : name, n < 0 ? strerror(errno) : slash ? slash + 1 : text);
}
static void show_auxv(const char *name) {
  unsigned long words[100];
  ssize_t n = take(AT_FDCWD, name);
  memcpy(words, text, n > 0 ? n < sizeof words ? n : sizeof words : 0);
  for (int k = 0; k < n / 8; k += 2)
    if (words[k] == AT_ENTRY) printf("auxv: entry %s\n", words[k + 1] == getauxval(AT_ENTRY) ? "ours" : "another");
}
static void handler(int signal) {}

static void show_all(const char *base, int other) {
  char name[100];
  printf("-- %s\n", other ? "another" : "itself");
  const char *files[] = {"maps", "smaps"};
  for (int k = 0; k < 2; k++) snprintf(name, sizeof name, "%s/%s", base, files[k]), show_maps(AT_FDCWD, name);
  snprintf(name, sizeof name, "%s/status", base), show_fields(name);
  snprintf(name, sizeof name, "%s/exe", base), show_link(AT_FDCWD, name);
  struct stat a, b;
  int fd = open(name, O_RDONLY);
  printf("open exe: %s\n", fd < 0 ? strerror(errno) : !fstat(fd, &a) && !stat(getauxval(AT_EXECFN) ? (char *)getauxval(AT_EXECFN) : "", &b) && a.st_ino == b.st_ino ? "this program" : "another");
  close(fd);
  snprintf(name, sizeof name, "%s/comm", base), show_words(AT_FDCWD, name);
  snprintf(name, sizeof name, "%s/cmdline", base), show_words(AT_FDCWD, name);
  snprintf(name, sizeof name, "%s/environ", base), show_words(AT_FDCWD, name);
  snprintf(name, sizeof name, "%s/auxv", base), show_auxv(name);
}

int main(int argc, char **argv) {
  if (argc == 1) {  // with an environment and arguments that are known
    char *const words[] = {argv[0], "first", "second word", NULL}, *const environment[] = {"/A=1", "B=2", NULL};
    execve("/proc/self/exe", words, environment);
    return 1;
  }
  mapped = mmap(NULL, 8192, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  mprotect(mapped, 4096, PROT_READ | PROT_WRITE | PROT_EXEC);
  signal(SIGUSR1, handler), signal(SIGUSR2, SIG_IGN);
  sigset_t set;
  sigemptyset(&set), sigaddset(&set, SIGTERM), sigaddset(&set, SIGSEGV);
  sigprocmask(SIG_BLOCK, &set, NULL);
  show_all("/proc/self", 0);
  // The same by other names.
  char name[100];
  snprintf(name, sizeof name, "/proc/%d/task/%ld/status", getpid(), syscall(SYS_gettid)), show_fields(name);
  snprintf(name, sizeof name, "/proc/self/task/%d/exe", getpid()), show_link(AT_FDCWD, name);
  int folder = open("/proc/self", O_RDONLY | O_DIRECTORY);
  show_link(folder, "exe"), show_words(folder, "cmdline"), show_maps(folder, "maps");
  close(folder);
  folder = open("/proc", O_RDONLY | O_DIRECTORY);
  show_link(folder, "self/exe"), show_words(folder, "self/cmdline");
  close(folder);
  if (chdir("/proc/self")) perror("chdir");
  show_link(AT_FDCWD, "exe"), show_words(AT_FDCWD, "cmdline");
  chdir("/");
  // Which descriptors are open.
  fflush(stdout);
  folder = open("/proc/self/fd", O_RDONLY | O_DIRECTORY);
  char entries[4096];
  long got = syscall(SYS_getdents64, folder, entries, sizeof entries);
  for (long at = 0; at < got; at += *(unsigned short *)(entries + at + 16))
    if (atoi(entries + at + 19) > 100) printf("descriptor %s\n", entries + at + 19);
  close(folder);

  int pipes[2];
  char byte;
  pipe(pipes);
  fflush(stdout);
  pid_t child = fork();
  if (!child) {
    struct sock_filter filter[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    struct sock_fprog program = {1, filter};
    signal(SIGUSR1, SIG_DFL), signal(SIGHUP, handler);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
    prctl(PR_SET_NAME, "renamed");
    strcpy(argv[1], "FIRST");  // seen from outside
    write(pipes[1], "x", 1);
    for (;;) pause();
  }
  read(pipes[0], &byte, 1);
  snprintf(name, sizeof name, "/proc/%d", child);
  show_all(name, 1);
  kill(child, SIGKILL);
  waitpid(child, NULL, 0);

  // Memory through its file.
  int fd = open("/proc/self/mem", O_RDWR), value = 0;
  pread(fd, &value, sizeof value, (off_t)&data);
  printf("mem: %d\n", value);
  value = 5;
  pwrite(fd, &value, sizeof value, (off_t)&data);
  printf("written: %d\n", data);
  printf("nowhere: %s\n", pread(fd, &value, sizeof value, 16) < 0 ? strerror(errno) : "read");
  close(fd);
  take(AT_FDCWD, "/proc/sys/kernel/arch");
#ifdef __riscv
  printf("arch %s\n", !strcmp(text, "riscv64\n") ? "own" : text);
#else
  printf("arch %s\n", !strcmp(text, "x86_64\n") ? "own" : text);
#endif
  return 0;
}
