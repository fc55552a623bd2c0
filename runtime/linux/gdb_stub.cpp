#include "runtime/linux/gdb_stub.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>

#include "runtime/debug/server.h"
#include "runtime/linux/debugger.h"
#include "runtime/linux/own_files.h"
#include "runtime/linux/proc_files.h"

namespace lyre::linux_user {
namespace {

class GdbStub final : debug::Target {
 public:
  GdbStub(Process& process, int listener, int event)
      : process_(process),
        listener_(listener),
        event_(event),
        debugger_(process),
        server_(*this, [this](std::string_view bytes) { send(bytes); }) {
    debugger_.set_notify([this] {
      const uint64_t one = 1;
      if (write(event_, &one, sizeof one) < 0) event_ += 0;  // it is full: the thread wakes as it is
    });
    process_.set_debugger(&debugger_);
  }
  void run();
  // Before run(): the debugger of the program that executed this one.
  void follow(int connection, unsigned agreed, uint64_t passed, std::vector<int> files);

 private:
  void share();
  void connect();
  void disconnect();
  void take_bytes();
  void look();
  void finish(const debug::StopEvent& event);
  void send(std::string_view bytes);

  const frontend::GuestDebug& guest() const override { return *process_.cpu().user_debug(); }
  std::string program() const override { return "lyrebird-" + std::string(process_.cpu().guest_name()); }
  std::string_view features() const override {
    return ";qXfer:auxv:read+;qXfer:exec-file:read+;qXfer:siginfo:read+;QPassSignals+;QCatchSyscalls+;exec-events+";
  }
  unsigned process_id() const override { return static_cast<unsigned>(getpid()); }
  bool launched() const override { return true; }
  std::vector<unsigned> threads() const override { return const_cast<Debugger&>(debugger_).threads(); }
  std::string thread_info(unsigned thread) const override;
  bool read_register(unsigned thread, unsigned number, uint64_t& value) override {
    return debugger_.read_register(thread, number, value);
  }
  bool write_register(unsigned thread, unsigned number, uint64_t value) override {
    return debugger_.write_register(thread, number, value);
  }
  bool read_memory(unsigned, uint64_t address, std::span<uint8_t> bytes) override {
    return process_.space().peek(address, bytes.data(), bytes.size());
  }
  bool write_memory(unsigned, uint64_t address, std::span<const uint8_t> bytes) override {
    return process_.space().poke(address, bytes.data(), bytes.size());
  }
  bool supports(debug::PointKind) const override { return true; }
  void set_points(std::span<const debug::Point> points) override { debugger_.set_points(points); }
  bool is_stopped() const override { return const_cast<Debugger&>(debugger_).stopped(); }
  void attach() override { debugger_.attach(); }
  void detach() override;
  void resume(std::span<const debug::Resume> actions) override { debugger_.resume(actions); }
  void stop() override { debugger_.stop(); }
  void kill() override { ::kill(getpid(), SIGKILL); }
  std::optional<std::string> object(unsigned thread, std::string_view name, std::string_view annex) override;
  std::optional<uint64_t> load_offset() const override { return process_.load_offset(); }
  bool pass_signals(std::span<const unsigned> signals) override { return debugger_.pass_signals(signals), true; }
  bool catch_syscalls(bool on, std::span<const uint64_t> numbers) override {
    return debugger_.catch_syscalls(on, numbers), true;
  }
  std::optional<std::string> host_path(const std::string& path) const override { return process_.host_path(path); }
  int open_file(const std::string& path) override;

