#include "runtime/cli/signals.h"

#include <pthread.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>

#include "machine/chardev/terminal.h"

namespace lyre::cli {
namespace {

// SIGUSR2 wakes the thread for its own end.
constexpr int kWatched[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGCONT, SIGUSR2};

sigset_t watched_set() {
  sigset_t set;
  sigemptyset(&set);
  for (int signal : kWatched) sigaddset(&set, signal);
  return set;
}

// The process ends by the signal itself, so that a shell sees it.
[[noreturn]] void end_by(int signal) {
  std::signal(signal, SIG_DFL);
  sigset_t one;
  sigemptyset(&one);
  sigaddset(&one, signal);
  raise(signal);
  pthread_sigmask(SIG_UNBLOCK, &one, nullptr);
  _exit(128 + signal);
}

}  // namespace

SignalThread::SignalThread(std::string program) : program_(std::move(program)) {
  std::signal(SIGPIPE, SIG_IGN);
  const sigset_t set = watched_set();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  thread_ = std::thread([this] { run(); });
  pthread_setname_np(thread_.native_handle(), "signals");
}

SignalThread::~SignalThread() {
  ending_ = true;
  pthread_kill(thread_.native_handle(), SIGUSR2);
  thread_.join();
}

void SignalThread::watch(std::function<void()> terminate, std::function<void()> report) {
  std::lock_guard lock(mutex_);
  terminate_ = std::move(terminate);
  report_ = std::move(report);
}

void SignalThread::handle(int signal, int sender) {
  std::lock_guard lock(mutex_);
  if (signal == SIGCONT) {
    machine::terminal_continued();
  } else if (!terminate_) {
    machine::terminal_restore();
    end_by(signal);
  } else if (signal == SIGQUIT) {
    report_();
  } else {
    const std::string from = sender > 0 ? " from pid " + std::to_string(sender) : "";
    std::fprintf(stderr, "%s: terminating on signal %d%s\n", program_.c_str(), signal, from.c_str());
    terminate_();
  }
}

void SignalThread::run() {
  const sigset_t set = watched_set();
  for (;;) {
    siginfo_t info{};
    const int signal = sigwaitinfo(&set, &info);
    if (ending_) return;
    if (signal > 0 && signal != SIGUSR2) handle(signal, info.si_pid);
  }
}

}  // namespace lyre::cli
