// file: output into a file, input from another one if asked for.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "machine/chardev/create.h"
#include "machine/chardev/stream.h"

namespace lyre::machine {
namespace {

class FileChardev final : public StreamChardev {
 public:
  FileChardev(EventLoop& loop, std::string path, int in, int out) : StreamChardev(loop), path_(std::move(path)) {
    connect(in, out);
  }
  ~FileChardev() override {
    flush();
    shut();
  }
  std::string description() const override { return "file:" + path_; }

 private:
  void input_ended() override { stop_input(); }
  void output_failed() override { drop_output(); }
  const std::string path_;
};

}  // namespace

Result<std::unique_ptr<Chardev>> create_file(const OptionList& options, const ChardevContext& context) {
  const std::string path = options.get("path");
  if (path.empty()) return Error{"character device 'file' needs path=FILE"};
  const Result<bool> append = option_bool(options, "append", false);
  if (!append) return append.error();
  const int out = open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | (*append ? O_APPEND : O_TRUNC), 0666);
  if (out < 0) return Error{"cannot open '" + path + "' for output: " + std::strerror(errno)};
  int in = -1;
  if (const std::string* input = options.find("input-path")) {
    in = open(input->c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (in < 0) {
      const int error = errno;
      close(out);
      return Error{"cannot open '" + *input + "' for input: " + std::strerror(error)};
    }
  }
  return std::unique_ptr<Chardev>(std::make_unique<FileChardev>(context.io, path, in, out));
}

}  // namespace lyre::machine
