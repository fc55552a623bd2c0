// virtio-serial (the console device of virtio 1.3, 5.3): up to 31 ports, each joined to a chardev; port 0 is for a console. With the
// MULTIPORT feature ports are announced and named over a pair of control queues, without it there is port 0 only.
// Threads: I/O thread, but for configuration and reset. Chardevs call back on the I/O thread, never from inside write().
#pragma once
#include <array>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "machine/chardev/chardev.h"
#include "machine/virtio/chain.h"
#include "machine/virtio/device.h"

namespace lyre::machine::virtio {

struct SerialPortOptions {
  unsigned number = 0;
  bool console = false;
  std::string name;             // shown to the guest; may be empty
  Chardev* chardev = nullptr;   // null: what the guest sends is dropped
};

class VirtioSerial final : public VirtioDevice {
 public:
  VirtioSerial(VirtioContext context, unsigned max_ports);
  ~VirtioSerial() override;

  // While the machine is built. A free number: from 1 on, from 0 on for a console. max_ports: none is free.
  unsigned free_number(bool console) const;
  unsigned max_ports() const { return static_cast<unsigned>(ports_.size()); }
  bool has_port(unsigned number) const { return ports_[number] != nullptr; }
  void add_port(const SerialPortOptions& options);

 private:
  struct Port;

  uint64_t device_features() const override;
  std::span<const uint8_t> config() override;
  void config_written(uint64_t offset, unsigned size, uint32_t value) override;
  void handle_queue(unsigned index) override;
  void queue_was_reset(unsigned index) override;
  void device_reset() override;
  void driver_ready() override;

  static unsigned receive_queue(unsigned port) { return port == 0 ? 0 : 2 * port + 2; }
  static unsigned transmit_queue(unsigned port) { return receive_queue(port) + 1; }
  Port* port_of(unsigned queue) const;
  void transmit(Port& port);
  size_t room(Port& port);
  void receive(Port& port, std::span<const uint8_t> bytes);
  void host_event(Port& port, ChardevEvent event);
  void read_control();
  void control_message(uint32_t id, uint16_t event, uint16_t value);
  void send_control(uint32_t id, uint16_t event, uint16_t value, const std::string& text = {});
  void flush_control();

  std::vector<std::unique_ptr<Port>> ports_;
  std::array<uint8_t, 12> config_{};
  std::deque<std::string> control_out_;  // messages that wait for buffers
  Chain control_chain_;                  // of the control transmit queue, while its messages are answered
  Chain chain_;                          // of the control receive queue
};

}  // namespace lyre::machine::virtio
