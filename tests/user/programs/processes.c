// fork, vfork, posix_spawn, exec of itself, exit statuses.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

int main(int argc, char **argv) {
  setvbuf(stdout, 0, _IONBF, 0);
  if (argc > 1 && !strcmp(argv[1], "child")) {
    const char *name = strrchr(argv[0], '/');
    printf("child: %s %s %s\n", name ? name : argv[0], argv[2][0] == '/' ? "a path" : argv[2], getenv("LYRE_TEST") ? getenv("LYRE_TEST") : "unset");
    return atoi(argv[2]);
  }
  int status;
  pid_t pid = fork();
  if (pid == 0) _exit(42);
  printf("wait %d", waitpid(pid, &status, 0) == pid);
  printf(" exit %d\n", WEXITSTATUS(status));
  char self[4096];
  ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
  if (length < 0) return 1;
  self[length] = 0;
  printf("own name %s\n", strrchr(self, '/') + 1);
  setenv("LYRE_TEST", "kept", 1);
  if (fork() == 0) {
    execl("/proc/self/exe", "argv zero", "child", "5", (char *)0);
    _exit(99);
  }
  wait(&status);
  printf("exec %d\n", WEXITSTATUS(status));
  pid = vfork();
  if (pid == 0) {
    execl(self, self, "child", "6", (char *)0);
    _exit(99);
  }
  waitpid(pid, &status, 0);
  printf("vfork %d\n", WEXITSTATUS(status));
  volatile int shared = 1;
  pid = vfork();
  if (pid == 0) {
    shared = 2;
    _exit(0);
  }
  waitpid(pid, &status, 0);
  printf("shared %d\n", shared);
  char *arguments[] = {"spawned", "child", "7", 0};
  int error = posix_spawn(&pid, self, 0, 0, arguments, environ);
  waitpid(pid, &status, 0);
  printf("spawn %d %d\n", error, WEXITSTATUS(status));
  printf("missing %s\n", strerror(posix_spawn(&pid, "/no/such/program", 0, 0, arguments, environ)));
  if (fork() == 0) {
    execl("/etc/passwd", "x", (char *)0);
    _exit(errno == EACCES ? 11 : 12);
  }
  wait(&status);
  printf("no permission %d\n", WEXITSTATUS(status));
  // A script whose interpreter is this program.
  char name[] = "/tmp/lyre-script-XXXXXX";
  int fd = mkstemp(name);
  FILE *script = fdopen(fd, "w");
  fprintf(script, "#!%s child\n", self);
  fclose(script);
  chmod(name, 0755);
  if (fork() == 0) {
    execl(name, name, "9", (char *)0);
    _exit(99);
  }
  wait(&status);
  unlink(name);
  printf("script %d\n", WEXITSTATUS(status));
  for (int k = 0; k < 50; k++) {
    if ((pid = fork()) == 0) _exit(k);
    waitpid(pid, &status, 0);
    if (WEXITSTATUS(status) != k) return 1;
  }
  printf("forked 50\n");
  pid = fork();
  if (pid == 0) pause();
  kill(pid, SIGTERM);
  waitpid(pid, &status, 0);
  printf("killed by %d\n", WTERMSIG(status));
  return 3;
}
