// pty: a new pseudo-terminal. Nobody tells us when a program opens the other side, so an unused one is polled; output
// in the meantime is dropped.
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "machine/chardev/create.h"
#include "machine/chardev/stream.h"

namespace lyre::machine {
namespace {

constexpr int64_t kPollNs = 200'000'000;

class PtyChardev final : public StreamChardev {
 public:
  PtyChardev(EventLoop& loop, int master, std::string name, std::string link)
      : StreamChardev(loop), master_(master), name_(std::move(name)), link_(std::move(link)) {
    look_for_user();
  }
  ~PtyChardev() override {
    flush();
    {
      std::lock_guard lock(mutex_);
      closing_ = true;
    }
    // A callback that runs now sees closing_ and does not arm again; cancel waits for it.
    io().cancel(timer_);
    shut();
    close(master_);
    if (!link_.empty()) unlink(link_.c_str());
  }
  std::string description() const override { return "pty:" + name_; }

 private:
  bool has_user() const {
    pollfd state{master_, POLLOUT, 0};
    return poll(&state, 1, 0) >= 0 && !(state.revents & POLLHUP);
  }
  void look_for_user() {
    if (has_user()) {
      const int copy = fcntl(master_, F_DUPFD_CLOEXEC, 3);
      connect(copy, copy);
      return;
    }
    std::lock_guard lock(mutex_);
    if (!closing_) timer_ = io().after_ns(kPollNs, [this] { look_for_user(); });
  }
  void input_ended() override {
    disconnect();
    look_for_user();
  }
  void output_failed() override { input_ended(); }

  const int master_;
  const std::string name_, link_;
  std::mutex mutex_;
  bool closing_ = false;
  EventLoop::TimerId timer_ = 0;
};

// The other side starts raw, and having been open once, reports a hangup until somebody opens it.
bool prepare_other_side(const char* name) {
  const int fd = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (fd < 0) return false;
  termios settings{};
  const bool good = tcgetattr(fd, &settings) == 0;
  if (good) {
    cfmakeraw(&settings);
    tcsetattr(fd, TCSAFLUSH, &settings);
  }
  close(fd);
  return good;
}

}  // namespace

Result<std::unique_ptr<Chardev>> create_pty(const OptionList& options, const ChardevContext& context) {
  const int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
  char name[128];
  if (master < 0 || grantpt(master) < 0 || unlockpt(master) < 0 || ptsname_r(master, name, sizeof name) != 0 ||
      !prepare_other_side(name)) {
    const int error = errno;
    if (master >= 0) close(master);
    return Error{std::string("cannot make a pseudo-terminal: ") + std::strerror(error)};
  }
  const std::string link = options.get("path");
  if (!link.empty() && symlink(name, link.c_str()) < 0) {
    const int error = errno;
    close(master);
    return Error{"cannot make the link '" + link + "' to " + name + ": " + std::strerror(error)};
  }
  std::fprintf(stderr, "char device redirected to %s (label %s)\n", name, context.label.c_str());
  return std::unique_ptr<Chardev>(std::make_unique<PtyChardev>(context.io, master, name, link));
}

}  // namespace lyre::machine
