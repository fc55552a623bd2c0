// Ring: the device side of one virtqueue's memory layout (virtio 1.3, 2.7 split, 2.8 packed). The rings' own memory is bounds-checked
// once, when the driver enables the queue; every descriptor is read once into a copy and checked before it is followed.
// Invariants: never touches host memory outside guest RAM; never loops longer than kMaxChain; after an error it stays broken.
// Threads: one at a time (the device's lock), in parallel with vCPUs that write the same memory: indices and flags are atomics with
// acquire/release, and a full fence stands between our store and the load of what the driver asked for (2.7.10, 2.8.21). Hot.
#pragma once
#include <cstdint>
#include <memory>

#include "machine/bus/dma.h"
#include "machine/virtio/chain.h"
#include "runtime/base/types.h"

namespace lyre::machine::virtio {

struct RingConfig {
  Gpa descriptors;  // Descriptor Area
  Gpa driver;       // Driver Area: available ring, or driver event suppression
  Gpa device;       // Device Area: used ring, or device event suppression
  uint16_t size = 0;
  bool indirect = false;   // VIRTIO_F_INDIRECT_DESC was negotiated
  bool event_idx = false;  // VIRTIO_F_EVENT_IDX was negotiated
};

enum class Pop : uint8_t { kEmpty, kGot, kBroken };

class Ring {
 public:
  explicit Ring(const Dma& dma) : dma_(dma) {}
  virtual ~Ring() = default;
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;

  // The next available chain. kBroken: error() says what the driver did wrong.
  virtual Pop pop(Chain& chain) = 0;
  // Hands a chain back; `written` bytes of its writable part, from the start, are valid. Not visible before publish().
  void push(const Chain& chain, uint32_t written);
  // Makes what was pushed visible. True: the driver asked for an interrupt.
  virtual bool publish() = 0;
  // Asks the driver to notify us, or not to. True (only when turned on): something is available already.
  virtual bool set_notifications(bool on) = 0;
  const char* error() const { return error_; }

 protected:
  // One descriptor, either layout, as read from the guest.
  struct Element {
    Gpa address;
    uint32_t length;
    bool writable;
  };
  bool add(Chain& chain, const Element& element);
  virtual void stage(const Chain& chain, uint32_t written) = 0;
  Pop broken(const char* why) {
    error_ = why;
    return Pop::kBroken;
  }

  const Dma dma_;
  const char* error_ = nullptr;
};

// Null: `why` says what is wrong with the size, an alignment or an address.
std::unique_ptr<Ring> make_split_ring(const Dma& dma, const RingConfig& config, const char*& why);
std::unique_ptr<Ring> make_packed_ring(const Dma& dma, const RingConfig& config, const char*& why);

}  // namespace lyre::machine::virtio
