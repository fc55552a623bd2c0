// virtio-net (virtio 1.3, 5.1): a network card whose offloads are done in software (net/offload.h), with receive filters, merged receive
// buffers, a control queue and several queue pairs.
// Threads: I/O thread, but for configuration and reset. The lock is held while frames go to the back end, never while the back end
// delivers (net/backend.h).
#pragma once
#include <array>
#include <deque>
#include <memory>
#include <vector>

#include "machine/net/backend.h"
#include "machine/net/coalesce.h"
#include "machine/net/offload.h"
#include "machine/virtio/chain.h"
#include "machine/virtio/device.h"

namespace lyre::machine::virtio {

using MacAddress = std::array<uint8_t, 6>;

struct NetOptions {
  MacAddress mac{};
  unsigned pairs = 1;          // queue pairs
  uint16_t queue_size = 256;
  uint16_t mtu = 0;            // 0: not told to the driver
  bool csum = true, guest_csum = true, mrg_rxbuf = true, ctrl_vq = true, status = true;
  bool guest_tso4 = true;      // give the guest large frames
  bool host_tso4 = true, host_tso6 = true, host_ecn = true, host_uso = true;
};

// What the driver asked to see (5.1.6.5.1 - 5.1.6.5.3).
class ReceiveFilter {
 public:
  void reset(const MacAddress& mac);
  bool accepts(net::Frame frame, bool vlan_filtering) const;

  bool promiscuous = true;  // until a driver says otherwise: one without a control queue wants everything
  bool all_multicast = false, all_unicast = false, no_multicast = false, no_unicast = false, no_broadcast = false;
  bool many_unicast = false, many_multicast = false;  // the driver's list was too long: all of that kind
  MacAddress mac{};
  std::vector<MacAddress> unicast, multicast;
  std::array<uint64_t, 64> vlans{};  // bit n: VLAN n is wanted
};

class VirtioNet final : public VirtioDevice, private net::NetPeer {
 public:
  VirtioNet(VirtioContext context, std::shared_ptr<net::NetBackend> backend, const NetOptions& options);
  ~VirtioNet() override;

 private:
  struct ReceiveQueue {
    std::deque<Chain> held;     // popped, waiting for a frame
    std::vector<Chain> spare;   // for reuse
    uint64_t room = 0;          // bytes in `held`
    bool starved = false;       // a frame waits for buffers
  };

  uint64_t device_features() const override;
  std::span<const uint8_t> config() override;
  void handle_queue(unsigned index) override;
  void queue_was_reset(unsigned index) override;
  void device_reset() override;
  void features_negotiated() override;
  size_t receive(std::span<const net::Frame> frames) override;

  unsigned control_queue() const;
  void transmit(unsigned index);
  void transmit_chain(const Chain& chain, unsigned pair);
  void transmit_frame(std::span<uint8_t> frame, const struct NetHeader& header);
  void receive_buffers(unsigned index);
  enum class Took : uint8_t { kYes, kDropped, kNoRoom };
  // joined: what `frame` was joined of; its `frames` is 1 for a frame as it came.
  Took receive_frame(unsigned pair, net::Frame frame, const net::Coalesced& joined);
  bool gather(unsigned index, ReceiveQueue& q, uint64_t bytes);
  void scatter(unsigned index, ReceiveQueue& q, net::Frame frame, const net::Coalesced& joined);
  void control();
  uint8_t control_command(ChainReader& reader);
  uint8_t control_rx(uint8_t command, ChainReader& reader);
  uint8_t control_mac(uint8_t command, ChainReader& reader);
  uint8_t control_vlan(uint8_t command, ChainReader& reader);
  uint8_t control_pairs(uint8_t command, ChainReader& reader);
  unsigned steer(net::Frame frame) const;
  void learn(net::Frame frame, unsigned pair);

  std::shared_ptr<net::NetBackend> backend_;
  const NetOptions options_;
  std::array<uint8_t, 17> config_{};
  ReceiveFilter filter_;
  unsigned active_pairs_ = 1;
  std::vector<ReceiveQueue> receive_queues_;  // by pair
  std::array<uint8_t, 256> flows_{};          // flow hash -> pair that sent last (5.1.6.5.6)
  Chain chain_;                               // transmit and control
  std::vector<uint8_t> frame_;                // a frame gathered from its chain
  std::vector<uint8_t> scratch_;              // a segment
  std::vector<uint8_t> joined_;               // a large frame for the guest
};

}  // namespace lyre::machine::virtio
