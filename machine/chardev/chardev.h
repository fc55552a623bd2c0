// Chardev: the host side of a byte stream (terminal, pty, file, socket, null, mux). Front ends (UART, virtio-console,
// monitor) attach a receiver. write() never blocks the caller: bytes are queued and leave on the I/O thread; it returns
// how many were taken (a full queue takes fewer and calls can_write later). With nobody at the host side output is
// dropped, as a cable that hangs loose would. receive runs on the I/O thread, only for as many bytes as can_receive
// allowed.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "runtime/base/event_loop.h"
#include "runtime/base/result.h"

namespace lyre::machine {

// kOpened and kClosed: the host side came or went (socket client, pty user). kFocusIn and kFocusOut: a mux moved the
// keyboard. Events arrive on the I/O thread; kOpened also after attach() if the host side is already there.
enum class ChardevEvent : uint8_t { kOpened, kClosed, kBreak, kFocusIn, kFocusOut };

struct ChardevReceiver {
  std::function<size_t()> can_receive;  // how many bytes the front end has room for now
  std::function<void(std::span<const uint8_t>)> receive;
  std::function<void(ChardevEvent)> event;  // may be empty
  std::function<void()> can_write;          // queue has room again; may be empty
};

class Chardev {
 public:
  virtual ~Chardev() = default;
  virtual size_t write(std::span<const uint8_t> bytes) = 0;
  virtual void attach(ChardevReceiver receiver) = 0;  // one front end; a mux hands out one Chardev per front end
  virtual void accept_input() = 0;                    // the front end has room again
  virtual void flush() {}  // blocks until queued output left, a deaf peer 2 s at most (used at exit)
  virtual bool focused() const { return true; }           // false: a mux has given the keyboard to somebody else
  virtual std::string description() const { return {}; }  // for `info chardev`: "pty:/dev/pts/3"
};

}  // namespace lyre::machine
