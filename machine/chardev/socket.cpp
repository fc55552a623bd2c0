// socket: a TCP or Unix socket. A server takes one client at a time and listens again when it has left; a client with
// reconnect= tries again after that many seconds. Output while nobody is connected is dropped.
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>

#include "machine/chardev/create.h"
#include "machine/chardev/stream.h"

namespace lyre::machine {
namespace {

struct Endpoint {
  std::string path;  // Unix socket, or
  std::string host, port;
  int family = AF_UNSPEC;
  bool nodelay = true;
  std::string text() const {
    return path.empty() ? "tcp:" + (host.empty() ? "0.0.0.0" : host) + ":" + port : "unix:" + path;
  }
};

Error failed(const Endpoint& at, const char* what) {
  return Error{std::string(what) + " " + at.text() + ": " + std::strerror(errno)};
}

bool close_with_errno(int fd) {
  const int error = errno;
  close(fd);
  errno = error;
  return false;
}

bool bind_or_connect(int fd, const sockaddr* address, socklen_t size, bool server) {
  if (!server) return connect(fd, address, size) == 0 || close_with_errno(fd);
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  return (bind(fd, address, size) == 0 && listen(fd, 1) == 0) || close_with_errno(fd);
}

Result<int> open_unix(const Endpoint& at, bool server) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (at.path.size() >= sizeof address.sun_path) return Error{"socket path '" + at.path + "' is too long"};
  std::memcpy(address.sun_path, at.path.c_str(), at.path.size());
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return failed(at, "cannot make a socket for");
  if (server) unlink(at.path.c_str());
  if (!bind_or_connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address, server)) {
    return failed(at, server ? "cannot listen on" : "cannot connect to");
  }
  return fd;
}

Result<int> open_tcp(const Endpoint& at, bool server) {
  addrinfo hints{};
  hints.ai_family = at.family;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = server ? AI_PASSIVE : 0;
  addrinfo* list = nullptr;
  const char* host = at.host.empty() ? (server ? "0.0.0.0" : "localhost") : at.host.c_str();
  if (const int error = getaddrinfo(host, at.port.c_str(), &hints, &list)) {
    return Error{"cannot resolve " + at.text() + ": " + gai_strerror(error)};
  }
  int fd = -1;
  for (const addrinfo* entry = list; entry && fd < 0; entry = entry->ai_next) {
    fd = socket(entry->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && !bind_or_connect(fd, entry->ai_addr, entry->ai_addrlen, server)) fd = -1;
  }
  const int error = errno;
  freeaddrinfo(list);
  errno = error;
  if (fd < 0) return failed(at, server ? "cannot listen on" : "cannot connect to");
  return fd;
}

Result<int> open_endpoint(const Endpoint& at, bool server) {
  return at.path.empty() ? open_tcp(at, server) : open_unix(at, server);
}

void prepare_connection(int fd, const Endpoint& at) {
  const int on = 1;
  if (at.path.empty() && at.nodelay) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

class SocketChardev final : public StreamChardev {
 public:
  SocketChardev(EventLoop& loop, Endpoint at, bool server, int64_t retry_ns)
      : StreamChardev(loop), at_(std::move(at)), server_(server), retry_ns_(retry_ns) {}
  ~SocketChardev() override {
    flush();
    {
      std::lock_guard lock(mutex_);
      closing_ = true;
    }
    io().cancel(timer_);
    if (listener_ >= 0) {
      io().remove(listener_);
      close(listener_);
      if (!at_.path.empty()) unlink(at_.path.c_str());
    }
    shut();
  }

  // Before a front end is attached. `wait`: returns when the first client is there.
  void serve(int listener, bool wait) {
    listener_ = listener;
    if (wait) {
      std::fprintf(stderr, "info: waiting for connection on: %s,server=on\n", at_.text().c_str());
      pollfd ready{listener, POLLIN, 0};
      while (poll(&ready, 1, -1) < 0 && errno == EINTR) {
      }
    }
    fcntl(listener, F_SETFL, fcntl(listener, F_GETFL) | O_NONBLOCK);
    io().add(listener, 0, [this](uint32_t) { accept_client(); });
    if (wait) accept_client();
    if (!connected()) io().modify(listener_, EventLoop::kReadable);
  }
  void use(int fd) {
    prepare_connection(fd, at_);
    connect(fd, fd);
  }
  void retry_later() {
    std::lock_guard lock(mutex_);
    if (!closing_) timer_ = io().after_ns(retry_ns_, [this] { try_again(); });
  }
  std::string description() const override {
    return (connected() ? "" : "disconnected:") + at_.text() + (server_ ? ",server=on" : "");
  }

 private:
  void accept_client() {
    const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) return;
    io().modify(listener_, 0);  // one client at a time; the next one waits in the backlog
    use(fd);
  }
  void try_again() {
    // Name resolution and a blocking connect would hold up the I/O thread; a local endpoint answers at once.
    auto fd = open_endpoint(at_, false);
    if (fd) {
      use(*fd);
    } else {
      retry_later();
    }
  }
  void input_ended() override {
    disconnect();
    if (listener_ >= 0) {
      io().modify(listener_, EventLoop::kReadable);
    } else if (retry_ns_ > 0) {
      retry_later();
    }
  }
  void output_failed() override { input_ended(); }

  const Endpoint at_;
  const bool server_;
  const int64_t retry_ns_;  // 0: never
  int listener_ = -1;
  std::mutex mutex_;
  bool closing_ = false;
  EventLoop::TimerId timer_ = 0;
};

