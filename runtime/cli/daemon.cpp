#include "runtime/cli/daemon.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

namespace lyre::cli {

Status Daemon::fork_away() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) < 0) return Error{std::string("-daemonize: cannot make a pipe: ") + std::strerror(errno)};
  const pid_t child = fork();
  if (child < 0) return Error{std::string("-daemonize: cannot fork: ") + std::strerror(errno)};
  if (child > 0) {
    close(ends[1]);
    char status = 1;
    while (read(ends[0], &status, 1) < 0 && errno == EINTR) {
    }
    _exit(status);
  }
  close(ends[0]);
  to_parent_ = ends[1];
  setsid();
  umask(027);
  return Ok{};
}

void Daemon::ready() {
  if (to_parent_ < 0) return;
  std::fflush(nullptr);
  const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null >= 0) {
    for (int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) dup2(null, fd);
    close(null);
  }
  if (chdir("/") < 0) return;  // the parent then reports failure
  const char good = 0;
  while (write(to_parent_, &good, 1) < 0 && errno == EINTR) {
  }
  close(to_parent_);
  to_parent_ = -1;
}

Status write_pidfile(const std::string& path) {
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return Error{"-pidfile " + path + ": cannot open it: " + std::strerror(errno)};
  const std::string text = std::to_string(getpid()) + "\n";
  if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
    close(fd);
    return Error{"-pidfile " + path + ": another running emulator holds it"};
  }
  if (ftruncate(fd, 0) < 0 || write(fd, text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    const int error = errno;
    close(fd);
    return Error{"-pidfile " + path + ": cannot write it: " + std::strerror(error)};
  }
  return Ok{};  // fd stays open: it is the lock
}

void remove_pidfile(const std::string& path) {
  if (!path.empty()) unlink(path.c_str());
}

}  // namespace lyre::cli
