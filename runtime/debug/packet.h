// The packet layer of gdb's remote serial protocol ("Overview" of its manual): $payload#checksum, acknowledgements,
// escapes, the interrupt byte. Bytes go in, events come out; nothing here knows what a packet means. Not thread-safe.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace lyre::debug {

inline constexpr size_t kPacketSize = 0x20020;  // as qSupported says: the longest payload, before unescaping

struct PacketEvent {
  enum class Kind : uint8_t {
    kPacket,     // payload is good, escapes undone
    kBad,        // wrong checksum, too long, or broken off by another packet: ask for it again
    kInterrupt,  // 0x03 between packets
    kAck,
    kNak,  // what was sent last did not arrive
  } kind;
  std::string payload;
};

class PacketReader {
 public:
  std::vector<PacketEvent> take(std::span<const uint8_t> bytes);
  void reset() { *this = {}; }

 private:
  enum class State : uint8_t { kBetween, kPayload, kChecksum1, kChecksum2 };
  State state_ = State::kBetween;
  std::string raw_;
  bool too_long_ = false;
  uint8_t sum_ = 0;
  int high_ = 0;
};

// $payload#checksum with '#', '$', '}' and '*' escaped.
std::string frame_packet(std::string_view payload);
std::string escape(std::string_view binary);
std::string unescape(std::string_view text);

std::string to_hex(std::span<const uint8_t> bytes);
std::string to_hex(std::string_view text);
// False: an odd number of digits, or something else than digits.
bool from_hex(std::string_view digits, std::vector<uint8_t>& bytes);
// Takes a hexadecimal number off the front of `text`. False: there is none, or it has more than 64 bits.
bool take_hex(std::string_view& text, uint64_t& value);

}  // namespace lyre::debug
