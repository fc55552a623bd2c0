#include "machine/block/image_lock.h"

#include <fcntl.h>

#include <cerrno>
#include <cstring>
#include <initializer_list>
#include <utility>

namespace lyre::machine::block {
namespace {

enum Permission : int { kConsistentRead = 0, kWrite = 1, kResize = 3 };
constexpr int kUsedBase = 100;
constexpr int kUnsharedBase = 200;

struct flock byte_lock(short type, int byte) {
  struct flock lock {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = byte;
  lock.l_len = 1;
  return lock;
}

// 0, or an errno.
int take(int fd, int byte) {
  struct flock lock = byte_lock(F_RDLCK, byte);
  return fcntl(fd, F_OFD_SETLK, &lock) == 0 ? 0 : errno;
}

// True: somebody else holds a lock on the byte.
bool taken(int fd, int byte) {
  struct flock lock = byte_lock(F_WRLCK, byte);
  return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

Error in_use(const std::string& file, const char* what) {
  return Error{"could not open '" + file + "': another process is using the image (failed to get the \"" + what + "\" lock)"};
}

}  // namespace

Status lock_image(int fd, const std::string& file, const ImageUse& use, bool must) {
  struct Row {
    Permission permission;
    const char* name;
    bool used, unshared;
  };
  const Row rows[] = {
      {kConsistentRead, "consistent read", true, false},
      {kWrite, "write", use.write, !use.share_writes},
      {kResize, "resize", use.write, !use.share_writes},
  };
  for (const Row& row : rows) {
    for (const auto& [wanted, base] : {std::pair{row.used, kUsedBase}, std::pair{row.unshared, kUnsharedBase}}) {
      const int error = wanted ? take(fd, base + row.permission) : 0;
      if (!error) continue;
      if (error == EAGAIN || error == EACCES) return in_use(file, row.name);
      if (must) return Error{"could not lock '" + file + "': " + std::strerror(error)};
      return Ok{};
    }
  }
  for (const Row& row : rows) {
    if (row.used && taken(fd, kUnsharedBase + row.permission)) return in_use(file, row.name);
    if (row.unshared && taken(fd, kUsedBase + row.permission)) return in_use(file, row.name);
  }
  return Ok{};
}

}  // namespace lyre::machine::block
