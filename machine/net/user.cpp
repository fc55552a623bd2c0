#include "machine/net/user.h"

#include <arpa/inet.h>
#include <slirp/libslirp.h>
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <deque>
#include <map>

#include "runtime/base/log.h"

namespace lyre::machine::net {
namespace {

constexpr size_t kMaxQueuedFrames = 4096;  // towards a card that takes none
constexpr size_t kDeliverAtOnce = 64;

int64_t now_ns() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

in_addr address(uint32_t host_order) { return in_addr{htonl(host_order)}; }

class UserNet final : public NetBackend {
 public:
  UserNet(EventLoop& loop, UserNetOptions options) : loop_(loop), options_(std::move(options)) {}
  ~UserNet() override;
  Status start();

  void attach(NetPeer* peer) override { peer_ = peer; }
  void send(Frame frame) override;
  void flush() override;
  void peer_ready() override;
  std::string description() const override;

 private:
  struct Timer {
    UserNet* net;
    SlirpTimerCb callback;
    void* opaque;
    EventLoop::TimerId id = 0;
    bool armed = false;
  };
  struct Poll {
    int fd;
    int events;   // SLIRP_POLL_*
    int happened;
  };

  static const SlirpCb kCallbacks;
  static UserNet& self(void* opaque) { return *static_cast<UserNet*>(opaque); }
  static void arm(Timer& timer, int64_t expire_ms);
  ssize_t from_slirp(const void* frame, size_t bytes);
  SlirpConfig config();
  Status add_forwards();
  void forget_fd(int fd);
  void watch();
  void fd_ready(int fd, uint32_t events);
  void poll();
  void poll_soon();
  void deliver();

