// Registers, memory, documents, and what the debugger is told about this stub.
#include <algorithm>
#include <cstdio>

#include "runtime/debug/server.h"

namespace lyre::debug {
namespace {

constexpr std::string_view kBadRequest = "E22", kBadAddress = "E14", kNoObject = "E00";

// "PREFIX:SUFFIX" at the first separator. False: there is none.
bool split(std::string_view text, char separator, std::string_view& before, std::string_view& after) {
  const size_t at = text.find(separator);
  if (at == text.npos) return false;
  before = text.substr(0, at), after = text.substr(at + 1);
  return true;
}

bool take_range(std::string_view text, uint64_t& address, uint64_t& size) {
  if (!take_hex(text, address) || !text.starts_with(",")) return false;
  text.remove_prefix(1);
  return take_hex(text, size) && text.empty();
}

}  // namespace

// Registers are sent in the guest's byte order, which is little-endian for all guests so far.
std::string GdbServer::registers_hex(unsigned first, unsigned end) {
  std::string text;
  for (unsigned number = first; number < end; ++number) {
    const unsigned bytes = target_.guest().register_bytes(number);
    uint64_t value = 0;
    if (!target_.read_register(thread_, number, value)) {
      text.append(2 * size_t{bytes}, 'x');
      continue;
    }
    uint8_t raw[8];
    for (unsigned i = 0; i < bytes; ++i) raw[i] = static_cast<uint8_t>(value >> (8 * i));
    text += to_hex(std::span(raw, bytes));
  }
  return text;
}

bool GdbServer::write_hex(unsigned number, std::string_view& digits) {
  const size_t bytes = target_.guest().register_bytes(number);
  std::vector<uint8_t> raw;
  if (!bytes || digits.size() < 2 * bytes || !from_hex(digits.substr(0, 2 * bytes), raw)) return false;
  digits.remove_prefix(2 * bytes);
  uint64_t value = 0;
  for (size_t i = 0; i < bytes; ++i) value |= uint64_t{raw[i]} << (8 * i);
  return target_.write_register(thread_, number, value);
}

std::string GdbServer::on_read_registers(std::string_view) {
  return registers_hex(0, target_.guest().core_registers());
}

std::string GdbServer::on_write_registers(std::string_view arguments) {
  for (unsigned number = 0; number < target_.guest().core_registers() && !arguments.empty(); ++number)
    if (!write_hex(number, arguments)) return std::string(kBadRequest);
  return "OK";
}

std::string GdbServer::on_read_register(std::string_view arguments) {
  uint64_t number;
  if (!take_hex(arguments, number) || number > UINT32_MAX ||
      !target_.guest().register_bytes(static_cast<unsigned>(number)))
    return std::string(kBadAddress);
  return registers_hex(static_cast<unsigned>(number), static_cast<unsigned>(number) + 1);
}

std::string GdbServer::on_write_register(std::string_view arguments) {
  uint64_t number;
  if (!take_hex(arguments, number) || number > UINT32_MAX || !arguments.starts_with("="))
    return std::string(kBadRequest);
  arguments.remove_prefix(1);
  return write_hex(static_cast<unsigned>(number), arguments) && arguments.empty() ? "OK" : std::string(kBadRequest);
}

std::string GdbServer::on_read_memory(std::string_view arguments) {
  uint64_t address, size;
  if (!take_range(arguments, address, size) || size > kPacketSize / 2) return std::string(kBadRequest);
  std::vector<uint8_t> bytes(size);
  return target_.read_memory(thread_, address, bytes) ? to_hex(bytes) : std::string(kBadAddress);
}

std::string GdbServer::on_write_memory(std::string_view arguments) {
  std::string_view range, digits;
  uint64_t address, size;
  std::vector<uint8_t> bytes;
  if (!split(arguments, ':', range, digits) || !take_range(range, address, size) || !from_hex(digits, bytes) ||
      bytes.size() != size)
    return std::string(kBadRequest);
  return target_.write_memory(thread_, address, bytes) ? "OK" : std::string(kBadAddress);
}

std::string GdbServer::on_write_binary(std::string_view arguments) {
  std::string_view range, data;
  uint64_t address, size;
  if (!split(arguments, ':', range, data) || !take_range(range, address, size) || data.size() != size)
    return std::string(kBadRequest);
  const std::span bytes(reinterpret_cast<const uint8_t*>(data.data()), data.size());
  return target_.write_memory(thread_, address, bytes) ? "OK" : std::string(kBadAddress);
}

std::string GdbServer::on_supported(std::string_view arguments) {
  agreed_.multiprocess = arguments.find("multiprocess+") != arguments.npos;
  agreed_.exec_events = arguments.find("exec-events+") != arguments.npos;
  return "PacketSize=20020;qXfer:features:read+;vContSupported+;multiprocess+" + std::string(target_.features());
}

// The acknowledgement of this packet is the last but for that of the answer.
std::string GdbServer::on_no_ack(std::string_view) {
  agreed_.no_ack = true;
  return "OK";
}

// qXfer:OBJECT:read:ANNEX:OFFSET,LENGTH
std::string GdbServer::on_transfer(std::string_view arguments) {
  std::string_view object, operation, annex, rest, range;
  if (!split(arguments, ':', object, rest) || !split(rest, ':', operation, rest) || !split(rest, ':', annex, range))
    return std::string(kBadRequest);
  if (operation != "read") return {};
  std::optional<std::string> content;
  if (object == "features") {
    content = target_.guest().document(annex);
    if (content->empty()) return std::string(kNoObject);
  } else {
    content = target_.object(thread_, object, annex);
  }
  if (!content) return {};
  uint64_t offset, length;
  if (!take_range(range, offset, length)) return std::string(kBadRequest);
  if (offset > content->size()) return std::string(kNoObject);
  // Escaping may double it.
  length = std::min<uint64_t>(length, kPacketSize / 2 - 8);
  const std::string_view part = std::string_view(*content).substr(offset, length);
  return (offset + part.size() < content->size() ? "m" : "l") + std::string(part);
}

std::string GdbServer::on_attached(std::string_view) { return target_.launched() ? "0" : "1"; }

std::string GdbServer::on_offsets(std::string_view) {
  const auto offset = target_.load_offset();
  if (!offset) return {};
  char text[80];
  const auto value = static_cast<unsigned long long>(*offset);
  std::snprintf(text, sizeof text, "Text=%llx;Data=%llx;Bss=%llx", value, value, value);
  return text;
}

// QPassSignals:SIGNAL;SIGNAL...
std::string GdbServer::on_pass_signals(std::string_view arguments) {
  std::vector<unsigned> signals;
  while (!arguments.empty()) {
    uint64_t signal;
    if (!take_hex(arguments, signal) || signal > 255) return std::string(kBadRequest);
    signals.push_back(static_cast<unsigned>(signal));
    if (arguments.starts_with(";")) arguments.remove_prefix(1);
  }
  return target_.pass_signals(signals) ? "OK" : "";
}

// QCatchSyscalls:0, QCatchSyscalls:1[;NUMBER]...
std::string GdbServer::on_catch_syscalls(std::string_view arguments) {
  uint64_t on;
  if (!take_hex(arguments, on) || on > 1) return std::string(kBadRequest);
  std::vector<uint64_t> numbers;
  while (arguments.starts_with(";")) {
    uint64_t number;
    arguments.remove_prefix(1);
    if (!take_hex(arguments, number)) return std::string(kBadRequest);
    numbers.push_back(number);
  }
  return target_.catch_syscalls(on, numbers) ? "OK" : "";
}

std::string GdbServer::on_command(std::string_view arguments) {
  std::vector<uint8_t> line;
  if (!from_hex(arguments, line)) return std::string(kBadRequest);
  const auto output = target_.command(std::string(line.begin(), line.end()));
  if (!output) return {};
  constexpr size_t kChunk = 4096;
  for (size_t at = 0; at < output->size(); at += kChunk)
    reply("O" + to_hex(std::string_view(*output).substr(at, kChunk)));
  return "OK";
}

std::string GdbServer::on_version(std::string_view) {
  return "name:" + target_.program() + ";version:" LYRE_VERSION ";";
}

// A step runs one instruction without interrupts and timers (1, 2, 4); it has no other way.
std::string GdbServer::on_step_bits(std::string_view) { return "ENABLE=1,NOIRQ=2,NOTIMER=4"; }
std::string GdbServer::on_step_mask(std::string_view arguments) {
  if (arguments.empty()) return "0x7";
  uint64_t mask;
  if (!arguments.starts_with("=")) return std::string(kBadRequest);
  arguments.remove_prefix(1);
  if (arguments.starts_with("0x")) arguments.remove_prefix(2);
  return take_hex(arguments, mask) && mask == 7 ? "OK" : std::string(kBadRequest);
}

std::string GdbServer::on_physical(std::string_view arguments) {
  if (arguments.empty()) return target_.physical_memory() ? "1" : "0";
  uint64_t on;
  if (!arguments.starts_with(":")) return std::string(kBadRequest);
  arguments.remove_prefix(1);
  return take_hex(arguments, on) && target_.set_physical_memory(on != 0) ? "OK" : std::string(kBadRequest);
}

std::string GdbServer::on_qemu_supported(std::string_view) { return "sstepbits;sstep;PhyMemMode"; }

}  // namespace lyre::debug
