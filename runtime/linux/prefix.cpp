#include "runtime/linux/prefix.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

namespace lyre::linux_user {
namespace {

constexpr int kMaxLinks = 40;  // as the kernel

bool is_kernels(const std::string& path) {
  for (const char* name : {"/dev", "/proc", "/sys"}) {
    const std::string folder = name;
    if (path.starts_with(folder) && (path.size() == folder.size() || path[folder.size()] == '/')) return true;
  }
  return false;
}

bool exists(const std::string& path) {
  return faccessat(AT_FDCWD, path.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

}  // namespace

std::string path_under(const std::string& prefix, const std::string& path, bool follow_last) {
  if (is_kernels(path) && exists(path)) return path;
  // A name in the folder as the host has it, from getcwd or /proc/self/exe.
  const bool host_name = path.starts_with(prefix) && (path.size() == prefix.size() || path[prefix.size()] == '/');
  std::string done;                                                // below the prefix, without links: "/usr/lib"
  std::string rest = host_name ? path.substr(prefix.size()) : path;  // "/riscv64-linux-gnu/libc.so.6"
  int links = 0;
  bool absolute = !host_name;  // the last link that was followed, or the path itself
  char target[PATH_MAX];
  for (;;) {
    const size_t start = rest.find_first_not_of('/');
    if (start == rest.npos) return prefix + done + (rest.empty() && !done.empty() ? "" : "/");
    size_t end = rest.find('/', start);
    if (end == rest.npos) end = rest.size();
    const std::string name = rest.substr(start, end - start);
    rest.erase(0, end);
    if (name == ".") continue;
    if (name == "..") {
      done.erase(done.empty() ? 0 : done.rfind('/'));
      continue;
    }
    const std::string here = prefix + done + "/" + name;
    const ssize_t length = readlink(here.c_str(), target, sizeof target);
    if (length < 0 && errno == ENOENT && absolute) {
      // A new name belongs where its directory is.
      if (!rest.empty() || done.empty() || exists(done)) return done + "/" + name + rest;
      return here;
    }
    if (length < 0 && errno != EINVAL) return here + rest;  // the call itself finds what is wrong
    if (length < 0 || (rest.empty() && !follow_last)) {
      done += "/" + name;
      continue;
    }
    if (++links > kMaxLinks) return prefix + rest;
    absolute = target[0] == '/';
    if (absolute) done.clear();
    rest = (absolute ? "" : "/") + std::string(target, static_cast<size_t>(length)) + rest;
    if (absolute && is_kernels(rest)) return rest;
  }
}

}  // namespace lyre::linux_user
