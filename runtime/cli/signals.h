// SignalThread: takes the process's signals, so that no other thread is ever interrupted. Make it before any other
// thread: it blocks the signals for all that come later. Until watch() a terminating signal ends the process at once
// (there is no guest to lose).
#pragma once
#include <atomic>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

namespace lyre::cli {

class SignalThread {
 public:
  explicit SignalThread(std::string program);
  ~SignalThread();
  SignalThread(const SignalThread&) = delete;
  SignalThread& operator=(const SignalThread&) = delete;

  // terminate: SIGINT, SIGTERM, SIGHUP. report: SIGQUIT. Both are called on the signal thread. With empty functions it
  // goes back to ending the process; after the call no function of before is running.
  void watch(std::function<void()> terminate, std::function<void()> report);

 private:
  void run();
  const std::string program_;
  void handle(int signal, int sender);
  std::mutex mutex_;  // held while a function runs
  std::function<void()> terminate_, report_;
  std::atomic<bool> ending_{false};
  std::thread thread_;
};

}  // namespace lyre::cli
