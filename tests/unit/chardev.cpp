#include "machine/chardev/chardev.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <mutex>
#include <sstream>
#include <string>
#include <thread>

#include "machine/chardev/create.h"
#include "machine/chardev/mux.h"
#include "tests/support/catch.h"

using namespace lyre;
using namespace lyre::machine;
using namespace std::chrono_literals;

namespace {

template <typename F>
bool soon(F&& condition) {
  for (int i = 0; i < 30000; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(1ms);
  }
  return false;
}

// A front end that takes what it is given, as far as `room` goes. It outlives the character device that calls it.
struct FrontEnd {
  std::mutex mutex;
  std::string text;
  std::string events;
  size_t room = SIZE_MAX;
  std::atomic<int> can_write{0};

  ChardevReceiver receiver() {
    ChardevReceiver r;
    r.can_receive = [this] {
      std::lock_guard lock(mutex);
      return room;
    };
    r.receive = [this](std::span<const uint8_t> bytes) {
      std::lock_guard lock(mutex);
      text.append(bytes.begin(), bytes.end());
      room -= bytes.size();
    };
    r.event = [this](ChardevEvent event) {
      std::lock_guard lock(mutex);
      events += "OCBIX"[static_cast<size_t>(event)];
    };
    r.can_write = [this] { ++can_write; };
    return r;
  }
  std::string now() {
    std::lock_guard lock(mutex);
    return text;
  }
  std::string seen() {
    std::lock_guard lock(mutex);
    return events;
  }
};

size_t put(Chardev& chardev, std::string_view text) {
  return chardev.write({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
}

struct Fixture {
  EventLoop loop;
  std::string directory;
  std::atomic<int> quits{0};
  Fixture() {
    char name[] = "/tmp/lyre_chardev_XXXXXX";
    directory = mkdtemp(name);
    loop.start("test");
  }
  ~Fixture() {
    loop.stop();
    const std::string command = "rm -rf " + directory;
    if (system(command.c_str()) != 0) return;
  }
  Result<std::unique_ptr<Chardev>> make(std::vector<std::pair<std::string, std::string>> items) {
    OptionList options;
    options.items = std::move(items);
    return create_chardev(options, {loop, "test0", [this] { ++quits; }});
  }
  std::unique_ptr<Chardev> must(std::vector<std::pair<std::string, std::string>> items) {
    auto made = make(std::move(items));
    REQUIRE(made);
    return std::move(*made);
  }
};

int connect_unix(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) return fd;
  close(fd);
  return -1;
}

std::string read_for(int fd, size_t size) {
  std::string text;
  char buffer[4096];
  while (text.size() < size) {
    const ssize_t n = read(fd, buffer, std::min(sizeof buffer, size - text.size()));
    if (n <= 0) break;
    text.append(buffer, static_cast<size_t>(n));
  }
  return text;
}

}  // namespace

TEST_CASE("chardev file takes output, flushed and whole", "[chardev]") {
  Fixture f;
  const std::string path = f.directory + "/out";
  std::string expected;
  {
    auto file = f.must({{"", "file"}, {"path", path}});
    for (int i = 0; i < 5000; ++i) {
      const std::string line = "line " + std::to_string(i) + "\n";
      expected += line;
      for (std::string_view rest = line; !rest.empty();) rest.remove_prefix(put(*file, rest));
    }
    file->flush();
  }
  std::ifstream in(path);
  std::stringstream all;
  all << in.rdbuf();
  REQUIRE(all.str() == expected);
}

TEST_CASE("chardev file: append keeps, input-path is read to its end", "[chardev]") {
  Fixture f;
  const std::string path = f.directory + "/out", input = f.directory + "/in";
  std::ofstream(path) << "old ";
  std::ofstream(input) << "typed";
  {
    FrontEnd end;
    auto file = f.must({{"", "file"}, {"path", path}, {"append", "on"}, {"input-path", input}});
    file->attach(end.receiver());
    REQUIRE(soon([&] { return end.now() == "typed"; }));
    REQUIRE(put(*file, "new") == 3);
  }
  std::ifstream in(path);
  std::stringstream all;
  all << in.rdbuf();
  REQUIRE(all.str() == "old new");
}

TEST_CASE("chardev unix server: client comes, talks, leaves, comes again", "[chardev]") {
  Fixture f;
  FrontEnd end;
  const std::string path = f.directory + "/sock";
  auto server = f.must({{"", "socket"}, {"path", path}, {"server", "on"}, {"wait", "off"}});
  server->attach(end.receiver());
  REQUIRE(put(*server, "nobody hears this") == 17);
  for (int round = 0; round < 3; ++round) {
    const int client = connect_unix(path);
    REQUIRE(client >= 0);
    REQUIRE(write(client, "hi", 2) == 2);
    REQUIRE(soon([&] { return end.now().size() == 2u * static_cast<size_t>(round + 1); }));
    REQUIRE(put(*server, "hello") == 5);
    REQUIRE(read_for(client, 5) == "hello");
    close(client);
    REQUIRE(soon([&] { return end.seen().size() == 2u * static_cast<size_t>(round + 1); }));
  }
  REQUIRE(end.now() == "hihihi");
  REQUIRE(end.seen() == "OCOCOC");
}

TEST_CASE("chardev socket: a deaf client fills the queue, never blocks, and can_write tells of room", "[chardev]") {
  Fixture f;
  FrontEnd end;
  const std::string path = f.directory + "/sock";
  auto server = f.must({{"", "socket"}, {"path", path}, {"server", "on"}, {"wait", "off"}});
  server->attach(end.receiver());
  const int client = connect_unix(path);
  REQUIRE(soon([&] { return end.seen() == "O"; }));
  size_t sent = 0;
  const std::string block(1000, 'x');
  REQUIRE(soon([&] {
    const size_t n = put(*server, block);
    sent += n;
    return n < block.size();
  }));
  REQUIRE(end.can_write == 0);
  REQUIRE(read_for(client, sent).size() == sent);
  REQUIRE(soon([&] { return end.can_write == 1; }));
  close(client);
}

TEST_CASE("chardev input waits for room", "[chardev]") {
  Fixture f;
  FrontEnd end;
  const std::string path = f.directory + "/sock";
  auto server = f.must({{"", "socket"}, {"path", path}, {"server", "on"}, {"wait", "off"}});
  end.room = 4;
  server->attach(end.receiver());
  const int client = connect_unix(path);
  REQUIRE(write(client, "abcdefgh", 8) == 8);
  REQUIRE(soon([&] { return end.now() == "abcd"; }));
  std::this_thread::sleep_for(20ms);
  REQUIRE(end.now() == "abcd");
  {
    std::lock_guard lock(end.mutex);
    end.room = 100;
  }
  server->accept_input();
  REQUIRE(soon([&] { return end.now() == "abcdefgh"; }));
  close(client);
}

TEST_CASE("chardev tcp client reconnects", "[chardev]") {
  Fixture f;
  FrontEnd end;
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  REQUIRE(bind(listener, reinterpret_cast<sockaddr*>(&address), size) == 0);
  REQUIRE(listen(listener, 4) == 0);
  REQUIRE(getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size) == 0);
  const std::string port = std::to_string(ntohs(address.sin_port));
  auto client = f.must({{"", "socket"}, {"host", "127.0.0.1"}, {"port", port}, {"reconnect-ms", "10"}});
  client->attach(end.receiver());
  for (int round = 1; round <= 2; ++round) {
    const int fd = accept(listener, nullptr, nullptr);
    REQUIRE(fd >= 0);
    REQUIRE(write(fd, "x", 1) == 1);
    REQUIRE(soon([&] { return end.now().size() == static_cast<size_t>(round); }));
    close(fd);
  }
  close(listener);
}