  Process& process_;
  const int listener_;
  int event_;
  int connection_ = -1;
  bool followed_ = false;  // the debugger is to be told that this is another program
  debug::GdbServer::Agreed agreed_;
  std::vector<int> followed_files_;
  bool detaching_ = false;  // when all have stopped
  Debugger debugger_;
  debug::GdbServer server_;
};

void GdbStub::send(std::string_view bytes) {
  while (!bytes.empty() && connection_ >= 0) {
    const ssize_t sent = ::send(connection_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno != EINTR) return;  // the reader notices
    if (sent > 0) bytes.remove_prefix(static_cast<size_t>(sent));
  }
}

void GdbStub::follow(int connection, unsigned agreed, uint64_t passed, std::vector<int> files) {
  followed_files_ = std::move(files);
  connection_ = connection;
  followed_ = true;
  agreed_ = {(agreed & 1) != 0, (agreed & 2) != 0, true};
  debugger_.set_passed(passed);
}

// What a program that is executed needs to go on with this conversation.
void GdbStub::share() {
  const debug::GdbServer::Agreed& agreed = server_.agreed();
  const bool follows = connection_ >= 0 && server_.attached() && agreed.exec_events;
  debugger_.set_connection({follows ? connection_ : -1, listener_,
                            (agreed.no_ack ? 1u : 0u) | (agreed.multiprocess ? 2u : 0u), server_.files()});
}

void GdbStub::run() {
  debugger_.wait_for_first_thread();
  if (followed_) server_.go_on_with(agreed_, std::move(followed_files_)), share();
  for (;;) {
    pollfd wanted[2] = {{event_, POLLIN, 0}, {connection_ >= 0 ? connection_ : listener_, POLLIN, 0}};
    if (poll(wanted, 2, -1) < 0 && errno != EINTR) return;
    if (wanted[0].revents) {
      uint64_t count;
      if (read(event_, &count, sizeof count) > 0) look();
    }
    if (wanted[1].revents) connection_ >= 0 ? take_bytes() : connect();
  }
}

void GdbStub::connect() {
  const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
  if (fd < 0) return;
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);  // a Unix socket has none
  connection_ = hide_file(fd);
  detaching_ = false;
  server_.connected();
}

void GdbStub::disconnect() {
  server_.disconnected();
  close_hidden_file(connection_);
  connection_ = -1;
  share();
}

void GdbStub::take_bytes() {
  uint8_t bytes[4096];
  const ssize_t got = recv(connection_, bytes, sizeof bytes, 0);
  if (got < 0 && errno == EINTR) return;
  if (got <= 0) return disconnect();
  server_.receive({bytes, static_cast<size_t>(got)});
  share();
}

// All have stopped, or the process is about to end.
void GdbStub::look() {
  debug::StopEvent event;
  if (debugger_.ending(event)) return finish(event);
  if (!debugger_.stopped()) return;
  if (std::exchange(detaching_, false)) return debugger_.detach();
  if (!server_.attached()) return;
  event = debugger_.take_stop();
  if (std::exchange(followed_, false))
    event.kind = debug::StopEvent::Kind::kExec, event.path = *object(0, "exec-file", "");
  server_.stopped(event);
}

// A debugger whose acknowledgement finds the connection closed takes that for an error.
void GdbStub::finish(const debug::StopEvent& event) {
  server_.stopped(event);
  for (int tries = 0; tries < 100 && connection_ >= 0 && !server_.end_acknowledged(); ++tries) {
    pollfd wanted{connection_, POLLIN, 0};
    if (poll(&wanted, 1, 10) > 0) take_bytes();
  }
  debugger_.ended();
}

void GdbStub::detach() {
  if (debugger_.stopped()) return debugger_.detach();
  detaching_ = true;
  debugger_.stop();
}

// What /proc says of the process is about the guest, to the debugger too.
int GdbStub::open_file(const std::string& path) {
  if (path.starts_with("/proc/") && !path.starts_with("/proc/thread-self"))
    if (const int64_t made = open_proc_file(process_, path, O_RDONLY | O_CLOEXEC); made != -ENOENT)
      return static_cast<int>(made);
  return debug::Target::open_file(path);
}

std::string GdbStub::thread_info(unsigned thread) const {
  char name[32] = {};
  const int fd = open(("/proc/self/task/" + std::to_string(thread) + "/comm").c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return "thread";
  const ssize_t got = read(fd, name, sizeof name - 1);
  close(fd);
  return got > 1 ? std::string(name, static_cast<size_t>(got - 1)) : "thread";
}

std::optional<std::string> GdbStub::object(unsigned thread, std::string_view name, std::string_view) {
  std::string text;
  if (name == "auxv") {
    text.resize(process_.stack().auxv_bytes);
    if (!process_.space().peek(process_.stack().auxv, text.data(), text.size())) text.clear();
    return text;
  }
  if (name == "exec-file") {
    // As the guest names it.
    const std::string& prefix = process_.options.prefix;
    text = process_.program_path();
    if (!prefix.empty() && text.starts_with(prefix + "/")) text.erase(0, prefix.size());
    return text;
  }
  if (name != "siginfo") return std::nullopt;
  if (const auto info = debugger_.siginfo(thread)) text.assign(reinterpret_cast<const char*>(&*info), sizeof *info);
  return text;
}

Result<int> listen_at(std::string where) {
  if (!where.empty() && where.find_first_not_of("0123456789") == where.npos) {
    const unsigned long port = where.size() < 6 ? std::stoul(where) : 0;
    if (port == 0 || port > 65535) return Error{"'" + where + "' is no TCP port"};
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET, address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int on = 1;
    if (fd >= 0) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (fd < 0 || bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 || listen(fd, 1) != 0)
      return Error{"port " + where + ": " + strerror(errno)};
    return fd;
  }
  if (const size_t at = where.find("%d"); at != where.npos) where.replace(at, 2, std::to_string(getpid()));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  // Who sees the name may connect: until then it has another one.
  const std::string early = where + "~";
  if (where.empty() || early.size() >= sizeof address.sun_path) return Error{"'" + where + "' is no path of a socket"};
  memcpy(address.sun_path, early.c_str(), early.size() + 1);
  struct stat there;
  for (const std::string& name : {where, early})
    if (lstat(name.c_str(), &there) == 0 && S_ISSOCK(there.st_mode)) unlink(name.c_str());  // an earlier process's
  if (lstat(where.c_str(), &there) == 0) return Error{where + ": " + strerror(EEXIST)};
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 || listen(fd, 1) != 0 ||
      rename(early.c_str(), where.c_str()) != 0)
    return Error{where + ": " + strerror(errno)};
  return fd;
}

void* stub_main(void* stub) {
  static_cast<GdbStub*>(stub)->run();
  return nullptr;
}

}  // namespace

