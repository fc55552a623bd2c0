// fexecve and execveat by descriptors that are closed on exec, or not; scripts by them.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static void run(const char *what, int directory, const char *path, int flags) {
  fflush(stdout);
  pid_t child = fork();
  if (!child) {
    char *arguments[] = {"again", (char *)what, 0};
    syscall(SYS_execveat, directory, path, arguments, environ, flags);
    printf("%s: %s\n", what, strerror(errno));
    fflush(stdout);
    _exit(1);
  }
  int status;
  waitpid(child, &status, 0);
  printf("status %x\n", status);
}

int main(int argc, char **argv) {
  if (argc > 1) {
    // Nothing of it is left open.
    int open_ones = 0;
    for (int fd = 3; fd < 200; fd++) open_ones += fcntl(fd, F_GETFD) >= 0;
    printf("%s %s, %d open\n", argv[0], argv[1], open_ones);
    return 5;
  }
  char self[4096];
  self[readlink("/proc/self/exe", self, sizeof self - 1)] = 0;
  run("closed on exec", open(self, O_RDONLY | O_CLOEXEC), "", AT_EMPTY_PATH);
  run("path only", open(self, O_PATH | O_CLOEXEC), "", AT_EMPTY_PATH);
  char *slash = strrchr(self, '/');
  *slash = 0;
  run("folder closed on exec", open(self, O_RDONLY | O_DIRECTORY | O_CLOEXEC), slash + 1, 0);
  *slash = '/';
  int fd = open(self, O_RDONLY);
  run("left open", fd, "", AT_EMPTY_PATH);
  close(fd);
  run("no such file", open("/", O_RDONLY | O_CLOEXEC), "nothing-there", 0);
  run("bad descriptor", 999, "", AT_EMPTY_PATH);

  char script[] = "/tmp/exec-by-descriptor-XXXXXX";
  fd = mkostemp(script, O_CLOEXEC);
  dprintf(fd, "#!/bin/echo\n");
  fchmod(fd, 0755);
  close(fd);
  run("script closed on exec", open(script, O_RDONLY | O_CLOEXEC), "", AT_EMPTY_PATH);
  unlink(script);
  return 0;
}