TEST_CASE("chardev pty: output is dropped until a user opens it", "[chardev]") {
  Fixture f;
  FrontEnd end;
  const std::string link = f.directory + "/tty";
  auto pty = f.must({{"", "pty"}, {"path", link}});
  pty->attach(end.receiver());
  put(*pty, "lost");
  const int user = open(link.c_str(), O_RDWR | O_NOCTTY);
  REQUIRE(user >= 0);
  REQUIRE(soon([&] { return end.seen() == "O"; }));
  put(*pty, "seen");
  REQUIRE(read_for(user, 4) == "seen");
  REQUIRE(write(user, "in\r", 3) == 3);
  REQUIRE(soon([&] { return end.now() == "in\r"; }));
  close(user);
  REQUIRE(soon([&] { return end.seen() == "OC"; }));
  const int again = open(link.c_str(), O_RDWR | O_NOCTTY);
  REQUIRE(soon([&] { return end.seen() == "OCO"; }));
  close(again);
}

TEST_CASE("chardev mux: keys go to the focus, Ctrl-A commands work", "[chardev]") {
  Fixture f;
  const std::string path = f.directory + "/sock";
  auto made = f.must({{"", "socket"}, {"path", path}, {"server", "on"}, {"wait", "off"}, {"mux", "on"}});
  Mux* mux = dynamic_cast<Mux*>(made.get());
  REQUIRE(mux != nullptr);
  FrontEnd serial, monitor;
  auto a = mux->front_end("serial0", true);
  auto b = mux->front_end("mon0", false);
  a->attach(serial.receiver());
  b->attach(monitor.receiver());
  const int client = connect_unix(path);
  REQUIRE(soon([&] { return serial.seen() == "OI" && monitor.seen() == "O"; }));
  auto type = [&](std::string_view keys) {
    REQUIRE(write(client, keys.data(), keys.size()) == static_cast<ssize_t>(keys.size()));
  };
  type(
      "one\x01"
      "ctwo\x01"
      "cthree\x01\x01\x01"
      "a");
  REQUIRE(soon([&] { return serial.now() == "onethree\x01\x01"; }));
  REQUIRE(monitor.now() == "two");
  REQUIRE(serial.seen() == "OIXI");
  REQUIRE(monitor.seen() == "OIX");
  type(
      "\x01"
      "b");
  REQUIRE(soon([&] { return serial.seen() == "OIXIB"; }));
  type(
      "\x01"
      "h");
  REQUIRE(read_for(client, 20).find("C-a h") != std::string::npos);
  put(*b, "from the monitor");
  type(
      "\x01"
      "x");
  REQUIRE(soon([&] { return f.quits == 1; }));
  close(client);
}