Result<int64_t> number(const OptionList& options, std::string_view name) {
  const std::string* text = options.find(name);
  int64_t value = 0;
  if (!text) return value;
  auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (error != std::errc() || end != text->data() + text->size() || value < 0) {
    return Error{"'" + std::string(name) + "' expects a number, not '" + *text + "'"};
  }
  return value;
}

struct Wish {
  Endpoint at;
  bool server = false, wait = true;
  int64_t retry_ns = 0;
  int fd = -1;  // inherited
};

Result<Wish> read_wish(const OptionList& options) {
  Wish wish;
  wish.at.path = options.get("path");
  wish.at.host = options.get("host");
  wish.at.port = options.get("port");
  const auto server = option_bool(options, "server", false), wait = option_bool(options, "wait", true),
             nowait = option_bool(options, "nowait", false), nodelay = option_bool(options, "nodelay", true),
             delay = option_bool(options, "delay", true), ipv4 = option_bool(options, "ipv4", true),
             ipv6 = option_bool(options, "ipv6", true);
  for (const auto* flag : {&server, &wait, &nowait, &nodelay, &delay, &ipv4, &ipv6}) {
    if (!*flag) return flag->error();
  }
  const auto seconds = number(options, "reconnect"), milliseconds = number(options, "reconnect-ms"),
             fd = number(options, "fd");
  for (const auto* count : {&seconds, &milliseconds, &fd}) {
    if (!*count) return count->error();
  }
  wish.server = *server;
  wish.wait = *wait && !*nowait;
  wish.at.nodelay = *nodelay && *delay;
  if (*ipv4 != *ipv6) wish.at.family = *ipv4 ? AF_INET : AF_INET6;
  wish.retry_ns = *seconds * 1'000'000'000 + *milliseconds * 1'000'000;
  if (options.find("fd")) wish.fd = static_cast<int>(*fd);
  if (wish.server && wish.retry_ns)
    return Error{"'reconnect' option is incompatible with socket in server listen mode"};
  if (wish.fd < 0 && wish.at.path.empty() && wish.at.port.empty()) {
    return Error{"character device 'socket' needs path=FILE, or host=HOST,port=PORT"};
  }
  return wish;
}

}  // namespace

Result<std::unique_ptr<Chardev>> create_socket(const OptionList& options, const ChardevContext& context) {
  Result<Wish> wish = read_wish(options);
  if (!wish) return wish.error();
  Result<int> fd = wish->fd >= 0 ? Result<int>(wish->fd) : open_endpoint(wish->at, wish->server);
  if (!fd && wish->retry_ns == 0) return fd.error();
  auto made = std::make_unique<SocketChardev>(context.io, wish->at, wish->server, wish->retry_ns);
  if (!fd) {
    made->retry_later();
  } else if (wish->server) {
    made->serve(*fd, wish->wait);
  } else {
    made->use(*fd);
  }
  return std::unique_ptr<Chardev>(std::move(made));
}

}  // namespace lyre::machine
