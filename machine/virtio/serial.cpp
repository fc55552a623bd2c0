#include "machine/virtio/serial.h"

#include <algorithm>
#include <cstring>

#include "runtime/base/log.h"

namespace lyre::machine::virtio {
namespace {

constexpr uint16_t kDeviceId = 3;
constexpr uint16_t kQueueSize = 128, kControlQueueSize = 32;
constexpr unsigned kControlReceive = 2, kControlTransmit = 3;
constexpr uint64_t kMultiport = feature(1), kEmergencyWrite = feature(2);  // 5.3.3
constexpr size_t kMaxControlMessages = 1024;
constexpr uint64_t kEmergencyOffset = 8;

// 5.3.6.2
enum Event : uint16_t { kDeviceReady, kDeviceAdd, kDeviceRemove, kPortReady, kConsolePort, kResize, kPortOpen, kPortName };

struct ControlMessage {
  uint32_t id;
  uint16_t event, value;
};

}  // namespace

struct VirtioSerial::Port {
  SerialPortOptions options;
  bool host_open = true;
  bool guest_open = false;
  std::deque<Chain> held;     // receive buffers, popped and empty
  size_t room = 0;            // bytes in `held`
  Chain sending;              // a transmit chain that the chardev has not taken whole
  std::vector<uint8_t> text;  // its bytes
  size_t sent = 0;            // of text
  bool busy = false;          // `sending` is in use
};

VirtioSerial::VirtioSerial(VirtioContext context, unsigned max_ports)
    : VirtioDevice(std::move(context), kDeviceId, 2 * max_ports + 2), ports_(max_ports) {
  for (unsigned i = 0; i < queue_count(); ++i) {
    set_queue_size(i, i == kControlReceive || i == kControlTransmit ? kControlQueueSize : kQueueSize);
  }
  std::memcpy(config_.data() + 4, &max_ports, 4);
}

VirtioSerial::~VirtioSerial() {
  for (auto& port : ports_) {
    if (port && port->options.chardev) port->options.chardev->attach({});
  }
}

uint64_t VirtioSerial::device_features() const { return kMultiport | kEmergencyWrite; }

std::span<const uint8_t> VirtioSerial::config() { return config_; }

void VirtioSerial::config_written(uint64_t offset, unsigned, uint32_t value) {
  // 5.3.5.1: at any time, a character of the driver's last words.
  if (offset != kEmergencyOffset || !ports_[0] || !ports_[0]->options.chardev) return;
  const auto byte = static_cast<uint8_t>(value);
  ports_[0]->options.chardev->write({&byte, 1});
}

unsigned VirtioSerial::free_number(bool console) const {
  unsigned number = console ? 0 : 1;
  while (number < ports_.size() && ports_[number]) ++number;
  return number;
}

void VirtioSerial::add_port(const SerialPortOptions& options) {
  ports_[options.number] = std::make_unique<Port>();
  Port& port = *ports_[options.number];
  port.options = options;
  // A console is always there; another port opens when its chardev says that somebody is on the other side.
  port.host_open = options.console || !options.chardev;
  if (!options.chardev) return;
  options.chardev->attach({[this, &port] { return room(port); },
                           [this, &port](std::span<const uint8_t> bytes) { receive(port, bytes); },
                           [this, &port](ChardevEvent event) { host_event(port, event); },
                           [this, &port] { schedule(transmit_queue(port.options.number)); }});
}

VirtioSerial::Port* VirtioSerial::port_of(unsigned queue) const {
  const unsigned number = queue < 2 ? 0 : queue / 2 - 1;
  return number < ports_.size() ? ports_[number].get() : nullptr;
}

void VirtioSerial::handle_queue(unsigned index) {
  if (index == kControlTransmit) return read_control();
  if (index == kControlReceive) {
    auto guard = lock();
    return flush_control();
  }
  Port* port = port_of(index);
  if (!port) return;
  if (index % 2) {
    transmit(*port);
  } else if (port->options.chardev) {
    {
      auto guard = lock();
      if (!running(index)) return;
    }
    port->options.chardev->accept_input();
  }
}

// ---- Guest to host

void VirtioSerial::transmit(Port& port) {
  auto guard = lock();
  const unsigned index = transmit_queue(port.options.number);
  bool pushed = false;
  while (running(index)) {
    if (!port.busy) {
      if (!pop(index, port.sending)) {
        if (enable_notifications(index)) continue;
        break;
      }
      port.busy = true;
      port.sent = 0;
      port.text.resize(port.sending.readable_bytes);
      ChainReader(port.sending).read(port.text.data(), port.sending.readable_bytes);
    }
    if (port.options.chardev && port.host_open) {
      while (port.sent < port.text.size()) {
        const size_t taken = port.options.chardev->write(std::span(port.text).subspan(port.sent));
        if (!taken) break;
        port.sent += taken;
      }
      if (port.sent < port.text.size()) break;  // can_write comes
    }
    port.busy = false;
    push(index, port.sending, 0);
    pushed = true;
  }
  if (pushed) publish(index);
}

// ---- Host to guest

// Pops what buffers there are.
size_t VirtioSerial::room(Port& port) {
  auto guard = lock();
  const unsigned index = receive_queue(port.options.number);
  if (!running(index) || !port.guest_open) return 0;
  for (;;) {
    Chain chain;
    if (pop(index, chain)) {
      port.room += chain.writable_bytes;
      port.held.push_back(std::move(chain));
    } else if (port.room || !enable_notifications(index)) {
      break;
    }
  }
  return port.room;
}

void VirtioSerial::receive(Port& port, std::span<const uint8_t> bytes) {
  auto guard = lock();
  const unsigned index = receive_queue(port.options.number);
  while (!bytes.empty() && !port.held.empty() && running(index)) {
    Chain chain = std::move(port.held.front());
    port.held.pop_front();
    port.room -= chain.writable_bytes;
    ChainWriter writer(chain);
    bytes = bytes.subspan(writer.write(bytes.data(), static_cast<uint32_t>(bytes.size())));
    push(index, chain, writer.written());
  }
  publish(index);
}

void VirtioSerial::host_event(Port& port, ChardevEvent event) {
  if (event == ChardevEvent::kBreak || port.options.console) return;
  auto guard = lock();
  const bool open = event == ChardevEvent::kOpened;
  if (open == port.host_open) return;
  port.host_open = open;
  send_control(port.options.number, kPortOpen, open);
  schedule(transmit_queue(port.options.number));  // what nobody hears is dropped
}

// ---- Control queues (5.3.6.2)

void VirtioSerial::read_control() {
  std::vector<Port*> opened;
  {
    auto guard = lock();
    if (!running(kControlTransmit)) return;
    std::vector<bool> before;
    for (const auto& port : ports_) before.push_back(port && port->guest_open);
    bool pushed = false;
    do {
      disable_notifications(kControlTransmit);
      while (pop(kControlTransmit, control_chain_)) {
        ControlMessage message;
        if (ChainReader(control_chain_).read(&message, sizeof message) == sizeof message) control_message(message.id, message.event, message.value);
        push(kControlTransmit, control_chain_, 0);
        pushed = true;
      }
    } while (enable_notifications(kControlTransmit));
    if (pushed) publish(kControlTransmit);
    for (size_t i = 0; i < ports_.size(); ++i) {
      if (ports_[i] && ports_[i]->guest_open && !before[i]) opened.push_back(ports_[i].get());
    }
  }
  for (Port* port : opened) {
    if (port->options.chardev) port->options.chardev->accept_input();
  }
}

void VirtioSerial::control_message(uint32_t id, uint16_t event, uint16_t value) {
  if (event == kDeviceReady) {
    for (const auto& port : ports_) {
      if (port && value) send_control(port->options.number, kDeviceAdd, 1);
    }
    return;
  }
  if (id >= ports_.size() || !ports_[id]) {
    LYRE_GUEST_ERROR("%s: control message %u for port %u, which is not there", name().c_str(), event, id);
    return;
  }
  Port& port = *ports_[id];
  if (event == kPortReady && value) {
    if (port.options.console) send_control(id, kConsolePort, 1);
    if (!port.options.name.empty()) send_control(id, kPortName, 1, port.options.name);
    if (port.host_open) send_control(id, kPortOpen, 1);
  } else if (event == kPortOpen) {
    port.guest_open = value;
  }
}

void VirtioSerial::send_control(uint32_t id, uint16_t event, uint16_t value, const std::string& text) {
  if (!negotiated(kMultiport) || !(status() & kStatusDriverOk)) return;
  if (control_out_.size() >= kMaxControlMessages) {
    fail("the driver takes no control messages");
    return;
  }
  const ControlMessage message{id, event, value};
  control_out_.push_back(std::string(reinterpret_cast<const char*>(&message), sizeof message) + text);
  flush_control();
}

void VirtioSerial::flush_control() {
  bool pushed = false;
  while (!control_out_.empty() && running(kControlReceive)) {
    if (!pop(kControlReceive, chain_)) {
      if (enable_notifications(kControlReceive)) continue;
      break;
    }
    ChainWriter writer(chain_);
    writer.write(control_out_.front().data(), static_cast<uint32_t>(control_out_.front().size()));
    push(kControlReceive, chain_, writer.written());
    control_out_.pop_front();
    pushed = true;
  }
  if (pushed) publish(kControlReceive);
}

// ---- Reset

void VirtioSerial::queue_was_reset(unsigned index) {
  if (index == kControlReceive) control_out_.clear();
  Port* port = index == kControlReceive || index == kControlTransmit ? nullptr : port_of(index);
  if (!port) return;
  if (index % 2) {
    port->busy = false;
  } else {
    port->held.clear();
    port->room = 0;
  }
}

void VirtioSerial::device_reset() {
  for (const auto& port : ports_) {
    if (port) port->guest_open = false;
  }
}

void VirtioSerial::driver_ready() {
  // Without control messages port 0 is simply there.
  if (!negotiated(kMultiport) && ports_[0]) ports_[0]->guest_open = true;
}

}  // namespace lyre::machine::virtio
