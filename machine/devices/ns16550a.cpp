// PC16550D. Section numbers are the data sheet's. See ns16550a.h.
#include "machine/devices/ns16550a.h"

#include <algorithm>

namespace lyre::machine {
namespace {

enum Register : unsigned { kData, kIer, kIirFcr, kLcr, kMcr, kLsr, kMsr, kScr, kRegisters };

// IER (8.6) and IIR (8.5).
constexpr uint8_t kIerReceive = 0x01, kIerTransmit = 0x02, kIerLine = 0x04, kIerModem = 0x08;
constexpr uint8_t kIirNone = 0x01, kIirModem = 0x00, kIirTransmit = 0x02, kIirReceive = 0x04, kIirLine = 0x06,
                  kIirTimeout = 0x0c;
constexpr uint8_t kIirFifosOn = 0xc0;
// FCR (8.4).
constexpr uint8_t kFcrEnable = 0x01, kFcrClearReceive = 0x02, kFcrTriggerShift = 6;
constexpr uint8_t kTrigger[] = {1, 4, 8, 14};
constexpr uint8_t kLcrDivisor = 0x80;
// LSR (8.2).
constexpr uint8_t kLsrData = 0x01, kLsrOverrun = 0x02, kLsrBreak = 0x10, kLsrThrEmpty = 0x20, kLsrIdle = 0x40,
                  kLsrFifoError = 0x80;
constexpr uint8_t kLsrErrors = 0x1e;
// MCR (8.7) and MSR (8.8).
constexpr uint8_t kMcrDtr = 0x01, kMcrRts = 0x02, kMcrOut1 = 0x04, kMcrOut2 = 0x08, kMcrLoop = 0x10;
constexpr uint8_t kMsrCts = 0x10, kMsrDsr = 0x20, kMsrRi = 0x40, kMsrDcd = 0x80;

// Delta bits for a change of the modem lines; TERI only reports the trailing edge of RI.
uint8_t deltas(uint8_t before, uint8_t after) {
  uint8_t changed = before ^ after;
  uint8_t result = static_cast<uint8_t>((changed & (kMsrCts | kMsrDsr | kMsrDcd)) >> 4);
  if (before & ~after & kMsrRi) result |= 0x04;
  return result;
}

}  // namespace

Ns16550a::Ns16550a(Chardev* chardev, EventLoop& io, IrqLine irq) : chardev_(chardev), io_(io), irq_(irq) {
  batch_.reserve(kBatchSize);
  if (!chardev_) return;
  chardev_->attach({
      .can_receive = [this] { return receive_room(); },
      .receive = [this](std::span<const uint8_t> bytes) { receive(bytes); },
      .event =
          [this](ChardevEvent event) {
            if (event == ChardevEvent::kBreak) receive_break();
          },
      .can_write = [this] { flush(); },
  });
}

uint64_t Ns16550a::read(uint64_t offset, unsigned) {
  if (offset >= kRegisters) return 0;
  bool room_again = false;
  uint8_t value;
  {
    std::lock_guard lock(mutex_);
    value = read_locked(static_cast<unsigned>(offset));
    if (input_waits_ && r_.fifo_count == 0 && !(r_.mcr & kMcrLoop)) {
      input_waits_ = false;
      room_again = true;
    }
  }
  if (room_again) chardev_->accept_input();
  return value;
}

void Ns16550a::write(uint64_t offset, unsigned, uint64_t value) {
  if (offset >= kRegisters) return;
  bool room_again = false;
  {
    std::lock_guard lock(mutex_);
    write_locked(static_cast<unsigned>(offset), static_cast<uint8_t>(value));
    if (input_waits_ && r_.fifo_count == 0 && !(r_.mcr & kMcrLoop)) {
      input_waits_ = false;
      room_again = true;
    }
  }
  if (room_again) chardev_->accept_input();
}

void Ns16550a::reset() {
  std::lock_guard lock(mutex_);
  r_ = Registers{};
  update_irq();
}

uint8_t Ns16550a::read_locked(unsigned reg) {
  switch (reg) {
    case kData: {
      if (r_.lcr & kLcrDivisor) return static_cast<uint8_t>(r_.divisor);
      uint8_t byte = pop_received();
      update_irq();
      return byte;
    }
    case kIer:
      return r_.lcr & kLcrDivisor ? static_cast<uint8_t>(r_.divisor >> 8) : r_.ier;
    case kIirFcr: {
      uint8_t id = pending_interrupt();
      if (id == kIirTransmit) {
        r_.thr_empty_pending = false;
        update_irq();
      }
      return static_cast<uint8_t>(id | (r_.fcr & kFcrEnable ? kIirFifosOn : 0));
    }
    case kLcr:
      return r_.lcr;
    case kMcr:
      return r_.mcr;
    case kLsr: {
      uint8_t value = lsr();
      if (r_.lsr_errors) {
        r_.lsr_errors = 0;
        update_irq();
      }
      return value;
    }
    case kMsr: {
      uint8_t value = modem_lines() | r_.msr_deltas;
      if (r_.msr_deltas) {
        r_.msr_deltas = 0;
        update_irq();
      }
      return value;
    }
    default:
      return r_.scr;
  }
}

void Ns16550a::write_locked(unsigned reg, uint8_t value) {
  switch (reg) {
    case kData:
      if (r_.lcr & kLcrDivisor)
        r_.divisor = static_cast<uint16_t>((r_.divisor & 0xff00) | value);
      else
        transmit(value);
      return;
    case kIer: {
      if (r_.lcr & kLcrDivisor) {
        r_.divisor = static_cast<uint16_t>((r_.divisor & 0x00ff) | value << 8);
        return;
      }
      uint8_t enabled = value & ~r_.ier;
      r_.ier = value & 0x0f;
      // Enabling the interrupt while the holding register is empty raises it (8.6.2): drivers start sending that way.
      if ((enabled & kIerTransmit) && thr_empty()) r_.thr_empty_pending = true;
      update_irq();
      return;
    }
    case kIirFcr:
      write_fcr(value);
      return;
    case kLcr:
      r_.lcr = value;
      return;
    case kMcr:
      write_mcr(value);
      return;
    case kScr:
      r_.scr = value;
      return;
    default:  // LSR and MSR are for reading; writing them is a factory test
      return;
  }
}

void Ns16550a::transmit(uint8_t byte) {
  r_.thr_empty_pending = true;
  if (r_.mcr & kMcrLoop) {
    push_received(byte);
  } else if (chardev_ && batch_.size() < kBatchSize) {
    batch_.push_back(byte);
    schedule_flush(batch_.size() == kBatchSize / 2);
    if (!thr_empty()) r_.thr_empty_pending = false;  // raised by flush() when there is room
  }
  update_irq();
}

void Ns16550a::push_received(uint8_t byte) {
  size_t room = r_.fcr & kFcrEnable ? kFifoSize : 1;
  if (r_.fifo_count >= room) {
    r_.lsr_errors |= kLsrOverrun;
    if (room == 1) r_.fifo[r_.fifo_head] = byte;  // the single register is overwritten, a full FIFO is not (8.2)
    return;
  }
  r_.fifo[(r_.fifo_head + r_.fifo_count) % kFifoSize] = byte;
  ++r_.fifo_count;
}

uint8_t Ns16550a::pop_received() {
  uint8_t byte = r_.fifo[r_.fifo_head];
  if (r_.fifo_count == 0) return byte;
  r_.fifo_head = static_cast<uint8_t>((r_.fifo_head + 1) % kFifoSize);
  --r_.fifo_count;
  return byte;
}

void Ns16550a::write_fcr(uint8_t value) {
  bool toggled = (value ^ r_.fcr) & kFcrEnable;
  if (toggled || (value & kFcrClearReceive)) r_.fifo_head = r_.fifo_count = 0;
  // The other bits are only taken when bit 0 is set (8.4). The transmit FIFO is always empty, so clearing it changes
  // nothing.
  r_.fcr = value & kFcrEnable ? value & 0xc9 : 0;
  update_irq();
}

void Ns16550a::write_mcr(uint8_t value) {
  uint8_t before = modem_lines();
  r_.mcr = value & 0x1f;
  r_.msr_deltas |= deltas(before, modem_lines());
  update_irq();
}

uint8_t Ns16550a::lsr() const {
  uint8_t value = r_.lsr_errors;
  if (r_.fifo_count) value |= kLsrData;
  if (thr_empty()) value |= kLsrThrEmpty | kLsrIdle;
  if ((r_.fcr & kFcrEnable) && (r_.lsr_errors & kLsrBreak)) value |= kLsrFifoError;
  return value;
}

// The other end is always there and ready; in loopback the outputs come back as inputs (8.7, figure on loopback).
uint8_t Ns16550a::modem_lines() const {
  if (!(r_.mcr & kMcrLoop)) return kMsrCts | kMsrDsr | kMsrDcd;
  uint8_t lines = 0;
  if (r_.mcr & kMcrRts) lines |= kMsrCts;
  if (r_.mcr & kMcrDtr) lines |= kMsrDsr;
  if (r_.mcr & kMcrOut1) lines |= kMsrRi;
  if (r_.mcr & kMcrOut2) lines |= kMsrDcd;
  return lines;
}

uint8_t Ns16550a::pending_interrupt() const {
  if ((r_.ier & kIerLine) && (r_.lsr_errors & kLsrErrors)) return kIirLine;
  if ((r_.ier & kIerReceive) && r_.fifo_count) {
    bool below = (r_.fcr & kFcrEnable) && r_.fifo_count < kTrigger[r_.fcr >> kFcrTriggerShift];
    return below ? kIirTimeout : kIirReceive;
  }
  if ((r_.ier & kIerTransmit) && r_.thr_empty_pending) return kIirTransmit;
  if ((r_.ier & kIerModem) && r_.msr_deltas) return kIirModem;
  return kIirNone;
}

void Ns16550a::update_irq() {
  bool level = pending_interrupt() != kIirNone;
  if (level == irq_level_) return;
  irq_level_ = level;
  irq_.set(level);
}

size_t Ns16550a::receive_room() {
  std::lock_guard lock(mutex_);
  size_t capacity = r_.mcr & kMcrLoop     ? 0
                    : r_.fcr & kFcrEnable ? kFifoSize
                                          : 1;  // loopback disconnects the input (8.7)
  size_t room = capacity > r_.fifo_count ? capacity - r_.fifo_count : 0;
  if (room == 0) input_waits_ = true;
  return room;
}

void Ns16550a::receive(std::span<const uint8_t> bytes) {
  std::lock_guard lock(mutex_);
  for (uint8_t byte : bytes) push_received(byte);
  // The sender may only ask again when it is told to.
  if (r_.fifo_count == (r_.fcr & kFcrEnable ? kFifoSize : 1)) input_waits_ = true;
  update_irq();
}

void Ns16550a::receive_break() {
  std::lock_guard lock(mutex_);
  if (r_.mcr & kMcrLoop) return;
  push_received(0);
  r_.lsr_errors |= kLsrBreak;
  update_irq();
}

void Ns16550a::schedule_flush(bool now) {
  if (now) io_.post([this] { flush(); });
  if (flush_scheduled_) return;
  flush_scheduled_ = true;
  io_.after_ns(kBatchDelayNs, [this] { flush(); });
}

void Ns16550a::flush() {
  if (!chardev_) return;
  std::lock_guard order(flush_mutex_);
  std::vector<uint8_t> bytes;
  {
    std::lock_guard lock(mutex_);
    flush_scheduled_ = false;
    bytes.reserve(kBatchSize);
    bytes.swap(batch_);
  }
  size_t taken = bytes.empty() ? 0 : chardev_->write(bytes);
  std::lock_guard lock(mutex_);
  // What the chardev left goes first next time, when it calls can_write.
  batch_.insert(batch_.begin(), bytes.begin() + static_cast<ptrdiff_t>(taken), bytes.end());
  if (taken && thr_empty() && !r_.thr_empty_pending && bytes.size() + kFifoSize > kBatchSize) {
    r_.thr_empty_pending = true;
    update_irq();
  }
}

void Ns16550a::describe(FdtBuilder& fdt, const FdtPlace& place) {
  auto node = fdt.node_at("serial", place.base);
  fdt.string("compatible", "ns16550a");
  fdt.reg(place.base, place.size);
  fdt.u32("clock-frequency", 3686400);
  fdt.u32("interrupt-parent", place.interrupt_parent);
  fdt.u32("interrupts", place.irq);
}

}  // namespace lyre::machine
