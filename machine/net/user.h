// UserNet: -netdev user: a NAT network inside the emulator on libslirp, which needs no rights on the host.
// Threads: libslirp is used on the I/O thread only; the constructor runs before that thread sees the object.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "machine/net/backend.h"
#include "runtime/base/event_loop.h"
#include "runtime/base/result.h"

namespace lyre::machine::net {

struct HostForward {
  bool udp = false;
  uint32_t host_address = 0;   // IPv4, host byte order; 0: all
  uint16_t host_port = 0;
  uint32_t guest_address = 0;  // 0: the first that DHCP hands out
  uint16_t guest_port = 0;
  std::string text;            // as typed, for messages
};

struct UserNetOptions {
  bool ipv4 = true, ipv6 = true;
  bool restricted = false;
  uint32_t network = 0x0a000200, netmask = 0xffffff00;  // 10.0.2.0/24, host byte order
  uint32_t host = 0;        // 0: network + 2
  uint32_t dhcp_start = 0;  // 0: network + 15
  uint32_t dns = 0;         // 0: network + 3
  uint8_t ipv6_prefix[16] = {0xfe, 0xc0};
  uint8_t ipv6_prefix_bits = 64;
  std::string hostname, domain, tftp, tftp_server_name, bootfile;
  std::vector<std::string> dns_search;
  std::vector<HostForward> forwards;
};

// proto:[hostaddr]:hostport-[guestaddr]:guestport
Result<HostForward> parse_host_forward(const std::string& text);

Result<std::shared_ptr<NetBackend>> make_user_net(EventLoop& loop, UserNetOptions options);

}  // namespace lyre::machine::net
