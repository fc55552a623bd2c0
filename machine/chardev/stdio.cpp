// stdio: standard input and output. A terminal is put into raw mode; a pipe or file works as it is, and its end is not
// the machine's end.
#include <fcntl.h>
#include <unistd.h>

#include <atomic>

#include "machine/chardev/create.h"
#include "machine/chardev/stream.h"
#include "machine/chardev/terminal.h"

namespace lyre::machine {
namespace {

std::atomic<bool> g_in_use{false};

class StdioChardev final : public StreamChardev {
 public:
  StdioChardev(EventLoop& loop, bool signals) : StreamChardev(loop) {
    terminal_raw(signals);
    // Input is read only when it polls readable, so the shared description may keep its flags.
    connect(fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3), reopen_nonblocking(STDOUT_FILENO, O_WRONLY));
  }
  ~StdioChardev() override {
    flush();
    shut();
    terminal_restore();
    g_in_use = false;
  }
  std::string description() const override { return "stdio"; }

 private:
  void input_ended() override { stop_input(); }
  void output_failed() override { drop_output(); }
};

}  // namespace

Result<std::unique_ptr<Chardev>> create_stdio(const OptionList& options, const ChardevContext& context) {
  const Result<bool> signals = option_bool(options, "signal", true);
  if (!signals) return signals.error();
  if (g_in_use.exchange(true)) return Error{"cannot use stdio by multiple character devices"};
  return std::unique_ptr<Chardev>(std::make_unique<StdioChardev>(context.io, *signals));
}

}  // namespace lyre::machine
