#include "machine/net/nodes.h"

#include <arpa/inet.h>

#include <cstring>

#include "machine/devices/options.h"
#include "machine/net/user.h"
#include "runtime/base/nearest.h"

namespace lyre::machine::net {
namespace {

constexpr std::string_view kUserNames[] = {"", "type", "id", "net", "host", "dhcpstart", "dns", "hostname", "domainname", "dnssearch",
                                           "restrict", "ipv4", "ipv6", "ipv6-net", "ipv6-prefix", "ipv6-prefixlen", "tftp",
                                           "tftp-server-name", "bootfile", "hostfwd", "guestfwd", "smb", "smbserver"};
constexpr std::string_view kTypes[] = {"user", "tap", "socket", "stream", "dgram", "bridge", "vhost-user", "passt", "hubport"};

Status read_address(const OptionList& options, const char* name, uint32_t& to) {
  const std::string* text = find_option(options, name);
  if (!text) return Ok{};
  in_addr parsed;
  if (inet_pton(AF_INET, text->c_str(), &parsed) != 1) {
    return Error{std::string("-netdev user: '") + name + "=" + *text + "' is not an IPv4 address"};
  }
  to = ntohl(parsed.s_addr);
  return Ok{};
}

// a.b.c.d/bits
Status read_network(const OptionList& options, UserNetOptions& user) {
  const std::string* text = find_option(options, "net");
  if (!text) return Ok{};
  const Error bad{"-netdev user: 'net=" + *text + "' is not an IPv4 network such as 10.0.2.0/24"};
  const size_t slash = text->find('/');
  uint64_t bits = 24;
  if (slash != text->npos && (!parse_number(text->substr(slash + 1), 30, bits) || bits < 4)) return bad;
  in_addr parsed;
  if (inet_pton(AF_INET, text->substr(0, slash).c_str(), &parsed) != 1) return bad;
  user.netmask = ~uint32_t{0} << (32 - bits);
  user.network = ntohl(parsed.s_addr) & user.netmask;
  return Ok{};
}

Status read_network6(const OptionList& options, UserNetOptions& user) {
  std::string text = option_or(options, "ipv6-net", option_or(options, "ipv6-prefix", ""));
  if (text.empty()) return Ok{};
  uint64_t bits = 64;
  const size_t slash = text.find('/');
  const std::string length = slash == text.npos ? option_or(options, "ipv6-prefixlen", "64") : text.substr(slash + 1);
  if (!parse_number(length, 126, bits) || inet_pton(AF_INET6, text.substr(0, slash).c_str(), user.ipv6_prefix) != 1) {
    return Error{"-netdev user: '" + text + "' is not an IPv6 network such as fec0::/64"};
  }
  user.ipv6_prefix_bits = static_cast<uint8_t>(bits);
  return Ok{};
}

Status check_within(const UserNetOptions& user) {
  const struct {
    const char* name;
    uint32_t address;
  } rows[] = {{"host", user.host}, {"dhcpstart", user.dhcp_start}, {"dns", user.dns}};
  for (const auto& row : rows) {
    if (row.address && (row.address & user.netmask) != user.network) {
      return Error{std::string("-netdev user: ") + row.name + "= lies outside of net="};
    }
  }
  return Ok{};
}

Result<UserNetOptions> read_user(const OptionList& options) {
  const std::string where = "-netdev user";
  if (Status s = check_names(options, where, kUserNames); !s) return s.error();
  for (const char* missing : {"smb", "smbserver", "guestfwd"}) {
    if (find_option(options, missing)) return Error{where + ": " + missing + "= is not supported"};
  }
  UserNetOptions user;
  // Naming one family leaves the other as it is, except that ipv4=on alone means only that one.
  if (find_option(options, "ipv4") && !find_option(options, "ipv6")) user.ipv6 = false;
  if (find_option(options, "ipv6") && !find_option(options, "ipv4")) user.ipv4 = false;
  if (Status s = read_bool(options, where, "ipv4", user.ipv4); !s) return s.error();
  if (Status s = read_bool(options, where, "ipv6", user.ipv6); !s) return s.error();
  if (option_or(options, "ipv4", "") == "off" && !find_option(options, "ipv6")) user.ipv6 = true;
  if (option_or(options, "ipv6", "") == "off" && !find_option(options, "ipv4")) user.ipv4 = true;
  if (!user.ipv4 && !user.ipv6) return Error{where + ": ipv4=off and ipv6=off leave nothing"};
  if (Status s = read_bool(options, where, "restrict", user.restricted); !s) return s.error();
  if (Status s = read_network(options, user); !s) return s.error();
  if (Status s = read_network6(options, user); !s) return s.error();
  if (Status s = read_address(options, "host", user.host); !s) return s.error();
  if (Status s = read_address(options, "dhcpstart", user.dhcp_start); !s) return s.error();
  if (Status s = read_address(options, "dns", user.dns); !s) return s.error();
  if (Status s = check_within(user); !s) return s.error();
  user.hostname = option_or(options, "hostname", "");
  user.domain = option_or(options, "domainname", "");
  user.tftp = option_or(options, "tftp", "");
  user.tftp_server_name = option_or(options, "tftp-server-name", "");
  user.bootfile = option_or(options, "bootfile", "");
  for (const auto& [name, value] : options.items) {
    if (name == "dnssearch") user.dns_search.push_back(value);
    if (name != "hostfwd") continue;
    auto forward = parse_host_forward(value);
    if (!forward) return forward.error();
    user.forwards.push_back(*forward);
  }
  return user;
}

}  // namespace

Status NetNodes::add_netdev(const OptionList& options) {
  const std::string type = option_or(options, "", option_or(options, "type", ""));
  const std::string id = option_or(options, "id", "");
  if (id.empty()) return Error{"-netdev " + type + ": there is no id="};
  for (const NetNode& node : nodes_) {
    if (node.id == id) return Error{"-netdev " + type + ": the id '" + id + "' is given twice"};
  }
  if (type != "user") {
    for (std::string_view known : kTypes) {
      if (type == known) return Error{"-netdev " + type + ": this release has only the user back end"};
    }
    return Error{"-netdev: there is no back end '" + type + "'" + did_you_mean(type, kTypes)};
  }
  auto user = read_user(options);
  if (!user) return user.error();
  auto backend = make_user_net(loop_, *user);
  if (!backend) return backend.error();
  nodes_.push_back({id, *backend, {}});
  return Ok{};
}

Result<std::shared_ptr<NetBackend>> NetNodes::take(const std::string& id, const std::string& device) {
  std::vector<std::string_view> names;
  for (NetNode& node : nodes_) {
    names.push_back(node.id);
    if (node.id != id) continue;
    if (!node.taken_by.empty()) return Error{device + ": netdev '" + id + "' is already used by " + node.taken_by};
    node.taken_by = device;
    return node.backend;
  }
  return Error{device + ": there is no netdev '" + id + "'" + did_you_mean(id, names)};
}

}  // namespace lyre::machine::net
