// FileImage. See file_image.h.
#include "machine/firmware/file_image.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace lyre::machine {

FileImage::~FileImage() {
  if (fd_ >= 0) close(fd_);
}

FileImage::FileImage(FileImage&& other) noexcept
    : path_(std::move(other.path_)),
      what_(std::move(other.what_)),
      fd_(std::exchange(other.fd_, -1)),
      size_(other.size_) {}

FileImage& FileImage::operator=(FileImage&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(what_, other.what_);
  std::swap(fd_, other.fd_);
  std::swap(size_, other.size_);
  return *this;
}

Result<FileImage> FileImage::open(const std::string& path, const std::string& what) {
  FileImage image;
  image.path_ = path;
  image.what_ = what;
  image.fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  struct stat status {};
  if (image.fd_ < 0 || fstat(image.fd_, &status) != 0)
    return Error{"cannot open the " + what + " '" + path + "': " + std::strerror(errno)};
  if (!S_ISREG(status.st_mode)) return Error{"the " + what + " '" + path + "' is not a regular file"};
  if (status.st_size == 0) return Error{"the " + what + " '" + path + "' is empty"};
  image.size_ = static_cast<uint64_t>(status.st_size);
  return image;
}

Status FileImage::read(uint64_t offset, std::span<std::byte> to) const {
  while (!to.empty()) {
    ssize_t count = pread(fd_, to.data(), to.size(), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return Error{"cannot read the " + what_ + " '" + path_ + "': " + std::strerror(errno)};
    if (count == 0)
      return Error{"the " + what_ + " '" + path_ + "' is cut short: it has " + std::to_string(size_) +
                   " bytes and more are needed"};
    offset += static_cast<uint64_t>(count);
    to = to.subspan(static_cast<size_t>(count));
  }
  return Ok{};
}

Result<std::vector<std::byte>> FileImage::read_all() const {
  std::vector<std::byte> bytes(size_);
  if (Status done = read(0, bytes); !done) return done.error();
  return bytes;
}

Status write_file(const std::string& path, std::span<const std::byte> bytes) {
  int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (fd < 0) return Error{"cannot write '" + path + "': " + std::strerror(errno)};
  bool good = true;
  while (good && !bytes.empty()) {
    ssize_t count = write(fd, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    good = count > 0;
    if (good) bytes = bytes.subspan(static_cast<size_t>(count));
  }
  int error = errno;
  good = close(fd) == 0 && good;
  return good ? Status(Ok{}) : Error{"cannot write '" + path + "': " + std::strerror(error)};
}

}  // namespace lyre::machine
