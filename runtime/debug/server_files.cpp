// vFile: the guest's files for a debugger that has no copy of them ("Host I/O Packets" of gdb's manual). Reading only.
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "runtime/debug/server.h"

namespace lyre::debug {
namespace {

// errno as the protocol numbers it; the first ones are those of everybody.
int protocol_error(int error) {
  constexpr int kUnknown = 9999, kNameTooLong = 91;
  switch (error) {
    case EPERM:
    case ENOENT:
    case EINTR:
    case EBADF:
    case EACCES:
    case EFAULT:
    case EBUSY:
    case EEXIST:
    case ENODEV:
    case ENOTDIR:
    case EISDIR:
    case EINVAL:
    case ENFILE:
    case EMFILE:
    case EFBIG:
    case ENOSPC:
    case ESPIPE:
    case EROFS:
      return error;
    case ENAMETOOLONG:
      return kNameTooLong;
    default:
      return kUnknown;
  }
}

std::string result(int64_t value) {
  char text[32];
  std::snprintf(text, sizeof text, "F%llx", static_cast<unsigned long long>(value));
  return text;
}
std::string failure(int error) {
  char text[32];
  std::snprintf(text, sizeof text, "F-1,%x", static_cast<unsigned>(protocol_error(error)));
  return text;
}

// struct stat of the protocol: big-endian words of 4 and 8 bytes.
std::string packed_stat(const struct stat& info) {
  std::string text;
  auto put = [&](uint64_t value, unsigned bytes) {
    while (bytes-- > 0) text += static_cast<char>(value >> (8 * bytes));
  };
  put(info.st_dev, 4), put(info.st_ino, 4), put(info.st_mode, 4), put(info.st_nlink, 4);
  put(info.st_uid, 4), put(info.st_gid, 4), put(info.st_rdev, 4);
  put(static_cast<uint64_t>(info.st_size), 8), put(static_cast<uint64_t>(info.st_blksize), 8);
  put(static_cast<uint64_t>(info.st_blocks), 8);
  for (time_t time : {info.st_atime, info.st_mtime, info.st_ctime}) put(static_cast<uint64_t>(time), 4);
  return text;
}

}  // namespace

int Target::open_file(const std::string& path) {
  const int fd = open(host_path(path).value_or(path).c_str(), O_RDONLY | O_CLOEXEC);
  return fd < 0 ? -errno : fd;
}

void GdbServer::close_files() {
  for (int fd : files_) close(fd);
  files_.clear();
}

// setfs:PROCESS, open:NAME,FLAGS,MODE, pread:FD,COUNT,OFFSET, fstat:FD, close:FD, readlink:NAME
std::string GdbServer::on_file(std::string_view arguments) {
  if (!target_.host_path("/")) return {};
  const size_t colon = arguments.find(':');
  const std::string_view operation = arguments.substr(0, colon);
  std::string_view rest = colon == arguments.npos ? std::string_view() : arguments.substr(colon + 1);
  auto number = [&](uint64_t& value) {
    if (rest.starts_with(",")) rest.remove_prefix(1);
    return take_hex(rest, value);
  };
  auto name = [&](std::string& asked) {
    std::vector<uint8_t> bytes;
    const size_t comma = rest.find(',');
    if (!from_hex(rest.substr(0, comma), bytes)) return false;
    rest.remove_prefix(std::min(comma, rest.size()));
    asked.assign(bytes.begin(), bytes.end());
    return true;
  };
  auto file = [&](int& fd) {
    uint64_t value;
    if (!number(value)) return false;
    fd = static_cast<int>(value);
    return std::find(files_.begin(), files_.end(), fd) != files_.end();
  };
  std::string path;
  int fd;
  if (operation == "setfs") return result(0);  // there is one view of the files
  if (operation == "open") {
    uint64_t flags, mode;
    if (!name(path) || !number(flags) || !number(mode)) return failure(EINVAL);
    if (flags & 3) return failure(EROFS);
    fd = target_.open_file(path);
    if (fd < 0) return failure(-fd);
    constexpr int kLowest = 1000;  // below, descriptors are the guest's
    if (const int high = fcntl(fd, F_DUPFD_CLOEXEC, kLowest); high >= 0) close(fd), fd = high;
    files_.push_back(fd);
    return result(fd);
  }
  if (operation == "readlink") {
    char target[4096];
    if (!name(path)) return failure(EINVAL);
    const ssize_t bytes = readlink(target_.host_path(path)->c_str(), target, sizeof target);
    return bytes < 0 ? failure(errno) : result(bytes) + ";" + std::string(target, static_cast<size_t>(bytes));
  }
  if (operation != "pread" && operation != "fstat" && operation != "close") return {};
  if (!file(fd)) return failure(EBADF);
  if (operation == "close") {
    std::erase(files_, fd);
    return close(fd) == 0 ? result(0) : failure(errno);
  }
  if (operation == "fstat") {
    struct stat info;
    if (fstat(fd, &info) != 0) return failure(errno);
    const std::string text = packed_stat(info);
    return result(static_cast<int64_t>(text.size())) + ";" + text;
  }
  uint64_t count, offset;
  if (!number(count) || !number(offset)) return failure(EINVAL);
  std::string bytes(std::min<uint64_t>(count, kPacketSize / 2 - 32), '\0');  // escaping may double it
  const ssize_t got = pread(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
  if (got < 0) return failure(errno);
  return result(got) + ";" + bytes.substr(0, static_cast<size_t>(got));
}

}  // namespace lyre::debug