TEST_CASE("chardev mux: the escape key works although the guest reads nothing", "[chardev]") {
  Fixture f;
  const std::string path = f.directory + "/sock";
  auto made = f.must({{"", "socket"}, {"path", path}, {"server", "on"}, {"wait", "off"}, {"mux", "on"}});
  FrontEnd deaf;
  deaf.room = 0;
  auto a = dynamic_cast<Mux&>(*made).front_end("serial0", true);
  a->attach(deaf.receiver());
  const int client = connect_unix(path);
  const std::string keys = std::string(1000, 'k') + "\x01x";
  REQUIRE(write(client, keys.data(), keys.size()) == static_cast<ssize_t>(keys.size()));
  REQUIRE(soon([&] { return f.quits == 1; }));
  {
    std::lock_guard lock(deaf.mutex);
    deaf.room = 5000;
  }
  a->accept_input();
  REQUIRE(soon([&] { return deaf.now() == std::string(1000, 'k'); }));
  close(client);
}

TEST_CASE("chardev stdio may be used once", "[chardev]") {
  Fixture f;
  auto first = f.make({{"", "stdio"}});
  REQUIRE(first);
  auto second = f.make({{"", "stdio"}});
  REQUIRE(!second);
  REQUIRE(second.error().message == "cannot use stdio by multiple character devices");
}

TEST_CASE("chardev errors are one sentence with the nearest name", "[chardev]") {
  Fixture f;
  auto message = [&](std::vector<std::pair<std::string, std::string>> items) {
    auto made = f.make(std::move(items));
    return made ? std::string("made") : made.error().message;
  };
  REQUIRE(message({{"", "stdoi"}}) == "'stdoi' is not a valid character device backend, did you mean 'stdio'?");
  REQUIRE(message({{"", "file"}, {"paht", "x"}}) ==
          "character device 'file' has no property 'paht', did you mean 'path'?");
  REQUIRE(message({{"", "file"}, {"path", "/nonexistent/x"}}) ==
          "cannot open '/nonexistent/x' for output: No such file or directory");
  REQUIRE(message({{"", "socket"}, {"path", "/nonexistent/x"}}) ==
          "cannot connect to unix:/nonexistent/x: No such file or directory");
  REQUIRE(message({{"", "socket"}, {"path", "x"}, {"server", "maybe"}}) ==
          "'server' expects 'on' or 'off', not 'maybe'");
  REQUIRE(message({{"", "socket"}}) == "character device 'socket' needs path=FILE, or host=HOST,port=PORT");
}
