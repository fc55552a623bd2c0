#include "runtime/debug/packet.h"

namespace lyre::debug {
namespace {

constexpr char kDigits[] = "0123456789abcdef";
constexpr char kEscape = '}', kEscapeFlip = 0x20;

int digit(uint8_t c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

std::vector<PacketEvent> PacketReader::take(std::span<const uint8_t> bytes) {
  using Kind = PacketEvent::Kind;
  std::vector<PacketEvent> events;
  for (uint8_t byte : bytes) {
    if (byte == '$' && state_ != State::kBetween) events.push_back({Kind::kBad, {}});  // its end was lost
    if (byte == '$') {
      state_ = State::kPayload, raw_.clear(), sum_ = 0, too_long_ = false;
      continue;
    }
    switch (state_) {
      case State::kBetween:
        if (byte == '+') events.push_back({Kind::kAck, {}});
        if (byte == '-') events.push_back({Kind::kNak, {}});
        if (byte == 3) events.push_back({Kind::kInterrupt, {}});
        break;
      case State::kPayload:
        if (byte == '#') {
          state_ = State::kChecksum1;
        } else if (sum_ = static_cast<uint8_t>(sum_ + byte); raw_.size() < kPacketSize) {
          raw_ += static_cast<char>(byte);
        } else {
          too_long_ = true;
        }
        break;
      case State::kChecksum1:
        high_ = digit(byte);
        state_ = State::kChecksum2;
        break;
      case State::kChecksum2: {
        state_ = State::kBetween;
        const int low = digit(byte);
        const bool good = !too_long_ && high_ >= 0 && low >= 0 && (high_ << 4 | low) == sum_;
        events.push_back({good ? Kind::kPacket : Kind::kBad, good ? unescape(raw_) : std::string()});
        break;
      }
    }
  }
  return events;
}

std::string escape(std::string_view binary) {
  std::string text;
  text.reserve(binary.size());
  for (char c : binary) {
    if (c == '#' || c == '$' || c == kEscape || c == '*') {
      text += kEscape;
      text += static_cast<char>(c ^ kEscapeFlip);
    } else {
      text += c;
    }
  }
  return text;
}

std::string unescape(std::string_view text) {
  std::string binary;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == kEscape && i + 1 < text.size())
      binary += static_cast<char>(text[++i] ^ kEscapeFlip);
    else
      binary += text[i];
  }
  return binary;
}

std::string frame_packet(std::string_view payload) {
  const std::string escaped = escape(payload);
  uint8_t sum = 0;
  for (char c : escaped) sum = static_cast<uint8_t>(sum + static_cast<uint8_t>(c));
  std::string packet = "$" + escaped + "#";
  packet += kDigits[sum >> 4];
  packet += kDigits[sum & 15];
  return packet;
}

std::string to_hex(std::span<const uint8_t> bytes) {
  std::string text;
  text.reserve(bytes.size() * 2);
  for (uint8_t byte : bytes) text += kDigits[byte >> 4], text += kDigits[byte & 15];
  return text;
}
std::string to_hex(std::string_view text) {
  return to_hex(std::span(reinterpret_cast<const uint8_t*>(text.data()), text.size()));
}

bool from_hex(std::string_view digits, std::vector<uint8_t>& bytes) {
  bytes.clear();
  if (digits.size() % 2) return false;
  for (size_t i = 0; i < digits.size(); i += 2) {
    const int high = digit(static_cast<uint8_t>(digits[i])), low = digit(static_cast<uint8_t>(digits[i + 1]));
    if (high < 0 || low < 0) return false;
    bytes.push_back(static_cast<uint8_t>(high << 4 | low));
  }
  return true;
}

bool take_hex(std::string_view& text, uint64_t& value) {
  value = 0;
  size_t used = 0;
  for (; used < text.size(); ++used) {
    const int next = digit(static_cast<uint8_t>(text[used]));
    if (next < 0) break;
    if (value >> 60) return false;
    value = value << 4 | static_cast<unsigned>(next);
  }
  text.remove_prefix(used);
  return used > 0;
}

}  // namespace lyre::debug