static Status start(GdbStub* stub) {
  sigset_t all, before;
  sigfillset(&all);
  // What it reads may turn out not to be there.
  sigdelset(&all, SIGSEGV), sigdelset(&all, SIGBUS);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_t thread;
  const int failed = pthread_create(&thread, nullptr, stub_main, stub);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (failed) return Error{std::string("no thread for it: ") + strerror(failed)};
  pthread_detach(thread);
  return Ok{};
}

static Result<GdbStub*> make_stub(Process& process, int listener) {
  const int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (event < 0) return Error{std::string("no event descriptor: ") + strerror(errno)};
  return new GdbStub(process, hide_file(listener), hide_file(event));
}

Status start_gdb_stub(Process& process, const std::string& where) {
  auto listener = listen_at(where);
  if (!listener) return listener.error();
  auto stub = make_stub(process, *listener);
  return stub ? start(*stub) : stub.error();
}

Status continue_gdb_stub(Process& process, const std::string& handed_over) {
  std::vector<uint64_t> numbers;
  for (size_t at = 0; at < handed_over.size(); ++at) {
    char* end = nullptr;
    numbers.push_back(strtoull(handed_over.c_str() + at, &end, 10));
    at = static_cast<size_t>(end - handed_over.c_str());
  }
  if (numbers.size() < 4) return Error{"'" + handed_over + "' is no connection"};
  std::vector<int> files(numbers.begin() + 4, numbers.end());
  for (int fd : files) fcntl(fd, F_SETFD, FD_CLOEXEC);
  auto stub = make_stub(process, static_cast<int>(numbers[3]));
  if (!stub) return stub.error();
  (*stub)->follow(hide_file(static_cast<int>(numbers[2])), static_cast<unsigned>(numbers[0]), numbers[1],
                  std::move(files));
  return start(*stub);
}

}  // namespace lyre::linux_user
