// virtio-input (virtio 1.3, 5.8) as a keyboard. What it is for on a machine without a display: its power key is the machine's power button, which stock
// guests listen to (systemd-logind, acpid) where the board itself has none.
// Threads: press() from any; queues on the I/O thread.
#pragma once
#include <array>
#include <cstdint>
#include <deque>
#include <span>

#include "machine/virtio/chain.h"
#include "machine/virtio/device.h"

namespace lyre::machine::virtio {

// Codes of Linux' input-event-codes.h, which section 5.8 takes over.
inline constexpr uint16_t kKeyPower = 116;

class VirtioKeyboard final : public VirtioDevice {
 public:
  explicit VirtioKeyboard(VirtioContext context);

  // Presses a key, and lets it go after a moment. False: no driver listens, and nothing happened.
  bool press(uint16_t key);

 private:
  struct Event {  // as in guest memory, little-endian
    uint16_t type, code;
    uint32_t value;
  };
  uint64_t device_features() const override { return 0; }
  std::span<const uint8_t> config() override { return config_; }
  void config_written(uint64_t offset, unsigned size, uint32_t value) override;
  void handle_queue(unsigned index) override;
  void queue_was_reset(unsigned index) override;
  void device_reset() override;

  void answer();  // puts what config_'s two selectors ask for behind them
  bool send(uint16_t key, bool down);
  void flush();
  void take_status();

  std::array<uint8_t, 136> config_{};  // select, subsel, size, five reserved bytes, 128 bytes of data
  std::deque<Event> waiting_;          // for buffers
  Chain event_chain_, status_chain_;
};

}  // namespace lyre::machine::virtio
