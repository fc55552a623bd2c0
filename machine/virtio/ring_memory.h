// Reading and writing ring fields that vCPU threads change at the same time. All fields are little-endian (virtio 1.3, 1.4).
#pragma once
#include <atomic>
#include <bit>
#include <cstdint>
#include <cstring>

namespace lyre::machine::virtio {

static_assert(std::endian::native == std::endian::little, "ring fields are read in host byte order");

inline constexpr uint16_t kDescNext = 1;
inline constexpr uint16_t kDescWrite = 2;
inline constexpr uint16_t kDescIndirect = 4;

inline uint16_t load_relaxed(uint16_t* field) { return std::atomic_ref<uint16_t>(*field).load(std::memory_order_relaxed); }
inline uint16_t load_acquire(uint16_t* field) { return std::atomic_ref<uint16_t>(*field).load(std::memory_order_acquire); }
inline void store_relaxed(uint16_t* field, uint16_t value) {
  std::atomic_ref<uint16_t>(*field).store(value, std::memory_order_relaxed);
}
inline void store_release(uint16_t* field, uint16_t value) {
  std::atomic_ref<uint16_t>(*field).store(value, std::memory_order_release);
}
// Orders our earlier stores before our later loads, against the driver's fence between its own two.
inline void full_fence() { std::atomic_thread_fence(std::memory_order_seq_cst); }

// A private copy that the compiler cannot read from guest memory a second time: what was checked is what is used.
template <typename T>
T fetch_once(const std::byte* from) {
  T copy;
  std::memcpy(&copy, from, sizeof copy);
  asm volatile("" : "+m"(copy));
  return copy;
}

// 2.7.10.1: true if the index `event` lies in (old, now].
constexpr bool event_passed(uint16_t event, uint16_t now, uint16_t old) {
  return static_cast<uint16_t>(now - event - 1) < static_cast<uint16_t>(now - old);
}

}  // namespace lyre::machine::virtio
