#include "runtime/linux/own_files.h"

#include <fcntl.h>
#include <sys/auxv.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <initializer_list>

namespace lyre::linux_user {
namespace {

int g_own_file = -1;
constexpr int kHidden = 4;
std::atomic<int> g_hidden[kHidden] = {-1, -1, -1, -1};

int moved_up(int fd) {
  for (int lowest : {1000, 500, 100})
    if (const int high = fcntl(fd, F_DUPFD_CLOEXEC, lowest); high >= 0) return high;
  return -1;
}

}  // namespace

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
  g_own_file = moved_up(fd);
  close(fd);
}

int raise_file(int fd) {
  const int high = moved_up(fd);
  if (high < 0) return fd;
  close(fd);
  return high;
}

int hide_file(int fd) {
  const int high = raise_file(fd);
  if (high == fd) return fd;
  for (auto& each : g_hidden)
    if (int none = -1; each.compare_exchange_strong(none, high)) break;
  return high;
}

void close_hidden_file(int fd) {
  for (auto& each : g_hidden)
    if (int same = fd; each.compare_exchange_strong(same, -1)) break;
  close(fd);
}

void close_hidden_files() {
  for (auto& each : g_hidden)
    if (const int fd = each.exchange(-1); fd >= 0) close(fd);
}

bool is_own_file(int fd) {
  return fd >= 0 && (fd == g_own_file || std::any_of(std::begin(g_hidden), std::end(g_hidden),
                                                     [&](const auto& each) { return each.load() == fd; }));
}

std::vector<int> own_files() {
  std::vector<int> list;
  if (g_own_file >= 0) list.push_back(g_own_file);
  for (auto& each : g_hidden)
    if (const int fd = each.load(); fd >= 0) list.push_back(fd);
  std::sort(list.begin(), list.end());
  return list;
}

int own_file() { return g_own_file; }

}  // namespace lyre::linux_user
