// A file that lives as long as the object.
#pragma once
#include <stdlib.h>
#include <unistd.h>

#include <string>
#include <string_view>

namespace lyre::tests {

class TemporaryFile {
 public:
  explicit TemporaryFile(std::string_view contents) {
    char name[] = "/tmp/lyrebird-test-XXXXXX";
    int fd = mkstemp(name);
    path_ = name;
    while (!contents.empty()) {
      ssize_t count = ::write(fd, contents.data(), contents.size());
      if (count <= 0) break;
      contents.remove_prefix(static_cast<size_t>(count));
    }
    close(fd);
  }
  ~TemporaryFile() { unlink(path_.c_str()); }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace lyre::tests