  EventLoop& loop_;
  const UserNetOptions options_;
  std::vector<const char*> dns_search_;
  Slirp* slirp_ = nullptr;
  NetPeer* peer_ = nullptr;
  std::deque<std::vector<uint8_t>> outbox_;        // frames for the guest
  std::vector<std::vector<uint8_t>> spare_;        // their memory, for reuse
  std::vector<Poll> polls_;                        // as libslirp asked last
  std::map<int, uint32_t> watched_;                // fd -> EventLoop events
  EventLoop::TimerId timer_ = 0;
  bool timer_armed_ = false;
  bool poll_posted_ = false;
  bool delivering_ = false;
  bool sent_ = false;                              // the card sent something since the last flush()
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // for posted functions; I/O thread only
};

const SlirpCb UserNet::kCallbacks = [] {
  SlirpCb cb{};
  cb.send_packet = [](const void* frame, size_t bytes, void* opaque) { return self(opaque).from_slirp(frame, bytes); };
  cb.guest_error = [](const char* message, void*) { LYRE_GUEST_ERROR("user network: %s", message); };
  cb.clock_get_ns = [](void*) { return now_ns(); };
  cb.timer_new = [](SlirpTimerCb callback, void* timer_opaque, void* opaque) -> void* {
    return new Timer{&self(opaque), callback, timer_opaque};
  };
  cb.timer_free = [](void* opaque, void*) {
    auto* timer = static_cast<Timer*>(opaque);
    if (timer->armed) timer->net->loop_.cancel(timer->id);
    delete timer;
  };
  cb.timer_mod = [](void* timer, int64_t expire_ms, void*) { arm(*static_cast<Timer*>(timer), expire_ms); };
  cb.register_poll_fd = [](int, void*) {};  // watch() finds out
  cb.unregister_poll_fd = [](int fd, void* opaque) { self(opaque).forget_fd(fd); };
  cb.notify = [](void* opaque) { self(opaque).poll_soon(); };
  return cb;
}();

void UserNet::arm(Timer& timer, int64_t expire_ms) {
  if (timer.armed) timer.net->loop_.cancel(timer.id);
  timer.armed = true;
  const int64_t delay = std::max<int64_t>(expire_ms * 1'000'000 - now_ns(), 0);
  timer.id = timer.net->loop_.after_ns(delay, [&timer] {
    timer.armed = false;
    UserNet& net = *timer.net;
    timer.callback(timer.opaque);
    net.flush();
  });
}

SlirpConfig UserNet::config() {
  const auto text = [](const std::string& s) { return s.empty() ? nullptr : s.c_str(); };
  const auto within = [&](uint32_t given, uint32_t number) { return address(given ? given : options_.network + number); };
  SlirpConfig config{};
  config.version = 3;  // knows all that is set here
  config.restricted = options_.restricted;
  config.in_enabled = options_.ipv4;
  config.vnetwork = address(options_.network);
  config.vnetmask = address(options_.netmask);
  config.vhost = within(options_.host, 2);
  config.vdhcp_start = within(options_.dhcp_start, 15);
  config.vnameserver = within(options_.dns, 3);
  config.in6_enabled = options_.ipv6;
  std::memcpy(&config.vprefix_addr6, options_.ipv6_prefix, 16);
  config.vprefix_len = options_.ipv6_prefix_bits;
  config.vhost6 = config.vnameserver6 = config.vprefix_addr6;
  config.vhost6.s6_addr[15] |= 2;
  config.vnameserver6.s6_addr[15] |= 3;
  config.vhostname = text(options_.hostname);
  config.vdomainname = text(options_.domain);
  config.tftp_path = text(options_.tftp);
  config.tftp_server_name = text(options_.tftp_server_name);
  config.bootfile = text(options_.bootfile);
  for (const std::string& domain : options_.dns_search) dns_search_.push_back(domain.c_str());
  if (!dns_search_.empty()) {
    dns_search_.push_back(nullptr);
    config.vdnssearch = dns_search_.data();
  }
  return config;
}

Status UserNet::add_forwards() {
  for (const HostForward& forward : options_.forwards) {
    if (slirp_add_hostfwd(slirp_, forward.udp, address(forward.host_address), forward.host_port, address(forward.guest_address),
                          forward.guest_port) < 0) {
      return Error{"-netdev user: could not set up hostfwd='" + forward.text + "': " + std::strerror(errno)};
    }
  }
  return Ok{};
}

Status UserNet::start() {
  const SlirpConfig cfg = config();
  slirp_ = slirp_new(&cfg, &kCallbacks, this);
  if (!slirp_) return Error{"-netdev user: libslirp refuses these settings"};
  if (Status s = add_forwards(); !s) return s;
  loop_.post([this, alive = alive_] {
    if (*alive) watch();
  });
  return Ok{};
}

// Runs on the I/O thread or after it has ended (or before it has seen the object).
UserNet::~UserNet() {
  *alive_ = false;
  if (timer_armed_) loop_.cancel(timer_);
  for (const auto& [fd, events] : watched_) loop_.remove(fd);
  watched_.clear();
  if (slirp_) slirp_cleanup(slirp_);
}

void UserNet::send(Frame frame) {
  sent_ = true;
  slirp_input(slirp_, frame.data(), static_cast<int>(frame.size()));
}

// Frames that waited for an address resolution and delayed acknowledgements leave in slirp_pollfds_poll() only.
void UserNet::flush() {
  if (sent_) {
    sent_ = false;
    poll();
    return;
  }
  deliver();
  watch();
}

void UserNet::peer_ready() { deliver(); }

ssize_t UserNet::from_slirp(const void* frame, size_t bytes) {
  if (outbox_.size() >= kMaxQueuedFrames) return static_cast<ssize_t>(bytes);  // dropped, as a full switch would
  std::vector<uint8_t> copy;
  if (!spare_.empty()) {
    copy = std::move(spare_.back());
    spare_.pop_back();
  }
  const auto* from = static_cast<const uint8_t*>(frame);
  copy.assign(from, from + bytes);
  outbox_.push_back(std::move(copy));
  return static_cast<ssize_t>(bytes);
}

void UserNet::deliver() {
  if (delivering_) return;
  delivering_ = true;
  while (peer_ && !outbox_.empty()) {
    Frame frames[kDeliverAtOnce];
    const size_t count = std::min(outbox_.size(), kDeliverAtOnce);
    for (size_t i = 0; i < count; ++i) frames[i] = outbox_[i];
    const size_t taken = peer_->receive({frames, count});
    for (size_t i = 0; i < taken; ++i) {
      if (spare_.size() < kDeliverAtOnce) spare_.push_back(std::move(outbox_.front()));
      outbox_.pop_front();
    }
    if (taken < count) break;
  }
  if (!peer_) outbox_.clear();
  delivering_ = false;
}

void UserNet::forget_fd(int fd) {
  if (watched_.erase(fd)) loop_.remove(fd);
  for (Poll& poll : polls_) {
    if (poll.fd == fd) poll.happened = 0;
  }
}

// Asks libslirp what to wait for, and tells the event loop the difference.
void UserNet::watch() {
  uint32_t timeout_ms = UINT32_MAX;
  polls_.clear();
  slirp_pollfds_fill(
      slirp_, &timeout_ms,
      [](int fd, int events, void* opaque) {
        auto& polls = self(opaque).polls_;
        polls.push_back({fd, events, 0});
        return static_cast<int>(polls.size() - 1);
      },
      this);
  std::map<int, uint32_t> wanted;
  for (const Poll& poll : polls_) {
    uint32_t events = 0;
    if (poll.events & SLIRP_POLL_IN) events |= EventLoop::kReadable;
    // Never confused with ordinary data: libslirp marks the byte urgent, and the guest then takes it out of the stream.
    if (poll.events & SLIRP_POLL_PRI) events |= EventLoop::kUrgent;
    if (poll.events & SLIRP_POLL_OUT) events |= EventLoop::kWritable;
    if (events) wanted[poll.fd] |= events;
  }
  for (auto at = watched_.begin(); at != watched_.end();) {
    if (wanted.contains(at->first)) {
      ++at;
    } else {
      loop_.remove(at->first);
      at = watched_.erase(at);
    }
  }
  for (const auto& [fd, events] : wanted) {
    const auto known = watched_.find(fd);
    if (known == watched_.end()) {
      loop_.add(fd, events, [this, fd = fd](uint32_t ready) { fd_ready(fd, ready); });
    } else if (known->second != events) {
      loop_.modify(fd, events);
    }
    watched_[fd] = events;
  }
  if (timer_armed_) loop_.cancel(timer_);
  timer_armed_ = timeout_ms != UINT32_MAX;
  if (timer_armed_) {
    timer_ = loop_.after_ns(int64_t{timeout_ms} * 1'000'000, [this] {
      timer_armed_ = false;
      poll();
    });
  }
}

void UserNet::fd_ready(int fd, uint32_t events) {
  for (Poll& poll : polls_) {
    if (poll.fd != fd) continue;
    if (events & EventLoop::kReadable) poll.happened |= poll.events & SLIRP_POLL_IN;
    if (events & EventLoop::kUrgent) poll.happened |= poll.events & SLIRP_POLL_PRI;
    if (events & EventLoop::kWritable) poll.happened |= poll.events & SLIRP_POLL_OUT;
    if (events & EventLoop::kHangup) poll.happened |= SLIRP_POLL_HUP | (poll.events & SLIRP_POLL_IN);
  }
  poll();
}

void UserNet::poll() {
  slirp_pollfds_poll(
      slirp_, 0,
      [](int index, void* opaque) {
        const auto& polls = self(opaque).polls_;
        return index >= 0 && static_cast<size_t>(index) < polls.size() ? polls[static_cast<size_t>(index)].happened : 0;
      },
      this);
  flush();
}

void UserNet::poll_soon() {
  if (poll_posted_) return;
  poll_posted_ = true;
  loop_.post([this, alive = alive_] {
    if (!*alive) return;
    poll_posted_ = false;
    flush();
  });
}

std::string UserNet::description() const {
  char text[INET_ADDRSTRLEN];
  const in_addr net = address(options_.network);
  inet_ntop(AF_INET, &net, text, sizeof text);
  return std::string("user, net=") + text + ", restrict=" + (options_.restricted ? "on" : "off");
}

bool read_port(std::string_view text, uint16_t& port) {
  unsigned number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number > 65535) return false;
  port = static_cast<uint16_t>(number);
  return true;
}

// [address]:port
bool read_endpoint(const std::string& text, uint32_t& host, uint16_t& port) {
  const size_t colon = text.rfind(':');
  if (colon == text.npos || !read_port(std::string_view(text).substr(colon + 1), port)) return false;
  const std::string name = text.substr(0, colon);
  if (name.empty()) return true;
  in_addr parsed;
  if (inet_pton(AF_INET, name.c_str(), &parsed) != 1) return false;
  host = ntohl(parsed.s_addr);
  return true;
}

}  // namespace

Result<HostForward> parse_host_forward(const std::string& text) {
  const Error bad{"-netdev user: hostfwd='" + text + "' is not of the form tcp|udp:[hostaddr]:hostport-[guestaddr]:guestport"};
  HostForward forward;
  forward.text = text;
  const size_t colon = text.find(':');
  const size_t dash = text.find('-');
  if (colon == text.npos || dash == text.npos || dash < colon) return bad;
  const std::string protocol = text.substr(0, colon);
  if (protocol != "tcp" && protocol != "udp" && !protocol.empty()) return bad;
  forward.udp = protocol == "udp";
  if (!read_endpoint(text.substr(colon + 1, dash - colon - 1), forward.host_address, forward.host_port) ||
      !read_endpoint(text.substr(dash + 1), forward.guest_address, forward.guest_port) || forward.guest_port == 0) {
    return bad;
  }
  return forward;
}

Result<std::shared_ptr<NetBackend>> make_user_net(EventLoop& loop, UserNetOptions options) {
  auto net = std::make_shared<UserNet>(loop, std::move(options));
  if (Status s = net->start(); !s) return s.error();
  return std::shared_ptr<NetBackend>(std::move(net));
}

}  // namespace lyre::machine::net
