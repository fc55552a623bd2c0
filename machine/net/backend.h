// NetBackend: the host side of a network card; NetPeer: the card. Frames are whole Ethernet frames without FCS, checksums complete:
// the card undoes the guest's offloads before it sends (net/offload.h).
// Threads: everything on the I/O thread. A back end never calls receive() from inside send(), so a card may send with its lock held;
// what comes back is delivered by flush() or later.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace lyre::machine::net {

using Frame = std::span<const uint8_t>;

class NetPeer {
 public:
  virtual ~NetPeer() = default;
  // Takes frames from the front; returns how many. Fewer than all: the card has no room and calls NetBackend::peer_ready() later.
  virtual size_t receive(std::span<const Frame> frames) = 0;
};

class NetBackend {
 public:
  virtual ~NetBackend() = default;
  // Null detaches. While the I/O thread does not run handlers of the card.
  virtual void attach(NetPeer* peer) = 0;
  virtual void send(Frame frame) = 0;
  virtual void flush() = 0;       // the end of a batch of send(); the card's lock is not held
  virtual void peer_ready() = 0;  // the card has room again; its lock is not held
  // The longest TCP/IPv4 frame that need not be cut into MTU-sized ones, bytes; 0: all must be.
  virtual uint32_t large_tcp4_frame() const { return 0; }
  virtual std::string description() const = 0;  // "user, net=10.0.2.0/24", for `info network`
};

}  // namespace lyre::machine::net
