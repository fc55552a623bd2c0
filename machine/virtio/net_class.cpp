// virtio-net on the command line.
#include <atomic>
#include <charconv>

#include "machine/devices/options.h"
#include "machine/virtio/classes.h"
#include "machine/virtio/net.h"
#include "runtime/base/bits.h"

namespace lyre::machine::virtio {
namespace {

constexpr PropertyInfo kProperties[] = {
    {"netdev", "netdev", "the network: id of a -netdev", {}},
    {"mac", "macaddr", "hardware address", "52:54:00:12:34:56 and on"},
    {"mq", "bool", "offer several queue pairs", "off"},
    {"queues", "uint8", "queue pairs with mq=on, up to 64", "one a CPU"},
    {"rx_queue_size", "uint16", "entries of each queue, a power of two from 64 to 1024", "256"},
    {"tx_queue_size", "uint16", "as rx_queue_size; the larger one counts", "256"},
    {"host_mtu", "uint16", "MTU that the guest is told", {}},
    {"csum", "bool", "offer to finish checksums of sent frames", "on"},
    {"guest_csum", "bool", "tell the guest which received checksums are known to be right", "on"},
    {"guest_tso4", "bool", "join received TCP/IPv4 segments to large frames", "on"},
    {"host_tso4", "bool", "offer to cut large TCP/IPv4 frames", "on"},
    {"host_tso6", "bool", "offer to cut large TCP/IPv6 frames", "on"},
    {"host_ecn", "bool", "large frames may carry ECN", "on"},
    {"host_uso", "bool", "offer to cut large UDP frames", "on"},
    {"mrg_rxbuf", "bool", "spread received frames over buffers", "on"},
    {"ctrl_vq", "bool", "offer the control queue", "on"},
    {"status", "bool", "tell the guest the link state", "on"},
};

Result<MacAddress> read_mac(const std::string& text, const std::string& where) {
  const Error bad{where + ": 'mac=" + text + "' is not a hardware address such as 52:54:00:12:34:56"};
  MacAddress mac;
  if (text.size() != 17) return bad;
  for (size_t i = 0; i < 6; ++i) {
    const char* at = text.data() + 3 * i;
    const auto [end, error] = std::from_chars(at, at + 2, mac[i], 16);
    if (error != std::errc() || end != at + 2 || (i < 5 && at[2] != ':' && at[2] != '-')) return bad;
  }
  if (mac[0] & 1) return Error{where + ": 'mac=" + text + "' is a multicast address"};
  return mac;
}

Result<std::unique_ptr<VirtioDevice>> make_net(const VirtioMake& make) {
  NetOptions net;
  // The numbering that guests' configurations know from elsewhere: the first card ends in 56.
  static std::atomic<uint8_t> next_mac{0x56};
  const std::string* mac_text = find_option(make.options, "mac");
  if (mac_text) {
    auto mac = read_mac(*mac_text, make.where);
    if (!mac) return mac.error();
    net.mac = *mac;
  } else {
    net.mac = {0x52, 0x54, 0x00, 0x12, 0x34, next_mac++};
  }
  const struct {
    const char* name;
    bool* value;
  } switches[] = {{"csum", &net.csum},           {"guest_csum", &net.guest_csum}, {"guest_tso4", &net.guest_tso4}, {"host_tso4", &net.host_tso4},
                  {"host_tso6", &net.host_tso6}, {"host_ecn", &net.host_ecn},     {"host_uso", &net.host_uso},
                  {"mrg_rxbuf", &net.mrg_rxbuf}, {"ctrl_vq", &net.ctrl_vq},       {"status", &net.status}};
  for (const auto& each : switches) {
    if (Status s = read_bool(make.options, make.where, each.name, *each.value); !s) return s.error();
  }
  bool mq = false;
  uint64_t pairs = std::min(make.plug.machine.config().cpu.count, 64u), rx = net.queue_size, tx = net.queue_size, mtu = 0;
  if (Status s = read_bool(make.options, make.where, "mq", mq); !s) return s.error();
  if (Status s = read_number(make.options, make.where, "queues", 64, pairs); !s) return s.error();
  if (Status s = read_number(make.options, make.where, "rx_queue_size", 1024, rx); !s) return s.error();
  if (Status s = read_number(make.options, make.where, "tx_queue_size", 1024, tx); !s) return s.error();
  if (Status s = read_number(make.options, make.where, "host_mtu", 65535, mtu); !s) return s.error();
  if (pairs == 0) return Error{make.where + ": queues= must be at least 1"};
  for (uint64_t size : {rx, tx}) {
    if (!is_power_of_two(size) || size < 64) return Error{make.where + ": queue sizes must be powers of two from 64 to 1024"};
  }
  if (mtu && mtu < 68) return Error{make.where + ": host_mtu= must be at least 68"};
  net.pairs = mq ? static_cast<unsigned>(pairs) : 1;
  net.queue_size = static_cast<uint16_t>(std::max(rx, tx));
  net.mtu = static_cast<uint16_t>(mtu);
  const std::string id = option_or(make.options, "netdev", "");
  std::shared_ptr<net::NetBackend> backend;  // none: a card whose cable is not plugged in
  if (!id.empty()) {
    auto taken = make.plug.nets.take(id, make.where + (make.id.empty() ? "" : ",id=" + make.id));
    if (!taken) return taken.error();
    backend = *taken;
  }
  return std::unique_ptr<VirtioDevice>(std::make_unique<VirtioNet>(make.context, backend, net));
}

}  // namespace

extern const VirtioClass kVirtioNet;
const VirtioClass kVirtioNet{"virtio-net", "network card", kProperties, 0x020000, make_net, {}, {}};

}  // namespace lyre::machine::virtio
