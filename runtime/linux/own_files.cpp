#include "runtime/linux/own_files.h"

#include <fcntl.h>
#include <sys/auxv.h>
#include <unistd.h>

#include <initializer_list>

namespace lyre::linux_user {
namespace {
int g_own_file = -1;
}

void adopt_own_file(int fd) {
  g_own_file = fd;
  keep_own_file(false);
}

void keep_own_file(bool through_exec) { fcntl(g_own_file, F_SETFD, through_exec ? 0 : FD_CLOEXEC); }

void open_own_file() {
  if (g_own_file >= 0) return;
  int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    const auto* name = reinterpret_cast<const char*>(getauxval(AT_EXECFN));
    if (name) fd = open(name, O_RDONLY | O_CLOEXEC);
  }
  if (fd < 0) return;
  for (int lowest : {1000, 500, 100}) {
    g_own_file = fcntl(fd, F_DUPFD_CLOEXEC, lowest);
    if (g_own_file >= 0) break;
  }
  close(fd);
}

int own_file() { return g_own_file; }

}  // namespace lyre::linux_user
