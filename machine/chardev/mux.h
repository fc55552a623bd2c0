// Mux: one chardev shared by several front ends (serial port and monitor in one terminal). All may write; the keyboard
// belongs to one of them. Escape key Ctrl-A: h help, x quit, c next front end, b break, a or Ctrl-A the key itself.
// Threads: keys are handled on the I/O thread; write and accept_input from any. The Mux outlives its front ends' users:
// the machine keeps every chardev until the end.
#pragma once
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "machine/chardev/chardev.h"
#include "machine/chardev/create.h"

namespace lyre::machine {

class Mux final : public Chardev {
 public:
  Mux(std::unique_ptr<Chardev> under, const ChardevContext& context);
  ~Mux() override;

  // A share of the device. The latest one made with `focus` has the keyboard first. Must not outlive the Mux.
  std::unique_ptr<Chardev> front_end(std::string label, bool focus);

  // A Mux used as a plain chardev (a device's chardev=ID) is a front end of its own.
  size_t write(std::span<const uint8_t> bytes) override;
  void attach(ChardevReceiver receiver) override;
  void accept_input() override;
  void flush() override { under_->flush(); }
  bool focused() const override { return has_focus(own_slot_); }
  std::string description() const override { return "mux:" + under_->description(); }

 private:
  class FrontEnd;
  struct Slot {
    std::string label;
    std::shared_ptr<ChardevReceiver> receiver;
    std::deque<uint8_t> waiting;  // typed but not taken yet
    bool opened = false;          // kOpened has been passed on
  };
  size_t add_slot(std::string label, bool focus);
  void attach_slot(size_t slot, ChardevReceiver receiver);
  bool has_focus(size_t slot) const;
  size_t room();
  void on_bytes(std::span<const uint8_t> bytes);
  void on_event(ChardevEvent event);
  void on_key(uint8_t key);
  void move_focus(size_t to);
  void deliver();
  void print(std::string_view text);
  void send(size_t slot, ChardevEvent event);

  std::unique_ptr<Chardev> under_;
  const std::function<void()> quit_;
  mutable std::mutex mutex_;
  std::vector<Slot> slots_;
  size_t focus_ = 0;
  size_t own_slot_ = SIZE_MAX;
  bool escape_ = false;  // I/O thread only
  bool open_ = false;
};

}  // namespace lyre::machine
