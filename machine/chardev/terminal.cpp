#include "machine/chardev/terminal.h"

#include <termios.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <initializer_list>

namespace lyre::machine {
namespace {

termios g_saved{};
termios g_raw{};
std::atomic<bool> g_is_raw{false};

void on_fatal_signal(int signal) {
  terminal_restore();
  // SA_RESETHAND has put the default action back: this ends the process the way it was going to end.
  raise(signal);
}

void install_once() {
  static bool installed = false;
  if (installed) return;
  installed = true;
  std::atexit(terminal_restore);
  for (int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS}) {
    struct sigaction before {};
    // Somebody who handles a fault for good (the engine, a sanitizer) keeps it.
    if (sigaction(signal, nullptr, &before) < 0 || before.sa_handler != SIG_DFL) continue;
    struct sigaction action {};
    action.sa_handler = on_fatal_signal;
    action.sa_flags = static_cast<int>(SA_RESETHAND | SA_NODEFER);
    sigaction(signal, &action, nullptr);
  }
}

}  // namespace

void terminal_raw(bool signals) {
  if (!isatty(STDIN_FILENO) || tcgetpgrp(STDIN_FILENO) != getpgrp()) return;
  if (!g_is_raw && tcgetattr(STDIN_FILENO, &g_saved) < 0) return;
  install_once();
  g_raw = g_saved;
  g_raw.c_iflag &= ~static_cast<tcflag_t>(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
  g_raw.c_oflag |= OPOST;
  g_raw.c_lflag &= ~static_cast<tcflag_t>(ECHO | ECHONL | ICANON | IEXTEN);
  if (!signals) g_raw.c_lflag &= ~static_cast<tcflag_t>(ISIG);
  g_raw.c_cflag &= ~static_cast<tcflag_t>(CSIZE | PARENB);
  g_raw.c_cflag |= CS8;
  g_raw.c_cc[VMIN] = 1;
  g_raw.c_cc[VTIME] = 0;
  g_is_raw = true;
  tcsetattr(STDIN_FILENO, TCSANOW, &g_raw);
}

void terminal_restore() {
  if (g_is_raw.exchange(false)) tcsetattr(STDIN_FILENO, TCSANOW, &g_saved);
}

void terminal_continued() {
  if (g_is_raw && tcgetpgrp(STDIN_FILENO) == getpgrp()) tcsetattr(STDIN_FILENO, TCSANOW, &g_raw);
}

}  // namespace lyre::machine
