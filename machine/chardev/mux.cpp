#include "machine/chardev/mux.h"

#include <algorithm>
#include <array>

namespace lyre::machine {
namespace {

constexpr uint8_t kEscape = 0x01;  // Ctrl-A
// So much may be typed ahead of a guest that does not read, and the escape key still works.
constexpr size_t kTypeAhead = 64 * 1024;

constexpr std::string_view kHelp =
    "\n\r"
    "C-a h    print this help\n\r"
    "C-a x    exit emulator\n\r"
    "C-a b    send break (magic sysrq)\n\r"
    "C-a c    switch between console and monitor\n\r"
    "C-a C-a  sends C-a\n\r";

}  // namespace

class Mux::FrontEnd final : public Chardev {
 public:
  FrontEnd(Mux& mux, size_t slot) : mux_(mux), slot_(slot) {}
  size_t write(std::span<const uint8_t> bytes) override { return mux_.under_->write(bytes); }
  void attach(ChardevReceiver receiver) override { mux_.attach_slot(slot_, std::move(receiver)); }
  void accept_input() override { mux_.under_->accept_input(); }
  void flush() override { mux_.under_->flush(); }
  bool focused() const override { return mux_.has_focus(slot_); }
  std::string description() const override { return mux_.description(); }

 private:
  Mux& mux_;
  const size_t slot_;
};

Mux::Mux(std::unique_ptr<Chardev> under, const ChardevContext& context)
    : under_(std::move(under)), quit_(context.quit) {
  ChardevReceiver receiver;
  receiver.can_receive = [this] { return room(); };
  receiver.receive = [this](std::span<const uint8_t> bytes) { on_bytes(bytes); };
  receiver.event = [this](ChardevEvent event) { on_event(event); };
  receiver.can_write = [this] {
    for (size_t i = 0;; ++i) {
      std::unique_lock lock(mutex_);
      if (i >= slots_.size()) return;
      auto to = slots_[i].receiver;
      lock.unlock();
      if (to && to->can_write) to->can_write();
    }
  };
  under_->attach(std::move(receiver));
}

Mux::~Mux() { under_.reset(); }  // no callback runs once it is gone

size_t Mux::add_slot(std::string label, bool focus) {
  std::lock_guard lock(mutex_);
  slots_.push_back({std::move(label), nullptr, {}, false});
  if (focus) focus_ = slots_.size() - 1;
  return slots_.size() - 1;
}

std::unique_ptr<Chardev> Mux::front_end(std::string label, bool focus) {
  return std::make_unique<FrontEnd>(*this, add_slot(std::move(label), focus));
}

size_t Mux::write(std::span<const uint8_t> bytes) { return under_->write(bytes); }

void Mux::attach(ChardevReceiver receiver) {
  if (own_slot_ == SIZE_MAX) own_slot_ = add_slot("", true);
  attach_slot(own_slot_, std::move(receiver));
}

void Mux::accept_input() { under_->accept_input(); }

void Mux::attach_slot(size_t slot, ChardevReceiver receiver) {
  {
    std::lock_guard lock(mutex_);
    slots_[slot].receiver = std::make_shared<ChardevReceiver>(std::move(receiver));
    slots_[slot].opened = false;
  }
  under_->accept_input();  // the I/O thread then asks for room, and events owed are delivered there
}

void Mux::send(size_t slot, ChardevEvent event) {
  std::unique_lock lock(mutex_);
  if (slot >= slots_.size()) return;
  auto to = slots_[slot].receiver;
  lock.unlock();
  if (to && to->event) to->event(event);
}

// Asked by the I/O thread whenever there may be something to do: also the moment to pass on what waits.
size_t Mux::room() {
  deliver();
  std::lock_guard lock(mutex_);
  if (slots_.empty()) return 0;
  const size_t waiting = slots_[focus_].waiting.size();
  return waiting < kTypeAhead ? kTypeAhead - waiting : 0;
}

void Mux::on_event(ChardevEvent event) {
  size_t count, focus;
  {
    std::lock_guard lock(mutex_);
    count = slots_.size();
    focus = focus_;
    if (event == ChardevEvent::kOpened) open_ = true;
    if (event == ChardevEvent::kClosed) {
      open_ = false;
      for (Slot& slot : slots_) slot.opened = false;
    }
  }
  if (event == ChardevEvent::kOpened) {
    deliver();
  } else if (event == ChardevEvent::kBreak) {
    send(focus, event);
  } else {
    for (size_t i = 0; i < count; ++i) send(i, event);
  }
}

bool Mux::has_focus(size_t slot) const {
  std::lock_guard lock(mutex_);
  return focus_ == slot;
}

void Mux::print(std::string_view text) { under_->write({reinterpret_cast<const uint8_t*>(text.data()), text.size()}); }

void Mux::move_focus(size_t to) {
  size_t from;
  {
    std::lock_guard lock(mutex_);
    from = focus_;
    focus_ = to;
  }
  if (from == to) return;
  send(from, ChardevEvent::kFocusOut);
  send(to, ChardevEvent::kFocusIn);
}

void Mux::on_key(uint8_t key) {
  if (!escape_ && key == kEscape) {
    escape_ = true;
    return;
  }
  const bool command = std::exchange(escape_, false);
  size_t focus, count;
  {
    std::lock_guard lock(mutex_);
    focus = focus_;
    count = slots_.size();
  }
  if (command && key != kEscape && key != 'a') {
    switch (key) {
      case 'h':
      case '?':
        print(kHelp);
        break;
      case 'x':
        print("Lyrebird: Terminated\n\r");
        if (quit_) quit_();
        break;
      case 'b':
        send(focus, ChardevEvent::kBreak);
        break;
      case 'c':
        deliver();  // what was typed before the switch belongs to the old front end
        move_focus((focus + 1) % count);
        break;
      default:
        break;
    }
    return;
  }
  std::lock_guard lock(mutex_);
  slots_[focus].waiting.push_back(command ? kEscape : key);
}

void Mux::on_bytes(std::span<const uint8_t> bytes) {
  for (uint8_t key : bytes) on_key(key);
  deliver();
}

// Events owed to new receivers, then typed bytes to the front end that has the focus, as far as it has room. No lock is
// held while it is called.
void Mux::deliver() {
  for (size_t i = 0;; ++i) {
    std::unique_lock lock(mutex_);
    if (i >= slots_.size()) break;
    if (!open_ || slots_[i].opened || !slots_[i].receiver) continue;
    slots_[i].opened = true;
    const bool focused = i == focus_;
    lock.unlock();
    send(i, ChardevEvent::kOpened);
    if (focused) send(i, ChardevEvent::kFocusIn);
  }
  for (;;) {
    std::unique_lock lock(mutex_);
    if (slots_.empty() || slots_[focus_].waiting.empty()) return;
    auto to = slots_[focus_].receiver;
    lock.unlock();
    const size_t room = to && to->can_receive ? to->can_receive() : 0;
    if (!room) return;
    std::array<uint8_t, 256> chunk;
    lock.lock();
    auto& waiting = slots_[focus_].waiting;
    const size_t count = std::min({room, waiting.size(), chunk.size()});
    std::copy_n(waiting.begin(), count, chunk.begin());
    waiting.erase(waiting.begin(), waiting.begin() + static_cast<ptrdiff_t>(count));
    lock.unlock();
    to->receive({chunk.data(), count});
  }
}

}  // namespace lyre::machine
