#include "machine/monitor/monitor.h"

namespace lyre::machine {
namespace {

constexpr size_t kTypeAhead = 4096;
constexpr int kPollMs = 1;

}  // namespace

// Scripts look for this prompt.
Monitor::Monitor(Machine& machine, Chardev& chardev, ChardevNames chardevs)
    : machine_(machine), chardev_(chardev), chardevs_(std::move(chardevs)), editor_("(qemu) ", complete_monitor_line) {
  ChardevReceiver receiver;
  receiver.can_receive = [this] { return room(); };
  receiver.receive = [this](std::span<const uint8_t> bytes) { on_bytes(bytes); };
  receiver.event = [this](ChardevEvent event) { on_event(event); };
  receiver.can_write = [this] { push_output(); };
  chardev_.attach(std::move(receiver));
}

Monitor::~Monitor() { machine_.io().cancel(timer_); }

size_t Monitor::room() const { return typed_ahead_.size() < kTypeAhead ? kTypeAhead - typed_ahead_.size() : 0; }

void Monitor::push_output() {
  const size_t taken = chardev_.write({reinterpret_cast<const uint8_t*>(output_.data()), output_.size()});
  output_.erase(0, taken);
}

void Monitor::print(std::string_view text) {
  for (char c : text) {
    if (c == '\n') output_ += '\r';
    output_ += c;
  }
  push_output();
}

void Monitor::greet() {
  greeted_ = true;
  print("Lyrebird " LYRE_VERSION " monitor - type 'help' for more information\n" + editor_.redraw());
}

void Monitor::on_event(ChardevEvent event) {
  switch (event) {
    case ChardevEvent::kOpened:
      if (!greeted_ && chardev_.focused()) greet();
      return;
    case ChardevEvent::kFocusIn:
      if (!greeted_) {
        print("\n");
        greet();
      } else {
        print("\n" + editor_.redraw());
      }
      return;
    case ChardevEvent::kClosed:
      greeted_ = false;
      output_.clear();
      return;
    case ChardevEvent::kFocusOut:
    case ChardevEvent::kBreak:
      return;
  }
}

void Monitor::on_bytes(std::span<const uint8_t> bytes) {
  size_t used = 0;
  while (used < bytes.size() && !waiting_for_) {
    std::string echo;
    auto line = editor_.key(bytes[used++], echo);
    if (!echo.empty()) print(echo);
    if (line) run_line(*line);
  }
  typed_ahead_.append(bytes.begin() + static_cast<ptrdiff_t>(used), bytes.end());
}

void Monitor::run_line(const std::string& line) {
  run_monitor_command(*this, line);
  if (!waiting_for_) print(editor_.redraw());
}

void Monitor::wait_until(std::function<bool()> done, int patience) {
  waiting_for_ = std::move(done);
  patience_ = patience;
  poll();
}

void Monitor::poll() {
  if (!waiting_for_() && patience_ > 0) {
    patience_ -= kPollMs;
    timer_ = machine_.io().after_ns(kPollMs * 1'000'000, [this] {
      poll();
      if (waiting_for_) return;
      print(editor_.redraw());
      const std::string keys = std::exchange(typed_ahead_, {});
      on_bytes({reinterpret_cast<const uint8_t*>(keys.data()), keys.size()});
      chardev_.accept_input();
    });
    return;
  }
  waiting_for_ = nullptr;
}

}  // namespace lyre::machine
