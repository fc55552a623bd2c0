// FileImage: a file that is loaded into guest memory, kept open so that a machine reset finds the same bytes. Read with
// pread straight into RAM, never mapped: a file that somebody truncates is then an error and not a crash. Cold.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "runtime/base/result.h"

namespace lyre::machine {

class FileImage {
 public:
  FileImage() = default;
  ~FileImage();
  FileImage(FileImage&& other) noexcept;
  FileImage& operator=(FileImage&& other) noexcept;

  // what: "kernel", "initrd", for the sentence. Errors: missing, a directory, not readable, empty.
  static Result<FileImage> open(const std::string& path, const std::string& what);

  const std::string& path() const { return path_; }
  const std::string& what() const { return what_; }
  uint64_t size() const { return size_; }
  explicit operator bool() const { return fd_ >= 0; }

  // Exactly to.size() bytes from offset. Error: past the end ("... is cut short"), or the host's.
  Status read(uint64_t offset, std::span<std::byte> to) const;
  Result<std::vector<std::byte>> read_all() const;

 private:
  std::string path_, what_;
  int fd_ = -1;
  uint64_t size_ = 0;
};

// Creates or replaces a file. Error: the host's, with the path.
Status write_file(const std::string& path, std::span<const std::byte> bytes);

}  // namespace lyre::machine
